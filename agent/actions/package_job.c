/* SPDX-License-Identifier: MIT */
/* Plans of steps with the package manager; see package_job.h. */
#include "agent/actions/package_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/detached.h"
#include "agent/actions/run.h"

/* Longest output of a query; a list of all packages of a large system is about 2 MiB. */
#define ANSWER_MAX (8u << 20)
#define SEARCH_MAX (4u << 20)
/* Most package names in one call. */
#define NAMES_MAX 500

/* Names of detached steps in the journal; the same in all versions of the agent. */
static const char *const step_names[JOB_STEPS] = {
	[JOB_REFRESH] = "refresh", [JOB_INSTALL] = "install",	    [JOB_REMOVE] = "remove",
	[JOB_UPDATE] = "update",   [JOB_UPDATE_ALL] = "update-all",
};

enum names { NAMES_NONE, NAMES_ONE, NAMES_WORDS, NAMES_PENDING };

static const struct {
	enum package_step step;
	enum names names;
	bool optional; /* a manager without it goes on */
	bool privileged;
	size_t max_output; /* 0: that of commands, shown to the host */
	size_t list;	   /* where rows go: offset in struct package_job */
} steps[JOB_STEPS] = {
	[JOB_LIST] = { PACKAGE_LIST, NAMES_NONE, false, false, ANSWER_MAX, offsetof(struct package_job, installed) },
	[JOB_LIST_ONE] = { PACKAGE_LIST, NAMES_ONE, false, false, ANSWER_MAX, offsetof(struct package_job, installed) },
	[JOB_LIST_AGAIN] = { PACKAGE_LIST, NAMES_NONE, false, false, ANSWER_MAX, offsetof(struct package_job, after) },
	[JOB_SEARCH] = { PACKAGE_SEARCH, NAMES_WORDS, false, false, SEARCH_MAX, offsetof(struct package_job, found) },
	[JOB_COUNT] = { PACKAGE_COUNT, NAMES_WORDS, true, false, ANSWER_MAX, 0 },
	[JOB_EXISTS] = { PACKAGE_SHOW, NAMES_ONE, true, false, ANSWER_MAX, offsetof(struct package_job, found) },
	[JOB_SHOW] = { PACKAGE_SHOW, NAMES_ONE, true, false, ANSWER_MAX, offsetof(struct package_job, found) },
	[JOB_PENDING] = { PACKAGE_PENDING, NAMES_NONE, false, false, ANSWER_MAX,
			  offsetof(struct package_job, pending) },
	[JOB_ADVISORIES] = { PACKAGE_ADVISORIES, NAMES_NONE, true, false, ANSWER_MAX,
			     offsetof(struct package_job, pending) },
	[JOB_SIZES] = { PACKAGE_SHOW, NAMES_PENDING, true, false, ANSWER_MAX, offsetof(struct package_job, found) },
	[JOB_FACTS] = { PACKAGE_FACTS, NAMES_NONE, true, false, ANSWER_MAX, 0 },
	[JOB_HISTORY] = { PACKAGE_HISTORY, NAMES_NONE, true, false, ANSWER_MAX, 0 },
	[JOB_SOURCES] = { PACKAGE_SOURCES, NAMES_NONE, true, false, ANSWER_MAX, 0 },
	[JOB_LISTS] = { PACKAGE_LISTS, NAMES_NONE, true, false, ANSWER_MAX, 0 },
	[JOB_REFRESH] = { PACKAGE_REFRESH, NAMES_NONE, false, true, 0, 0 },
	[JOB_INSTALL] = { PACKAGE_INSTALL, NAMES_ONE, false, true, 0, 0 },
	[JOB_REMOVE] = { PACKAGE_REMOVE, NAMES_ONE, false, true, 0, 0 },
	[JOB_UPDATE] = { PACKAGE_UPDATE, NAMES_ONE, false, true, 0, 0 },
	[JOB_UPDATE_ALL] = { PACKAGE_UPDATE_ALL, NAMES_NONE, false, true, 0, 0 },
};

static void next(struct command *command);

static void job_free(void *data)
{
	struct package_job *job = data;

	package_list_done(&job->installed);
	package_list_done(&job->after);
	package_list_done(&job->found);
	package_list_done(&job->pending);
	package_history_done(&job->history);
	free(job->before.bytes);
	free(job->out.bytes);
	free(job->err.bytes);
	free(job);
}

