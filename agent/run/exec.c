/* SPDX-License-Identifier: MIT */
/*
 * A job from its request to `done`: its message, its output, out of pipes or files, its deadlines, and how it ended;
 * see exec.h and exec_private.h.
 */
#include "agent/base/loop.h"
#include "agent/run/exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define OUTPUT_DEFAULT (256 * 1024)
#define OOM_SCORE_ADJ  500 /* when memory runs out the kernel kills a command before the agent */
#define READ_SIZE      16384
#define READS_PER_TURN 8		 /* of one pipe or file, before other watchers run */
#define EXEC_END_MS    2000		 /* to read the files of a detached run, or for its launcher to end it */
#define CANCEL_MS      8000		 /* for an executor to be started, to cancel it */
#define LOOK_NS	       (100 * NS_PER_MS) /* between two looks at a lock that will be free soon */
#define POLL_NS	       NS_PER_S		 /* between two looks where inotify is not available */
#define LAG_MAX	       (4 << 20) /* bytes that reading a detached run's file may lag behind its writer; more is skipped */

static uint64_t after(uint64_t at_ns, uint64_t ms)
{
	return at_ns > TIME_NEVER - ms * NS_PER_MS ? TIME_NEVER : at_ns + ms * NS_PER_MS;
}

void exec_timer_at(struct exec *exec, struct ev_timer *timer, uint64_t at_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	ev_timer_stop(exec->loop, timer);
	if (at_ns == TIME_NEVER)
		return;
	ev_timer_set(timer, at_ns > now ? (double)(at_ns - now) / 1e9 : 0., 0.);
	ev_timer_start(exec->loop, timer);
}

/* Answers the job then at the latest. */
static void limit_at(struct exec_job *job, uint64_t at_ns)
{
	job->limit_ns = at_ns;
	exec_timer_at(job->exec, &job->limit, at_ns);
}

