/* SPDX-License-Identifier: MIT */
#include "agent/freeze/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/freeze/record.h"
#include "collectors/procfs.h"

#define MOUNTINFO_MAX (16U << 20)
#define MOUNTS_PATH   "/proc/self/mountinfo" /* of the machine: the helper has no mount name space of its own */

struct freezer {
	const struct freezer_options *options;
	struct freeze_mounts mounts;
	struct record record;
	int signal_fd;
	struct {
		int fd;
		const struct freeze_mount *mount;
		bool frozen; /* by this helper */
	} held[FREEZE_TARGETS_MAX];
	size_t count;
	struct freeze_order order;
	struct freeze_message message; /* the next one to the agent */
};

static void text_set(struct freeze_message *message, const char *what, const char *path)
{
	int len = snprintf(message->text, sizeof(message->text), "%s%s", path, what);

	message->text_len = len < 0 ? 0 : len < (int)sizeof(message->text) ? (uint32_t)len : sizeof(message->text) - 1;
}

/* The agent may be gone or not read: nothing waits for it. */
static void tell(struct freezer *freezer, enum freeze_message_kind kind)
{
	freezer->message.kind = kind;
	send(freezer->options->agent_fd, &freezer->message, sizeof(freezer->message), MSG_DONTWAIT | MSG_NOSIGNAL);
	freezer->message = (struct freeze_message){ .kind = 0 };
}

static int fail(struct freezer *freezer, int error, const char *what, const char *path)
{
	freezer->message.error = -error;
	text_set(&freezer->message, what, path);
	tell(freezer, FREEZE_FAILED);
	return error;
}

/* ------------------------------------------------------------------------------------------------------ preparation */

/* The mount points of the order; NULL: all. `out` has room for as many as the text has bytes. */
static const char *const *wanted_of(const struct freeze_order *order, const char **out)
{
	size_t count = 0;

	for (const char *at = order->text; at < order->text + order->len; at += strlen(at) + 1)
		out[count++] = at;
	out[count] = NULL;
	return count ? out : NULL;
}