const struct package_manager *package_manager_require(struct command *command)
{
	const struct package_manager *manager;
	char path[64];

	for (size_t i = 0; (manager = package_manager_at(i)); i++)
		if (run_find(manager->probe, path, sizeof(path)))
			return manager;
	command_fail(command, CODE_UNSUPPORTED_PLATFORM, "no_package_manager",
		     "this guest has none of apt, dnf and apk");
	return NULL;
}

struct package_job *package_job_new(struct command *command)
{
	const struct package_manager *manager = package_manager_require(command);
	struct package_job *job = manager ? calloc(1, sizeof(*job)) : NULL;

	if (manager && !job)
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
	if (!job)
		return NULL;
	job->manager = manager;
	job->refreshed_s = -1;
	command->work = job;
	command->work_free = job_free;
	return job;
}

/* ------------------------------------------------------------------------------------------------- after each step */

static const struct {
	enum package_fault fault;
	enum error_code code;
	const char *reason, *words;
} faults[] = {
	{ PACKAGE_FAULT_LOCKED, CODE_COMMAND_FAILED, "lock_busy", "another package manager is at work" },
	{ PACKAGE_FAULT_PERMISSION, CODE_PERMISSION_DENIED, "no_privilege", "the package manager needs root" },
	{ PACKAGE_FAULT_NOT_FOUND, CODE_NOT_FOUND, "no_such_package", "there is no such package" },
	{ PACKAGE_FAULT_NETWORK, CODE_COMMAND_FAILED, "network", "its repositories are out of reach" },
	{ PACKAGE_FAULT_SPACE, CODE_COMMAND_FAILED, "no_space", "there is not enough free space" },
	{ PACKAGE_FAULT_INTERRUPTED, CODE_COMMAND_FAILED, "dpkg_interrupted",
	  "dpkg was interrupted, and does nothing before \"dpkg --configure -a\" was run on the guest" },
	{ PACKAGE_FAULT_DEPENDENCIES, CODE_COMMAND_FAILED, "broken_dependencies",
	  "dependencies are not met; what is installed may need \"apt-get --fix-broken install\" (see stderr)" },
	{ PACKAGE_FAULT_SCRIPT, CODE_COMMAND_FAILED, "script_failed",
	  "a script of a package failed, and left it half configured" },
	{ PACKAGE_FAULT_DATABASE, CODE_COMMAND_FAILED, "database_broken",
	  "the package manager cannot read its own database" },
	{ PACKAGE_FAULT_READ_ONLY, CODE_COMMAND_FAILED, "read_only",
	  "the file system it has to write to is read-only" },
	{ PACKAGE_FAULT_UNTRUSTED, CODE_COMMAND_FAILED, "untrusted",
	  "packages or repositories are not signed by anybody the guest trusts" },
	{ PACKAGE_FAULT_PROTECTED, CODE_COMMAND_FAILED, "protected",
	  "packages that are held, essential or protected would have to change" },
};

static void fail(struct command *command, struct exec_outcome *outcome, bool question)
{
	enum package_fault fault = package_fault_of(outcome->err.bytes, outcome->err.len, outcome->exit_code);

	if (fault == PACKAGE_FAULT_OTHER)
		fault = package_fault_of(outcome->out.bytes, outcome->out.len, outcome->exit_code);
	/* Half an answer meant for a parser is of no use to a host. */
	if (question)
		outcome->out.len = outcome->out.total = 0;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		if (faults[i].fault == fault && outcome->started && !outcome->timed_out && !outcome->cancelled &&
		    !outcome->lost) {
			run_answer_as(command, outcome, faults[i].code, faults[i].reason, faults[i].words);
			return;
		}
	}
	run_answer(command, outcome, NULL, NULL);
}

/* True if the program exited by itself, with any exit code. */
static bool ended(const struct exec_outcome *outcome)
{
	return outcome->started && outcome->spawn_errno == 0 && !outcome->lost && !outcome->cancelled &&
	       !outcome->stuck && !outcome->timed_out && !outcome->oom_killed && outcome->signal == 0;
}

static bool ended_well(const struct exec_outcome *outcome, const struct package_command *program)
{
	return run_succeeded(outcome) ||
	       (program->also_ok && outcome->exit_code == program->also_ok && outcome->started && !outcome->lost &&
		!outcome->cancelled && !outcome->stuck && !outcome->timed_out && outcome->signal == 0);
}

