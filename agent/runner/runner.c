/* SPDX-License-Identifier: MIT */
#include "agent/runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>
#include <infiniservice/moment.h>

#include "agent/runner/protocol.h"
#include "agent/runner/spawn.h"
#include "agent/runner/tree.h"

#define IDLE_MS		10000 /* how long after the last command idle supervisors are ended */
#define ORPHAN_ROUND_MS 10    /* between two passes that kill the tree of a dead supervisor */
#define END_MS		900   /* at the end: how long supervisors may take to kill their trees */

/* A descriptor that reads SIGCHLD: signals are never handled, so a command has no handler to undo. */
static int child_signals(void)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ------------------------------------------------------------------------------------------------- the supervisor */

struct supervisor {
	int agent_fd;	   /* where replies are sent */
	int control_fd;	   /* source of requests, checked by runner_request_parse only */
	atomic_uint *busy; /* shared memory: set by the runner with a RUN, cleared when it is ready for the next */
	int signal_fd, null_fd;
	bool ending; /* takes no more commands; exits when the tree is empty */

	uint64_t id; /* of the command whose EXITED is pending; 0: none */
	struct deadlines deadlines;
	bool empty; /* no descendants are left */
	pid_t root;

	struct runner_reply outbox[2]; /* replies that the agent's socket could not take at once */
	unsigned queued;
	int pipes[2]; /* read ends, until they are sent with STARTED */

	struct runner_command command;
	char message[RUNNER_MESSAGE_MAX];
};

static void reply_add(struct supervisor *s, uint16_t op, struct runner_reply reply)
{
	reply.version = RUNNER_VERSION;
	reply.op = op;
	s->outbox[s->queued++] = reply;
}

/* The command has been answered: what is left of its tree is killed at once. */
static void command_over(struct supervisor *s)
{
	uint64_t round_ns = s->deadlines.round_ns;

	s->id = 0;
	s->deadlines.term_ns = s->deadlines.kill_ns = s->deadlines.stuck_ns = TIME_NEVER;
	s->deadlines.round_ns = round_ns == TIME_NEVER ? 0 : round_ns;
}

/*
 * A STARTED that cannot carry its pipes (too many descriptors in flight) is replaced by REFUSED, because nobody could
 * read the command's output.
 */
