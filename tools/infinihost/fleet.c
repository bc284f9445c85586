/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/parse.h"
#include "tools/infinihost/commands.h"
#include "tools/infinihost/dial.h"
#include "tools/show/show.h"

#define PARALLEL_DEFAULT 8
#define LINE_MAX_BYTES	 65536 /* of text; longer ones come in parts */
#define JSON_MAX_BYTES	 (2U << 20)
#define LOOK_MS		 200
#define PROGRESS_NS	 (2 * NS_PER_S)
#define STATUSES	 256

struct stream {
	int fd; /* -1: at its end */
	FILE *to;
	char *bytes;
	size_t len, size;
};

struct member {
	const char *name;
	pid_t pid; /* 0: not begun, or over */
	struct stream out, err;
	int status; /* -1: none yet */
};

struct run {
	fleet_verb verb;
	const struct host_options *options;
	struct member *members;
	size_t count, begun, over, running;
	bool failed, interrupted;
	uint64_t told_ns;
};

bool fleet_is_meant(const struct host_options *options, const struct fleet_options *fleet)
{
	return fleet->all || (options->vm && strpbrk(options->vm, "*?["));
}

/* ------------------------------------------------------------------------------------------------------- its output */

static void print_line(const struct run *run, const struct member *member, FILE *to, const char *line, size_t len)
{
	if (run->options->json && to == stdout) {
		struct json_object *name = json_object_new_string(member->name);

		show(to, "{\"vm\":");
		show_json(to, json_object_to_json_string_ext(name, JSON_C_TO_STRING_PLAIN));
		show(to, ",\"message\":");
		json_object_put(name);
		if (len > 0)
			show_stream(to, line, len);
		show(to, "}\n");
		return;
	}
	show(to, "%s: ", member->name);
	show_stream(to, line, len);
	show(to, "\n");
}

/* Hands out whole lines; at the end of the stream, or when it is too long, also a part of one. */
static void take_lines(const struct run *run, struct member *member, struct stream *stream)
{
	size_t start = 0, most = run->options->json ? JSON_MAX_BYTES : LINE_MAX_BYTES;
	char *newline;

	while ((newline = memchr(stream->bytes + start, '\n', stream->len - start))) {
		print_line(run, member, stream->to, stream->bytes + start, (size_t)(newline - stream->bytes) - start);
		start = (size_t)(newline - stream->bytes) + 1;
	}
	if (stream->len > start && (stream->fd < 0 || stream->len - start >= most)) {
		print_line(run, member, stream->to, stream->bytes + start, stream->len - start);
		start = stream->len;
	}
	stream->len -= start;
	memmove(stream->bytes, stream->bytes + start, stream->len);
}

static void stream_read(const struct run *run, struct member *member, struct stream *stream)
{
	ssize_t n;

	if (stream->size - stream->len < 4096) {
		char *bytes = realloc(stream->bytes, 2 * stream->size + 8192);

		if (!bytes) {
			close_fd(&stream->fd);
			return;
		}
		stream->bytes = bytes;
		stream->size = 2 * stream->size + 8192;
	}
	n = read(stream->fd, stream->bytes + stream->len, stream->size - stream->len);
	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0)
		close_fd(&stream->fd);
	stream->len += n > 0 ? (size_t)n : 0;
	take_lines(run, member, stream);
}

/* ---------------------------------------------------------------------------------------------------------- a member
 */

static __attribute__((noreturn)) void child(const struct run *run, const char *name, const int fds[2], int argc,
					    char **argv)
{
	struct host_options options = *run->options;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), status = HOST_FAILED;

	options.vm = name;
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(fds[0], STDOUT_FILENO) >= 0 &&
	    dup2(fds[1], STDERR_FILENO) >= 0)
		status = run->verb(&options, argc, argv);
	if (fflush(stdout) != 0 && status == HOST_OK)
		status = HOST_FAILED;
	child_end(status);
}

static int begin(struct run *run, struct member *member, int argc, char **argv)
{
	int out[2], err[2], ends[2];

	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(err, O_CLOEXEC) < 0) {
		close(out[0]);
		close(out[1]);
		return -errno;
	}
	ends[0] = out[1];
	ends[1] = err[1];
	fflush(stdout);
	member->pid = fork();
	if (member->pid == 0)
		child(run, member->name, ends, argc, argv);
	close(out[1]);
	close(err[1]);
	member->out = (struct stream){ .fd = out[0], .to = stdout };
	member->err = (struct stream){ .fd = err[0], .to = stderr };
	if (member->pid < 0)
		return -EAGAIN;
	run->running++;
	return 0;
}

static void reap(struct run *run, struct member *member)
{
	int status = 0;

	while (waitpid(member->pid, &status, 0) < 0 && errno == EINTR)
		;
	member->status = WIFEXITED(status) ? WEXITSTATUS(status) : HOST_FAILED;
	member->pid = 0;
	run->running--;
	run->over++;
	run->failed |= member->status != HOST_OK;
	free(member->out.bytes);
	free(member->err.bytes);
	member->out.bytes = member->err.bytes = NULL;
}

/* ------------------------------------------------------------------------------------------------------------- all */