/* Looks at the files of a detached run, from the loop, after `after_ns` or when they are written to. */
static void look_in(struct exec_job *job, uint64_t after_ns)
{
	exec_timer_at(job->exec, &job->more, clock_ns(CLOCK_MONOTONIC) + after_ns);
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

/* Stops and closes what belongs to the job, and frees it. */
static void job_free(struct exec_job *job)
{
	struct ev_loop *loop = job->exec->loop;

	ev_timer_stop(loop, &job->limit);
	ev_timer_stop(loop, &job->more);
	ev_io_stop(loop, &job->written);
	if (job->detached)
		detached_files_close(&job->files);
	for (int i = 0; i < 2; i++)
		stream_close(loop, &job->streams[i]);
	close_fd(&job->input);
	free(job->message);
	free(job->outcome.out.bytes);
	free(job->outcome.err.bytes);
	free(job);
}

void exec_job_done(struct exec_job *job)
{
	struct exec_stats *stats = &job->exec->stats;
	struct exec_outcome *o = &job->outcome;

	o->out = job->streams[EXEC_STDOUT].output;
	o->err = job->streams[EXEC_STDERR].output;
	/*
	 * A pipe that is still open belongs to a process that outlived the drain time: its further output is dropped.
	 */
	for (int i = 0; i < 2; i++) {
		const struct stream *s = &job->streams[i];

		o->truncated = o->truncated || s->output.total > s->output.len || s->io.fd >= 0 ||
			       s->output.total < job->ends[i];
	}
	if (o->duration_ns == 0)
		o->duration_ns = clock_ns(CLOCK_MONOTONIC) - job->begin_ns;
	stats->done++;
	stats->running--;
	stats->stuck += o->stuck;
	stats->lost += o->lost;
	job->callbacks.done(job->data, o);
	*job->link = job->next;
	if (job->next)
		job->next->link = job->link;
	else
		job->exec->tail = job->link;
	job_free(job);
}

void exec_job_refused(struct exec_job *job, int error, int stage, const char *words)
{
	job->outcome.words = words;
	job->outcome.spawn_errno = error ? error : EIO;
	job->outcome.spawn_stage = (enum runner_stage)stage;
	exec_job_done(job);
}

/* How the command ended, as the executor or the end record tells it. */
static void outcome_take(struct exec_job *job, uint32_t flags, int status, uint64_t end_ns)
{
	struct exec_outcome *o = &job->outcome;

	o->timed_out = flags & RUNNER_TIMED_OUT;
	o->cancelled = flags & RUNNER_CANCELLED;
	o->stuck = flags & RUNNER_STUCK;
	o->lost = flags & RUNNER_LOST;
	o->oom_killed = flags & RUNNER_OOM;
	if (!o->stuck && !o->lost && WIFEXITED(status)) {
		o->exit_code = WEXITSTATUS(status);
	} else if (!o->stuck && !o->lost && WIFSIGNALED(status)) {
		o->signal = WTERMSIG(status);
		o->exit_code = 128 + o->signal;
	}
	if (end_ns > job->begin_ns)
		o->duration_ns = end_ns - job->begin_ns;
	job->state = JOB_EXITED;
}

/* ---------------------------------------- output */

/*
 * Tells of output and keeps what there is room for; `bytes` NULL: it was skipped. Out of memory, output is dropped, but
 * reading goes on: the command would block on a full pipe.
 */
static void output_take(struct stream *s, const char *bytes, size_t len)
{
	struct exec_job *job = s->job;
	struct exec_output *o = &s->output;
	size_t room = job->max_output - o->len, take = len < room ? len : room;

	if (job->callbacks.output)
		job->callbacks.output(job->data, (enum exec_stream)(s - job->streams), bytes, len);
	if (!bytes || o->len < o->total)
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
	ssize_t got = 0;

	for (int i = 0; i < READS_PER_TURN && s->io.fd >= 0; i++) {
		got = read(s->io.fd, buffer, sizeof(buffer));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		output_take(s, buffer, (size_t)got);
		if (got < READ_SIZE)
			return; /* most likely empty; if not, the loop calls again */
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		stream_close(s->job->exec->loop, s);
}

static bool job_finished(const struct exec_job *job)
{
	if (job->state != JOB_EXITED)
		return false;
	for (int i = 0; i < 2; i++)
		if (job->detached ? job->streams[i].output.total < job->ends[i] : job->streams[i].io.fd >= 0)
			return false;
	return true;
}

static void on_stream(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct stream *s = container_of(io, struct stream, io);

	loop_work(loop, "program output", NULL);
	(void)events;
	stream_read(s);
	if (job_finished(s->job))
		exec_job_done(s->job);
}

/* ---------------------------------------- detached runs */

static bool file_is_wanted(const struct stream *s)
{
	return s->job->live || (s->output.len == s->output.total && s->output.len < s->job->max_output);
}

/* Reads new output, within the turn's share; skips what is not wanted or too far behind. May end the job. */
static void files_read(struct exec_job *job)
{
	static char buffer[READ_SIZE];
	bool rest = false;

	for (int i = 0; i < 2; i++) {
		struct stream *s = &job->streams[i];
		uint64_t *at = &s->output.total;
		uint64_t end = job->state == JOB_EXITED ? job->ends[i] : detached_files_size(&job->files, i);

		for (int reads = 0; reads < READS_PER_TURN && *at < end && file_is_wanted(s); reads++) {
			uint64_t left = end - *at;
			ssize_t got =
				detached_files_read(&job->files, i, buffer, left < READ_SIZE ? left : READ_SIZE, *at);

			if (got <= 0)
				break;
			output_take(s, buffer, (size_t)got);
		}
		if (*at < end && (!file_is_wanted(s) || end - *at > LAG_MAX))
			output_take(s, NULL, end - *at);
		detached_files_cut(&job->files, i, job->max_output, *at);
		rest = rest || *at < end;
	}
	if (rest)
		look_in(job, 0);
	if (job_finished(job))
		exec_job_done(job);
}

/* Reads new output and the end record of a detached run. */
static void look(struct exec_job *job)
{
	enum detached_state state = DETACHED_RUNNING;
	struct end_record end = { .error = 0 };

	if (job->state != JOB_EXITED && job->state != JOB_UNSENT) {
		state = detached_files_state(&job->files, &end);
		if (state == DETACHED_RUNNING && job->closing)
			look_in(job, LOOK_NS);
		if (job->files.watch < 0)
			look_in(job, POLL_NS);
	}
	if (state == DETACHED_ENDED && end.error)
		exec_job_refused(job, end.error, end.stage, "");
	else if (state == DETACHED_ENDED) {
		job->outcome.started = true;
		outcome_take(job, end.flags, end.status, end.end_ns);
		/* Output is complete at the sizes of now: what processes left behind write later is not read. */
		for (int i = 0; i < 2; i++)
			job->ends[i] = detached_files_size(&job->files, i);
		ev_io_stop(job->exec->loop, &job->written);
		limit_at(job, after(clock_ns(CLOCK_MONOTONIC), EXEC_END_MS));
		files_read(job);
	} else if (state == DETACHED_RUNNING || (job->state == JOB_SENT && !job->orphaned))
		files_read(job); /* of a run that has not begun the executor, which is there, will report why */
	else if (job->unheard)
		exec_job_refused(job, ECONNRESET, RUNNER_STAGE_EXECUTOR, job->exec->fault);
	else {
		/* A launcher that is cancelled may die before it writes a record. */
		job->outcome.lost = !job->outcome.cancelled;
		exec_job_done(job);
	}
}

static void on_more(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	loop_work(loop, "program output", NULL);
	(void)events;
	look(container_of(timer, struct exec_job, more));
}

static void on_written(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct exec_job *job = container_of(io, struct exec_job, written);

	loop_work(loop, "program output", NULL);
	(void)events;
	job->closing = detached_files_woken(&job->files) || job->closing;
	look(job);
}

/* ---------------------------------------- replies of the executor */

static void job_started(struct exec_job *job, pid_t pid, int fds[2])
{
	for (int i = 0; i < 2 && !job->detached; i++) {
		struct stream *s = &job->streams[i];

		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		ev_io_set(&s->io, TAKE_FD(fds[i]), EV_READ);
		ev_io_start(job->exec->loop, &s->io);
	}
	job->state = JOB_RUNNING;
	job->begin_ns = clock_ns(CLOCK_MONOTONIC);
	job->outcome.started = true;
	if (job->callbacks.started)
		job->callbacks.started(job->data, pid);
	/* The run may be over already, and a cancel may be pending. */
	if (job->detached) {
		look_in(job, 0);
		exec_link_send(job->exec);
	}
}

static void job_exited(struct exec_job *job, const struct runner_reply *reply)
{
	uint64_t drained = after(clock_ns(CLOCK_MONOTONIC), EXEC_DRAIN_MS), last = after(job->kill_ns, EXEC_STUCK_MS);

	outcome_take(job, reply->flags, reply->status, reply->end_ns);
	/* Most often all output is in the pipes already: it is read without waiting for the loop. */
	for (int i = 0; i < 2; i++)
		while (job->streams[i].io.fd >= 0) {
			uint64_t before = job->streams[i].output.total;

			stream_read(&job->streams[i]);
			if (job->streams[i].output.total == before)
				break;
		}
	if (job_finished(job) || job->outcome.stuck)
		exec_job_done(job);
	else /* kill_ns takes precedence over the drain time */
		limit_at(job, drained < last ? drained : last);
}

void exec_reply(struct exec *exec, const struct runner_answer *answer, int fds[2])
{
	const struct runner_reply *reply = &answer->reply;
	struct exec_job *job = exec->jobs;

	while (job && job->id != reply->id)
		job = job->next;
	if (!job)
		return; /* answered already: stuck, or lost with an earlier executor */
	if (reply->op == RUNNER_REFUSED)
		exec_job_refused(job, reply->error, reply->stage, answer->text);
	else if (job->operation != (reply->op == RUNNER_ANSWERED))
		return; /* not the kind of reply that the request asks for */
	else if (job->operation) {
		/* An operation has no output: its answer ends the job. */
		job->outcome.started = true;
		job->outcome.operation_error = -reply->error;
		job->outcome.words = answer->text;
		exec_job_done(job);
	} else if (reply->op == RUNNER_EXITED && job->detached)
		return; /* the end comes from the run's end record */
	else if (reply->op == RUNNER_EXITED)
		job_exited(job, reply);
	else if (job->state == JOB_SENT && (job->detached || (fds[0] >= 0 && fds[1] >= 0)))
		job_started(job, reply->pid, fds);
	else if (job->state == JOB_SENT) {
		/*
		 * The pipes did not fit into the agent's descriptor table: the command is cancelled, because nobody
		 * would read it.
		 */
		exec_link_cancel(job, 0);
		exec_job_refused(job, EMFILE, RUNNER_STAGE_RESOURCE, "");
	}
}

/* ---------------------------------------- deadlines */

/*
 * By when the job has to be answered. A detached run may be attached to after its deadline: its launcher has ended it
 * or is doing so. Cancelling one may need an executor to be started.
 */
static uint64_t job_last(const struct exec_job *job)
{
	uint64_t last = after(job->kill_ns, EXEC_STUCK_MS), soon = after(clock_ns(CLOCK_MONOTONIC), EXEC_END_MS);

	if (job->detached && job->outcome.cancelled)
		return after(job->kill_ns, CANCEL_MS);
	return job->outcome.attached && last < soon ? soon : last;
}

/* Answers the job at its time limit, independent of its state. */
static void on_limit(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct exec_job *job = container_of(timer, struct exec_job, limit);
	struct exec_outcome *o = &job->outcome;

	(void)loop;
	(void)events;
	if (clock_ns(CLOCK_MONOTONIC) < job->limit_ns) {
		limit_at(job, job->limit_ns); /* the loop's clock was late when the timer was set */
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

/* ---------------------------------------- requests */

/* Builds the job's message. 0 or -errno. */
static int job_pack(struct exec_job *job, const struct exec_request *r)
{
	static char packed[RUNNER_MESSAGE_MAX];
	struct runner_request head = { .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns };
	int64_t len;

	if (r->operation) {
		struct runner_operation_request operation = { .head = head,
							      .operation = r->operation,
							      .group = r->group };

		len = runner_operation_build(operation, r->action, r->argument, packed, sizeof(packed));
	} else {
		struct runner_run run = {
			.head = head,
			.group = r->group,
			.flags = job->detached ? RUNNER_RUN_DETACHED
				 : r->input    ? RUNNER_RUN_INPUT
					       : 0,
			.oom_score_adj = OOM_SCORE_ADJ,
		};

		memcpy(run.limits, r->limits, sizeof(run.limits));
		len = runner_run_build(run, r->argv, r->envp, r->cwd, r->user, r->action,
				       job->detached ? job->unit : NULL, packed, sizeof(packed));
	}
	if (len < 0)
		return (int)len;
	job->message = malloc((size_t)len);
	if (!job->message)
		return -ENOMEM;
	memcpy(job->message, packed, (size_t)len);
	job->message_len = (size_t)len;
	return 0;
}

int exec_detached_dir(struct exec *exec)
{
	if (exec->detached_dir < 0 && exec->detached_path)
		exec->detached_dir = open(exec->detached_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return exec->detached_dir;
}

/* Makes the job of a request, with its files, message and input; nothing is set in motion. 0 or -errno. */
static int job_make(struct exec *exec, const struct exec_request *r, struct exec_job **ret)
{
	struct exec_job *job = calloc(1, sizeof(*job));
	bool created = false;
	int error = 0;

	if (!job)
		return -ENOMEM;
	*job = (struct exec_job){
		.exec = exec,
		.id = ++exec->next_id,
		.kill_ns = r->kill_ns,
		.term_ns = r->term_ns < r->kill_ns ? r->term_ns : r->kill_ns,
		.begin_ns = clock_ns(CLOCK_MONOTONIC),
		.max_output = r->max_output_bytes ? r->max_output_bytes : exec->config.max_output_bytes,
		.outcome = { .exit_code = -1, .words = "", .attached = r->attach, .started = r->attach },
		.operation = r->operation != RUNNER_OPERATION_NONE,
		.detached = r->unit && exec->config.socket_path,
		.files = DETACHED_FILES_NONE,
		.input = -1,
		.state = r->attach ? JOB_RUNNING : JOB_UNSENT,
		.live = r->live,
	};
	ev_init(&job->limit, on_limit);
	ev_init(&job->more, on_more);
	ev_init(&job->written, on_written);
	for (int i = 0; i < 2; i++) {
		job->streams[i].job = job;
		ev_init(&job->streams[i].io, on_stream);
		job->streams[i].io.fd = -1;
	}
	if (job->detached) {
		int dir_fd = exec_detached_dir(exec);

		snprintf(job->unit, sizeof(job->unit), "%s", r->unit);
		/* Attaching to missing files is no error: the first look finds the run lost. */
		if (r->attach && dir_fd >= 0)
			detached_files_open(&job->files, dir_fd, job->unit);
		else if (!r->attach)
			error = dir_fd < 0 ? -EIO : detached_files_create(&job->files, dir_fd, job->unit);
		created = !r->attach && error == 0;
	}
	if (error == 0 && !r->attach)
		error = job_pack(job, r);
	if (error == 0 && r->input && (job->input = fcntl(*r->input, F_DUPFD_CLOEXEC, 3)) < 0)
		error = -errno;
	if (error < 0) {
		if (created)
			detached_files_remove(exec->detached_dir, job->unit);
		job_free(job);
		return error;
	}
	*ret = job;
	return 0;
}

int exec_start(struct exec *exec, const struct exec_request *request, const struct exec_callbacks *callbacks,
	       void *data, struct exec_job **ret)
{
	bool program = !request->operation && !request->attach;
	const char *const *argv = request->argv;
	struct exec_job *job = NULL;
	int error;

	if (exec->stopping)
		return -ESHUTDOWN;
	if (request->unit && !runner_unit_valid(request->unit))
		return -EINVAL;
	if (program && (!argv || !argv[0] || argv[0][0] != '/' || (request->cwd && request->cwd[0] != '/')))
		return -EINVAL;
	for (const char *const *env = request->envp; program && env && *env; env++)
		if (**env == '=' || !strchr(*env, '='))
			return -EINVAL;
	if (exec->stats.running >= exec->config.max_jobs)
		return -ENOBUFS;
	error = request->attach ? 0 : exec_warm(exec);
	if (error == -ENOTCONN || error == -EHOSTDOWN)
		return error;
	error = job_make(exec, request, &job);
	if (error < 0)
		return error;
	job->callbacks = *callbacks;
	job->data = data;
	job->link = exec->tail;
	*exec->tail = job;
	exec->tail = &job->next;
	exec->stats.accepted++;
	exec->stats.running++;
	limit_at(job, job_last(job));
	if (job->detached)
		look_in(job, 0);
	if (job->files.watch >= 0) {
		ev_io_set(&job->written, job->files.watch, EV_READ);
		ev_io_start(exec->loop, &job->written);
	}
	*ret = job;
	if (request->attach)
		return 0;
	/* On failure the retry timer is set, and the job's time limit applies. */
	if (exec_warm(exec) < 0)
		exec_link_retry(exec);
	exec_link_send(exec);
	return 0;
}

void exec_forget(struct exec *exec, const char *unit)
{
	if (exec_detached_dir(exec) >= 0)
		detached_files_remove(exec->detached_dir, unit);
}

void exec_cancel_unit(struct exec *exec, const char *unit)
{
	struct runner_detached_cancel cancel = runner_detached_cancel_make(++exec->next_id, unit);

	if (exec_warm(exec) == 0 && exec->fd >= 0)
		send(exec->fd, &cancel, sizeof(cancel), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void exec_cancel(struct exec_job *job, uint64_t grace_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), kill_ns = grace_ns > TIME_NEVER - now ? TIME_NEVER : now + grace_ns;

	if (job->state == JOB_EXITED)
		return;
	job->outcome.cancelled = true;
	exec_link_cancel(job, kill_ns);
	/* A job that was never sent ends now, but through its timer: `done` is called from the loop only. */
	limit_at(job, job->state == JOB_UNSENT ? now : job_last(job));
}

void exec_stop(struct exec *exec, uint64_t grace_ns)
{
	if (!exec)
		return;
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		if (!job->detached)
			exec_cancel(job, grace_ns);
	exec->stopping = true;
}

/* ---------------------------------------- start and end */

/* A copy of `text`, or NULL for NULL. False: no memory. */
static bool copy(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return *ret || !text;
}

struct exec *exec_new(struct ev_loop *loop, const struct exec_config *config)
{
	struct exec *exec = calloc(1, sizeof(*exec));

	if (!exec)
		return NULL;
	exec->loop = loop;
	exec->config = *config;
	exec->detached_dir = exec->fd = -1;
	exec->tail = &exec->jobs;
	exec_link_init(exec);
	if (!copy(config->program, &exec->program) || !copy(config->socket_path, &exec->socket_path) ||
	    !copy(config->detached_dir, &exec->detached_path))
		return exec_free(exec);
	exec->config.socket_path = exec->socket_path;
	if (exec->config.max_jobs == 0 || exec->config.max_jobs > EXEC_JOBS_MAX)
		exec->config.max_jobs = EXEC_JOBS_MAX;
	if (exec->config.max_output_bytes == 0)
		exec->config.max_output_bytes = OUTPUT_DEFAULT;
	return exec;
}

struct exec *exec_free(struct exec *exec)
{
	if (!exec)
		return NULL;
	exec->stopping = true;
	exec_link_close(exec);
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		job->outcome.goes_on = job->detached && job->state != JOB_UNSENT && job->state != JOB_EXITED;
	exec_link_lose(exec, true, true);
	ev_timer_stop(exec->loop, &exec->retry);
	ev_child_stop(exec->loop, &exec->child);
	free(exec->program);
	free(exec->socket_path);
	free(exec->detached_path);
	close_fd(&exec->detached_dir);
	free(exec);
	return NULL;
}

struct exec_stats exec_stats(const struct exec *exec)
{
	struct exec_stats stats = exec->stats;

	stats.executor = exec->fd >= 0 ? exec->pid : 0;
	return stats;
}
