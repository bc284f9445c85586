/* SPDX-License-Identifier: MIT */
/* See guest_verbs.h; rtc(4), /sys/devices/system/cpu in Documentation/ABI of the kernel. */
#include "agent/executor/guest_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/rtc.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/rules/requests.h"
#include "agent/runner/protocol.h"

#define INPUT_TEXTS_MAX 4096

static int fail(const char *verb, const char *what, int error)
{
	fprintf(stderr, "infiniservice-exec %s: %s%s%s\n", verb, what, error ? ": " : "", error ? strerror(error) : "");
	return EXIT_FAILURE;
}

/* True for a decimal number up to `max`, without sign; *end is behind it. */
static bool digits_parse(const char *text, uint64_t max, const char **end, uint64_t *ret)
{
	char *stop = NULL;

	errno = 0;
	*ret = *text >= '0' && *text <= '9' ? strtoull(text, &stop, 10) : 0;
	*end = stop;
	return stop && errno == 0 && *ret <= max;
}

/* ------------------------------------------------------------------------------------------------------------ time */

static int rtc_open(void)
{
	int fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? open("/dev/rtc", O_RDONLY | O_CLOEXEC) : fd;
}

/* Whether the hardware clock keeps local time: the third line of /etc/adjtime. */
static bool rtc_is_local(void)
{
	_cleanup_(fclosep) FILE *adjtime = fopen("/etc/adjtime", "re");
	char line[128] = "";

	for (int i = 0; i < 3; i++)
		if (!adjtime || !fgets(line, sizeof(line), adjtime))
			return false;
	return strncmp(line, "LOCAL", 5) == 0;
}

/* Sets the clock by the hardware clock. 0 or -errno. */
static int clock_from_rtc(void)
{
	_cleanup_(closep) int fd = rtc_open();
	struct rtc_time rtc;
	struct timespec now = { .tv_nsec = 0 };

	if (fd < 0 || ioctl(fd, RTC_RD_TIME, &rtc) < 0)
		return -errno;
	struct tm tm = { .tm_sec = rtc.tm_sec,
			 .tm_min = rtc.tm_min,
			 .tm_hour = rtc.tm_hour,
			 .tm_mday = rtc.tm_mday,
			 .tm_mon = rtc.tm_mon,
			 .tm_year = rtc.tm_year,
			 .tm_isdst = -1 };

	now.tv_sec = rtc_is_local() ? mktime(&tm) : timegm(&tm);
	return clock_settime(CLOCK_REALTIME, &now) < 0 ? -errno : 0;
}

/* Sets the hardware clock to these seconds. 0 or -errno; -ENOENT: there is none. */
static int rtc_from_clock(time_t seconds)
{
	_cleanup_(closep) int fd = rtc_open();
	struct tm tm;

	if (fd < 0)
		return -errno;
	if (!(rtc_is_local() ? localtime_r(&seconds, &tm) : gmtime_r(&seconds, &tm)))
		return -EOVERFLOW;
	struct rtc_time rtc = { .tm_sec = tm.tm_sec,
				.tm_min = tm.tm_min,
				.tm_hour = tm.tm_hour,
				.tm_mday = tm.tm_mday,
				.tm_mon = tm.tm_mon,
				.tm_year = tm.tm_year };

	return ioctl(fd, RTC_SET_TIME, &rtc) < 0 ? -errno : 0;
}

