/* SPDX-License-Identifier: MIT */
/*
 * Delivers audit records; see audit.h. The child's socket is the bounded queue: a datagram that does not fit is counted
 * and dropped, so that a frozen disk costs records and never blocks the loop. The child needs no stopping: it exits at
 * end of file.
 */
#include "agent/audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/base/helper.h"

#define RESTART_NS    (10 * NS_PER_S)
#define FINISH_TRIES  10
#define FINISH_TRY_MS 100

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

/* The file is opened for each record: log rotation may have moved it away. */
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

static bool send_to_writer(struct audit *audit, uint64_t now_ns, const char *bytes, size_t len)
{
	if (!writer_ready(audit, now_ns))
		return false;
	if (send(audit->writer_fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
		return true;
	if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
		close_fd(&audit->writer_fd);
	return false;
}

/*
 * ------------------------------------------------------------------------------------------------- pending records
 */

struct audit_kept {
	struct audit_kept *next;
	size_t len;
	char bytes[];
};

static bool keep(struct audit *audit, const char *bytes, size_t len)
{
	struct audit_kept *kept = audit->kept_bytes + len <= AUDIT_KEPT_BYTES ? malloc(sizeof(*kept) + len) : NULL;

	if (!kept)
		return false;
	kept->next = NULL;
	kept->len = len;
	memcpy(kept->bytes, bytes, len);
	*audit->kept_end = kept;
	audit->kept_end = &kept->next;
	audit->kept_bytes += len;
	return true;
}

static void drop_kept(struct audit *audit)
{
	struct audit_kept *kept = audit->kept;

	audit->kept = kept->next;
	if (!audit->kept)
		audit->kept_end = &audit->kept;
	audit->kept_bytes -= kept->len;
	free(kept);
}

bool audit_retry(struct audit *audit, const struct moment *now)
{
	while (audit->kept && send_to_writer(audit, now->mono_ns, audit->kept->bytes, audit->kept->len)) {
		audit->recorded++;
		drop_kept(audit);
	}
	return audit->kept != NULL;
}

/* Sends a record after the pending ones. True when it was sent or is pending (*ret_waits). */
static bool to_writer(struct audit *audit, const struct moment *now, const struct audit_record *record, bool *ret_waits)
{
	char bytes[AUDIT_RECORD_MAX];
	int len = audit_record_json(record, now->wall_ms, bytes, sizeof(bytes));

	*ret_waits = false;
	if (len < 0)
		return false;
	if (!audit_retry(audit, now) && send_to_writer(audit, now->mono_ns, bytes, (size_t)len))
		return true;
	*ret_waits = record->changes && keep(audit, bytes, (size_t)len);
	return *ret_waits;
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
	audit->kept_end = &audit->kept;
	snprintf(audit->dir, sizeof(audit->dir), "%s", state_dir);
	audit->journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/*
 * Sends pending records at the end, when the loop runs no more and waiting is allowed; the wait is bounded, in case the
 * disk is frozen.
 */
static void finish_kept(struct audit *audit)
{
	struct moment now = moment_now();

	audit_count(audit, &now);
	for (unsigned i = 0; i < FINISH_TRIES && audit_retry(audit, &now) && audit->writer_fd >= 0; i++) {
		struct pollfd writer = { .fd = audit->writer_fd, .events = POLLOUT };

		poll(&writer, 1, FINISH_TRY_MS);
		now = moment_now();
	}
	while (audit->kept) {
		audit->lost++;
		drop_kept(audit);
	}
}

void audit_done(struct audit *audit)
{
	if (!audit->journal_path)
		return;
	finish_kept(audit);
	close_fd(&audit->journal_fd);
	close_fd(&audit->writer_fd);
}

void audit_put(struct audit *audit, const struct moment *now, const struct audit_record *record)
{
	bool waits = false;

	if (!to_journal(audit, record) && !to_writer(audit, now, record, &waits))
		audit->lost++;
	else if (!waits)
		audit->recorded++;
}

bool audit_takes_read(struct audit *audit, const struct moment *now, enum audit_source source)
{
	if (token_bucket_take(&audit->reads[source], AUDIT_READS_PER_S, now->mono_ns))
		return true;
	audit->reads_left_out++;
	return false;
}

bool audit_takes_refusal(struct audit *audit, const struct moment *now, enum audit_source source)
{
	if (token_bucket_take(&audit->refusals[source], AUDIT_REFUSALS_PER_S, now->mono_ns))
		return true;
	audit->uncounted[source]++;
	audit->refusals_left_out++;
	return false;
}

bool audit_owes_count(const struct audit *audit)
{
	for (unsigned source = 0; source < AUDIT_SOURCES; source++)
		if (audit->uncounted[source])
			return true;
	return false;
}

void audit_count(struct audit *audit, const struct moment *now)
{
	static const char *const origins[AUDIT_SOURCES] = { "host", "uid 0", "users" };

	for (unsigned source = 0; source < AUDIT_SOURCES; source++) {
		char detail[64];
		struct audit_record record = { .phase = AUDIT_REFUSED,
					       .id = "-",
					       .action = "(several)",
					       .origin = origins[source],
					       .detail = detail,
					       .count = audit->uncounted[source],
					       .changes = true };

		if (!record.count)
			continue;
		snprintf(detail, sizeof(detail), "%u more were refused", audit->uncounted[source]);
		audit->uncounted[source] = 0;
		audit_put(audit, now, &record);
	}
}

void audit_report(const struct audit *audit, struct sink *out)
{
	sink_uint(out, "recorded", audit->recorded);
	sink_uint(out, "lost", audit->lost);
	sink_uint(out, "reads_left_out", audit->reads_left_out);
	sink_uint(out, "refusals_left_out", audit->refusals_left_out);
}
