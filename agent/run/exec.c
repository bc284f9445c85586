/* SPDX-License-Identifier: MIT */
/* Takes requests, creates and frees the executor handle; see exec.h and exec_private.h. */
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
#define OOM_SCORE_ADJ  500 /* when memory runs out the kernel kills a command before the agent */

static int64_t run_build(const struct exec_job *job, const struct exec_request *r, char *packed, size_t size)
{
	struct runner_run run = {
		.head = { .id = job->id, .term_ns = job->term_ns, .kill_ns = job->kill_ns },
		.group = r->group,
		.flags = exec_job_is_detached(job) ? RUNNER_RUN_DETACHED
			 : r->input		   ? RUNNER_RUN_INPUT
						   : 0,
		.limits = { [RUNNER_LIMIT_AS] = r->limits.address_space_bytes,
			    [RUNNER_LIMIT_FSIZE] = r->limits.file_bytes,
			    [RUNNER_LIMIT_CPU] = r->limits.cpu_s,
			    [RUNNER_LIMIT_NPROC] = r->limits.processes,
			    [RUNNER_LIMIT_NOFILE] = r->limits.open_files },
		.oom_score_adj = OOM_SCORE_ADJ,
	};

	return runner_run_build(run, r->argv, r->envp, r->cwd, r->user, r->action,
				exec_job_is_detached(job) ? job->unit : NULL, packed, size);
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

	if (r->attach)
		return 0;
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
	if (r->unit && !runner_unit_valid(r->unit))
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
	job->files = DETACHED_FILES_NONE;
	job->input = -1;
	if (r->unit && exec->config.socket_path)
		snprintf(job->unit, sizeof(job->unit), "%s", r->unit);
	job->outcome.attached = job->outcome.started = r->attach;
	if (r->attach)
		job->state = JOB_RUNNING;
	job->live = r->live;
	exec_job_init(job);
}

int exec_detached_dir(struct exec *exec)
{
	if (exec->detached_dir < 0 && exec->detached_path)
		exec->detached_dir = open(exec->detached_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return exec->detached_dir;
}

/*
 * Opens or creates the files of a detached run. Attaching to missing files is no error here: the first look finds the
 * run lost.
 */
static int files_make(struct exec_job *job, const struct exec_request *r)
{
	int dir_fd;

	if (!exec_job_is_detached(job))
		return 0;
	dir_fd = exec_detached_dir(job->exec);
	if (r->attach) {
		if (dir_fd >= 0)
			detached_files_open(&job->files, dir_fd, job->unit);
		return 0;
	}
	return dir_fd < 0 ? -EIO : detached_files_create(&job->files, dir_fd, job->unit);
}

static void files_undo(struct exec_job *job)
{
	bool created = job->files.writers[0] >= 0;

	detached_files_close(&job->files);
	if (created)
		detached_files_remove(job->exec->detached_dir, job->unit);
}

static void files_watch(struct exec_job *job)
{
	if (!exec_job_is_detached(job))
		return;
	exec_job_look_in(job, 0);
	if (job->files.watch < 0)
		return;
	ev_io_set(&job->written, job->files.watch, EV_READ);
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
	error = request->attach ? 0 : exec_warm(exec);
	if (error == -ENOTCONN || error == -EHOSTDOWN)
		return error;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job_init(job, exec, request);
	error = files_make(job, request);
	if (error == 0)
		error = job_pack(job, request);
	if (error == 0 && request->input && (job->input = fcntl(*request->input, F_DUPFD_CLOEXEC, 3)) < 0)
		error = -errno;
	if (error < 0) {
		free(job->message);
		ev_timer_stop(exec->loop, &job->limit);
		files_undo(job);
		return error;
	}
	job->callbacks = *callbacks;
	job->data = data;
	job->link = exec->tail;
	*exec->tail = job;
	exec->tail = &job->next;
	exec->stats.accepted++;
	exec->stats.running++;
	exec_job_limit(job, exec_job_last(job));
	files_watch(job);
	*ret = TAKE_PTR(job);
	if (request->attach)
		return 0;
	/* On failure the retry timer is set, and the job's time limit applies. */
	if (exec_warm(exec) < 0 && !ev_is_active(&exec->retry))
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
	uint64_t now = exec_now(), kill_ns = grace_ns > TIME_NEVER - now ? TIME_NEVER : now + grace_ns;

	if (job->state == JOB_EXITED)
		return;
	job->outcome.cancelled = true;
	exec_link_cancel(job, kill_ns);
	/* A job that was never sent ends now, but through its timer: `done` is called from the loop only. */
	exec_job_limit(job, job->state == JOB_UNSENT ? now : exec_job_last(job));
}

void exec_stop(struct exec *exec, uint64_t grace_ns)
{
	if (!exec)
		return;
	for (struct exec_job *job = exec->jobs; job; job = job->next)
		if (!exec_job_is_detached(job))
			exec_cancel(job, grace_ns);
	exec->stopping = true;
}

/* ---------------------------------------- start and end */

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
	if (config->detached_dir) {
		exec->detached_path = strdup(config->detached_dir);
		if (!exec->detached_path) {
			free(exec->socket_path);
			free(exec->program);
			return NULL;
		}
	}
	exec->detached_dir = -1;
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
		job->outcome.goes_on =
			exec_job_is_detached(job) && job->state != JOB_UNSENT && job->state != JOB_EXITED;
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
