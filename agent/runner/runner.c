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

#include "agent/runner/packet.h"
#include "agent/runner/protocol.h"
#include "agent/runner/spawn.h"
#include "agent/runner/supervise.h"
#include "agent/runner/tree.h"

#define IDLE_MS		10000 /* how long after the last command idle supervisors are ended */
#define ORPHAN_ROUND_MS 10    /* between two passes that kill the tree of a dead supervisor */
#define END_MS		900   /* at the end: how long supervisors may take to kill their trees */

struct slot {
	pid_t pid; /* 0: no supervisor */
	int control_fd;
	uint64_t id; /* of the last command given to it */
};

struct runner {
	int agent_fd, signal_fd;
	struct slot slots[RUNNER_SLOTS];
	atomic_uint *busy; /* one per supervisor, shared memory with them */
	bool orphans;	   /* a supervisor died, and the runner has to kill its tree */
	uint64_t idle_ns;  /* when idle supervisors are ended */
	uint64_t end_ns;   /* when the runner exits at the latest */
	char message[RUNNER_MESSAGE_MAX];
};

static void reply_refused(struct runner *e, uint64_t id, int error)
{
	struct runner_reply reply = { .version = RUNNER_VERSION,
				      .op = RUNNER_REFUSED,
				      .id = id,
				      .error = error,
				      .stage = RUNNER_STAGE_RESOURCE };

	/* A full socket means an agent that does not read; its own deadline answers the command. */
	send(e->agent_fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reply_lost(struct runner *e, uint64_t id)
{
	struct runner_reply reply = { .version = RUNNER_VERSION,
				      .op = RUNNER_EXITED,
				      .id = id,
				      .flags = RUNNER_LOST,
				      .end_ns = clock_ns(CLOCK_MONOTONIC) };

	send(e->agent_fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * A supervisor inherits the agent's socket and its own end of the control socket only: open copies of the others' ends
 * would hide the runner's death from them.
 */
static void supervisor_main(struct runner *e, unsigned slot, int control_fd)
{
	struct supervise_args args = { .busy = &e->busy[slot] };
	int fds[2] = { e->agent_fd, control_fd };
	int at = 3;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 8);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			fds[i] = dup3(fds[i], at++, O_CLOEXEC);
	close_range((unsigned)at, ~0U, 0);
	args.agent_fd = fds[0];
	args.control_fd = fds[1];
	prctl(PR_SET_NAME, "exec-slot");
	child_end(supervise(&args));
}

static int slot_start(struct runner *e, unsigned index)
{
	int pair[2], error;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		supervisor_main(e, index, pair[1]);
	error = -errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return error;
	}
	e->slots[index] = (struct slot){ .pid = pid, .control_fd = pair[0] };
	atomic_store(&e->busy[index], 0);
	return 0;
}

/* The index of an idle supervisor, else of a new one; -EBUSY when all RUNNER_SLOTS are in use. */
static int slot_find(struct runner *e)
{
	int vacant = -EBUSY;

	for (int i = 0; i < RUNNER_SLOTS; i++) {
		if (e->slots[i].pid && !atomic_load(&e->busy[i]))
			return i;
		if (!e->slots[i].pid && vacant < 0)
			vacant = i;
	}
	if (vacant >= 0) {
		int error = slot_start(e, (unsigned)vacant);

		return error < 0 ? error : vacant;
	}
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

/* `input`: the descriptor that came with the request, or -1; stays the caller's. */
static void request_run(struct runner *e, const struct runner_request *head, size_t len, int input)
{
	int index = slot_find(e);

	if (index < 0) {
		reply_refused(e, head->id, -index);
		return;
	}
	atomic_store(&e->busy[index], 1);
	e->slots[index].id = head->id;
	if (packet_send(e->slots[index].control_fd, e->message, len, &input, input >= 0) < 0) {
		reply_refused(e, head->id, errno);
		atomic_store(&e->busy[index], 0);
	}
	e->idle_ns = clock_ns(CLOCK_MONOTONIC) + IDLE_MS * NS_PER_MS;
}

static void request_cancel(struct runner *e, const struct runner_request *head)
{
	for (unsigned i = 0; i < RUNNER_SLOTS; i++)
		if (e->slots[i].pid && e->slots[i].id == head->id && atomic_load(&e->busy[i]))
			slot_tell(e, i, RUNNER_CANCEL, head->kill_ns);
}

/* The agent is gone or has sent STOP: kills all commands. */
static void runner_end(struct runner *e)
{
	e->end_ns = clock_ns(CLOCK_MONOTONIC) + END_MS * NS_PER_MS;
	for (unsigned i = 0; i < RUNNER_SLOTS; i++)
		if (e->slots[i].pid)
			slot_tell(e, i, RUNNER_STOP, 0);
	close_fd(&e->agent_fd);
}

static void agent_read(struct runner *e)
{
	int fds[PACKET_FDS];
	ssize_t len = packet_receive(e->agent_fd, e->message, sizeof(e->message), 0, fds);
	struct runner_request head;

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0 || runner_request_parse(e->message, (size_t)len, &head) < 0)
		runner_end(e); /* the agent violates the protocol: treated as its end */
	else if (head.op == RUNNER_RUN)
		request_run(e, &head, (size_t)len, fds[0]);
	else if (head.op == RUNNER_CANCEL)
		request_cancel(e, &head);
	else if (head.op == RUNNER_OPERATION) /* only the privileged executor does operations */
		reply_refused(e, head.id, EOPNOTSUPP);
	else if (head.op != RUNNER_CANCEL_DETACHED) /* the runner has no detached runs */
		runner_end(e);
	packet_close(fds);
}

static void slot_lost(struct runner *e, unsigned index)
{
	if (atomic_exchange(&e->busy[index], 0) && e->slots[index].id) {
		reply_lost(e, e->slots[index].id);
		/* The runner is a subreaper: the dead supervisor's tree is its own now. */
		e->orphans = true;
	}
	close_fd(&e->slots[index].control_fd);
	e->slots[index] = (struct slot){ .control_fd = -1 };
}

static void children_reap(struct runner *e)
{
	struct signalfd_siginfo info;
	pid_t pid;

	while (read(e->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (unsigned i = 0; i < RUNNER_SLOTS; i++)
			if (e->slots[i].pid == pid)
				slot_lost(e, i);
}

static void orphans_kill(struct runner *e)
{
	pid_t except[RUNNER_SLOTS];
	size_t count = 0;

	for (unsigned i = 0; i < RUNNER_SLOTS; i++)
		if (e->slots[i].pid)
			except[count++] = e->slots[i].pid;
	e->orphans = tree_signal(SIGKILL, except, count) > 0;
}

static bool slots_any(const struct runner *e)
{
	for (unsigned i = 0; i < RUNNER_SLOTS; i++)
		if (e->slots[i].pid)
			return true;
	return false;
}

static void idle_release(struct runner *e)
{
	for (unsigned i = 0; i < RUNNER_SLOTS; i++)
		if (e->slots[i].pid && !atomic_load(&e->busy[i])) {
			slot_tell(e, i, RUNNER_STOP, 0);
			atomic_store(&e->busy[i], 1); /* counts as busy, without a command, until it has ended */
			e->slots[i].id = 0;
		}
	e->idle_ns = TIME_NEVER;
}

static int wait_ms(const struct runner *e)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), due = e->idle_ns < e->end_ns ? e->idle_ns : e->end_ns;

	if (e->orphans)
		return ORPHAN_ROUND_MS;
	if (due == TIME_NEVER)
		return -1;
	return due > now ? (int)((due - now) / NS_PER_MS > 60000 ? 60000 : (due - now) / NS_PER_MS + 1) : 0;
}

static void runner_turn(struct runner *e)
{
	struct pollfd fds[] = { { .fd = e->signal_fd, .events = POLLIN }, { .fd = e->agent_fd, .events = POLLIN } };

	poll(fds, ARRAY_SIZE(fds), wait_ms(e));
	if (fds[0].revents)
		children_reap(e);
	if (fds[1].revents)
		agent_read(e);
	if (e->orphans)
		orphans_kill(e);
	if (e->idle_ns != TIME_NEVER && clock_ns(CLOCK_MONOTONIC) >= e->idle_ns)
		idle_release(e);
}

/*
 * Signals are read from a signalfd and never handled, so a command has no handler to undo; dispositions inherited as
 * ignored are reset.
 */
static int process_prepare(void)
{
	struct rlimit files;
	sigset_t all, child;

	spawn_signals_default();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	umask(022);
	if (chdir("/") < 0)
		return -errno;
	/* The agent may have raised the limit for its clients; programs that loop over all descriptors would suffer. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > 1024) {
		files.rlim_cur = 1024;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

int runner_serve(int agent_fd)
{
	static struct runner e;

	e.agent_fd = agent_fd;
	e.idle_ns = e.end_ns = TIME_NEVER;
	e.signal_fd = process_prepare();
	e.busy = mmap(NULL, RUNNER_SLOTS * sizeof(*e.busy), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (e.signal_fd < 0 || e.busy == MAP_FAILED || fcntl(agent_fd, F_SETFD, FD_CLOEXEC) < 0)
		return EXIT_FAILURE;
	while (e.agent_fd >= 0 || (slots_any(&e) && clock_ns(CLOCK_MONOTONIC) < e.end_ns))
		runner_turn(&e);
	return EXIT_SUCCESS;
}