/* The length of the whole lines of an output; the last line of a truncated output may be half and is left out. */
static size_t whole_lines(const struct exec_output *out)
{
	const char *end = out->total > out->len && out->len ? memrchr(out->bytes, '\n', out->len) : NULL;

	return end ? (size_t)(end - out->bytes) + 1 : out->len;
}

static uint64_t count_lines(const char *text, size_t len)
{
	uint64_t lines = 0;

	for (const char *at = text; len && (at = memchr(at, '\n', len - (size_t)(at - text))); at++)
		lines++;
	return lines;
}

/* Copies the sizes of the records in `found` to the packages in `pending`. */
static void take_sizes(struct package_job *job)
{
	for (size_t i = 0; i < job->found.count; i++) {
		const struct package *record = &job->found.rows[i];
		struct package *pending = record->name ? package_list_find(&job->pending, record->name, NULL) : NULL;

		for (; pending && pending < job->pending.rows + job->pending.count &&
		       strcmp(pending->name, record->name) == 0;
		     pending++)
			if (pending->candidate && record->candidate &&
			    strcmp(pending->candidate, record->candidate) == 0)
				pending->download_bytes = record->download_bytes;
	}
	package_list_done(&job->found);
}

/* True if a record found has exactly this name; the manager may have matched the word in other ways. */
static bool found_exactly(const struct package_job *job)
{
	size_t len = strcspn(job->name, ":");

	for (size_t i = 0; i < job->found.count; i++)
		if (strncmp(job->found.rows[i].name, job->name, len) == 0 && job->found.rows[i].name[len] == '\0')
			return true;
	return false;
}

static bool compares(const enum job_step *plan)
{
	while (*plan != JOB_END && *plan != JOB_LIST_AGAIN)
		plan++;
	return *plan == JOB_LIST_AGAIN;
}

static bool matches(const struct package *row, const char *const words[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!(row->name && strcasestr(row->name, words[i])) &&
		    !(row->summary && strcasestr(row->summary, words[i])))
			return false;
	return true;
}

static void keep_matching(struct package_job *job)
{
	size_t kept = 0;

	for (size_t i = 0; i < job->found.count; i++)
		if (matches(&job->found.rows[i], job->words, job->word_count))
			job->found.rows[kept++] = job->found.rows[i];
	job->found.count = kept;
}

static void take_sources(struct package_job *job, enum job_step step, const struct exec_outcome *outcome)
{
	const struct package_command *program = &job->manager->steps[steps[step].step];
	struct package_sources *sources = step == JOB_SOURCES || step == JOB_LISTS ? &job->sources : &job->unreached;

	if (!program->sources)
		return;
	program->sources(outcome->out.bytes, outcome->out.len, sources);
	if (step != JOB_SOURCES && step != JOB_LISTS)
		program->sources(outcome->err.bytes, outcome->err.len, sources);
	if (step == JOB_REFRESH && run_succeeded(outcome))
		package_sources_succeeded(sources);
}

/* True if the failure of this step does not end the job: JOB_JUDGE decides over it. */
static bool is_for_judgement(struct package_job *job, enum job_step step, const struct exec_outcome *outcome)
{
	if (!ended(outcome))
		return false;
	if (step == JOB_SOURCES || step == JOB_LISTS)
		return job->sources_unknown = true;
	return step == JOB_REFRESH && package_sources_missing(&job->unreached) > 0;
}

