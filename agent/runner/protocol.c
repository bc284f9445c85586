/* SPDX-License-Identifier: MIT */
#include "agent/runner/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

/* -------------------------------------------------------------------------------------------------------- requests */

int runner_request_parse(const void *message, size_t len, struct runner_request *ret)
{
	struct runner_request r;

	if (len < sizeof(r) || len > RUNNER_MESSAGE_MAX)
		return -EBADMSG;
	memcpy(&r, message, sizeof(r));
	if (r.version != RUNNER_VERSION)
		return -EPROTO;
	if (r.size != len || r.op < RUNNER_RUN || r.op > RUNNER_CANCEL_DETACHED || r.kill_ns < r.term_ns)
		return -EBADMSG;
	if ((r.id == 0) != (r.op == RUNNER_STOP) ||
	    ((r.op == RUNNER_CANCEL || r.op == RUNNER_STOP) && len != sizeof(r)))
		return -EBADMSG;
	*ret = r;
	return 0;
}

/* As runner_request_parse, for a request of `size` bytes or more that is to be an `op`; copies those bytes to *ret. */
static int request_take(const void *message, size_t len, uint16_t op, size_t size, void *ret)
{
	struct runner_request head;
	int error = runner_request_parse(message, len, &head);

	if (error < 0)
		return error;
	if (head.op != op || len < size)
		return -EBADMSG;
	memcpy(ret, message, size);
	return 0;
}

/*
 * Points `count` entries of `list` at consecutive strings from *at. 0, or -EBADMSG when a string does not end before
 * `end`.
 */
static int strings_split(char **at, char *end, char **list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *stop = memchr(*at, '\0', (size_t)(end - *at));

		if (!stop)
			return -EBADMSG;
		list[i] = *at;
		*at = stop + 1;
	}
	return 0;
}

/* The number of hexadecimal digits that `text` begins with, 1 to 16; 0 for anything else. */
static size_t digits(const char *text)
{
	size_t len = strspn(text, "0123456789abcdef");

	return len <= 16 ? len : 0;
}

bool runner_unit_valid(const char *unit)
{
	size_t first = digits(unit), second = first && unit[first] == '-' ? digits(unit + first + 1) : 0;

	return second && unit[first + 1 + second] == '\0';
}

int runner_run_parse(char *message, size_t len, struct runner_command *ret)
{
	struct runner_run *run = &ret->run;
	char *at = message + sizeof(*run), *end = message + len, *rest[4];
	int error = request_take(message, len, RUNNER_RUN, sizeof(*run), run);

	if (error < 0)
		return error;
	if (run->strings != len - sizeof(*run) || run->strings > RUNNER_STRINGS_MAX || run->argc < 1 ||
	    run->argc > RUNNER_ARGS_MAX || run->envc > RUNNER_ARGS_MAX)
		return -EBADMSG;
	if (run->oom_score_adj < -1000 || run->oom_score_adj > 1000)
		return -EINVAL;
	if (strings_split(&at, end, ret->argv, run->argc) < 0 || strings_split(&at, end, ret->envp, run->envc) < 0 ||
	    strings_split(&at, end, rest, ARRAY_SIZE(rest)) < 0 || at != end)
		return -EBADMSG;
	ret->argv[run->argc] = NULL;
	ret->envp[run->envc] = NULL;
	ret->cwd = *rest[0] ? rest[0] : NULL;
	ret->user = *rest[1] ? rest[1] : NULL;
	ret->action = *rest[2] ? rest[2] : NULL;
	ret->unit = *rest[3] ? rest[3] : NULL;
	if ((run->flags & ~(RUNNER_RUN_DETACHED | RUNNER_RUN_INPUT)) ||
	    run->flags == (RUNNER_RUN_DETACHED | RUNNER_RUN_INPUT))
		return -EBADMSG;
	if (!(run->flags & RUNNER_RUN_DETACHED) != !ret->unit || (ret->unit && !runner_unit_valid(ret->unit)))
		return -EBADMSG;
	if (ret->argv[0][0] != '/' || (ret->cwd && ret->cwd[0] != '/'))
		return -EINVAL;
	for (size_t i = 0; i < run->envc; i++)
		if (ret->envp[i][0] == '=' || !strchr(ret->envp[i], '='))
			return -EINVAL;
	return 0;
}

struct writer {
	char *out;
	size_t len, size;
	bool full; /* a string did not fit */
};

/* `str` NULL: "". */
static void string_put(struct writer *w, const char *str)
{
	size_t len = strlen(str ? str : "") + 1;

	w->full = w->full || len > w->size - w->len;
	if (w->full)
		return;
	memcpy(w->out + w->len, str ? str : "", len);
	w->len += len;
}

