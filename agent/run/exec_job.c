/* SPDX-License-Identifier: MIT */
/* A job from its start to `done`: its output, out of pipes or files, its deadlines, and how it ended; see exec.h. */
#include "agent/run/exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define READ_SIZE      16384
#define READS_PER_TURN 8	 /* of one pipe or file, before other watchers run */
#define EXEC_END_MS    2000	 /* to read the files of a detached run, or for its launcher to end it */
#define CANCEL_MS      8000	 /* for an executor to be started, to cancel it */
#define LOOK_S	       0.1	 /* seconds between two looks at a lock that will be free soon */
#define POLL_S	       1.0	 /* seconds between two looks where inotify is not available */
#define LAG_MAX	       (4 << 20) /* bytes that reading a detached run's file may lag behind its writer; more is skipped */

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
	detached_files_close(&job->files);
	for (int i = 0; i < 2; i++)
		stream_close(exec->loop, &job->streams[i]);
	close_fd(&job->input);
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

/* The only caller of `done`. */
void exec_job_done(struct exec_job *job)
{
	struct exec_outcome *o = &job->outcome;

	o->out = job->streams[EXEC_STDOUT].output;
	o->err = job->streams[EXEC_STDERR].output;
	/*
	 * A pipe that is still open belongs to a process that outlived the drain time: its further output is dropped.
	 */
	o->truncated = o->out.total > o->out.len || o->err.total > o->err.len || job->streams[EXEC_STDOUT].io.fd >= 0 ||
		       job->streams[EXEC_STDERR].io.fd >= 0 || o->out.total < job->ends[EXEC_STDOUT] ||
		       o->err.total < job->ends[EXEC_STDERR];
	if (o->duration_ns == 0)
		o->duration_ns = exec_now() - job->begin_ns;
	stats_count(&job->exec->stats, o);
	job->callbacks.done(job->data, o);
	job_free(job);
}

void exec_job_limit(struct exec_job *job, uint64_t at_ns)
{
	struct ev_loop *loop = job->exec->loop;
	uint64_t now = exec_now();

	job->limit_ns = at_ns;
	ev_timer_stop(loop, &job->limit);
	if (at_ns == TIME_NEVER)
		return;
	ev_timer_set(&job->limit, at_ns > now ? (double)(at_ns - now) / 1e9 : 0., 0.);
	ev_timer_start(loop, &job->limit);
}

/* ---------------------------------------- output */

/* Out of memory, output is dropped, but reading goes on: the command would block on a full pipe. */
static void output_keep(struct stream *s, const char *bytes, size_t len)
{
	struct exec_output *o = &s->output;
	size_t room = s->job->max_output - o->len, take = len < room ? len : room;

	if (o->len < o->total)
		take = 0; /* nothing is kept after a gap */
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

/* Reads up to the turn's share; closes the stream at its end. */
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
			return; /* most likely empty; if not, the loop calls again */
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		stream_close(job->exec->loop, s);
}

static bool job_finished(const struct exec_job *job)
{
	if (job->state != JOB_EXITED)
		return false;
	for (int i = 0; i < 2; i++)
		if (exec_job_is_detached(job) ? job->streams[i].output.total < job->ends[i]
					      : job->streams[i].io.fd >= 0)
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
		exec_job_done(s->job);
}

/* ---------------------------------------- output of detached runs */

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

/* Reads the file up to `end`, within the turn's share; skips what is not wanted or too far behind. */
static void file_read(struct stream *s, uint64_t end)
{
	static char buffer[READ_SIZE];
	struct exec_job *job = s->job;
	struct exec_output *o = &s->output;
	int stream = (int)(s - job->streams);

	for (int i = 0; i < READS_PER_TURN && o->total < end && file_is_wanted(s); i++) {
		uint64_t left = end - o->total;
		ssize_t got =
			detached_files_read(&job->files, stream, buffer, left < READ_SIZE ? left : READ_SIZE, o->total);

		if (got <= 0)
			break;
		output_tell(s, buffer, (size_t)got);
		output_keep(s, buffer, (size_t)got);
	}
	if (o->total < end && (!file_is_wanted(s) || end - o->total > LAG_MAX)) {
		output_tell(s, NULL, end - o->total);
		o->total = end;
	}
	detached_files_cut(&job->files, stream, job->max_output, o->total);
}