static void outbox_flush(struct supervisor *s)
{
	while (s->queued > 0) {
		struct runner_reply *reply = &s->outbox[0];
		ssize_t sent = packet_send(s->agent_fd, reply, sizeof(*reply), s->pipes,
					   reply->op == RUNNER_STARTED ? ARRAY_SIZE(s->pipes) : 0);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent < 0 && reply->op == RUNNER_STARTED && errno != EPIPE) {
			reply->op = RUNNER_REFUSED;
			reply->error = errno;
			reply->stage = RUNNER_STAGE_RESOURCE;
			command_over(s);
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

/* Starts the RUN in `message`; the read ends of its pipes are then in s->pipes. `input` stays the caller's. */
static void command_run(struct supervisor *s, const struct runner_request *head, size_t len, int input)
{
	struct spawn_failure failure = { .error = s->ending ? ESHUTDOWN
							    : -runner_run_parse(s->message, len, &s->command) };
	int out[2] = { -1, -1 }, err[2] = { -1, -1 };
	pid_t pid = -1;

	if (failure.error == 0 && !(s->command.run.flags & RUNNER_RUN_INPUT) != (input < 0))
		failure.error = EBADMSG;
	if (failure.error == 0 && (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0))
		failure = (struct spawn_failure){ errno, RUNNER_STAGE_RESOURCE };
	if (failure.error == 0)
		pid = spawn_command(&s->command, &(struct spawn_io){ s->null_fd, out[1], err[1], input }, &failure);
	close_fd(&out[1]);
	close_fd(&err[1]);
	s->pipes[0] = out[0];
	s->pipes[1] = err[0];
	if (pid < 0) {
		reply_add(s, RUNNER_REFUSED,
			  (struct runner_reply){ .id = head->id, .error = failure.error, .stage = failure.stage });
		atomic_store(s->busy, 0);
	} else {
		s->id = head->id;
		s->root = pid;
		s->deadlines = deadlines_make(head->term_ns, head->kill_ns);
		s->empty = false;
		reply_add(s, RUNNER_STARTED, (struct runner_reply){ .id = head->id, .pid = pid });
	}
	outbox_flush(s);
}

static void control_read(struct supervisor *s)
{
	int fds[PACKET_FDS];
	ssize_t len = packet_receive(s->control_fd, s->message, sizeof(s->message), 0, fds);
	struct runner_request head;

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0 || runner_request_parse(s->message, (size_t)len, &head) < 0 || head.op == RUNNER_STOP) {
		/* The tree is killed, and no more commands are taken. */
		s->ending = true;
		if (s->deadlines.round_ns == TIME_NEVER)
			s->deadlines.round_ns = 0;
		/* A runner that died without STOP cannot tell the agent: the supervisor does. */
		if (len <= 0)
			shutdown(s->agent_fd, SHUT_RDWR);
	} else if (head.op == RUNNER_RUN)
		command_run(s, &head, (size_t)len, fds[0]);
	else if (head.id == s->id)
		deadlines_cancel(&s->deadlines, head.kill_ns);
	packet_close(fds);
}

static void command_exited(struct supervisor *s, int status, uint32_t flags, uint64_t now)
{
	if (s->id)
		reply_add(s, RUNNER_EXITED,
			  (struct runner_reply){
				  .id = s->id, .flags = s->deadlines.flags | flags, .status = status, .end_ns = now });
	command_over(s);
}

/* Serves until STOP or the end of control_fd; all signals are blocked. */
static void supervise(int agent_fd, int control_fd, atomic_uint *busy)
{
	static struct supervisor s;

	s.agent_fd = agent_fd;
	s.control_fd = control_fd;
	s.busy = busy;
	s.pipes[0] = s.pipes[1] = -1;
	s.empty = true;
	s.deadlines = deadlines_make(TIME_NEVER, TIME_NEVER);
	s.signal_fd = child_signals();
	s.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	s.ending = s.signal_fd < 0 || s.null_fd < 0;
	while (!(s.ending && s.empty)) {
		struct pollfd fds[] = {
			{ .fd = s.ending ? -1 : s.control_fd, .events = s.queued ? 0 : POLLIN },
			{ .fd = s.empty ? -1 : s.signal_fd, .events = POLLIN },
			{ .fd = s.queued ? s.agent_fd : -1, .events = POLLOUT },
		};
		uint64_t due = s.empty ? TIME_NEVER : deadlines_next(&s.deadlines);
		uint64_t now = due == TIME_NEVER ? 0 : clock_ns(CLOCK_MONOTONIC), left = due > now ? due - now : 0;
		struct timespec timeout = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
		struct signalfd_siginfo info;
		pid_t pid = 0;
		int status;

		if (ppoll(fds, ARRAY_SIZE(fds), due == TIME_NEVER ? NULL : &timeout, NULL) > 0) {
			if (fds[1].revents && read(s.signal_fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
				s.ending = true;
			if (fds[0].revents)
				control_read(&s);
			if (fds[2].revents)
				outbox_flush(&s);
		}
		now = s.empty ? 0 : clock_ns(CLOCK_MONOTONIC);
		/* An exit seen in this turn wins over a deadline. */
		while (!s.empty && (pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == s.root) {
				s.root = 0;
				command_exited(&s, status, 0, now);
			}
		/* It is marked idle before the agent learns of the end, so that the agent's next command finds it. */
		if (!s.empty && pid < 0 && errno == ECHILD) {
			s.empty = true;
			s.deadlines.round_ns = TIME_NEVER;
			atomic_store(s.busy, 0);
		}
		if (!s.empty && tree_enforce(&s.deadlines, s.root, now))
			command_exited(&s, 0, RUNNER_STUCK, now);
		outbox_flush(&s);
	}
}

/* ------------------------------------------------------------------------------------------------------ the runner */

struct slot {
	pid_t pid; /* 0: no supervisor */
	int control_fd;
	uint64_t id; /* of the last command given to it */
};

struct runner {
	int agent_fd, signal_fd;
	struct slot slots[RUNNER_SLOTS];
	unsigned alive;	   /* slots with a supervisor */
	atomic_uint *busy; /* one per supervisor, shared memory with them */
	bool orphans;	   /* a supervisor died, and the runner has to kill its tree */
	uint64_t idle_ns;  /* when idle supervisors are ended */
	uint64_t end_ns;   /* when the runner exits at the latest */
	char message[RUNNER_MESSAGE_MAX];
};

/* A full socket means an agent that does not read; its own deadline answers the command. */
static void tell_agent(struct runner *e, struct runner_reply reply)
{
	reply.version = RUNNER_VERSION;
	send(e->agent_fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reply_refused(struct runner *e, uint64_t id, int error)
{
	tell_agent(e, (struct runner_reply){
			      .op = RUNNER_REFUSED, .id = id, .error = error, .stage = RUNNER_STAGE_RESOURCE });
}

/* The index of an idle supervisor, else of a new one; -EBUSY when all RUNNER_SLOTS are in use, or another -errno. */
static int slot_find(struct runner *e)
{
	int vacant = -EBUSY, pair[2], error;
	pid_t pid;

	for (int i = 0; i < RUNNER_SLOTS; i++) {
		if (e->slots[i].pid && !atomic_load(&e->busy[i]))
			return i;
		if (!e->slots[i].pid && vacant < 0)
			vacant = i;
	}
	if (vacant < 0)
		return vacant;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		/*
		 * A supervisor inherits the agent's socket and its own end of the control socket only, as 3 and 4: open
		 * copies of the others' ends would hide the runner's death from them.
		 */
		int fds[2] = { e->agent_fd, pair[1] };

		for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 8);
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
			fds[i] = dup3(fds[i], 3 + (int)i, O_CLOEXEC);
		close_range(5, ~0U, 0);
		prctl(PR_SET_NAME, "exec-slot");
		supervise(fds[0], fds[1], &e->busy[vacant]);
		child_end(EXIT_SUCCESS);
	}
	error = -errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return error;
	}
	e->slots[vacant] = (struct slot){ .pid = pid, .control_fd = pair[0] };
	e->alive++;
	atomic_store(&e->busy[vacant], 0);
	return vacant;
}

static void slot_tell(struct runner *e, unsigned index, uint16_t op, uint64_t kill_ns)
{
	struct runner_request request = { .version = RUNNER_VERSION,
					  .op = op,
					  .size = sizeof(request),
					  .id = op == RUNNER_STOP ? 0 : e->slots[index].id,
					  .kill_ns = kill_ns };

	send(e->slots[index].control_fd, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void agent_read(struct runner *e)
{
	int fds[PACKET_FDS];
	ssize_t len = packet_receive(e->agent_fd, e->message, sizeof(e->message), 0, fds);
	struct runner_request head = { .op = RUNNER_STOP };
	int index;

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* An agent that violates the protocol is treated as one that has ended. */
	if (len > 0 && runner_request_parse(e->message, (size_t)len, &head) < 0)
		head.op = RUNNER_STOP;
	switch (head.op) {
	case RUNNER_RUN:
		index = slot_find(e);
		if (index < 0) {
			reply_refused(e, head.id, -index);
			break;
		}
		atomic_store(&e->busy[index], 1);
		e->slots[index].id = head.id;
		/* With the command's input, if one came along. */
		if (packet_send(e->slots[index].control_fd, e->message, (size_t)len, fds, fds[0] >= 0) < 0) {
			reply_refused(e, head.id, errno);
			atomic_store(&e->busy[index], 0);
		}
		e->idle_ns = clock_ns(CLOCK_MONOTONIC) + IDLE_MS * NS_PER_MS;
		break;
	case RUNNER_CANCEL:
		for (unsigned i = 0; i < RUNNER_SLOTS; i++)
			if (e->slots[i].pid && e->slots[i].id == head.id && atomic_load(&e->busy[i]))
				slot_tell(e, i, RUNNER_CANCEL, head.kill_ns);
		break;
	case RUNNER_OPERATION: /* only the privileged executor does operations */
		reply_refused(e, head.id, EOPNOTSUPP);
		break;
	case RUNNER_CANCEL_DETACHED: /* the runner has no detached runs */
		break;
	default: /* the agent is gone, or has sent STOP: kills all commands */
		e->end_ns = clock_ns(CLOCK_MONOTONIC) + END_MS * NS_PER_MS;
		for (unsigned i = 0; i < RUNNER_SLOTS; i++)
			if (e->slots[i].pid)
				slot_tell(e, i, RUNNER_STOP, 0);
		close_fd(&e->agent_fd);
	}
	packet_close(fds);
}

static void children_reap(struct runner *e)
{
	struct signalfd_siginfo info;
	pid_t pid;

	while (read(e->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (unsigned i = 0; i < RUNNER_SLOTS; i++) {
			struct slot *slot = &e->slots[i];

			if (slot->pid != pid)
				continue;
			if (atomic_exchange(&e->busy[i], 0) && slot->id) {
				tell_agent(e, (struct runner_reply){ .op = RUNNER_EXITED,
								     .id = slot->id,
								     .flags = RUNNER_LOST,
								     .end_ns = clock_ns(CLOCK_MONOTONIC) });
				/* The runner is a subreaper: the dead supervisor's tree is its own now. */
				e->orphans = true;
			}
			close_fd(&slot->control_fd);
			*slot = (struct slot){ .control_fd = -1 };
			e->alive--;
		}
}

static void runner_turn(struct runner *e)
{
	struct pollfd fds[] = { { .fd = e->signal_fd, .events = POLLIN }, { .fd = e->agent_fd, .events = POLLIN } };
	uint64_t now = clock_ns(CLOCK_MONOTONIC), due = e->idle_ns < e->end_ns ? e->idle_ns : e->end_ns;
	uint64_t left_ms = due > now ? (due - now) / NS_PER_MS + 1 : 0;

	/* At most a minute, which an int holds. */
	poll(fds, ARRAY_SIZE(fds),
	     e->orphans		 ? ORPHAN_ROUND_MS
	     : due == TIME_NEVER ? -1
				 : (int)(left_ms > 60000 ? 60000 : left_ms));
	if (fds[0].revents)
		children_reap(e);
	if (fds[1].revents)
		agent_read(e);
	if (e->orphans) {
		pid_t except[RUNNER_SLOTS];
		size_t count = 0;

		for (unsigned i = 0; i < RUNNER_SLOTS; i++)
			if (e->slots[i].pid)
				except[count++] = e->slots[i].pid;
		e->orphans = tree_signal(SIGKILL, except, count) > 0;
	}
	if (clock_ns(CLOCK_MONOTONIC) < e->idle_ns)
		return;
	for (unsigned i = 0; i < RUNNER_SLOTS; i++)
		if (e->slots[i].pid && !atomic_load(&e->busy[i])) {
			slot_tell(e, i, RUNNER_STOP, 0);
			atomic_store(&e->busy[i], 1); /* counts as busy, without a command, until it has ended */
			e->slots[i].id = 0;
		}
	e->idle_ns = TIME_NEVER;
}

int runner_serve(int agent_fd)
{
	static struct runner e;
	struct rlimit files;
	sigset_t all;

	/* Signals are read from a signalfd; dispositions inherited as ignored are reset. */
	spawn_signals_default();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	umask(022);
	if (chdir("/") < 0)
		return EXIT_FAILURE;
	/* The agent may have raised the limit for its clients; programs that loop over all descriptors would suffer. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > 1024) {
		files.rlim_cur = 1024;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	e.agent_fd = agent_fd;
	e.idle_ns = e.end_ns = TIME_NEVER;
	e.signal_fd = child_signals();
	e.busy = mmap(NULL, RUNNER_SLOTS * sizeof(*e.busy), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (e.signal_fd < 0 || e.busy == MAP_FAILED || fcntl(agent_fd, F_SETFD, FD_CLOEXEC) < 0)
		return EXIT_FAILURE;
	while (e.agent_fd >= 0 || (e.alive > 0 && clock_ns(CLOCK_MONOTONIC) < e.end_ns))
		runner_turn(&e);
	return EXIT_SUCCESS;
}