static uint32_t strings_put(struct writer *w, const char *const *list)
{
	uint32_t count = 0;

	for (; list && list[count] && !w->full; count++) {
		w->full = count >= RUNNER_ARGS_MAX;
		string_put(w, list[count]);
	}
	return count;
}

int64_t runner_run_build(struct runner_run run, const char *const argv[], const char *const envp[], const char *cwd,
			 const char *user, const char *action, const char *unit, void *out, size_t size)
{
	size_t most = sizeof(run) + RUNNER_STRINGS_MAX;
	struct writer w = { .out = out, .len = sizeof(run), .size = size < most ? size : most };

	if (size < sizeof(run))
		return -E2BIG;
	run.argc = strings_put(&w, argv);
	run.envc = strings_put(&w, envp);
	string_put(&w, cwd);
	string_put(&w, user);
	string_put(&w, action);
	string_put(&w, unit);
	if (w.full)
		return -E2BIG;
	if (run.argc == 0)
		return -EINVAL;
	run.head.version = RUNNER_VERSION;
	run.head.op = RUNNER_RUN;
	run.head.size = (uint32_t)w.len;
	run.strings = (uint32_t)(w.len - sizeof(run));
	memcpy(out, &run, sizeof(run));
	return (int64_t)w.len;
}

int runner_detached_cancel_parse(const void *message, size_t len, struct runner_detached_cancel *ret)
{
	struct runner_detached_cancel cancel;
	int error = request_take(message, len, RUNNER_CANCEL_DETACHED, sizeof(cancel), &cancel);

	if (error < 0)
		return error;
	if (len != sizeof(cancel) || cancel.unit[sizeof(cancel.unit) - 1] != '\0' || !runner_unit_valid(cancel.unit))
		return -EBADMSG;
	*ret = cancel;
	return 0;
}

struct runner_detached_cancel runner_detached_cancel_make(uint64_t id, const char *unit)
{
	struct runner_detached_cancel cancel = {
		.head = { .version = RUNNER_VERSION, .op = RUNNER_CANCEL_DETACHED, .size = sizeof(cancel), .id = id }
	};

	snprintf(cancel.unit, sizeof(cancel.unit), "%s", unit);
	return cancel;
}

int runner_operation_parse(char *message, size_t len, struct runner_call *ret)
{
	struct runner_operation_request *request = &ret->operation;
	char *at = message + sizeof(*request), *end = message + len, *rest[2];
	int error = request_take(message, len, RUNNER_OPERATION, sizeof(*request), request);

	if (error < 0)
		return error;
	if (request->strings != len - sizeof(*request) || request->reserved != 0 ||
	    request->operation == RUNNER_OPERATION_NONE || request->operation >= RUNNER_OPERATIONS ||
	    strings_split(&at, end, rest, ARRAY_SIZE(rest)) < 0 || at != end)
		return -EBADMSG;
	ret->action = rest[0];
	ret->argument = rest[1];
	return 0;
}

int64_t runner_operation_build(struct runner_operation_request operation, const char *action, const char *argument,
			       void *out, size_t size)
{
	size_t most = RUNNER_MESSAGE_MAX;
	struct writer w = { .out = out, .len = sizeof(operation), .size = size < most ? size : most };

	if (size < sizeof(operation))
		return -E2BIG;
	string_put(&w, action);
	string_put(&w, argument);
	if (w.full)
		return -E2BIG;
	operation.head.version = RUNNER_VERSION;
	operation.head.op = RUNNER_OPERATION;
	operation.head.size = (uint32_t)w.len;
	operation.strings = (uint32_t)(w.len - sizeof(operation));
	operation.reserved = 0;
	memcpy(out, &operation, sizeof(operation));
	return (int64_t)w.len;
}

/* --------------------------------------------------------------------------------------------------------- replies */

int runner_reply_parse(const void *message, size_t len, struct runner_answer *ret)
{
	struct runner_answer answer = { .text = "" };
	struct runner_reply *r = &answer.reply;

	if (len < sizeof(*r) || len > sizeof(answer))
		return -EBADMSG;
	memcpy(&answer, message, len);
	if (r->version != RUNNER_VERSION || r->op < RUNNER_STARTED || r->op > RUNNER_ANSWERED || r->id == 0)
		return -EBADMSG;
	if (r->text != len - sizeof(*r) || (r->text && answer.text[r->text - 1] != '\0'))
		return -EBADMSG;
	*ret = answer;
	return 0;
}