static int mounts_read(struct freeze_mounts *mounts, int root_fd, const char *path, const struct freeze_order *order)
{
	static const char *wanted[FREEZE_ORDER_TEXT + 1];
	struct procfs_file file = PROCFS_FILE;
	struct procfs_buffer buffer = { .max = MOUNTINFO_MAX };
	int r = procfs_read(&file, AT_FDCWD, path, &buffer);

	procfs_close(&file);
	if (r >= 0)
		r = buffer.truncated ? -E2BIG
				     : freeze_mounts_read(mounts, buffer.text, buffer.len,
							  order ? wanted_of(order, wanted) : NULL);
	procfs_buffer_free(&buffer);
	if (r >= 0) {
		_cleanup_(closep) int sysfs_fd = openat(root_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

		freeze_mounts_order(mounts, freeze_backing_sysfs, &sysfs_fd);
	}
	return r;
}

/* A descriptor of the file system by any of its mounts that can be reached, or -errno of the last one tried. */
static int reach(const struct freeze_mounts *mounts, uint64_t device, const struct freeze_kernel *kernel,
		 const struct freeze_mount **ret)
{
	int fd = -ENOENT;

	for (size_t i = freeze_mounts_next(mounts, device, 0); i < mounts->count && fd < 0;
	     i = freeze_mounts_next(mounts, device, i + 1)) {
		fd = kernel->open(kernel->data, &mounts->mounts[i]);
		*ret = &mounts->mounts[i];
	}
	return fd;
}

static int hold_mounts(struct freezer *freezer)
{
	uint64_t devices[FREEZE_TARGETS_MAX];
	int r;

	for (size_t i = 0; i < freezer->mounts.target_count; i++) {
		uint64_t device = freezer->mounts.mounts[freezer->mounts.targets[i]].device;
		const struct freeze_mount *mount = NULL;
		int fd = reach(&freezer->mounts, device, freezer->options->kernel, &mount);

		if (fd < 0)
			return fail(freezer, fd, " cannot be opened", mount->path);
		freezer->held[freezer->count].fd = fd;
		freezer->held[freezer->count].mount = mount;
		devices[freezer->count++] = device;
	}
	r = record_create(&freezer->record, freezer->options->root_fd, devices, freezer->count);
	return r < 0 ? fail(freezer, r, FREEZE_RECORD_PATH " cannot be made", "") : 0;
}

/* What is needed from now on is in memory and stays there. */
static int lock_memory(struct freezer *freezer)
{
	const struct freeze_kernel *kernel = freezer->options->kernel;
	int r = kernel->lock(kernel->data);

	return r < 0 ? fail(freezer, r, "the memory of the helper cannot be locked", "") : 0;
}

/* -------------------------------------------------------------------------------------------------- freeze and thaw */

/* In the reverse order. Counts what was thawed, and what another program had thawed. 0, or the last error. */
static int thaw_all(struct freezer *freezer)
{
	const struct freeze_kernel *kernel = freezer->options->kernel;
	int error = 0;

	for (size_t i = freezer->count; i-- > 0;) {
		int r;

		if (!freezer->held[i].frozen)
			continue;
		r = kernel->thaw(kernel->data, freezer->held[i].fd);
		if (r < 0 && r != -EINVAL) {
			error = r;
			continue;
		}
		freezer->held[i].frozen = false;
		record_set(&freezer->record, i, RECORD_UNTOUCHED);
		freezer->message.count += r == 0;
		freezer->message.other += r < 0;
	}
	return error;
}

/* Nobody is told of a thaw before the record is gone; it stays while something is frozen. */
static void record_drop(struct freezer *freezer)
{
	bool thawed = true;
	char byte = 0;

	for (size_t i = 0; i < freezer->count; i++)
		thawed = thawed && !freezer->held[i].frozen;
	if (!thawed || !freezer->record.entries)
		return;
	record_remove(&freezer->record, freezer->options->root_fd);
	send(freezer->options->executor_fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Whether the agent or the executor is gone, or the unit is being stopped; looked at before each file system. */
static bool is_called_off(const struct freezer *freezer)
{
	struct pollfd watched[] = { { .fd = freezer->options->agent_fd },
				    { .fd = freezer->options->executor_fd },
				    { .fd = freezer->signal_fd, .events = POLLIN } };

	return poll(watched, ARRAY_SIZE(watched), 0) > 0;
}

static int freeze_all(struct freezer *freezer)
{
	const struct freeze_kernel *kernel = freezer->options->kernel;
	const char *busy = "";
	uint32_t count = 0, other = 0;

	for (size_t i = 0; i < freezer->count; i++) {
		const char *path = freezer->held[i].mount->path;
		int r = is_called_off(freezer) ? -ECANCELED : 0;

		record_set(&freezer->record, i, RECORD_BEGUN);
		if (r == 0)
			r = kernel->freeze(kernel->data, freezer->held[i].fd);
		record_set(&freezer->record, i, r == 0 ? RECORD_FROZEN : RECORD_UNTOUCHED);
		freezer->held[i].frozen = r == 0;
		count += r == 0;
		if (r == -EBUSY) {
			other++;
			busy = path;
		} else if (r < 0 && r != -EOPNOTSUPP) {
			thaw_all(freezer);
			record_drop(freezer);
			return fail(freezer, r, " cannot be frozen", path);
		}
	}
	freezer->message.count = count;
	freezer->message.other = other;
	text_set(&freezer->message, "", busy);
	tell(freezer, FREEZE_FROZEN);
	return 0;
}

static void tell_status(struct freezer *freezer)
{
	const struct freeze_kernel *kernel = freezer->options->kernel;

	for (size_t i = 0; i < freezer->count; i++) {
		bool still = freezer->held[i].frozen &&
			     kernel->is_frozen(kernel->data, freezer->held[i].fd, freezer->held[i].mount);

		freezer->message.count += still;
		freezer->message.other += freezer->held[i].frozen && !still;
	}
	tell(freezer, FREEZE_STATUS);
}

/* Whether the agent has asked for the thaw, or is gone. */
static bool agent_ends(struct freezer *freezer, enum freeze_reason *reason)
{
	char ask = 0;
	ssize_t len = recv(freezer->options->agent_fd, &ask, sizeof(ask), MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len == 1 && ask == FREEZE_ASK_STATUS) {
		tell_status(freezer);
		return false;
	}
	*reason = len == 1 && ask == FREEZE_ASK_THAW ? FREEZE_ASKED : FREEZE_AGENT_GONE;
	return true;
}

/* Waits, with all file systems frozen, for a reason to thaw them. */
static enum freeze_reason wait_for_reason(struct freezer *freezer, uint64_t end_ns)
{
	for (;;) {
		struct pollfd watched[] = { { .fd = freezer->options->agent_fd, .events = POLLIN },
					    { .fd = freezer->options->executor_fd },
					    { .fd = freezer->signal_fd, .events = POLLIN } };
		uint64_t now = clock_ns(CLOCK_MONOTONIC);
		enum freeze_reason reason;

		if (now >= end_ns)
			return FREEZE_TIME_LIMIT;
		poll(watched, ARRAY_SIZE(watched), (int)((end_ns - now + NS_PER_MS - 1) / NS_PER_MS));
		if (watched[0].revents && agent_ends(freezer, &reason))
			return reason;
		if (watched[1].revents)
			return FREEZE_EXECUTOR_GONE;
		if (watched[2].revents)
			return FREEZE_STOPPED;
	}
}

static int order_take(struct freezer *freezer)
{
	struct freeze_order *order = &freezer->order;
	ssize_t len = recv(freezer->options->executor_fd, order, sizeof(*order), MSG_DONTWAIT);

	if (len != sizeof(*order) || order->len > sizeof(order->text) || order->limit_s == 0 ||
	    (order->len && order->text[order->len - 1] != '\0'))
		return fail(freezer, -EBADMSG, "the order of the executor makes no sense", "");
	return 0;
}

static void freezer_free(struct freezer *freezer)
{
	record_drop(freezer);
	for (size_t i = 0; i < freezer->count; i++)
		close(freezer->held[i].fd);
	freeze_mounts_free(&freezer->mounts);
	close_fd(&freezer->signal_fd);
}

int freezer_run(const struct freezer_options *options)
{
	static struct freezer freezer;
	uint64_t limit_ns;
	sigset_t signals;
	int r;

	freezer = (struct freezer){ .options = options };
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	freezer.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	r = order_take(&freezer);
	/* What an earlier helper left, if PID 1 has not thawed it. */
	if (r == 0 && freezer_thaw_recorded(options->root_fd, options->mounts_path, options->kernel) != 0)
		r = fail(&freezer, -EBUSY, "what was frozen before cannot be thawed", "");
	if (r == 0) {
		r = mounts_read(&freezer.mounts, options->root_fd, options->mounts_path, &freezer.order);
		if (r < 0)
			fail(&freezer, r, "the mounts cannot be listed", "");
	}
	if (r == 0)
		r = hold_mounts(&freezer);
	if (r == 0)
		r = lock_memory(&freezer);
	if (r == 0)
		r = freeze_all(&freezer);
	if (r == 0) {
		limit_ns = options->limit_ns ? options->limit_ns : freezer.order.limit_s * NS_PER_S;
		freezer.message.reason = wait_for_reason(&freezer, clock_ns(CLOCK_MONOTONIC) + limit_ns);
		/* Told only when it is so; else the end of the socket tells, and PID 1 tries again by the record. */
		r = thaw_all(&freezer);
		record_drop(&freezer);
		if (r == 0)
			tell(&freezer, FREEZE_THAWED);
	}
	freezer_free(&freezer);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------- after a helper */

int freezer_thaw_recorded(int root_fd, const char *mounts_path, const struct freeze_kernel *kernel)
{
	static uint64_t devices[FREEZE_TARGETS_MAX];
	struct freeze_mounts mounts = { .count = 0 };
	int count = record_read(root_fd, devices, FREEZE_TARGETS_MAX), error = 0;
	struct record record = { .entries = NULL };

	if (count < 0)
		fprintf(stderr, "infiniservice-exec thaw: " FREEZE_RECORD_PATH ": %s\n", strerror(-count));
	if (count < 0)
		return EXIT_FAILURE;
	if (count > 0)
		error = mounts_read(&mounts, root_fd, mounts_path, NULL);
	for (int i = count; error == 0 && i-- > 0;) {
		const struct freeze_mount *mount = NULL;
		int fd = reach(&mounts, devices[i], kernel, &mount);
		int r = fd < 0 ? fd : kernel->thaw(kernel->data, fd);

		if (!mount) {
			fprintf(stderr, "infiniservice-exec thaw: device %u:%u is mounted nowhere any more\n",
				(unsigned)(devices[i] >> 32), (unsigned)devices[i]);
			continue;
		}
		if (fd >= 0)
			close(fd);
		if (r < 0 && r != -EINVAL)
			error = r;
	}
	freeze_mounts_free(&mounts);
	if (error < 0) {
		fprintf(stderr, "infiniservice-exec thaw: something stays frozen: %s\n", strerror(-error));
		return EXIT_FAILURE;
	}
	record_remove(&record, root_fd);
	return EXIT_SUCCESS;
}

/* ----------------------------------------------------------------------------------------------------- the verbs */

int freeze_main(int argc, char *argv[])
{
	_cleanup_(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct freezer_options options = { .agent_fd = STDIN_FILENO,
					   .executor_fd = STDOUT_FILENO,
					   .root_fd = root_fd,
					   .mounts_path = MOUNTS_PATH,
					   .kernel = &freeze_kernel_real };
	struct stat st;

	(void)argv;
	if (argc != 1 || root_fd < 0 || fstat(STDIN_FILENO, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    fstat(STDOUT_FILENO, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fputs("infiniservice-exec freeze: started by the executor, with sockets as stdin and stdout\n", stderr);
		return 2;
	}
	return freezer_run(&options);
}

int thaw_main(int argc, char *argv[])
{
	_cleanup_(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)argv;
	if (argc != 1 || root_fd < 0) {
		fputs("usage: infiniservice-exec thaw\n", stderr);
		return 2;
	}
	return freezer_thaw_recorded(root_fd, MOUNTS_PATH, &freeze_kernel_real);
}
