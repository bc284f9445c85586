/* SPDX-License-Identifier: MIT */
/* What the benches share: order statistics, and being the host at the listening end of a socket. */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The value that `share` (0-1) of all values do not exceed. Sorts them. */
static inline double quantile(double *values, unsigned count, double share)
{
	unsigned at = (unsigned)(share * count);

	qsort(values, count, sizeof(*values), compare_doubles);
	return values[at < count ? at : count - 1];
}

static inline double median(double *values, unsigned count)
{
	return quantile(values, count, 0.5);
}

static inline unsigned argument(int argc, char **argv, int index, unsigned fallback, unsigned max)
{
	unsigned long value = argc > index ? strtoul(argv[index], NULL, 10) : fallback;

	return value < 1 ? 1 : value > max ? max : (unsigned)value;
}

static inline __attribute__((noreturn)) void give_up(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static inline struct sockaddr_un socket_address(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		fprintf(stderr, "%s: too long\n", path);
		exit(EXIT_FAILURE);
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	return address;
}

static inline int socket_listen(const char *path)
{
	struct sockaddr_un address = socket_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		give_up(path);
	return fd;
}

/* Waits for whoever connects. */
static inline int socket_accept(const char *path)
{
	int listener = socket_listen(path), fd;

	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		give_up("accept");
	close(listener);
	return fd;
}

static inline int socket_connect(const char *path)
{
	struct sockaddr_un address = socket_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		give_up(path);
	return fd;
}

static inline void send_text(int fd, const char *text, size_t len)
{
	if (write(fd, text, len) != (ssize_t)len)
		give_up("write");
}

static inline void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		give_up("sched_setaffinity");
}

#endif