/* Takes the output of a step into the job. 0, -ENOMEM, or -ENOENT: there is no such package. */
static int digest(struct package_job *job, enum job_step step, struct exec_outcome *outcome)
{
	struct package_list *list = (void *)((char *)job + steps[step].list);
	const struct package_command *program = &job->manager->steps[steps[step].step];
	const char *text = outcome->out.bytes;
	size_t len = whole_lines(&outcome->out);
	int r = program->parse ? program->parse(text, len, list) : 0;

	if (r < 0)
		return r;
	switch (step) {
	case JOB_LIST:
		if (compares(job->plan)) {
			job->before = outcome->out;
			job->before.len = len;
			outcome->out.bytes = NULL;
		}
		/* fall through */
	case JOB_LIST_AGAIN:
	case JOB_PENDING:
		job->truncated = job->truncated || len < outcome->out.total;
		package_list_sort(list);
		return 0;
	case JOB_LIST_ONE:
		package_list_sort(list);
		return job->installed.count ? 0 : -ENOENT;
	case JOB_EXISTS:
		return found_exactly(job) ? 0 : -ENOENT;
	case JOB_SEARCH:
		if (program->form == PACKAGE_FORM_GLOB)
			keep_matching(job);
		job->truncated = len < outcome->out.total;
		job->total = job->truncated ? 0 : job->found.count;
		return 0;
	case JOB_COUNT:
		job->total = count_lines(text, len);
		return 0;
	case JOB_SIZES:
		take_sizes(job);
		return 0;
	case JOB_FACTS:
		job->refreshed_s = job->manager->lists_path && !job->refresh_failed
					   ? stat_time(text, len, job->manager->lists_path)
					   : -1;
		job->reboot_required =
			job->manager->reboot_path && stat_time(text, len, job->manager->reboot_path) >= 0;
		return 0;
	case JOB_HISTORY:
		job->history_known = len > 0;
		return job->manager->history(text, len, job->since_s, &job->history);
	case JOB_REFRESH:
		job->refreshed = true;
		return 0;
	case JOB_UPDATE:
	case JOB_UPDATE_ALL:
	case JOB_INSTALL:
	case JOB_REMOVE:
		free(job->out.bytes);
		free(job->err.bytes);
		job->out = outcome->out;
		job->err = outcome->err;
		outcome->out = outcome->err = (struct exec_output){ .bytes = NULL };
		return 0;
	default:
		return 0;
	}
}

static void on_step(struct command *command, struct exec_outcome *outcome)
{
	struct package_job *job = command->work;
	enum job_step step = *job->plan;
	int r;

	/* Details (such as which updates are for security) may then be unknown. */
	job->truncated = job->truncated || (step == JOB_ADVISORIES && outcome->out.len < outcome->out.total);
	take_sources(job, step, outcome);
	if (!ended_well(outcome, &job->manager->steps[steps[step].step]) && !is_for_judgement(job, step, outcome)) {
		fail(command, outcome, !steps[step].privileged);
		return;
	}
	r = digest(job, step, outcome);
	if (r == -ENOENT) {
		command_fail(command, CODE_NOT_FOUND, "no_such_package", "there is no such package%s",
			     step == JOB_LIST_ONE ? " installed" : "");
	} else if (r < 0) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
	} else {
		if (step != JOB_SIZES || job->priced >= job->pending.count)
			job->plan++;
		next(command);
	}
}

/*
 * ----------------------------------------------------------------------------------------------------- the next step
 */

/* The names of pending packages not asked about yet; `name` alone if it is set. */
static size_t names_pending(struct package_job *job, const char *names[NAMES_MAX])
{
	size_t count = 0;

	while (job->priced < job->pending.count && count < NAMES_MAX) {
		const struct package *row = &job->pending.rows[job->priced++];

		if (row->name && row->download_bytes < 0 && package_manager_takes(job->manager, row->name) &&
		    (!job->name || strcmp(job->name, row->name) == 0))
			names[count++] = row->name;
	}
	return count;
}

static size_t names_of(struct package_job *job, const char *names[NAMES_MAX])
{
	const struct package_command *program = &job->manager->steps[steps[*job->plan].step];

	switch (steps[*job->plan].names) {
	case NAMES_ONE:
		names[0] = job->name;
		return 1;
	case NAMES_WORDS:
		for (size_t i = 0; i < job->word_count; i++)
			names[i] = program->form != PACKAGE_FORM_PLAIN ? job->escaped[i] : job->words[i];
		return job->word_count;
	case NAMES_PENDING:
		return names_pending(job, names);
	default:
		return 0;
	}
}

static void run_step(struct command *command, const char *const names[], size_t count)
{
	struct package_job *job = command->work;
	const struct package_command *program = &job->manager->steps[steps[*job->plan].step];
	const char *argv[PACKAGE_ARGS_MAX];
	char path[64];
	size_t max_output = steps[*job->plan].max_output;
	struct run run = { .argv = argv,
			   .step = step_names[*job->plan],
			   .note = job->before.bytes ? &job->before : NULL,
			   .privileged = steps[*job->plan].privileged,
			   .question = max_output != 0,
			   .max_output_bytes = max_output,
			   .done = on_step };

	if (!run_find(program->argv[0], path, sizeof(path)))
		command_fail(command, CODE_UNSUPPORTED_PLATFORM, "no_program", "this guest has no %s",
			     program->argv[0]);
	else if (package_argv(program, path, names, count, argv) < 0)
		command_fail(command, CODE_TOO_LARGE, "too_large", "too many packages at once");
	else
		run_program(command, &run);
}

