/* SPDX-License-Identifier: MIT */
#include "agent/exec.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/exec_keep.h"
#include "agent/executor/protocol.h"
#include "agent/helper.h"
#include "transport/backoff.h"

#define OUTPUT_DEFAULT (256 * 1024)
#define READ_SIZE 16384
#define EXEC_END_MS 2000 /* what a kept command has left to do when its deadline is over, and its files to be read */
#define READS_PER_TURN 8 /* of one pipe, before other watchers get theirs */
#define LAG_MAX (4 << 20) /* of a kept command's file, behind its writer; beyond that it is passed over */
#define OOM_SCORE_ADJ 500 /* when memory runs out a command goes before the agent */

enum job_state {
	JOB_UNSENT,  /* the executor is not there, or its socket is full */
	JOB_SENT,    /* no STARTED yet */
	JOB_RUNNING, /* its pipes are here */
	JOB_EXITED,  /* waiting for the pipes' end */
};

struct stream {
	struct ev_io io; /* fd -1: at its end */
	struct exec_job *job;
	struct exec_output output;
	size_t size; /* allocated */
};

struct exec_job {
	struct exec *exec;
	struct exec_job *next, **link; /* in exec->jobs, in the order of start */
	struct exec_callbacks callbacks;
	void *data;
	uint64_t id, term_ns, kill_ns, begin_ns;
	enum job_state state;
	bool cancel_unsent;
	uint64_t limit_ns; /* what the timer below stands for */
	struct ev_timer limit;
	size_t max_output;
	bool deed;
	char unit[EXECUTOR_UNIT_SIZE]; /* of one that is kept; "": it is not, */
	bool attached, live;	       /* asks after it instead of running it; all of its output is wanted */
	struct exec_keep keep;
	uint64_t ends[2]; /* of its files, when it had exited */
	struct ev_io written;
	struct ev_timer more; /* the rest of what was written, in the next turn */
	struct stream streams[2];
	struct exec_outcome outcome;
	void *message; /* the RUN, until sent */
	size_t message_len;
};

struct exec {
	struct ev_loop *loop;
	struct exec_config config;
	char *program, *socket_path, *keep_path;
	int keep_dir; /* -1: not opened yet */
	int fd; /* -1: no executor */
	pid_t pid;
	struct ev_io io;
	struct ev_child child;
	struct ev_timer retry;
	struct backoff backoff;
	uint32_t random;
	struct exec_job *jobs, **tail;
	uint64_t next_id;
	bool stopping;
	struct exec_stats stats;
};

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* ---------------------------------------- the end of a job */

static void stream_close(struct ev_loop *loop, struct stream *s)
{
	if (s->io.fd < 0)
		return;
	ev_io_stop(loop, &s->io);
	close(s->io.fd);
	s->io.fd = -1;
}

static void job_free(struct exec_job *job)
{
	struct exec *exec = job->exec;

	*job->link = job->next;
	if (job->next)
		job->next->link = job->link;
	else
		exec->tail = job->link;
	ev_timer_stop(exec->loop, &job->limit);
	ev_timer_stop(exec->loop, &job->more);
	ev_io_stop(exec->loop, &job->written);
	exec_keep_close(&job->keep);
	for (int i = 0; i < 2; i++)
		stream_close(exec->loop, &job->streams[i]);
	free(job->message);
	free(job->outcome.out.bytes);
	free(job->outcome.err.bytes);
	free(job);
}

static void stats_count(struct exec_stats *stats, const struct exec_outcome *outcome)
{
	stats->done++;
	stats->running--;
	stats->failed_to_start += outcome->spawn_errno != 0;
	stats->timed_out += outcome->timed_out;
	stats->cancelled += outcome->cancelled;
	stats->stuck += outcome->stuck;
	stats->lost += outcome->lost;
}

/* The only place `done` is called from. */
static void job_done(struct exec_job *job)
{
	struct exec_outcome *o = &job->outcome;

	o->out = job->streams[EXEC_STDOUT].output;
	o->err = job->streams[EXEC_STDERR].output;
	/*
	 * A pipe still open belongs to something that outlived the drain time: what it may yet write is not waited
	 * for.
	 */
	o->truncated = o->out.total > o->out.len || o->err.total > o->err.len ||
		       job->streams[EXEC_STDOUT].io.fd >= 0 || job->streams[EXEC_STDERR].io.fd >= 0 ||
		       o->out.total < job->ends[EXEC_STDOUT] || o->err.total < job->ends[EXEC_STDERR];
	if (o->duration_ns == 0)
		o->duration_ns = now_ns() - job->begin_ns;
	stats_count(&job->exec->stats, o);
	job->callbacks.done(job->data, o);
	job_free(job);
}