int settime_main(int argc, char *argv[])
{
	const char *end = NULL;
	uint64_t ns = 0;
	int r;

	if (argc == 2 && strcmp(argv[1], "rtc") == 0) {
		r = clock_from_rtc();
		return r < 0 ? fail("settime", "the clock is not set by the hardware clock", -r) : EXIT_SUCCESS;
	}
	if (argc != 2 || !digits_parse(argv[1], INT64_MAX, &end, &ns) || *end) {
		fputs("usage: infiniservice-exec settime NANOSECONDS|rtc\n", stderr);
		return 2;
	}
	struct timespec now = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return fail("settime", "the clock is not set", errno);
	/* A machine without a hardware clock has none to set. */
	r = rtc_from_clock(now.tv_sec);
	return r < 0 && r != -ENOENT ? fail("settime", "the hardware clock is not set", -r) : EXIT_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------------ processors */

/* 0 or -errno. A processor without the file cannot be turned off, and is on. */
static int vcpu_set(int sysfs_fd, unsigned number, bool on)
{
	_cleanup_(closep) int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "devices/system/cpu/cpu%u", number);
	if (faccessat(sysfs_fd, path, F_OK, 0) < 0)
		return -ENODEV;
	snprintf(path, sizeof(path), "devices/system/cpu/cpu%u/online", number);
	fd = openat(sysfs_fd, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT ? -errno : on ? 0 : -EOPNOTSUPP;
	return write(fd, on ? "1" : "0", 1) == 1 ? 0 : -errno;
}

int vcpus_set(int sysfs_fd, int argc, char *argv[])
{
	int done = 0, r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		const char *end = NULL;
		uint64_t number;

		if (!digits_parse(argv[i], 65535, &end, &number) ||
		    (strcmp(end, "-on") != 0 && strcmp(end, "-off") != 0)) {
			fputs("usage: infiniservice-exec vcpus N-on|N-off ...\n", stderr);
			return 2;
		}
		r = vcpu_set(sysfs_fd, (unsigned)number, strcmp(end, "-on") == 0);
		done += r == 0;
		if (r < 0)
			fail("vcpus", argv[i], -r);
	}
	printf("%d\n", done);
	return r < 0 && done == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int vcpus_main(int argc, char *argv[])
{
	_cleanup_(closep) int sysfs_fd = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return vcpus_set(sysfs_fd, argc, argv);
}

/* ----------------------------------------------------------------------------------------------------------- input */

/*
 * Reads the command's input into `text` (`size` bytes) and splits it; `parts` ends with NULL. The number of texts, or
 * -1: too long, not ended by NUL, or too many.
 */
static int input_split(char *text, size_t size, const char *parts[INPUT_TEXTS_MAX + 1])
{
	ssize_t len = pread(RUNNER_INPUT_FD, text, size, 0);
	int count = 0;

	close(RUNNER_INPUT_FD);
	if (len <= 0 || (size_t)len == size || text[len - 1] != '\0')
		return -1;
	for (const char *at = text; at < text + len; at += strlen(at) + 1) {
		if (count == INPUT_TEXTS_MAX)
			return -1;
		parts[count++] = at;
	}
	parts[count] = NULL;
	return count;
}

/* -------------------------------------------------------------------------------------------------------- password */

int password_main(int argc, char *argv[])
{
	static char text[8192], program[64], encrypted[] = "-e";
	static const char *parts[INPUT_TEXTS_MAX + 1];
	bool crypted = argc == 3 && strcmp(argv[2], "crypted") == 0, keep_root;
	char *words[] = { program, crypted ? encrypted : NULL, NULL };
	const struct passwd *user;
	int pair[2];

	if ((argc != 2 && !crypted) || (strcmp(argv[1], "any-user") != 0 && strcmp(argv[1], "keep-root") != 0) ||
	    input_split(text, sizeof(text), parts) != 2) {
		fputs("usage: infiniservice-exec password any-user|keep-root [crypted], with user and password as "
		      "input\n",
		      stderr);
		return 2;
	}
	keep_root = strcmp(argv[1], "keep-root") == 0;
	errno = 0;
	user = getpwnam(parts[0]);
	if (!user || !*parts[0] || strpbrk(parts[0], ":\n"))
		return fail("password", "there is no such user", errno);
	if (keep_root && user->pw_uid == 0)
		return fail("password", "root's password is left alone (qga.deny_root_password)", 0);
	if (strchr(parts[1], '\n') || (crypted && strchr(parts[1], ':')))
		return fail("password", "a password has neither a newline nor, if it is a hash, a colon", 0);
	for (size_t i = 0; runner_directories[i] && access(program, X_OK) < 0; i++)
		snprintf(program, sizeof(program), "%s/chpasswd", runner_directories[i]);
	/* A pipe on stdin that holds the whole line and then ends. */
	if (pipe2(pair, O_CLOEXEC) == 0 && dprintf(pair[1], "%s:%s\n", parts[0], parts[1]) >= 0 &&
	    dup2(pair[0], STDIN_FILENO) >= 0) {
		explicit_bzero(text, sizeof(text));
		execv(program, words);
	}
	explicit_bzero(text, sizeof(text));
	return fail("password", "chpasswd (package passwd) could not be started", errno);
}

/* ---------------------------------------------------------------------------------------------------------- become */

int become_main(int argc, char *argv[])
{
	int at = 1;

	if (at < argc && strcmp(argv[at], "input") == 0) {
		if (dup2(RUNNER_INPUT_FD, STDIN_FILENO) < 0)
			return fail("become", "there is no input", errno);
		close(RUNNER_INPUT_FD);
		at++;
	}
	if (at < argc && strcmp(argv[at], "merged") == 0) {
		dup2(STDOUT_FILENO, STDERR_FILENO);
		at++;
	}
	if (at + 1 >= argc || strcmp(argv[at], "--") != 0) {
		fputs("usage: infiniservice-exec become [input] [merged] -- PROGRAM ...\n", stderr);
		return 2;
	}
	execvp(argv[at + 1], argv + at + 1);
	fail("become", argv[at + 1], errno);
	return errno == ENOENT ? 127 : 126;
}
