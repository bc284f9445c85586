/* SPDX-License-Identifier: MIT */
#include "agent/base/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define SEQ_FILE  "seq"
#define LOCK_FILE "lock"

/*
 * A power cut loses the page cache: up to 5 s of log with the default `sync = interval`, and the kernel's own 30 s
 * without it. At the fastest interval (10 ms) 30 s are 3,000 samples.
 */
#define SEQ_CRASH_MARGIN 3000

/*
 * A lock file holds a pid and a newline, or nothing, or zeros after a power cut. Any other content means that the
 * directory is configured by mistake and the file belongs to another program.
 */
static int look_at_lock(int fd, const char *dir, char pid[24], struct err *e)
{
	ssize_t n = -1;
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
		n = pread(fd, pid, 23, 0);
	for (ssize_t i = 0; i < n; i++)
		if (pid[i] && !strchr("0123456789\n", pid[i]))
			n = -1;
	if (n < 0 || st.st_size > 23)
		return err_set(e, -EEXIST,
			       "%s/%s: is not this agent's and stays as it is: set agent.state_dir to a directory for "
			       "it alone",
			       dir, LOCK_FILE);
	pid[n] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	return 0;
}

static int take_lock(struct state *state, const char *dir, struct err *e)
{
	char pid[24] = "";
	ssize_t n;
	int r;

	state->lock_fd = openat(state->dir_fd, LOCK_FILE,
				O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	/*
	 * A read-only disk must not keep the agent from starting: the lock is taken without writing the pid or, where
	 * there is no file, not at all.
	 */
	if (state->lock_fd < 0 && errno == EROFS) {
		state->lock_fd = openat(state->dir_fd, LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (state->lock_fd >= 0 && flock(state->lock_fd, LOCK_EX | LOCK_NB) < 0)
			return err_set(e, -EBUSY,
				       "%s: in use by another infiniservice: stop it, or give this one its own "
				       "agent.state_dir",
				       dir);
		return 0;
	}
	if (state->lock_fd < 0)
		return err_set(e, -errno, "%s/%s: %s (make it writable for this user, or set agent.state_dir)", dir,
			       LOCK_FILE, strerror(errno));
	r = look_at_lock(state->lock_fd, dir, pid, e);
	if (r < 0)
		return r;
	if (flock(state->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, -EBUSY,
			       "%s: in use by another infiniservice (pid %s): stop it, or give this one its own "
			       "agent.state_dir",
			       dir, *pid ? pid : "unknown");
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(state->lock_fd, 0) < 0 || pwrite(state->lock_fd, pid, (size_t)n, 0) != n)
		return err_set(e, -EIO, "%s/%s: cannot be written: %s", dir, LOCK_FILE, strerror(errno));
	return 0;
}

/* Reads "<next seq> <clean|running> <boot id>\n"; any other content counts as no file. */
static void read_seq(struct state *state)
{
	_cleanup_(closep) int fd =
		openat(state->dir_fd, SEQ_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char text[128], word[16];
	uint64_t seq;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%" SCNu64 " %15s %39s", &seq, word, state->boot_id) != 3 || seq == 0)
		return;
	state->next_seq = seq;
	state->clean = strcmp(word, "clean") == 0;
}

int state_open(struct state *state, const char *dir, struct err *e)
{
	int r;

	*state = (struct state){ .dir_fd = -1, .lock_fd = -1, .next_seq = 1, .clean = true };
	if (mkdir(dir, 0750) < 0 && errno != EEXIST)
		return err_set(e, -errno, "%s: %s (make it, or set agent.state_dir)", dir, strerror(errno));
	state->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->dir_fd < 0)
		return err_set(e, -errno, "%s: %s", dir, strerror(errno));
	r = take_lock(state, dir, e);
	if (r < 0)
		state_close(state);
	else
		read_seq(state);
	return r;
}

uint64_t state_first_seq(const struct state *state, uint64_t seen, const char *boot_id)
{
	uint64_t next = seen + 1 > state->next_seq ? seen + 1 : state->next_seq;
	bool lost_with_power = !state->clean && strcmp(state->boot_id, boot_id) != 0;

	return lost_with_power ? next + SEQ_CRASH_MARGIN : next;
}

static int write_seq(const struct state *state, uint64_t next_seq, const char *word, const char *boot_id)
{
	_cleanup_(closep) int fd = -1;
	char text[128];
	int len = snprintf(text, sizeof(text), "%" PRIu64 " %s %s\n", next_seq, word, *boot_id ? boot_id : "-");

	/* Always a new file: an existing one of this name, of any origin, is never written to. */
	unlinkat(state->dir_fd, "." SEQ_FILE, 0);
	fd = openat(state->dir_fd, "." SEQ_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		return -errno;
	return renameat(state->dir_fd, "." SEQ_FILE, state->dir_fd, SEQ_FILE) < 0 ? -errno : 0;
}

int state_begin(struct state *state, uint64_t next_seq, const char *boot_id)
{
	return write_seq(state, next_seq, "running", boot_id);
}

int state_finish(struct state *state, uint64_t next_seq, const char *boot_id)
{
	return write_seq(state, next_seq, "clean", boot_id);
}

void state_close(struct state *state)
{
	close_fd(&state->lock_fd);
	close_fd(&state->dir_fd);
}