static void files_read(struct exec_job *job)
{
	bool rest = false;

	for (int i = 0; i < 2; i++) {
		uint64_t end = job->state == JOB_EXITED ? job->ends[i] : detached_files_size(&job->files, i);

		file_read(&job->streams[i], end);
		rest = rest || job->streams[i].output.total < end;
	}
	if (rest)
		exec_job_look_in(job, 0);
	if (job_finished(job))
		exec_job_done(job);
}

static void outcome_take(struct exec_job *job, uint32_t flags, int status, uint64_t end_ns);

/* Output is complete at the sizes of now: what processes left behind write later is not read. */
static void detached_ended(struct exec_job *job, const struct end_record *end)
{
	if (end->error) {
		exec_job_refused(job, end->error, end->stage, "");
		return;
	}
	job->outcome.started = true;
	outcome_take(job, end->flags, end->status, end->end_ns);
	for (int i = 0; i < 2; i++)
		job->ends[i] = detached_files_size(&job->files, i);
	ev_io_stop(job->exec->loop, &job->written);
	exec_job_limit(job, exec_after(exec_now(), EXEC_END_MS));
	files_read(job);
}

static void detached_lost(struct exec_job *job)
{
	if (job->unheard) {
		exec_job_refused(job, ECONNRESET, EXEC_STAGE_EXECUTOR, job->exec->fault);
		return;
	}
	/* A launcher that is cancelled may die before it writes a record. */
	job->outcome.lost = !job->outcome.cancelled;
	exec_job_done(job);
}

/* Reads new output and the end record of a detached run. */
static void look(struct exec_job *job)
{
	struct end_record end;

	if (job->state == JOB_EXITED || job->state == JOB_UNSENT) {
		files_read(job);
		return;
	}
	switch (detached_files_state(&job->files, &end)) {
	case DETACHED_ENDED:
		detached_ended(job, &end);
		return;
	case DETACHED_LOST:
		/* The run has not begun, and the executor is there: it will report why. */
		if (job->state != JOB_SENT || job->orphaned) {
			detached_lost(job);
			return;
		}
		break;
	case DETACHED_RUNNING:
		if (job->closing)
			exec_job_look_in(job, LOOK_S);
		break;
	}
	if (job->files.watch < 0)
		exec_job_look_in(job, POLL_S);
	files_read(job);
}

void exec_job_look_in(struct exec_job *job, double after_s)
{
	ev_timer_stop(job->exec->loop, &job->more);
	ev_timer_set(&job->more, after_s, 0.);
	ev_timer_start(job->exec->loop, &job->more);
}

static void on_more(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	look(container_of(timer, struct exec_job, more));
}

static void on_written(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct exec_job *job = container_of(io, struct exec_job, written);

	(void)loop;
	(void)events;
	job->closing = detached_files_woken(&job->files) || job->closing;
	look(job);
}

/* ---------------------------------------- replies of the executor */

void exec_job_refused(struct exec_job *job, int error, int stage, const char *words)
{
	job->outcome.words = words;
	job->outcome.spawn_errno = error ? error : EIO;
	job->outcome.spawn_stage = (enum exec_stage)stage;
	exec_job_done(job);
}

/*
 * By when the job has to be answered. A detached run may be attached to after its deadline: its launcher has ended it
 * or is doing so. Cancelling one may need an executor to be started.
 */