/* To count takes as long as to search: only when a third of the time was enough for that. */
static bool worth_counting(const struct command *command, const struct package_job *job)
{
	uint64_t now_ns = command_env(command)->loop->now.mono_ns;

	return job->truncated && now_ns - command->received_ns < (command->term_ns - command->received_ns) / 3;
}

/* A step that this job can do without. */
static bool dispensable(const struct command *command, const struct package_job *job, enum job_step step)
{
	return (steps[step].optional && !job->manager->steps[steps[step].step].argv) ||
	       (step == JOB_COUNT && !worth_counting(command, job)) ||
	       (step == JOB_ADVISORIES && job->pending.count == 0);
}

static void next(struct command *command)
{
	struct package_job *job = command->work;
	const char *names[NAMES_MAX];
	size_t count = 0;

	for (;; job->plan++) {
		if (*job->plan == JOB_END) {
			job->finish(command, job);
			return;
		}
		if (*job->plan == JOB_JUDGE) {
			if (!package_job_judge(command, job))
				return;
			continue;
		}
		if (dispensable(command, job, *job->plan))
			continue;
		count = names_of(job, names);
		if (count || steps[*job->plan].names == NAMES_NONE)
			break;
	}
	if (!job->manager->steps[steps[*job->plan].step].argv)
		command_fail(command, CODE_UNSUPPORTED_PLATFORM, "not_supported", "%s cannot do that",
			     job->manager->name);
	else
		run_step(command, names, count);
}

/* Restores the list from before the update, which an earlier agent process stored as the note of the run. */
static void recall(struct command *command)
{
	struct package_job *job = command->work;
	const struct package_command *program = &job->manager->steps[steps[JOB_LIST].step];
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;

	if (!compares(job->plan) || *job->plan == JOB_REFRESH)
		return;
	detached_note_read(command, &text, &len);
	job->incomparable =
		!text || program->parse(text, len, &job->installed) < 0 || (len && job->installed.count == 0);
	package_list_sort(&job->installed);
}

/*
 * Resumes the plan of an earlier agent process at the running step. False: the plan has no such step (of another
 * version).
 */
static bool skip_to_attached(struct command *command)
{
	struct package_job *job = command->work;

	while (*job->plan != JOB_END &&
	       (!step_names[*job->plan] || strcmp(step_names[*job->plan], command->unit->step) != 0))
		job->plan++;
	if (*job->plan == JOB_END)
		return false;
	recall(command);
	return true;
}

void package_job_start(struct command *command, const enum job_step *plan,
		       void (*finish)(struct command *command, struct package_job *job))
{
	struct package_job *job = command->work;

	job->plan = plan;
	job->finish = finish;
	if (detached_attaches(command) && !skip_to_attached(command)) {
		struct run run = { .privileged = true };

		run_program(command, &run);
		return;
	}
	next(command);
}

void package_job_succeed(struct command *command, void (*data)(struct sink *sink, const char *key, const void *arg),
			 const void *arg)
{
	const struct package_job *job = command->work;
	struct response response = {
		.success = true,
		.out = { job->out.bytes, job->out.len, job->out.total },
		.err = { job->err.bytes, job->err.len, job->err.total },
		.data = data,
		.arg = arg,
	};

	/* Beside the data, where people see it. */
	if (*job->warning && !response.err.bytes)
		response.err = (struct reply_stream){ job->warning, strlen(job->warning), strlen(job->warning) };
	if (*job->said)
		response.out = (struct reply_stream){ job->said, strlen(job->said), strlen(job->said) };
	if (job->out.bytes) {
		response.has_exit_code = true;
		response.exit_code = 0;
	}
	command_answer(command, &response);
}

bool package_parameter(struct command *command, const char *key, bool needed, const char **ret)
{
	const struct package_manager *manager;
	struct message_fault fault;
	const char *name = NULL;

	if (message_param_text(&command->message, key, &name, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (!name && needed) {
		command_fail(command, CODE_INVALID_PARAMETERS, "missing_field", "%s is missing", key);
		return false;
	}
	if (!name)
		return true;
	if (!package_name_valid(name)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "%s is no name of a package", key);
		return false;
	}
	manager = package_manager_require(command);
	if (manager && !package_manager_takes(manager, name)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "%s is no name of a package of %s", key,
			     manager->name);
		manager = NULL;
	}
	if (manager)
		*ret = name;
	return manager != NULL;
}