static void limit_arm(struct exec_job *job, uint64_t at_ns)
{
	struct ev_loop *loop = job->exec->loop;
	uint64_t now = now_ns();

	job->limit_ns = at_ns;
	ev_timer_stop(loop, &job->limit);
	if (at_ns == TIME_NEVER)
		return;
	ev_timer_set(&job->limit, at_ns > now ? (double)(at_ns - now) / 1e9 : 0., 0.);
	ev_timer_start(loop, &job->limit);
}

static uint64_t after(uint64_t at_ns, uint64_t ms)
{
	return at_ns > TIME_NEVER - ms * NS_PER_MS ? TIME_NEVER : at_ns + ms * NS_PER_MS;
}

/* ---------------------------------------- output */

/* Out of memory is one more reason to cut, never to stop reading: the command would block for ever. */
static void output_keep(struct stream *s, const char *bytes, size_t len)
{
	struct exec_output *o = &s->output;
	size_t room = s->job->max_output - o->len, take = len < room ? len : room;

	if (o->len < o->total)
		take = 0; /* nothing is kept behind a gap */
	o->total += len;
	if (take > s->size - o->len) {
		size_t size = s->size * 2 > o->len + take ? s->size * 2 : o->len + take;
		char *grown = realloc(o->bytes, size < 256 ? 256 : size);

		if (!grown)
			return;
		o->bytes = grown;
		s->size = size < 256 ? 256 : size;
	}
	if (take)
		memcpy(o->bytes + o->len, bytes, take);
	o->len += take;
}

