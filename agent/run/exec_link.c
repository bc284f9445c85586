/* SPDX-License-Identifier: MIT */
/*
 * The connection to the executor: starts it or connects to it, exchanges messages, and replaces it when lost; see
 * exec.h.
 */
#include "agent/base/loop.h"
#include "agent/run/exec_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/base/helper.h"

/* After so many executors in a row that ended without a reply the next is expected to do the same. */
#define SILENT_MAX 2

/* ---------------------------------------- requests */

/* A detached run is cancelled by its unit, and only once it has begun. */
static bool wants_cancel(const struct exec_job *job)
{
	return job->cancel_unsent && (!job->detached || job->state != JOB_SENT || job->orphaned);
}

/* Sends the job's message or its cancel; false: the socket does not take it now. */
static bool job_send(struct exec_job *job)
{
	int fd = job->exec->fd;

	if (job->state == JOB_UNSENT) {
		/* With the files of a detached run, or with the command's input. */
		ssize_t sent =
			job->detached
				? packet_send(fd, job->message, job->message_len, job->files.writers, DETACHED_FILES)
				: packet_send(fd, job->message, job->message_len, &job->input, job->input >= 0);

		if (sent < 0)
			return false;
		if (job->detached)
			detached_files_close_writers(&job->files);
		close_fd(&job->input);
		free(job->message);
		job->message = NULL;
		job->state = JOB_SENT;
	}
	if (!wants_cancel(job))
		return true;
	if (job->detached) {
		struct runner_detached_cancel by_unit = runner_detached_cancel_make(job->id, job->unit);

		job->cancel_unsent = packet_send(fd, &by_unit, sizeof(by_unit), NULL, 0) < 0;
	} else {
		struct runner_request cancel = { .version = RUNNER_VERSION,
						 .op = RUNNER_CANCEL,
						 .size = sizeof(cancel),
						 .id = job->id,
						 .kill_ns = job->kill_ns };

		job->cancel_unsent = packet_send(fd, &cancel, sizeof(cancel), NULL, 0) < 0;
	}
	return !job->cancel_unsent;
}

