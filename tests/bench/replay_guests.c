/* SPDX-License-Identifier: MIT */
/*
 * Many guests that are played: `replay_guests FOLDER COUNT INTERVAL_MS SAMPLE` listens as so many chardevs at
 * FOLDER/vmN.sock and sends each host that connects a handshake and, every interval, the data of the sample in the file
 * SAMPLE with a time, a seq and a boot_id of its own. At SIGUSR1 all connections are dropped at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include <infiniservice/moment.h>

#include "measure.h"

#define GUESTS_MAX 10000

static struct guest {
	int listener, host; /* -1: nobody is connected */
	unsigned long seq;
} guests[GUESTS_MAX];

static volatile sig_atomic_t drop;
static int epoll_fd;
static char sample[1 << 20], *data;
static size_t data_len;

static void on_signal(int number)
{
	(void)number;
	drop = 1;
}

static void read_sample(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, sample, sizeof(sample) - 1);

	if (len <= 0)
		give_up(path);
	close(fd);
	data = strstr(sample, ",\"data\":");
	if (!data)
		give_up("no data in the sample");
	data_len = strlen(data);
	if (data[data_len - 1] != '\n')
		data[data_len++] = '\n';
}

static void watch(int fd, size_t index)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = index };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		give_up("epoll_ctl");
}

static void listen_at(const char *folder, size_t index)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/vm%zu.sock", folder, index);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		give_up(address.sun_path);
	guests[index] = (struct guest){ .listener = fd, .host = -1 };
	watch(fd, index);
}

static void leave(struct guest *guest)
{
	if (guest->host >= 0)
		close(guest->host);
	guest->host = -1;
}

/* A host that does not read what comes is left. */
static void send_parts(struct guest *guest, const struct iovec *parts, int count)
{
	size_t wanted = 0;

	for (int i = 0; i < count; i++)
		wanted += parts[i].iov_len;
	if (writev(guest->host, parts, count) != (ssize_t)wanted)
		leave(guest);
}

static void stamp(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + len, size - len, ".%03ldZ", now.tv_nsec / 1000000);
}

static void send_sample(struct guest *guest, size_t index)
{
	char head[256], when[40];
	int len;

	stamp(when, sizeof(when));
	len = snprintf(head, sizeof(head),
		       "{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%lu,\"boot_id\":\"%032zx\","
		       "\"generation\":\"%016zx\",\"schema\":1",
		       when, guest->seq++, index, index);
	send_parts(guest, (struct iovec[]){ { head, (size_t)len }, { data, data_len } }, 2);
}

static void accept_host(struct guest *guest, size_t index)
{
	char line[256];
	int len = snprintf(line, sizeof(line),
			   "\n{\"type\":\"handshake\",\"vm_id\":\"vm%zu\",\"version\":\"0\",\"platform\":\"linux\","
			   "\"generation\":\"%016zx\",\"capabilities\":[]}\n",
			   index, index);

	guest->host = accept4(guest->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (guest->host < 0)
		return;
	watch(guest->host, index + GUESTS_MAX);
	send_parts(guest, (struct iovec[]){ { line, (size_t)len } }, 1);
	if (guest->host >= 0)
		send_sample(guest, index);
}

static void handle(size_t index)
{
	static char input[65536];
	struct guest *guest = &guests[index % GUESTS_MAX];
	ssize_t n;

	if (index < GUESTS_MAX) {
		if (guest->host < 0)
			accept_host(guest, index);
		return;
	}
	n = guest->host < 0 ? 1 : recv(guest->host, input, sizeof(input), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		leave(guest);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 3 * GUESTS_MAX, 3 * GUESTS_MAX };
	struct epoll_event events[64];
	size_t count, next = 0;
	uint64_t interval_ns, due_ns;

	if (argc != 5)
		give_up("usage: replay_guests FOLDER COUNT INTERVAL_MS SAMPLE");
	count = strtoul(argv[2], NULL, 10);
	interval_ns = strtoul(argv[3], NULL, 10) * 1000000ULL;
	if (count == 0 || count > GUESTS_MAX || interval_ns == 0)
		give_up("count or interval");
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	read_sample(argv[4]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < count; i++)
		listen_at(argv[1], i);
	puts("ready");
	fflush(stdout);
	/* One after the other, evenly over the interval, as machines that were booted at different times are. */
	for (due_ns = clock_ns(CLOCK_MONOTONIC);;) {
		int n = epoll_wait(epoll_fd, events, 64, 1);

		for (int i = 0; i < n; i++)
			handle(events[i].data.u64);
		if (drop)
			for (size_t i = 0; i < count; i++)
				leave(&guests[i]);
		drop = 0;
		for (; due_ns <= clock_ns(CLOCK_MONOTONIC); due_ns += interval_ns / count, next = (next + 1) % count)
			if (guests[next].host >= 0)
				send_sample(&guests[next], next);
	}
}