/* Reads what is there, up to the turn's share; closes at the end. */
static void stream_read(struct stream *s)
{
	static char buffer[READ_SIZE];
	struct exec_job *job = s->job;
	ssize_t got = 0;

	for (int i = 0; i < READS_PER_TURN && s->io.fd >= 0; i++) {
		got = read(s->io.fd, buffer, sizeof(buffer));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		job->exec->stats.output_bytes += (size_t)got;
		if (job->callbacks.output)
			job->callbacks.output(job->data, (enum exec_stream)(s - job->streams), buffer, (size_t)got);
		output_keep(s, buffer, (size_t)got);
		if (got < READ_SIZE)
			return; /* most likely empty now; if not, the loop says so */
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		stream_close(job->exec->loop, s);
}

static bool is_kept(const struct exec_job *job)
{
	return *job->unit != '\0';
}

static bool job_finished(const struct exec_job *job)
{
	if (job->state != JOB_EXITED)
		return false;
	for (int i = 0; i < 2; i++)
		if (is_kept(job) ? job->streams[i].output.total < job->ends[i] : job->streams[i].io.fd >= 0)
			return false;
	return true;
}

static void on_stream(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct stream *s = container_of(io, struct stream, io);

	(void)loop;
	(void)events;
	stream_read(s);
	if (job_finished(s->job))
		job_done(s->job);
}

/* ---------------------------------------- output of what is kept */

static void output_tell(struct stream *s, const char *bytes, size_t len)
{
	struct exec_job *job = s->job;

	job->exec->stats.output_bytes += len;
	if (job->callbacks.output)
		job->callbacks.output(job->data, (enum exec_stream)(s - job->streams), bytes, len);
}

static bool file_is_wanted(const struct stream *s)
{
	return s->job->live || (s->output.len == s->output.total && s->output.len < s->job->max_output);
}

/* The file up to `end`: what is wanted of it, within the turn's share, is read, the rest passed over. */
static void file_read(struct stream *s, uint64_t end)
{
	static char buffer[READ_SIZE];
	struct exec_job *job = s->job;
	struct exec_output *o = &s->output;
	int stream = (int)(s - job->streams);

	for (int i = 0; i < READS_PER_TURN && o->total < end && file_is_wanted(s); i++) {
		uint64_t left = end - o->total;
		ssize_t got = exec_keep_read(&job->keep, stream, buffer, left < READ_SIZE ? left : READ_SIZE, o->total);

		if (got <= 0)
			break;
		output_tell(s, buffer, (size_t)got);
		output_keep(s, buffer, (size_t)got);
	}
	if (o->total < end && (!file_is_wanted(s) || end - o->total > LAG_MAX)) {
		output_tell(s, NULL, end - o->total);
		o->total = end;
	}
	exec_keep_cut(&job->keep, stream, job->max_output, o->total);
}

static void files_read(struct exec_job *job)
{
	bool rest = false;

	for (int i = 0; i < 2; i++) {
		uint64_t end = job->state == JOB_EXITED ? job->ends[i] : exec_keep_size(&job->keep, i);

		file_read(&job->streams[i], end);
		rest = rest || job->streams[i].output.total < end;
	}
	if (rest && !ev_is_active(&job->more)) {
		ev_timer_set(&job->more, 0., 0.);
		ev_timer_start(job->exec->loop, &job->more);
	}
	if (job_finished(job))
		job_done(job);
}

static void on_more(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	files_read(container_of(timer, struct exec_job, more));
}

static void on_written(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct exec_job *job = container_of(io, struct exec_job, written);

	(void)loop;
	(void)events;
	exec_keep_woken(&job->keep);
	files_read(job);
}

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
static void jobs_send(struct exec *exec)
{
	bool rest = false;

	if (exec->fd < 0)
		return;
	for (struct exec_job *job = exec->jobs; job && !rest; job = job->next)
		if (job->state == JOB_UNSENT || job->cancel_unsent)
			rest = !job_send(job);
	want_write(exec, rest);
}

static void cancel_send(struct exec_job *job, uint64_t kill_ns)
{
	if (kill_ns < job->kill_ns)
		job->kill_ns = kill_ns;
	job->cancel_unsent = job->state != JOB_UNSENT || job->attached;
	jobs_send(job->exec);
}

/* ---------------------------------------- replies */

static struct exec_job *job_find(struct exec *exec, uint64_t id)
{
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		if (job->id == id)
			return job;
	return NULL;
}

static void job_refused(struct exec_job *job, int error, int stage, const char *words)
{
	job->outcome.words = words;
	if (job->attached) {
		job->outcome.lost = true; /* it had been started: whatever keeps us from it, its end is not known */
	} else {
		job->outcome.spawn_errno = error ? error : EIO;
		job->outcome.spawn_stage = (enum exec_stage)stage;
	}
	job_done(job);
}

/* The deadline of what is asked after may be over already: the executor ends it then, and says so. */
static void limit_arm_attached(struct exec_job *job)
{
	uint64_t soon = now_ns() + EXEC_END_MS * NS_PER_MS;

	limit_arm(job, after(job->kill_ns < soon ? soon : job->kill_ns, EXEC_STUCK_MS));
}

static void job_started(struct exec_job *job, pid_t pid, int fds[2])
{
	for (int i = 0; i < 2 && !is_kept(job); i++) {
		struct stream *s = &job->streams[i];

		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		ev_io_set(&s->io, TAKE_FD(fds[i]), EV_READ);
		ev_io_start(job->exec->loop, &s->io);
	}
	job->state = JOB_RUNNING;
	if (!job->outcome.started)
		job->begin_ns = now_ns();
	job->outcome.started = true;
	if (job->attached)
		limit_arm_attached(job);
	if (job->callbacks.started)
		job->callbacks.started(job->data, pid);
}

static void outcome_status(struct exec_outcome *o, int status)
{
	if (WIFEXITED(status)) {
		o->exit_code = WEXITSTATUS(status);
	} else if (WIFSIGNALED(status)) {
		o->signal = WTERMSIG(status);
		o->exit_code = 128 + o->signal;
	}
}

/* What something it left behind writes later is not waited for. */
static void kept_exited(struct exec_job *job)
{
	for (int i = 0; i < 2; i++)
		job->ends[i] = exec_keep_size(&job->keep, i);
	ev_io_stop(job->exec->loop, &job->written);
	limit_arm(job, after(now_ns(), EXEC_END_MS));
	files_read(job);
}

static void job_exited(struct exec_job *job, const struct executor_reply *reply)
{
	struct exec_outcome *o = &job->outcome;

	o->timed_out = reply->flags & EXECUTOR_TIMED_OUT;
	/* An executor that came after the cancelling does not know why it was killed. */
	o->cancelled = reply->flags & EXECUTOR_CANCELLED || (o->cancelled && job->attached && WIFSIGNALED(reply->status));
	o->stuck = reply->flags & EXECUTOR_STUCK;
	o->lost = reply->flags & EXECUTOR_LOST;
	o->oom_killed = reply->flags & EXECUTOR_OOM;
	if (!o->stuck && !o->lost)
		outcome_status(o, reply->status);
	if (reply->end_ns > job->begin_ns)
		o->duration_ns = reply->end_ns - job->begin_ns;
	job->state = JOB_EXITED;
	if (is_kept(job)) {
		kept_exited(job);
		return;
	}
	/* Most often all is in the pipes already: no need to wait for the loop to say so. */
	for (int i = 0; i < 2; i++)
		while (job->streams[i].io.fd >= 0) {
			uint64_t before = job->streams[i].output.total;

			stream_read(&job->streams[i]);
			if (job->streams[i].output.total == before)
				break;
		}
	if (job_finished(job) || o->stuck) {
		job_done(job);
		return;
	}
	/* The host's deadline counts more than the rest of the output. */
	uint64_t drained = after(now_ns(), EXEC_DRAIN_MS), last = after(job->kill_ns, EXEC_STUCK_MS);

	limit_arm(job, drained < last ? drained : last);
}

/* A deed has no output: it is over with its answer. */
static void job_answered(struct exec_job *job, const struct executor_answer *answer)
{
	job->outcome.started = true;
	job->outcome.deed_error = -answer->reply.error;
	job->outcome.words = answer->text;
	job_done(job);
}

static void reply_take(struct exec *exec, const struct executor_answer *answer, int fds[2])
{
	const struct executor_reply *reply = &answer->reply;
	struct exec_job *job = job_find(exec, reply->id);

	if (!job)
		return; /* answered already: stuck, or lost with an earlier executor */
	if (reply->op == EXECUTOR_REFUSED)
		job_refused(job, reply->error, reply->stage, answer->text);
	else if (job->deed != (reply->op == EXECUTOR_ANSWERED))
		return; /* of another kind than the question */
	else if (job->deed)
		job_answered(job, answer);
	else if (reply->op == EXECUTOR_EXITED)
		job_exited(job, reply);
	else if (job->state == JOB_SENT && (is_kept(job) || (fds[0] >= 0 && fds[1] >= 0)))
		job_started(job, reply->pid, fds);
	else if (job->state == JOB_SENT) {
		/* The pipes did not fit into our fd table. The command would run unheard. */
		cancel_send(job, 0);
		job_refused(job, EMFILE, EXEC_STAGE_RESOURCE, "");
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

static void executor_close(struct exec *exec)
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

static void retry_arm(struct exec *exec)
{
	uint64_t now = now_ns(), due = backoff_fail(&exec->backoff, now, backoff_random(&exec->random));

	ev_timer_stop(exec->loop, &exec->retry);
	ev_timer_set(&exec->retry, due > now ? (double)(due - now) / 1e9 : 0., 0.);
	ev_timer_start(exec->loop, &exec->retry);
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
		retry_arm(exec);
		if (exec->config.lost)
			exec->config.lost(exec->config.lost_data, error);
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
				retry_arm(exec);
			job = job->next;
			continue;
		}
		job_refused(job, -error, EXEC_STAGE_CONNECT, "");
		job = exec->jobs;
	}
}

/* The job becomes a question for the next executor. */
static int job_ask_after(struct exec_job *job)
{
	struct executor_request head = { .op = EXECUTOR_ATTACH, .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns };
	char packed[sizeof(struct executor_unit_request) + EXECUTOR_UNIT_SIZE];
	int64_t len;

	len = executor_unit_build(head, job->unit, packed, sizeof(packed));
	free(job->message);
	job->message = len < 0 ? NULL : malloc((size_t)len);
	if (!job->message)
		return -ENOMEM;
	memcpy(job->message, packed, (size_t)len);
	job->message_len = (size_t)len;
	job->state = JOB_UNSENT;
	job->attached = true;
	job->cancel_unsent = job->outcome.cancelled;
	limit_arm(job, after(now_ns(), EXEC_ATTACH_MS));
	return 0;
}

/*
 * Every command it had dies with the executor, so all jobs it knew are lost; what was never sent waits for the next
 * one, and what is kept is asked after there (unless `all` is to end). `done` may start new jobs: they are at the end of the list and unsent.
 */
static void jobs_lose(struct exec *exec, bool unsent_too, bool all)
{
	struct exec_job *job = exec->jobs;

	while (job) {
		if ((job->state == JOB_UNSENT && (!unsent_too || (job->attached && !all))) ||
		    (!all && is_kept(job) && (job->state == JOB_SENT || job->state == JOB_RUNNING) && job_ask_after(job) == 0)) {
			job = job->next;
			continue;
		}
		job->outcome.lost = job->state != JOB_EXITED;
		job_done(job);
		job = exec->jobs; /* `done` may have changed anything */
	}
}

static void executor_lost(struct exec *exec)
{
	bool was_up = exec->fd >= 0;

	executor_close(exec);
	if (exec->pid > 0)
		kill(exec->pid, SIGKILL); /* ours until on_child has run, see helper.h */
	if (!was_up)
		return;
	if (!exec->stopping)
		retry_arm(exec);
	if (!exec->stopping && exec->config.lost)
		exec->config.lost(exec->config.lost_data, 0);
	jobs_lose(exec, exec->stopping, false);
}

static void on_socket(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct exec *exec = container_of(io, struct exec, io);
	bool ended = false;

	(void)loop;
	if (events & EV_WRITE)
		jobs_send(exec);
	for (int i = 0; i < 2 * EXEC_JOBS_MAX && exec->fd >= 0 && reply_receive(exec, &ended); i++)
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
	while (exec->fd >= 0 && reply_receive(exec, &ended))
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
		jobs_send(exec);
}

/* ---------------------------------------- jobs */

/* Whatever the command and the executor do, this answers. */
static void on_limit(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct exec_job *job = container_of(timer, struct exec_job, limit);
	struct exec_outcome *o = &job->outcome;

	(void)loop;
	(void)events;
	if (now_ns() < job->limit_ns) {
		limit_arm(job, job->limit_ns); /* the loop's clock was late when it was set */
		return;
	}
	if (job->attached && job->state < JOB_RUNNING) {
		o->lost = true;
	} else if (job->state != JOB_EXITED) {
		o->timed_out = !o->cancelled;
		o->stuck = job->state != JOB_UNSENT;
		if (o->stuck)
			cancel_send(job, 0); /* should the executor come back to life, it must not go on with it */
	}
	job_done(job);
}

static int64_t run_build(const struct exec_job *job, const struct exec_request *r, char *packed, size_t size)
{
	struct executor_run run = {
		.head = { .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns },
		.group = r->group,
		.flags = is_kept(job) ? EXECUTOR_RUN_KEEP : 0,
		.limits = { [EXECUTOR_LIMIT_AS] = r->limits.address_space_bytes,
			    [EXECUTOR_LIMIT_FSIZE] = r->limits.file_bytes,
			    [EXECUTOR_LIMIT_CPU] = r->limits.cpu_s,
			    [EXECUTOR_LIMIT_NPROC] = r->limits.processes,
			    [EXECUTOR_LIMIT_NOFILE] = r->limits.open_files },
		.oom_score_adj = OOM_SCORE_ADJ,
	};

	return executor_run_build(run, r->argv, r->envp, r->cwd, r->user, r->action,
				  is_kept(job) ? job->unit : NULL, packed, size);
}

static int64_t deed_build(const struct exec_job *job, const struct exec_request *r, char *packed, size_t size)
{
	struct executor_deed_request deed = {
		.head = { .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns }, .deed = r->deed, .group = r->group,
	};

	return executor_deed_build(deed, r->action ? r->action : "", r->argument ? r->argument : "", packed, size);
}

static int job_pack(struct exec_job *job, const struct exec_request *r)
{
	static char packed[EXECUTOR_MESSAGE_MAX];
	int64_t len;

	if (job->attached)
		return job_ask_after(job);
	len = r->deed ? deed_build(job, r, packed, sizeof(packed)) : run_build(job, r, packed, sizeof(packed));
	if (len < 0)
		return (int)len;
	job->message = malloc((size_t)len);
	if (!job->message)
		return -ENOMEM;
	memcpy(job->message, packed, (size_t)len);
	job->message_len = (size_t)len;
	return 0;
}

static int request_check(const struct exec_request *r)
{
	if (r->keep_unit && !executor_unit_valid(r->keep_unit))
		return -EINVAL;
	if (r->deed || r->attach)
		return 0;
	if (!r->argv || !r->argv[0] || r->argv[0][0] != '/' || (r->cwd && r->cwd[0] != '/'))
		return -EINVAL;
	for (const char *const *env = r->envp; env && *env; env++)
		if (**env == '=' || !strchr(*env, '='))
			return -EINVAL;
	return 0;
}

static void job_init(struct exec_job *job, struct exec *exec, const struct exec_request *r)
{
	job->exec = exec;
	job->id = ++exec->next_id;
	job->kill_ns = r->kill_ns;
	job->term_ns = r->term_ns < r->kill_ns ? r->term_ns : r->kill_ns;
	job->begin_ns = now_ns();
	job->max_output = r->max_output_bytes ? r->max_output_bytes : exec->config.max_output_bytes;
	job->outcome.exit_code = -1;
	job->outcome.words = "";
	job->deed = r->deed != EXECUTOR_DEED_NONE;
	job->keep = EXEC_KEEP_NONE;
	if (r->keep_unit && exec->config.socket_path)
		snprintf(job->unit, sizeof(job->unit), "%s", r->keep_unit);
	job->attached = job->outcome.attached = r->attach;
	job->live = r->live;
	ev_init(&job->more, on_more);
	ev_init(&job->written, on_written);
	ev_init(&job->limit, on_limit);
	for (int i = 0; i < 2; i++) {
		job->streams[i].job = job;
		ev_init(&job->streams[i].io, on_stream);
		job->streams[i].io.fd = -1;
	}
}

int exec_keep_dir(struct exec *exec)
{
	if (exec->keep_dir < 0 && exec->keep_path)
		exec->keep_dir = open(exec->keep_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return exec->keep_dir;
}

/* Without its files one that is asked after can still tell how it ended. */
static int job_keep(struct exec_job *job, const struct exec_request *r)
{
	int dir_fd, error;

	if (!is_kept(job))
		return 0;
	dir_fd = exec_keep_dir(job->exec);
	if (dir_fd < 0)
		return r->attach ? 0 : -EIO;
	error = r->attach ? exec_keep_open(&job->keep, dir_fd, job->unit) : exec_keep_create(&job->keep, dir_fd, job->unit);
	return r->attach ? 0 : error;
}

static void keep_undo(struct exec_job *job)
{
	bool created = job->keep.writers[0] >= 0;

	exec_keep_close(&job->keep);
	if (created)
		exec_keep_remove(job->exec->keep_dir, job->unit);
}

static void keep_watch(struct exec_job *job)
{
	if (job->keep.watch < 0)
		return;
	ev_io_set(&job->written, job->keep.watch, EV_READ);
	ev_io_start(job->exec->loop, &job->written);
}

int exec_start(struct exec *exec, const struct exec_request *request, const struct exec_callbacks *callbacks,
	       void *data, struct exec_job **ret)
{
	_cleanup_(freep) struct exec_job *job = NULL;
	int error = request_check(request);

	if (exec->stopping)
		return -ESHUTDOWN;
	if (error < 0)
		return error;
	if (exec->stats.running >= exec->config.max_jobs)
		return -ENOBUFS;
	if (exec->config.socket_path && exec_warm(exec) < 0 && !request->attach)
		return -ENOTCONN;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job_init(job, exec, request);
	error = job_keep(job, request);
	if (error == 0)
		error = job_pack(job, request);
	if (error < 0) {
		ev_timer_stop(exec->loop, &job->limit);
		keep_undo(job);
		return error;
	}
	job->callbacks = *callbacks;
	job->data = data;
	job->link = exec->tail;
	*exec->tail = job;
	exec->tail = &job->next;
	exec->stats.accepted++;
	exec->stats.running++;
	if (!job->attached)
		limit_arm(job, after(job->kill_ns, EXEC_STUCK_MS));
	keep_watch(job);
	*ret = TAKE_PTR(job);
	/* When that fails the retry timer is set, and the job's limit counts. */
	if (exec_warm(exec) < 0 && !ev_is_active(&exec->retry))
		retry_arm(exec);
	jobs_send(exec);
	return 0;
}

void exec_release(struct exec *exec, const char *unit)
{
	struct executor_request head = { .op = EXECUTOR_RELEASE, .id = ++exec->next_id };
	char packed[sizeof(struct executor_unit_request) + EXECUTOR_UNIT_SIZE];
	int64_t len = executor_unit_build(head, unit, packed, sizeof(packed));

	if (exec_keep_dir(exec) >= 0)
		exec_keep_remove(exec->keep_dir, unit);
	/* One that is not told finds out by itself that nobody asks for it (sweep.h). */
	if (len > 0 && exec->fd >= 0)
		send(exec->fd, packed, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void exec_cancel(struct exec_job *job, uint64_t grace_ns)
{
	uint64_t now = now_ns(), kill_ns = grace_ns > TIME_NEVER - now ? TIME_NEVER : now + grace_ns;

	if (job->state == JOB_EXITED)
		return;
	job->outcome.cancelled = true;
	cancel_send(job, kill_ns);
	if (job->attached && job->state < JOB_RUNNING)
		return; /* it goes with the question */
	/* Never sent: nothing to wait for, but `done` is called from the loop only. */
	limit_arm(job, job->state == JOB_UNSENT ? now : after(job->kill_ns, EXEC_STUCK_MS));
}

void exec_stop(struct exec *exec, uint64_t grace_ns)
{
	if (!exec)
		return;
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		if (!is_kept(job))
			exec_cancel(job, grace_ns);
	exec->stopping = true;
}

/* ---------------------------------------- life */

struct exec *exec_new(struct ev_loop *loop, const struct exec_config *config)
{
	_cleanup_(freep) struct exec *exec = calloc(1, sizeof(*exec));

	if (!exec)
		return NULL;
	exec->loop = loop;
	exec->config = *config;
	if (config->program) {
		exec->program = strdup(config->program);
		if (!exec->program)
			return NULL;
	}
	if (config->socket_path) {
		exec->socket_path = strdup(config->socket_path);
		if (!exec->socket_path) {
			free(exec->program);
			return NULL;
		}
		exec->config.socket_path = exec->socket_path;
	}
	if (config->keep_dir) {
		exec->keep_path = strdup(config->keep_dir);
		if (!exec->keep_path) {
			free(exec->socket_path);
			free(exec->program);
			return NULL;
		}
	}
	exec->keep_dir = -1;
	if (exec->config.max_jobs == 0 || exec->config.max_jobs > EXEC_JOBS_MAX)
		exec->config.max_jobs = EXEC_JOBS_MAX;
	if (exec->config.max_output_bytes == 0)
		exec->config.max_output_bytes = OUTPUT_DEFAULT;
	exec->fd = -1;
	exec->tail = &exec->jobs;
	exec->random = (uint32_t)now_ns() ^ (uint32_t)getpid();
	backoff_init(&exec->backoff, 10 * NS_PER_MS, BACKOFF_MAX_NS);
	ev_init(&exec->io, on_socket);
	ev_init(&exec->child, on_child);
	ev_init(&exec->retry, on_retry);
	return TAKE_PTR(exec);
}

struct exec *exec_free(struct exec *exec)
{
	if (!exec)
		return NULL;
	exec->stopping = true;
	executor_close(exec);
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		job->outcome.kept = is_kept(job) && (job->state != JOB_UNSENT || job->attached) && job->state != JOB_EXITED;
	jobs_lose(exec, true, true);
	ev_timer_stop(exec->loop, &exec->retry);
	ev_child_stop(exec->loop, &exec->child);
	free(exec->program);
	free(exec->socket_path);
	free(exec->keep_path);
	close_fd(&exec->keep_dir);
	free(exec);
	return NULL;
}

struct exec_stats exec_stats(const struct exec *exec)
{
	struct exec_stats stats = exec->stats;

	stats.executor = exec->fd >= 0 ? exec->pid : 0;
	return stats;
}