uint64_t exec_job_last(const struct exec_job *job)
{
	uint64_t last = exec_after(job->kill_ns, EXEC_STUCK_MS), now = exec_now();

	if (!exec_job_is_detached(job))
		return last;
	if (job->outcome.cancelled)
		return exec_after(job->kill_ns, CANCEL_MS);
	if (job->outcome.attached && last < exec_after(now, EXEC_END_MS))
		return exec_after(now, EXEC_END_MS);
	return last;
}

void exec_job_started(struct exec_job *job, pid_t pid, int fds[2])
{
	for (int i = 0; i < 2 && !exec_job_is_detached(job); i++) {
		struct stream *s = &job->streams[i];

		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		ev_io_set(&s->io, TAKE_FD(fds[i]), EV_READ);
		ev_io_start(job->exec->loop, &s->io);
	}
	job->state = JOB_RUNNING;
	job->begin_ns = exec_now();
	job->outcome.started = true;
	if (job->callbacks.started)
		job->callbacks.started(job->data, pid);
	/* The run may be over already, and a cancel may be pending. */
	if (exec_job_is_detached(job)) {
		exec_job_look_in(job, 0);
		exec_link_send(job->exec);
	}
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

static void outcome_take(struct exec_job *job, uint32_t flags, int status, uint64_t end_ns)
{
	struct exec_outcome *o = &job->outcome;

	o->timed_out = flags & RUNNER_TIMED_OUT;
	o->cancelled = flags & RUNNER_CANCELLED;
	o->stuck = flags & RUNNER_STUCK;
	o->lost = flags & RUNNER_LOST;
	o->oom_killed = flags & RUNNER_OOM;
	if (!o->stuck && !o->lost)
		outcome_status(o, status);
	if (end_ns > job->begin_ns)
		o->duration_ns = end_ns - job->begin_ns;
	job->state = JOB_EXITED;
}

void exec_job_exited(struct exec_job *job, const struct runner_reply *reply)
{
	struct exec_outcome *o = &job->outcome;

	outcome_take(job, reply->flags, reply->status, reply->end_ns);
	/* Most often all output is in the pipes already: it is read without waiting for the loop. */
	for (int i = 0; i < 2; i++)
		while (job->streams[i].io.fd >= 0) {
			uint64_t before = job->streams[i].output.total;

			stream_read(&job->streams[i]);
			if (job->streams[i].output.total == before)
				break;
		}
	if (job_finished(job) || o->stuck) {
		exec_job_done(job);
		return;
	}
	/* kill_ns takes precedence over the drain time. */
	uint64_t drained = exec_after(exec_now(), EXEC_DRAIN_MS), last = exec_after(job->kill_ns, EXEC_STUCK_MS);

	exec_job_limit(job, drained < last ? drained : last);
}

/* An operation has no output: its answer ends the job. */
void exec_job_answered(struct exec_job *job, const struct runner_answer *answer)
{
	job->outcome.started = true;
	job->outcome.operation_error = -answer->reply.error;
	job->outcome.words = answer->text;
	exec_job_done(job);
}

/* Answers the job at its time limit, independent of its state. */
static void on_limit(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct exec_job *job = container_of(timer, struct exec_job, limit);
	struct exec_outcome *o = &job->outcome;

	(void)loop;
	(void)events;
	if (exec_now() < job->limit_ns) {
		exec_job_limit(job, job->limit_ns); /* the loop's clock was late when the timer was set */
		return;
	}
	if (job->state != JOB_EXITED) {
		o->timed_out = !o->cancelled;
		o->stuck = job->state != JOB_UNSENT;
		if (o->stuck)
			exec_link_cancel(job, 0); /* an executor that revives must not go on with it */
	}
	exec_job_done(job);
}

void exec_job_init(struct exec_job *job)
{
	ev_init(&job->limit, on_limit);
	ev_init(&job->more, on_more);
	ev_init(&job->written, on_written);
	for (int i = 0; i < 2; i++) {
		job->streams[i].job = job;
		ev_init(&job->streams[i].io, on_stream);
		job->streams[i].io.fd = -1;
	}
}
