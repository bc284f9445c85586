/* SPDX-License-Identifier: MIT */
/*
 * The way out of audit records; see audit.h. The child's socket is the bounded queue: a datagram that it has no room
 * for is counted and gone, so that a frozen disk costs records, never the loop. The child needs no stopping: it ends at
 * end of file.
 */
#include "agent/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/helper.h"

#define RESTART_NS (10 * NS_PER_S)

/* ------------------------------------------------------------------------------------------------------------ child */

static int open_file(int dir_fd)
{
	struct stat st;
	int fd = openat(dir_fd, AUDIT_FILE, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool is_full(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size >= (off_t)AUDIT_FILE_BYTES;
}

/* Opened for each record: the file may have been moved away by whoever keeps it. */
static void append_record(int dir_fd, const char *bytes, size_t len)
{
	_cleanup_(closep) int fd = open_file(dir_fd);

	if (fd >= 0 && is_full(fd) && renameat(dir_fd, AUDIT_FILE, dir_fd, AUDIT_FILE_OLD) == 0) {
		close_fd(&fd);
		fd = open_file(dir_fd);
	}
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		fprintf(stderr, "<4>an audit record could not be written: %s\n", strerror(errno));
}

static int writer_main(int fd, void *data)
{
	_cleanup_(closep) int dir_fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char bytes[AUDIT_RECORD_MAX];

	for (;;) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0;
		append_record(dir_fd, bytes, (size_t)n);
	}
}

/* ----------------------------------------------------------------------------------------------------------- parent */

static bool writer_ready(struct audit *audit, uint64_t now_ns)
{
	pid_t pid;

	if (audit->writer_fd >= 0)
		return true;
	if (now_ns < audit->next_try_ns)
		return false;
	audit->next_try_ns = now_ns + RESTART_NS;
	return helper_fork("infini-audit", writer_main, audit->dir, SOCK_SEQPACKET, &audit->writer_fd, &pid) == 0;
}

static bool to_writer(struct audit *audit, const struct moment *now, const struct audit_record *record)
{
	char bytes[AUDIT_RECORD_MAX];
	int len = audit_record_json(record, now->wall_ms, bytes, sizeof(bytes));

	if (len < 0 || !writer_ready(audit, now->mono_ns))
		return false;
	if (send(audit->writer_fd, bytes, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) == len)
		return true;
	if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
		close_fd(&audit->writer_fd);
	return false;
}

static bool to_journal(struct audit *audit, const struct audit_record *record)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char bytes[AUDIT_RECORD_MAX];
	int len;

	if (audit->journal_fd < 0 || strlen(audit->journal_path) >= sizeof(address.sun_path))
		return false;
	len = audit_record_journal(record, bytes, sizeof(bytes));
	if (len < 0)
		return false;
	strcpy(address.sun_path, audit->journal_path);
	return sendto(audit->journal_fd, bytes, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
		      sizeof(address)) == len;
}

void audit_init(struct audit *audit, const char *state_dir, const char *journal_path)
{
	*audit = (struct audit){ .writer_fd = -1, .journal_path = journal_path ? journal_path : AUDIT_JOURNAL_SOCKET };
	snprintf(audit->dir, sizeof(audit->dir), "%s", state_dir);
	audit->journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void audit_done(struct audit *audit)
{
	if (!audit->journal_path)
		return;
	close_fd(&audit->journal_fd);
	close_fd(&audit->writer_fd);
}

void audit_put(struct audit *audit, const struct moment *now, const struct audit_record *record)
{
	if (to_journal(audit, record) || to_writer(audit, now, record))
		audit->recorded++;
	else
		audit->lost++;
}

bool audit_takes_read(struct audit *audit, const struct moment *now)
{
	if (token_bucket_take(&audit->reads, AUDIT_READS_PER_S, now->mono_ns))
		return true;
	audit->reads_left_out++;
	return false;
}

void audit_report(const struct audit *audit, struct sink *out)
{
	sink_uint(out, "recorded", audit->recorded);
	sink_uint(out, "lost", audit->lost);
	sink_uint(out, "reads_left_out", audit->reads_left_out);
}
