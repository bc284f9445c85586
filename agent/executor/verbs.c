/* SPDX-License-Identifier: MIT */
/* The small verbs of infiniservice-exec; see verbs.h. */
#include "agent/executor/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/requests.h"
#include "agent/runner/protocol.h"
#include "agent/runner/tree.h"

#define SERVICE_USER	  "infiniservice"
#define NUMBER_DIGITS_MAX 9

/* ------------------------------------------------------------------------------------------------------------ join */

int join_main(int argc, char *argv[])
{
	static char text[JOIN_INPUT_MAX + 1];
	char realm[64] = "", user[JOIN_USER_MAX + 8], unit[JOIN_UNIT_MAX + 16], computer[JOIN_COMPUTER_MAX + 24];
	char join[] = "join", unattended[] = "--unattended", end[] = "--", domain[JOIN_DOMAIN_MAX + 1];
	char *words[9] = { realm, join, unattended, user };
	struct join_request request;
	size_t count = 4;
	ssize_t len = argc == 1 ? pread(RUNNER_INPUT_FD, text, JOIN_INPUT_MAX, 0) : -1;
	int password[2];

	(void)argv;
	if (len <= 0 || !join_parse(text, (size_t)len, &request)) {
		fputs("usage: infiniservice-exec join, with what it is about as the command's input\n", stderr);
		return 2;
	}
	close(RUNNER_INPUT_FD);
	for (size_t i = 0; runner_directories[i] && access(realm, X_OK) < 0; i++)
		snprintf(realm, sizeof(realm), "%s/realm", runner_directories[i]);
	if (access(realm, X_OK) < 0) {
		fputs("realm is not installed (package realmd)\n", stderr);
		return 1;
	}
	snprintf(user, sizeof(user), "--user=%s", request.parts[JOIN_USER]);
	snprintf(unit, sizeof(unit), "--computer-ou=%s", request.parts[JOIN_UNIT]);
	if (*request.parts[JOIN_UNIT])
		words[count++] = unit;
	snprintf(computer, sizeof(computer), "--computer-name=%s", request.parts[JOIN_COMPUTER]);
	if (*request.parts[JOIN_COMPUTER])
		words[count++] = computer;
	snprintf(domain, sizeof(domain), "%s", request.parts[JOIN_DOMAIN]);
	words[count++] = end;
	words[count++] = domain;
	/* A pipe on stdin that holds the whole password and then ends. */
	if (pipe2(password, O_CLOEXEC) == 0 && dprintf(password[1], "%s\n", request.parts[JOIN_PASSWORD]) >= 0 &&
	    dup2(password[0], STDIN_FILENO) >= 0) {
		explicit_bzero(text, sizeof(text));
		execv(realm, words);
	}
	fprintf(stderr, "realm could not be started: %s\n", strerror(errno));
	explicit_bzero(text, sizeof(text));
	return 1;
}

/* ------------------------------------------------------------------------------------------------------------ kill */

static bool number_parse(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : UINT64_MAX;
	return *ret <= max && errno == 0 && *end == '\0';
}

int kill_main(int argc, char *argv[])
{
	_cleanup_(closep) int pidfd = -1;
	struct tree_process process;
	uint64_t pid, start_ticks;

	if (argc != 4 || !number_parse(argv[1], INT32_MAX, &pid) || pid == 0 ||
	    !number_parse(argv[2], UINT64_MAX - 1, &start_ticks) ||
	    (strcmp(argv[3], "TERM") != 0 && strcmp(argv[3], "KILL") != 0)) {
		fputs("usage: infiniservice-exec kill PID START_TICKS TERM|KILL\n", stderr);
		return KILL_EXIT_USAGE;
	}
	/*
	 * The pidfd is opened first and the process identified afterwards: if the pid has been reused meanwhile, the
	 * signal goes to the first process, which is dead; see pidfd_open(2). EINVAL: it is a thread, not a process.
	 */
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (pidfd < 0)
		return errno == ESRCH || errno == EINVAL ? KILL_EXIT_GONE : KILL_EXIT_FAILED;
	if (tree_stat_read((pid_t)pid, &process) < 0 || process.start_ticks != start_ticks)
		return KILL_EXIT_GONE;
	if (pid == 1 || process.kernel)
		return KILL_EXIT_PROTECTED;
	if (syscall(SYS_pidfd_send_signal, pidfd, strcmp(argv[3], "KILL") == 0 ? SIGKILL : SIGTERM, NULL, 0) == 0)
		return KILL_EXIT_DONE;
	return errno == ESRCH ? KILL_EXIT_GONE : KILL_EXIT_FAILED;
}