/* A full socket is tried again when it is writable; other errors show when it is read. */
void exec_link_send(struct exec *exec)
{
	int events = EV_READ;

	if (exec->fd < 0)
		return;
	for (struct exec_job *job = exec->jobs; job && events == EV_READ; job = job->next)
		if ((job->state == JOB_UNSENT || wants_cancel(job)) && !job_send(job))
			events = EV_READ | EV_WRITE;
	if ((exec->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(exec->loop, &exec->io);
	ev_io_set(&exec->io, exec->fd, events);
	ev_io_start(exec->loop, &exec->io);
}

void exec_link_cancel(struct exec_job *job, uint64_t kill_ns)
{
	if (kill_ns < job->kill_ns)
		job->kill_ns = kill_ns;
	job->cancel_unsent = job->state != JOB_UNSENT;
	/* A detached run is followed without an executor, but cancelling it needs one. */
	if (job->cancel_unsent && job->detached && exec_warm(job->exec) < 0 && !job->exec->stopping)
		exec_link_retry(job->exec);
	exec_link_send(job->exec);
}

/* Receives one packet. False: there is none (*ended: the connection is closed). */
static bool reply_receive(struct exec *exec, bool *ended)
{
	struct runner_answer bytes, reply;
	int fds[PACKET_FDS];
	ssize_t len = packet_receive(exec->fd, &bytes, sizeof(bytes), 0, fds);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	*ended = len <= 0 || runner_reply_parse(&bytes, (size_t)len, &reply) < 0;
	if (!*ended) {
		exec->spoken = true;
		exec->silent = 0;
		exec->fault[0] = '\0';
		exec_reply(exec, &reply, fds);
		if (exec->was_lost && exec->config.found)
			exec->config.found(exec->config.lost_data);
		exec->was_lost = false;
	}
	packet_close(fds);
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

/* Prefers the program beside this one, so that a build or a copied directory works. */
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

/* *ret_pid: 0 for an executor that the agent has not started itself. 0 or -errno. */
static int executor_launch(struct exec *exec, int *ret_fd, pid_t *ret_pid)
{
	const char *path = exec->config.socket_path;
	char name[] = "infiniservice-exec", *argv[] = { name, NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	*ret_pid = 0;
	if (!path && exec->config.child)
		return helper_fork("exec", exec->config.child, NULL, SOCK_SEQPACKET, ret_fd, ret_pid);
	if (!path)
		return helper_exec(exec_place(exec), argv, NULL, SOCK_SEQPACKET, ret_fd, ret_pid);
	if (stat(path, &exec->tried) < 0)
		exec->tried = (struct stat){ .st_ino = 0 };
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	/* The listener must be root's or of the agent's own user, who could kill the agent anyhow. */
	if (peer.uid != 0 && peer.uid != geteuid())
		return -EPERM;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void exec_link_retry(struct exec *exec)
{
	if (!ev_is_active(&exec->retry))
		exec_timer_at(exec, &exec->retry,
			      backoff_fail(&exec->backoff, clock_ns(CLOCK_MONOTONIC), backoff_random(&exec->random)));
}

static void tell_lost(struct exec *exec, int error)
{
	exec->was_lost = true;
	if (exec->config.lost)
		exec->config.lost(exec->config.lost_data, error);
}

/* ---------------------------------------- executor not available */

const char *exec_place(struct exec *exec)
{
	static char path[4096];

	if (exec->config.socket_path)
		return exec->config.socket_path;
	return exec->program ? exec->program : exec_program_path(path, sizeof(path));
}

static void fault_set(struct exec *exec, int error)
{
	const char *place = exec_place(exec);

	exec->absent = access(place, exec->config.socket_path ? F_OK : X_OK) < 0;
	if (!exec->config.socket_path)
		snprintf(exec->fault, sizeof(exec->fault), "the executor cannot be started: %.300s: %s", place,
			 strerror(-error));
	else if (error == -ENOENT)
		snprintf(exec->fault, sizeof(exec->fault), "there is no executor at %.300s", place);
	else
		snprintf(exec->fault, sizeof(exec->fault), "the executor at %.300s cannot be reached: %s%s", place,
			 error == -EPERM ? "it is somebody else's" : strerror(-error),
			 error == -ECONNREFUSED ? " (systemctl status infiniservice-exec.socket)" : "");
}

const char *exec_fault(struct exec *exec)
{
	bool looked = exec->fd < 0 && !exec->config.child && (!exec->fault[0] || exec->absent);

	if (looked && access(exec_place(exec), exec->config.socket_path ? F_OK : X_OK) < 0)
		fault_set(exec, -errno);
	else if (looked)
		exec->fault[0] = '\0'; /* the file exists by now */
	return exec->fault;
}

enum exec_state exec_state(struct exec *exec)
{
	if (exec->fd >= 0 && exec->silent == 0)
		return EXEC_STATE_READY;
	if (exec->config.socket_path && exec->silent == 0 && access(exec->config.socket_path, F_OK) < 0 &&
	    errno == ENOENT)
		return EXEC_STATE_OFF;
	return exec_fault(exec)[0] ? EXEC_STATE_FAULT : EXEC_STATE_IDLE;
}

int exec_warm(struct exec *exec)
{
	const char *path = exec->config.socket_path;
	struct stat *tried = &exec->tried, now;
	int fd, error;
	pid_t pid;

	if (exec->fd >= 0)
		return 0;
	/* Executors behind an earlier socket say nothing about one that was created after the last attempt. */
	if (ev_is_active(&exec->retry) && exec->silent >= SILENT_MAX && path && stat(path, &now) == 0 &&
	    (now.st_dev != tried->st_dev || now.st_ino != tried->st_ino ||
	     now.st_ctim.tv_sec != tried->st_ctim.tv_sec || now.st_ctim.tv_nsec != tried->st_ctim.tv_nsec)) {
		ev_timer_stop(exec->loop, &exec->retry);
		exec->silent = 0;
	}
	if (ev_is_active(&exec->retry))
		return exec->silent >= SILENT_MAX ? -EHOSTDOWN : 0;
	if (exec->stopping)
		return -ESHUTDOWN;
	error = executor_launch(exec, &fd, &pid);
	/* systemd removes the socket of a service that failed to start: the executor is not disabled, it has failed. */
	if (error == -ENOENT && path && exec->silent > 0)
		return -EHOSTDOWN;
	if (error < 0) {
		/* The error may pass by itself when the machine is short of a resource for the moment. */
		bool passing = error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE ||
			       error == -ENOBUFS || error == -EINTR;

		fault_set(exec, error);
		if (error == -ENOENT && path)
			return -ENOTCONN; /* disabled: no fault, and nothing to wait for */
		tell_lost(exec, error);
		if (passing)
			exec_link_retry(exec);
		return passing ? error : -EHOSTDOWN;
	}
	exec->fd = fd;
	exec->pid = pid;
	exec->spoken = false;
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

/* The executor will not start: jobs waiting for it are refused at once. */
static void jobs_abandon(struct exec *exec, int error)
{
	int stage = error == -ENOTCONN ? RUNNER_STAGE_CONNECT : RUNNER_STAGE_EXECUTOR;

	for (struct exec_job *job = exec->jobs, *next; job; job = next) {
		bool unsent = job->state == JOB_UNSENT;

		if (unsent)
			exec_job_refused(job, -error, stage, exec->fault);
		next = unsent ? exec->jobs : job->next; /* `done` may have changed the list */
	}
}

/* `done` may start new jobs: they are at the end of the list and unsent. */
void exec_link_lose(struct exec *exec, bool unsent_too, bool all)
{
	struct exec_job *job = exec->jobs;

	while (job) {
		bool unsent = job->state == JOB_UNSENT;

		/* A job survives its executor when it was not sent yet, or when its own files tell of its end. */
		if (unsent ? !unsent_too : job->detached && !all) {
			if (job->state == JOB_SENT && !job->orphaned) {
				job->orphaned = true;
				job->unheard = !exec->spoken;
				exec_timer_at(exec, &job->more, 0);
			}
			job = job->next;
			continue;
		}
		if (job->state == JOB_SENT && !exec->spoken) {
			exec_job_refused(job, ECONNRESET, RUNNER_STAGE_EXECUTOR, exec->fault);
		} else {
			job->outcome.lost = job->state != JOB_EXITED;
			exec_job_done(job);
		}
		job = exec->jobs; /* `done` may have changed the list */
	}
}

static void executor_lost(struct exec *exec)
{
	bool was_up = exec->fd >= 0;

	exec_link_close(exec);
	if (exec->pid > 0)
		kill(exec->pid, SIGKILL); /* the pid is valid until on_child has run, see helper.h */
	if (!was_up)
		return;
	if (!exec->spoken) {
		/* Of another version, without its libraries, masked, or another program. */
		exec->silent += !exec->stopping;
		exec->absent = false;
		snprintf(exec->fault, sizeof(exec->fault), "the executor %s%.300s ended without a word%s",
			 exec->config.socket_path ? "at " : "", exec_place(exec),
			 exec->config.socket_path
				 ? " (systemctl status infiniservice-exec.service; is it of this version?)"
				 : ": is it of this version, and all it needs installed?");
	}
	if (!exec->stopping) {
		exec_link_retry(exec);
		tell_lost(exec, 0);
	}
	exec_link_lose(exec, exec->stopping, false);
	if (exec->silent >= SILENT_MAX && !exec->stopping)
		jobs_abandon(exec, -EHOSTDOWN);
}

static void on_socket(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct exec *exec = container_of(io, struct exec, io);
	bool ended = false;

	loop_work(loop, "executor", NULL);
	if (events & EV_WRITE)
		exec_link_send(exec);
	for (int i = 0; i < 2 * EXEC_JOBS_MAX && exec->fd >= 0 && reply_receive(exec, &ended); i++)
		backoff_succeed(&exec->backoff); /* it works: the back-off starts anew */
	if (ended)
		executor_lost(exec);
}

static void on_child(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct exec *exec = container_of(child, struct exec, child);
	bool ended = false;

	loop_work(loop, "executor", NULL);
	(void)events;
	ev_child_stop(loop, child);
	exec->pid = 0;
	/* Replies sent before the death count: the socket's end comes after them. */
	while (exec->fd >= 0 && reply_receive(exec, &ended))
		;
	executor_lost(exec);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct exec *exec = container_of(timer, struct exec, retry);
	const struct exec_job *job = exec->jobs;
	int error;

	(void)loop;
	(void)events;
	while (job && job->state != JOB_UNSENT && !wants_cancel(job))
		job = job->next;
	error = job ? exec_warm(exec) : 0;
	if (error == -ENOTCONN || error == -EHOSTDOWN)
		jobs_abandon(exec, error);
	else if (error == 0)
		exec_link_send(exec);
}

void exec_link_init(struct exec *exec)
{
	exec->random = (uint32_t)clock_ns(CLOCK_MONOTONIC) ^ (uint32_t)getpid();
	backoff_init(&exec->backoff, 10 * NS_PER_MS, BACKOFF_MAX_NS);
	ev_init(&exec->io, on_socket);
	ev_init(&exec->child, on_child);
	ev_init(&exec->retry, on_retry);
}
