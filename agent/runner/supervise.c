/* SPDX-License-Identifier: MIT */
#include "agent/runner/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/runner/packet.h"
#include "agent/runner/protocol.h"
#include "agent/runner/spawn.h"
#include "agent/runner/tree.h"

#define ROUND_FIRST_NS (2 * NS_PER_MS) /* between two passes that kill the tree; doubled each time */
#define ROUND_MAX_NS   (500 * NS_PER_MS)

struct supervisor {
	const struct supervise_args *args;
	int signal_fd, null_fd;
	bool ending; /* takes no more commands; exits when the tree is empty */

	uint64_t id; /* of the command whose EXITED is pending; 0: none */
	uint64_t term_ns, kill_ns;
	uint64_t stuck_ns; /* when EXITED is sent although the command has not ended */
	uint64_t round_ns; /* the next pass that kills the tree; TIME_NEVER: not killing */
	uint64_t round_gap_ns;
	bool empty; /* no descendants are left */
	uint32_t flags;
	pid_t root;

	struct runner_reply outbox[2]; /* replies that the agent's socket could not take at once */
	unsigned queued;
	int pipes[2]; /* read ends, until they are sent with STARTED */
	int input;    /* of the command being started; -1: none */

	struct runner_command command;
	char message[RUNNER_MESSAGE_MAX];
};

static struct supervisor *reply_add(struct supervisor *s, uint16_t op, struct runner_reply reply)
{
	reply.version = RUNNER_VERSION;
	reply.op = op;
	s->outbox[s->queued++] = reply;
	return s;
}

static ssize_t reply_send(struct supervisor *s, struct runner_reply *reply)
{
	union {
		char bytes[CMSG_SPACE(sizeof(s->pipes))];
		struct cmsghdr head;
	} control = { 0 };
	struct iovec iov = { .iov_base = reply, .iov_len = sizeof(*reply) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (reply->op == RUNNER_STARTED) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(s->pipes));
		memcpy(CMSG_DATA(&control.head), s->pipes, sizeof(s->pipes));
	}
	return sendmsg(s->args->agent_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * A STARTED that cannot carry its pipes (too many descriptors in flight) is replaced by REFUSED, because nobody could
 * read the command's output.
 */
static void outbox_flush(struct supervisor *s)
{
	while (s->queued > 0) {
		struct runner_reply *reply = &s->outbox[0];
		ssize_t sent = reply_send(s, reply);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent < 0 && reply->op == RUNNER_STARTED && errno != EPIPE) {
			reply->op = RUNNER_REFUSED;
			reply->error = errno;
			reply->stage = RUNNER_STAGE_RESOURCE;
			s->id = 0;
			s->round_ns = 0;
			s->queued = 1;
			continue;
		}
		if (reply->op == RUNNER_STARTED || reply->op == RUNNER_REFUSED) {
			close_fd(&s->pipes[0]);
			close_fd(&s->pipes[1]);
		}
		s->outbox[0] = s->outbox[1];
		s->queued--;
	}
}

/* Makes the pipes and starts the process; on success the read ends are in s->pipes. The pid, or -1 with *failure. */
static pid_t command_start(struct supervisor *s, struct spawn_failure *failure)
{
	int out[2], err[2];
	pid_t pid;

	*failure = (struct spawn_failure){ 0, RUNNER_STAGE_RESOURCE };
	if (pipe2(out, O_CLOEXEC) < 0) {
		failure->error = errno;
		return -1;
	}
	if (pipe2(err, O_CLOEXEC) < 0) {
		failure->error = errno;
		close(out[0]);
		close(out[1]);
		return -1;
	}
	pid = spawn_command(&s->command, &(struct spawn_io){ s->null_fd, out[1], err[1], s->input }, failure);
	close(out[1]);
	close(err[1]);
	if (pid < 0) {
		close(out[0]);
		close(err[0]);
		return -1;
	}
	s->pipes[0] = out[0];
	s->pipes[1] = err[0];
	return pid;
}

static void command_run(struct supervisor *s, const struct runner_request *head, size_t len, int input)
{
	struct spawn_failure failure = { 0, RUNNER_STAGE_NONE };
	int error = s->ending ? -ESHUTDOWN : runner_run_parse(s->message, len, &s->command);
	pid_t pid;

	s->input = input;
	if (error == 0 && !(s->command.run.flags & RUNNER_RUN_INPUT) != (s->input < 0))
		error = -EBADMSG;
	pid = error < 0 ? -1 : command_start(s, &failure);
	s->input = -1;

	if (error < 0) {
		reply_add(s, RUNNER_REFUSED, (struct runner_reply){ .id = head->id, .error = -error });
	} else if (pid < 0) {
		reply_add(s, RUNNER_REFUSED,
			  (struct runner_reply){ .id = head->id, .error = failure.error, .stage = failure.stage });
	} else {
		s->id = head->id;
		s->root = pid;
		s->term_ns = head->term_ns;
		s->kill_ns = head->kill_ns;
		s->stuck_ns = s->round_ns = TIME_NEVER;
		s->flags = 0;
		s->empty = false;
		reply_add(s, RUNNER_STARTED, (struct runner_reply){ .id = head->id, .pid = pid });
	}
	if (pid < 0)
		atomic_store(s->args->busy, 0);
	outbox_flush(s);
}

static void command_cancel(struct supervisor *s, uint64_t kill_ns)
{
	if (s->id == 0)
		return;
	s->flags |= RUNNER_CANCELLED;
	s->term_ns = 0;
	if (kill_ns < s->kill_ns)
		s->kill_ns = kill_ns;
}

/*
 * Kills the tree and takes no more commands. A runner that died without STOP cannot tell the agent, so the supervisor
 * shuts down the agent's socket.
 */