size_t runner_answer_fill(struct runner_answer *answer, const char *text)
{
	size_t len = strnlen(text, sizeof(answer->text) - 1);

	memcpy(answer->text, text, len);
	answer->text[len] = '\0';
	answer->reply.version = RUNNER_VERSION;
	answer->reply.text = (uint32_t)len + 1;
	return sizeof(answer->reply) + len + 1;
}

/* --------------------------------------------------------------------------------------------------------- packets */

union packet_control {
	char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
	struct cmsghdr head;
};

ssize_t packet_receive(int fd, void *bytes, size_t size, int flags, int fds[PACKET_FDS])
{
	union packet_control control;
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	ssize_t len;
	struct cmsghdr *head;

	/* Not CMSG_SPACE: where its padding has room for one more descriptor, the kernel would pass one too many. */
	msg.msg_controllen = CMSG_LEN(PACKET_FDS * sizeof(int));
	len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
	head = len >= 0 ? CMSG_FIRSTHDR(&msg) : NULL; /* an empty packet may carry descriptors too */
	for (int i = 0; i < PACKET_FDS; i++)
		fds[i] = -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
	return len;
}

ssize_t packet_send(int fd, const void *bytes, size_t len, const int *fds, size_t count)
{
	union packet_control control = { .bytes = "" };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(count * sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void packet_close(int fds[PACKET_FDS])
{
	for (int i = 0; i < PACKET_FDS; i++)
		close_fd(&fds[i]);
}

/* ------------------------------------------------------------------------------------------------------ end record */

size_t end_record_format(const struct end_record *record, char out[END_RECORD_MAX])
{
	return (size_t)snprintf(out, END_RECORD_MAX,
				"end 1 %" PRIu32 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRIu64 "\n", record->flags,
				record->status, record->error, record->stage, record->end_ns);
}

int end_record_parse(const char *text, size_t len, struct end_record *ret)
{
	char line[END_RECORD_MAX], again[END_RECORD_MAX];
	struct end_record record;

	if (len >= sizeof(line))
		return -EBADMSG;
	memcpy(line, text, len);
	line[len] = '\0';
	if (sscanf(line, "end 1 %10" SCNu32 " %11" SCNd32 " %11" SCNd32 " %11" SCNd32 " %20" SCNu64, &record.flags,
		   &record.status, &record.error, &record.stage, &record.end_ns) != 5)
		return -EBADMSG;
	/*
	 * scanf accepts other spellings (signs, leading zeros, numbers out of range): the record has to format to the
	 * same bytes.
	 */
	if (end_record_format(&record, again) != len || memcmp(line, again, len) != 0 || record.error < 0)
		return -EBADMSG;
	*ret = record;
	return 0;
}

/* ----------------------------------------------------------------------------------------------------------- input */

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int write_at(int fd, const char *bytes, size_t len, off_t offset)
{
	while (len > 0) {
		ssize_t put = pwrite(fd, bytes, len, offset);

		if (put < 0 && errno != EINTR)
			return -errno;
		bytes += put > 0 ? put : 0;
		len -= put > 0 ? (size_t)put : 0;
		offset += put > 0 ? put : 0;
	}
	return 0;
}

int input_copy(int from, off_t from_at, size_t len, int to, off_t to_at)
{
	char buffer[8192];

	while (len > 0) {
		ssize_t got = pread(from, buffer, len < sizeof(buffer) ? len : sizeof(buffer), from_at);
		int r = got < 0 ? -errno : got == 0 ? -EBADMSG : write_at(to, buffer, (size_t)got, to_at);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		len -= (size_t)got;
		from_at += got;
		to_at += got;
	}
	return 0;
}

/* A sealed memory file with `len` bytes: `bytes`, or those at `offset` of the file `from`. A descriptor or -errno. */
static int sealed_file(const char *bytes, int from, off_t offset, size_t len)
{
	_cleanup_(closep) int fd = memfd_create("infiniservice-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : bytes ? write_at(fd, bytes, len, 0) : input_copy(from, offset, len, fd, 0);

	/*
	 * A command with another user reopens the file by /proc/self/fd, where the file's mode is checked; there is no
	 * other name of the file.
	 */
	if (r >= 0 && (fchmod(fd, 0444) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0))
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

int input_new(const char *bytes, size_t len)
{
	return len > INPUT_MAX ? -E2BIG : sealed_file(bytes, -1, 0, len);
}

int input_take(int from, off_t offset, size_t len)
{
	return sealed_file(NULL, from, offset, len);
}

ssize_t input_check(int fd)
{
	struct stat st;
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > INPUT_MAX)
		return -EBADMSG;
	return (ssize_t)st.st_size;
}
