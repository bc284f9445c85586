/* SPDX-License-Identifier: MIT */
/* The executor as a peer: started or connected to, spoken with, lost and replaced; see exec.h. */
#include "agent/exec_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/helper.h"

/* ---------------------------------------- requests */

static void want_write(struct exec *exec, bool yes)
{
	int events = EV_READ | (yes ? EV_WRITE : 0);

	if (exec->fd < 0 || (exec->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(exec->loop, &exec->io);
	ev_io_set(&exec->io, exec->fd, events);
	ev_io_start(exec->loop, &exec->io);
}

/* With the files of a command that is to be kept, when it is to be run. */
static ssize_t message_send(const struct exec_job *job)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr head;
	} control = { .bytes = "" };
	struct iovec iov = { .iov_base = job->message, .iov_len = job->message_len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (job->keep.writers[0] >= 0) {
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(2 * sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), job->keep.writers, 2 * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	return sendmsg(job->exec->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool job_send(struct exec_job *job)
{
	struct executor_request cancel = { .version = EXECUTOR_VERSION, .op = EXECUTOR_CANCEL, .size = sizeof(cancel),
					   .id = job->id, .kill_ns = job->kill_ns };

	if (job->state == JOB_UNSENT) {
		if (message_send(job) < 0)
			return false;
		exec_keep_close_writers(&job->keep);
		free(job->message);
		job->message = NULL;
		job->state = JOB_SENT;
	}
	if (job->cancel_unsent && send(job->exec->fd, &cancel, sizeof(cancel), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return false;
	job->cancel_unsent = false;
	return true;
}

/*
 * What the socket does not take now goes when it can be written to; an error other than that shows when it is read.
 */
void exec_link_send(struct exec *exec)
{
	bool rest = false;

	if (exec->fd < 0)
		return;
	for (struct exec_job *job = exec->jobs; job && !rest; job = job->next)
		if (job->state == JOB_UNSENT || job->cancel_unsent)
			rest = !job_send(job);
	want_write(exec, rest);
}

void exec_link_cancel(struct exec_job *job, uint64_t kill_ns)
{
	if (kill_ns < job->kill_ns)
		job->kill_ns = kill_ns;
	job->cancel_unsent = job->state != JOB_UNSENT || job->attached;
	exec_link_send(job->exec);
}

/* ---------------------------------------- replies */

static struct exec_job *job_find(struct exec *exec, uint64_t id)
{
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		if (job->id == id)
			return job;
	return NULL;
}

static void reply_take(struct exec *exec, const struct executor_answer *answer, int fds[2])
{
	const struct executor_reply *reply = &answer->reply;
	struct exec_job *job = job_find(exec, reply->id);

	if (!job)
		return; /* answered already: stuck, or lost with an earlier executor */
	if (reply->op == EXECUTOR_REFUSED)
		exec_job_refused(job, reply->error, reply->stage, answer->text);
	else if (job->deed != (reply->op == EXECUTOR_ANSWERED))
		return; /* of another kind than the question */
	else if (job->deed)
		exec_job_answered(job, answer);
	else if (reply->op == EXECUTOR_EXITED)
		exec_job_exited(job, reply);
	else if (job->state == JOB_SENT && (exec_job_is_kept(job) || (fds[0] >= 0 && fds[1] >= 0)))
		exec_job_started(job, reply->pid, fds);
	else if (job->state == JOB_SENT) {
		/* The pipes did not fit into our fd table. The command would run unheard. */
		exec_link_cancel(job, 0);
		exec_job_refused(job, EMFILE, EXEC_STAGE_RESOURCE, "");
	}
}

/* One packet. Returns false when there is none (*ended: and never will be). */
static bool reply_receive(struct exec *exec, bool *ended)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr head;
	} control;
	struct executor_answer bytes, reply;
	struct iovec iov = { .iov_base = &bytes, .iov_len = sizeof(bytes) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t len = recvmsg(exec->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = len > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	int fds[2] = { -1, -1 };

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
	*ended = len <= 0 || executor_reply_parse(&bytes, (size_t)len, &reply) < 0;
	if (!*ended)
		reply_take(exec, &reply, fds);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return !*ended;
}

/* ---------------------------------------- the executor */

void exec_link_close(struct exec *exec)
{
	if (exec->fd >= 0) {
		ev_io_stop(exec->loop, &exec->io);
		close_fd(&exec->fd);
	}
}

bool exec_own_program;

/*
 * The program beside our own first, so that a build or a copied directory works as it is. `path` is the buffer for it.
 */
const char *exec_program_path(char *path, size_t size)
{
	static const char name[] = "infiniservice-exec";
	ssize_t len = readlink("/proc/self/exe", path, size - sizeof(name) - 1);
	char *slash;

	path[len < 0 ? 0 : len] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		memcpy(slash + 1, name, sizeof(name));
		if (access(path, X_OK) == 0)
			return path;
	}
	return exec_own_program ? "/proc/self/exe" : LIBEXECDIR "/infiniservice-exec";
}

/* Only root, or somebody who could kill us anyhow, may be the one who listens there. */
static int executor_connect(const char *path, int *ret_fd, pid_t *ret_pid)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (peer.uid != 0 && peer.uid != geteuid())
		return -EPERM;
	*ret_fd = TAKE_FD(fd);
	*ret_pid = 0;
	return 0;
}

static int executor_launch(struct exec *exec, int *fd, pid_t *pid)
{
	char path[4096], name[] = "infiniservice-exec", option[] = "--no-cgroup";
	char *argv[] = { name, exec->config.no_cgroup ? option : NULL, NULL };

	if (exec->config.socket_path)
		return executor_connect(exec->config.socket_path, fd, pid);
	if (exec->config.child)
		return helper_fork("exec", exec->config.child, NULL, SOCK_SEQPACKET, fd, pid);
	return helper_exec(exec->program ? exec->program : exec_program_path(path, sizeof(path)), argv, NULL,
			   SOCK_SEQPACKET, fd, pid);
}

void exec_link_retry(struct exec *exec)
{
	uint64_t now = exec_now(), due = backoff_fail(&exec->backoff, now, backoff_random(&exec->random));

	ev_timer_stop(exec->loop, &exec->retry);
	ev_timer_set(&exec->retry, due > now ? (double)(due - now) / 1e9 : 0., 0.);
	ev_timer_start(exec->loop, &exec->retry);
}

static void tell_lost(struct exec *exec, int error)
{
	exec->was_lost = true;
	if (exec->config.lost)
		exec->config.lost(exec->config.lost_data, error);
}

int exec_warm(struct exec *exec)
{
	int fd, error;
	pid_t pid;

	if (exec->fd >= 0 || ev_is_active(&exec->retry))
		return 0;
	if (exec->stopping)
		return -ESHUTDOWN;
	error = executor_launch(exec, &fd, &pid);
	if (error < 0 && exec->config.socket_path)
		return error; /* it is off: there is nothing to wait for, and nothing has gone wrong */
	if (error < 0) {
		exec_link_retry(exec);
		tell_lost(exec, error);
		return error;
	}
	exec->fd = fd;
	exec->pid = pid;
	exec->stats.executor_starts++;
	ev_io_set(&exec->io, fd, EV_READ);
	ev_io_start(exec->loop, &exec->io);
	ev_child_stop(exec->loop, &exec->child);
	if (pid > 0) {
		ev_child_set(&exec->child, pid, 0);
		ev_child_start(exec->loop, &exec->child);
	}
	return 0;
}

/*
 * There is no executor to connect to (any more): what waits for one is answered at once, as it would have been without a wait. But what
 * is asked after runs on, and is asked after as long as may be.
 */
static void jobs_abandon(struct exec *exec, int error)
{
	struct exec_job *job = exec->jobs;

	while (job) {
		if (job->state != JOB_UNSENT || job->attached) {
			if (job->attached && !ev_is_active(&exec->retry))
				exec_link_retry(exec);
			job = job->next;
			continue;
		}
		exec_job_refused(job, -error, EXEC_STAGE_CONNECT, "");
		job = exec->jobs;
	}
}

/* The job becomes a question for the next executor. */
int exec_link_ask_after(struct exec_job *job)
{
	struct executor_request head = { .op = EXECUTOR_ATTACH, .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns };
	char packed[sizeof(struct executor_unit_request) + EXECUTOR_UNIT_SIZE];
	int64_t len = executor_unit_build(head, job->unit, packed, sizeof(packed));

	free(job->message);
	job->message = len < 0 ? NULL : malloc((size_t)len);
	if (!job->message)
		return -ENOMEM;
	memcpy(job->message, packed, (size_t)len);
	job->message_len = (size_t)len;
	job->state = JOB_UNSENT;
	job->attached = true;
	job->cancel_unsent = job->outcome.cancelled;
	/* Executors that die of the question do not make it longer. */
	if (job->ask_until_ns == 0)
		job->ask_until_ns = exec_after(exec_now(), EXEC_ATTACH_MS);
	exec_job_limit(job, job->ask_until_ns);
	return 0;
}

static bool waits_for_another(struct exec_job *job, bool unsent_too, bool all)
{
	if (job->state == JOB_UNSENT)
		return !unsent_too || (job->attached && !all);
	return !all && exec_job_is_kept(job) && job->state != JOB_EXITED && exec_link_ask_after(job) == 0;
}

/* `done` may start new jobs: they are at the end of the list and unsent. */
void exec_link_lose(struct exec *exec, bool unsent_too, bool all)
{
	struct exec_job *job = exec->jobs;

	while (job) {
		if (waits_for_another(job, unsent_too, all)) {
			job = job->next;
			continue;
		}
		job->outcome.lost = job->state != JOB_EXITED;
		exec_job_done(job);
		job = exec->jobs; /* `done` may have changed anything */
	}
}

static bool take_reply(struct exec *exec, bool *ended)
{
	if (!reply_receive(exec, ended))
		return false;
	if (exec->was_lost && exec->config.found)
		exec->config.found(exec->config.lost_data);
	exec->was_lost = false;
	return true;
}

static void executor_lost(struct exec *exec)
{
	bool was_up = exec->fd >= 0;

	exec_link_close(exec);
	if (exec->pid > 0)
		kill(exec->pid, SIGKILL); /* ours until on_child has run, see helper.h */
	if (!was_up)
		return;
	if (!exec->stopping)
		exec_link_retry(exec);
	if (!exec->stopping)
		tell_lost(exec, 0);
	exec_link_lose(exec, exec->stopping, false);
}

static void on_socket(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct exec *exec = container_of(io, struct exec, io);
	bool ended = false;

	(void)loop;
	if (events & EV_WRITE)
		exec_link_send(exec);
	for (int i = 0; i < 2 * EXEC_JOBS_MAX && exec->fd >= 0 && take_reply(exec, &ended); i++)
		backoff_succeed(&exec->backoff); /* it works: the next death is a first one */
	if (ended)
		executor_lost(exec);
}

static void on_child(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct exec *exec = container_of(child, struct exec, child);
	bool ended = false;

	(void)events;
	ev_child_stop(loop, child);
	exec->pid = 0;
	/* Answers that left before the death count: the socket's end comes behind them. */
	while (exec->fd >= 0 && take_reply(exec, &ended))
		;
	executor_lost(exec);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct exec *exec = container_of(timer, struct exec, retry);

	(void)loop;
	(void)events;
	int error = exec->jobs ? exec_warm(exec) : 0;

	if (error < 0 && exec->config.socket_path)
		jobs_abandon(exec, error);
	else if (error == 0)
		exec_link_send(exec);
}

void exec_link_init(struct exec *exec)
{
	backoff_init(&exec->backoff, 10 * NS_PER_MS, BACKOFF_MAX_NS);
	ev_init(&exec->io, on_socket);
	ev_init(&exec->child, on_child);
	ev_init(&exec->retry, on_retry);
}