/* Signals stay blocked here (link_catch_signals); those of a terminal reach the members by themselves. */
static void notice_interrupt(struct run *run)
{
	sigset_t pending;

	if (run->interrupted || sigpending(&pending) < 0 ||
	    (!sigismember(&pending, SIGINT) && !sigismember(&pending, SIGTERM) && !sigismember(&pending, SIGHUP)))
		return;
	run->interrupted = true;
	for (size_t i = 0; i < run->begun; i++)
		if (run->members[i].pid > 0 && !isatty(STDIN_FILENO))
			kill(run->members[i].pid, SIGINT);
}

static void tell_progress(struct run *run)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (!show_on_terminal(stderr) || now_ns - run->told_ns < PROGRESS_NS)
		return;
	run->told_ns = now_ns;
	show(stderr, "infinihost: %zu of %zu VMs are done\n", run->over, run->count);
}

/* Waits a little and hands out what the members have written; those that have closed both streams are over. */
static void turn(struct run *run)
{
	struct pollfd fds[2 * FLEET_PARALLEL_MAX];
	struct member *of[2 * FLEET_PARALLEL_MAX];
	nfds_t count = 0;

	for (size_t i = 0; i < run->begun; i++) {
		struct member *member = &run->members[i];

		if (member->pid <= 0)
			continue;
		if (member->out.fd < 0 && member->err.fd < 0) {
			reap(run, member);
			continue;
		}
		of[count] = of[count + 1] = member;
		fds[count++] = (struct pollfd){ .fd = member->out.fd, .events = POLLIN };
		fds[count++] = (struct pollfd){ .fd = member->err.fd, .events = POLLIN };
	}
	if (count == 0)
		return;
	if (poll(fds, count, LOOK_MS) > 0)
		for (nfds_t i = 0; i < count; i++)
			if (fds[i].revents)
				stream_read(run, of[i], i % 2 ? &of[i]->err : &of[i]->out);
	fflush(stdout);
	notice_interrupt(run);
	tell_progress(run);
}

static int summary(const struct run *run)
{
	size_t counts[STATUSES] = { 0 }, none = 0, kinds = 0;
	int last = HOST_OK;

	for (size_t i = 0; i < run->count; i++) {
		if (run->members[i].status < 0)
			none++;
		else
			counts[run->members[i].status & (STATUSES - 1)]++;
	}
	show(stderr, "infinihost: %zu of %zu VMs done", counts[HOST_OK], run->count);
	for (int status = 1; status < STATUSES; status++) {
		if (counts[status] == 0)
			continue;
		kinds++;
		last = status;
		show(stderr, "; %zu with status %d (", counts[status], status);
		for (size_t i = 0, named = 0; i < run->count && named <= 5; i++)
			if (run->members[i].status == status && named++ < 5)
				show(stderr, "%s%s", named > 1 ? ", " : "", run->members[i].name);
			else if (run->members[i].status == status)
				show(stderr, ", ...");
		show(stderr, ")");
	}
	if (none > 0)
		show(stderr, "; %zu not begun", none);
	show(stderr, "\n");
	if (run->interrupted)
		return HOST_INTERRUPTED;
	return kinds == 0 && none == 0 ? HOST_OK : kinds == 1 && none == 0 ? last : HOST_FAILED;
}

static int run_all(struct run *run, const struct fleet_options *fleet, int argc, char **argv)
{
	unsigned parallel = fleet->parallel ? fleet->parallel : PARALLEL_DEFAULT;

	run->told_ns = clock_ns(CLOCK_MONOTONIC);
	for (;;) {
		bool more = run->begun < run->count && !run->interrupted && !(fleet->fail_fast && run->failed);

		if (more && run->running < parallel) {
			struct member *member = &run->members[run->begun++];

			if (begin(run, member, argc, argv) < 0) {
				show(stderr, "infinihost: %s: no process for it\n", member->name);
				member->status = HOST_FAILED;
				run->failed = true;
				run->over++;
			}
			continue;
		}
		if (run->running == 0)
			return summary(run);
		turn(run);
	}
}

static bool can_be_many(const char *verb)
{
	static const char *const verbs[] = { "watch", "run", "exec", "raw", "ping", "history" };

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verb, verbs[i]))
			return true;
	return false;
}

int fleet_run(const struct host_options *options, const struct fleet_options *fleet, fleet_verb verb, int argc,
	      char **argv)
{
	struct run run = { .options = options, .verb = verb };
	struct err e = { 0 };
	struct json_object *vms;
	int status;

	if (!can_be_many(argv[0]) || (!strcmp(argv[0], "raw") && argc < 2))
		return command_usage("several VMs: watch, run, exec, raw LINE, ping or history");
	vms = dial_vms(options, &e);
	if (!vms) {
		show(stderr, "infinihost: %s\n", e.text);
		return HOST_NOT_CONNECTED;
	}
	run.members = calloc(json_object_array_length(vms) + 1, sizeof(*run.members));
	for (size_t i = 0; run.members && i < json_object_array_length(vms); i++) {
		const char *name = json_text_at(json_object_array_get_idx(vms, i), "vm");

		if (!options->vm || fnmatch(options->vm, name, 0) == 0)
			run.members[run.count++] = (struct member){ .name = name, .status = -1 };
	}
	if (run.count == 0) {
		show(stderr, "infinihost: no VM is called %s\n", options->vm ? options->vm : "anything");
		status = HOST_NOT_CONNECTED;
	} else {
		status = run_all(&run, fleet, argc, argv);
	}
	free(run.members);
	json_object_put(vms);
	return status;
}
