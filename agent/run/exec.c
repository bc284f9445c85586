/* SPDX-License-Identifier: MIT */
/* Requests and the life of the whole; see exec.h and exec_private.h. */
#include "agent/run/exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define OUTPUT_DEFAULT (256 * 1024)
#define OOM_SCORE_ADJ  500 /* when memory runs out a command goes before the agent */

static int64_t run_build(const struct exec_job *job, const struct exec_request *r, char *packed, size_t size)
{
	struct runner_run run = {
		.head = { .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns },
		.group = r->group,
		.flags = exec_job_is_kept(job) ? RUNNER_RUN_KEEP
			 : r->input	       ? RUNNER_RUN_INPUT
					       : 0,
		.limits = { [RUNNER_LIMIT_AS] = r->limits.address_space_bytes,
			    [RUNNER_LIMIT_FSIZE] = r->limits.file_bytes,
			    [RUNNER_LIMIT_CPU] = r->limits.cpu_s,
			    [RUNNER_LIMIT_NPROC] = r->limits.processes,
			    [RUNNER_LIMIT_NOFILE] = r->limits.open_files },
		.oom_score_adj = OOM_SCORE_ADJ,
	};

	return runner_run_build(run, r->argv, r->envp, r->cwd, r->user, r->action,
				exec_job_is_kept(job) ? job->unit : NULL, packed, size);
}

static int64_t operation_build(const struct exec_job *job, const struct exec_request *r, char *packed, size_t size)
{
	struct runner_operation_request operation = {
		.head = { .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns },
		.operation = r->operation,
		.group = r->group,
	};

	return runner_operation_build(operation, r->action ? r->action : "", r->argument ? r->argument : "", packed,
				      size);
}

static int job_pack(struct exec_job *job, const struct exec_request *r)
{
	static char packed[RUNNER_MESSAGE_MAX];
	int64_t len;

	if (job->attached)
		return exec_link_ask_after(job);
	len = r->operation ? operation_build(job, r, packed, sizeof(packed))
			   : run_build(job, r, packed, sizeof(packed));
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
	if (r->keep_unit && !runner_unit_valid(r->keep_unit))
		return -EINVAL;
	if (r->operation || r->attach)
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
	job->begin_ns = exec_now();
	job->max_output = r->max_output_bytes ? r->max_output_bytes : exec->config.max_output_bytes;
	job->outcome.exit_code = -1;
	job->outcome.words = "";
	job->operation = r->operation != RUNNER_OPERATION_NONE;
	job->keep = EXEC_KEEP_NONE;
	job->input = -1;
	if (r->keep_unit && exec->config.socket_path)
		snprintf(job->unit, sizeof(job->unit), "%s", r->keep_unit);
	job->attached = job->outcome.attached = r->attach;
	job->live = r->live;
	exec_job_init(job);
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

	if (!exec_job_is_kept(job))
		return 0;
	dir_fd = exec_keep_dir(job->exec);
	if (dir_fd < 0)
		return r->attach ? 0 : -EIO;
	error = r->attach ? exec_keep_open(&job->keep, dir_fd, job->unit)
			  : exec_keep_create(&job->keep, dir_fd, job->unit);
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
	error = exec_warm(exec);
	if ((error == -ENOTCONN || error == -EHOSTDOWN) && !request->attach)
		return error;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job_init(job, exec, request);
	error = job_keep(job, request);
	if (error == 0)
		error = job_pack(job, request);
	if (error == 0 && request->input && (job->input = fcntl(*request->input, F_DUPFD_CLOEXEC, 3)) < 0)
		error = -errno;
	if (error < 0) {
		free(job->message);
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
		exec_job_limit(job, exec_after(job->kill_ns, EXEC_STUCK_MS));
	keep_watch(job);
	*ret = TAKE_PTR(job);
	/* When that fails the retry timer is set, and the job's limit counts. */
	if (exec_warm(exec) < 0 && !ev_is_active(&exec->retry))
		exec_link_retry(exec);
	exec_link_send(exec);
	return 0;
}

void exec_release(struct exec *exec, const char *unit)
{
	struct runner_request head = { .op = RUNNER_RELEASE, .id = ++exec->next_id };
	char packed[sizeof(struct runner_unit_request) + RUNNER_UNIT_SIZE];
	int64_t len = runner_unit_build(head, unit, packed, sizeof(packed));

	if (exec_keep_dir(exec) >= 0)
		exec_keep_remove(exec->keep_dir, unit);
	/* One that is not told finds out by itself that nobody asks for it (sweep.h). */
	if (len > 0 && exec->fd >= 0)
		send(exec->fd, packed, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void exec_cancel(struct exec_job *job, uint64_t grace_ns)
{
	uint64_t now = exec_now(), kill_ns = grace_ns > TIME_NEVER - now ? TIME_NEVER : now + grace_ns;

	if (job->state == JOB_EXITED)
		return;
	job->outcome.cancelled = true;
	exec_link_cancel(job, kill_ns);
	if (job->attached && job->state < JOB_RUNNING)
		return; /* it goes with the question */
	/* Never sent: nothing to wait for, but `done` is called from the loop only. */
	exec_job_limit(job, job->state == JOB_UNSENT ? now : exec_after(job->kill_ns, EXEC_STUCK_MS));
}

void exec_stop(struct exec *exec, uint64_t grace_ns)
{
	if (!exec)
		return;
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		if (!exec_job_is_kept(job))
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
	exec->random = (uint32_t)exec_now() ^ (uint32_t)getpid();
	exec_link_init(exec);
	return TAKE_PTR(exec);
}

struct exec *exec_free(struct exec *exec)
{
	if (!exec)
		return NULL;
	exec->stopping = true;
	exec_link_close(exec);
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		job->outcome.kept = exec_job_is_kept(job) && (job->state != JOB_UNSENT || job->attached) &&
				    job->state != JOB_EXITED;
	exec_link_lose(exec, true, true);
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