static void supervisor_end(struct supervisor *s, bool runner_died)
{
	s->ending = true;
	if (s->round_ns == TIME_NEVER)
		s->round_ns = 0;
	if (runner_died)
		shutdown(s->args->agent_fd, SHUT_RDWR);
}

static void control_read(struct supervisor *s)
{
	int fds[PACKET_FDS];
	ssize_t len = packet_receive(s->args->control_fd, s->message, sizeof(s->message), 0, fds);
	struct runner_request head;

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0 || runner_request_parse(s->message, (size_t)len, &head) < 0 || head.op == RUNNER_STOP)
		supervisor_end(s, len <= 0);
	else if (head.op == RUNNER_RUN)
		command_run(s, &head, (size_t)len, fds[0]);
	else if (head.id == s->id)
		command_cancel(s, head.kill_ns);
	packet_close(fds);
}

static void command_exited(struct supervisor *s, int status, uint32_t flags, uint64_t now)
{
	if (s->id)
		reply_add(s, RUNNER_EXITED,
			  (struct runner_reply){
				  .id = s->id, .flags = s->flags | flags, .status = status, .end_ns = now });
	s->id = 0;
	s->term_ns = s->kill_ns = s->stuck_ns = TIME_NEVER;
	if (s->round_ns == TIME_NEVER)
		s->round_ns = 0; /* processes it left behind are killed at once */
}

/* The supervisor is marked idle before the agent learns of the end, so that the agent's next command finds it. */
static void tree_reap(struct supervisor *s, uint64_t now)
{
	pid_t pid = 0;
	int status;

	while (!s->empty && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->root) {
			s->root = 0;
			command_exited(s, status, 0, now);
		}
	if (s->empty || pid == 0 || errno != ECHILD)
		return;
	s->empty = true;
	s->round_ns = TIME_NEVER;
	s->round_gap_ns = ROUND_FIRST_NS;
	atomic_store(s->args->busy, 0);
}

static void tree_kill(struct supervisor *s, uint64_t now)
{
	if (s->root > 0)
		kill(s->root, SIGKILL);
	tree_signal(SIGKILL, NULL, 0);
	s->round_ns = now + s->round_gap_ns;
	s->round_gap_ns = s->round_gap_ns * 2 > ROUND_MAX_NS ? ROUND_MAX_NS : s->round_gap_ns * 2;
}

/* Acts on deadlines that have passed. An exit seen in the same turn was handled before and wins over a deadline. */
static void deadlines_act(struct supervisor *s, uint64_t now)
{
	if (s->empty)
		return;
	if (s->id && now >= s->kill_ns) {
		s->flags |= RUNNER_KILLED | (s->flags & RUNNER_CANCELLED ? 0 : RUNNER_TIMED_OUT);
		s->term_ns = s->kill_ns = TIME_NEVER;
		s->stuck_ns = now + RUNNER_STUCK_MS * NS_PER_MS;
		s->round_ns = 0;
	}
	if (s->id && now >= s->term_ns) {
		s->flags |= s->flags & RUNNER_CANCELLED ? 0 : RUNNER_TIMED_OUT;
		s->term_ns = TIME_NEVER;
		tree_signal(SIGTERM, NULL, 0);
		tree_signal(SIGCONT, NULL, 0); /* a stopped process receives SIGTERM only after SIGCONT */
	}
	if (now >= s->round_ns)
		tree_kill(s, now);
	if (s->id && now >= s->stuck_ns)
		command_exited(s, 0, RUNNER_STUCK, now);
}

static uint64_t next_due(const struct supervisor *s)
{
	uint64_t due = s->round_ns;

	if (s->empty)
		return TIME_NEVER;
	if (s->id && s->term_ns < due)
		due = s->term_ns;
	if (s->id && s->kill_ns < due)
		due = s->kill_ns;
	return s->id && s->stuck_ns < due ? s->stuck_ns : due;
}

static void supervisor_wait(struct supervisor *s)
{
	struct pollfd fds[] = {
		{ .fd = s->args->control_fd, .events = s->queued ? 0 : POLLIN },
		{ .fd = s->empty ? -1 : s->signal_fd, .events = POLLIN },
		{ .fd = s->queued ? s->args->agent_fd : -1, .events = POLLOUT },
	};
	uint64_t due = next_due(s), now = due == TIME_NEVER ? 0 : clock_ns(CLOCK_MONOTONIC);
	uint64_t left = due > now ? due - now : 0;
	struct timespec timeout = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
	struct signalfd_siginfo info;

	if (s->ending)
		fds[0].fd = -1;
	if (ppoll(fds, ARRAY_SIZE(fds), due == TIME_NEVER ? NULL : &timeout, NULL) <= 0)
		return;
	if (fds[1].revents && read(s->signal_fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
		s->ending = true;
	if (fds[0].revents)
		control_read(s);
	if (fds[2].revents)
		outbox_flush(s);
}

int supervise(const struct supervise_args *args)
{
	static struct supervisor s;
	sigset_t child;

	s.args = args;
	s.pipes[0] = s.pipes[1] = s.input = -1;
	s.empty = true;
	s.round_ns = TIME_NEVER;
	s.round_gap_ns = ROUND_FIRST_NS;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	s.signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	s.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	s.ending = s.signal_fd < 0 || s.null_fd < 0;
	while (!(s.ending && s.empty)) {
		uint64_t now;

		supervisor_wait(&s);
		now = s.empty ? 0 : clock_ns(CLOCK_MONOTONIC);
		tree_reap(&s, now);
		deadlines_act(&s, now);
		outbox_flush(&s);
	}
	return 0;
}