/* ------------------------------------------------------------------------------------------------------------ port */

/* The end of a decimal number without leading zeros at `text`; NULL: none. */
static const char *number_end(const char *text)
{
	size_t len = strspn(text, "0123456789");

	return len == 0 || len > NUMBER_DIGITS_MAX || (text[0] == '0' && len > 1) ? NULL : text + len;
}

bool port_name_valid(const char *name)
{
	const char *end = strncmp(name, "vport", 5) == 0 ? number_end(name + 5) : NULL;

	end = end && *end == 'p' ? number_end(end + 1) : NULL;
	return end && *end == '\0';
}

int port_give(int root_fd, const char *name, uid_t uid, gid_t gid)
{
	_cleanup_(closep) int number_fd = -1, dev_fd = -1, fd = -1;
	unsigned major, minor;
	char path[80], text[32];
	struct stat st;
	ssize_t len;

	if (!port_name_valid(name))
		return -EINVAL;
	/* "MAJOR:MINOR\n" in the port's directory in sysfs, which only the driver of virtio ports creates. */
	snprintf(path, sizeof(path), "sys/class/virtio-ports/%.40s/dev", name);
	number_fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
	if (number_fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	len = read(number_fd, text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (sscanf(text, "%u:%u", &major, &minor) != 2)
		return -ENODEV;
	/* The node is opened with O_PATH: a port can be open only once, and its host would see the connection. */
	dev_fd = openat(root_fd, "dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fd = dev_fd < 0 ? -1 : openat(dev_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(major, minor))
		return -ENODEV;
	/*
	 * fchmod(2) does not take a descriptor of O_PATH; its name in /proc leads to the same inode, even if /dev has
	 * changed since.
	 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, 0600) < 0 || fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* Whether the host gave the virtio port of this kernel name the other name. */
static bool port_is_named(int root_fd, const char *port, const char *name)
{
	_cleanup_(closep) int fd = -1;
	char path[80], text[256];
	ssize_t len;

	snprintf(path, sizeof(path), "sys/class/virtio-ports/%.40s/name", port);
	fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, name) == 0;
}

bool port_is_wanted(int root_fd, const char *name, const struct config *config)
{
	const char *const specs[] = { config->port.spec, config->qga.spec };

	for (size_t i = 0; port_name_valid(name) && i < ARRAY_SIZE(specs); i++)
		if (strncmp(specs[i], "virtio:", 7) == 0 && port_is_named(root_fd, name, specs[i] + 7))
			return true;
	return false;
}

/* The port of the QEMU guest agent's language is that agent's until the configuration names it. */
static bool is_left_alone(int root_fd, const char *name)
{
	struct config config;
	struct err e;
	bool wanted;

	if (!port_is_named(root_fd, name, "org.qemu.guest_agent.0") || config_init(&config) < 0)
		return false;
	wanted = config_load(&config, NULL, NULL, NULL, &e) == 0 && port_is_wanted(root_fd, name, &config);
	config_free(&config);
	return !wanted;
}

int port_main(int argc, char *argv[])
{
	_cleanup_(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct passwd *user;
	int r;

	if (argc != 2 || !port_name_valid(argv[1])) {
		fputs("usage: infiniservice-exec port vportNpM\n", stderr);
		return 2;
	}
	if (root_fd >= 0 && is_left_alone(root_fd, argv[1]))
		return EXIT_SUCCESS;
	errno = 0;
	user = getpwnam(SERVICE_USER);
	if (!user) {
		fprintf(stderr, "infiniservice-exec: there is no user " SERVICE_USER "%s%s\n", errno ? ": " : "",
			errno ? strerror(errno) : "");
		return EXIT_FAILURE;
	}
	r = root_fd < 0 ? -errno : port_give(root_fd, argv[1], user->pw_uid, user->pw_gid);
	if (r < 0)
		fprintf(stderr, "infiniservice-exec: /dev/%s is not given to " SERVICE_USER ": %s\n", argv[1],
			r == -ENODEV ? "it is no virtio port" : strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
