/* SPDX-License-Identifier: MIT */
/* Plans of steps with the package manager; see package_job.h. */
#include "agent/actions/package_job.h"

#include <errno.h>
#include <stdio.h>
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
#define DAY_S	  86400

enum names { NAMES_NONE, NAMES_ONE, NAMES_WORDS, NAMES_PENDING };

#define INTO(rows) .list = offsetof(struct package_job, rows)

static const struct {
	enum package_step step;
	enum names names;
	size_t list;   /* where rows go: offset in struct package_job */
	bool optional; /* a manager without it goes on */
	/*
	 * Set for the steps that change the guest, which are detached: the name in the journal, the same in all
	 * versions of the agent. The output of these is shown to the host.
	 */
	const char *change;
} steps[JOB_STEPS] = {
	[JOB_LIST] = { PACKAGE_LIST, NAMES_NONE, INTO(installed) },
	[JOB_LIST_ONE] = { PACKAGE_LIST, NAMES_ONE, INTO(installed) },
	[JOB_LIST_AGAIN] = { PACKAGE_LIST, NAMES_NONE, INTO(after) },
	[JOB_SEARCH] = { PACKAGE_SEARCH, NAMES_WORDS, INTO(found) },
	[JOB_COUNT] = { PACKAGE_COUNT, NAMES_WORDS, .optional = true },
	[JOB_EXISTS] = { PACKAGE_SHOW, NAMES_ONE, INTO(found), .optional = true },
	[JOB_SHOW] = { PACKAGE_SHOW, NAMES_ONE, INTO(found), .optional = true },
	[JOB_PENDING] = { PACKAGE_PENDING, NAMES_NONE, INTO(pending) },
	[JOB_ADVISORIES] = { PACKAGE_ADVISORIES, NAMES_NONE, INTO(pending), .optional = true },
	[JOB_SIZES] = { PACKAGE_SHOW, NAMES_PENDING, INTO(found), .optional = true },
	[JOB_FACTS] = { PACKAGE_FACTS, .optional = true },
	[JOB_HISTORY] = { PACKAGE_HISTORY, .optional = true },
	[JOB_SOURCES] = { PACKAGE_SOURCES, .optional = true },
	[JOB_LISTS] = { PACKAGE_LISTS, .optional = true },
	[JOB_REFRESH] = { PACKAGE_REFRESH, .change = "refresh" },
	[JOB_INSTALL] = { PACKAGE_INSTALL, NAMES_ONE, .change = "install" },
	[JOB_REMOVE] = { PACKAGE_REMOVE, NAMES_ONE, .change = "remove" },
	[JOB_UPDATE] = { PACKAGE_UPDATE, NAMES_ONE, .change = "update" },
	[JOB_UPDATE_ALL] = { PACKAGE_UPDATE_ALL, .change = "update-all" },
};

/* ------------------------------------------------------------------------------------------------------- the answer */

static const struct {
	enum error_code code;
	const char *reason, *words;
} faults[PACKAGE_FAULTS] = {
	[PACKAGE_FAULT_LOCKED] = { CODE_COMMAND_FAILED, "lock_busy", "another package manager is at work" },
	[PACKAGE_FAULT_PERMISSION] = { CODE_PERMISSION_DENIED, "no_privilege", "the package manager needs root" },
	[PACKAGE_FAULT_NOT_FOUND] = { CODE_NOT_FOUND, "no_such_package", "there is no such package" },
	[PACKAGE_FAULT_NETWORK] = { CODE_COMMAND_FAILED, "network", "its repositories are out of reach" },
	[PACKAGE_FAULT_SPACE] = { CODE_COMMAND_FAILED, "no_space", "there is not enough free space" },
	[PACKAGE_FAULT_INTERRUPTED] = { CODE_COMMAND_FAILED, "dpkg_interrupted",
					"dpkg was interrupted, and does nothing before \"dpkg --configure -a\" was "
					"run on the guest" },
	[PACKAGE_FAULT_DEPENDENCIES] = { CODE_COMMAND_FAILED, "broken_dependencies",
					 "dependencies are not met; what is installed may need \"apt-get "
					 "--fix-broken install\" (see stderr)" },
	[PACKAGE_FAULT_SCRIPT] = { CODE_COMMAND_FAILED, "script_failed",
				   "a script of a package failed, and left it half configured" },
	[PACKAGE_FAULT_DATABASE] = { CODE_COMMAND_FAILED, "database_broken",
				     "the package manager cannot read its own database" },
	[PACKAGE_FAULT_READ_ONLY] = { CODE_COMMAND_FAILED, "read_only",
				      "the file system it has to write to is read-only" },
	[PACKAGE_FAULT_UNTRUSTED] = { CODE_COMMAND_FAILED, "untrusted",
				      "packages or repositories are not signed by anybody the guest trusts" },
	[PACKAGE_FAULT_PROTECTED] = { CODE_COMMAND_FAILED, "protected",
				      "packages that are held, essential or protected would have to change" },
};

/* A program of this step has failed. */
static void fail(struct command *command, enum job_step step, struct exec_outcome *outcome)
{
	enum package_fault fault = package_fault_of(outcome->err.bytes, outcome->err.len, outcome->exit_code);

	if (fault == PACKAGE_FAULT_OTHER)
		fault = package_fault_of(outcome->out.bytes, outcome->out.len, outcome->exit_code);
	/* Half an answer meant for a parser is of no use to a host. */
	if (!steps[step].change)
		outcome->out.len = outcome->out.total = 0;
	if (faults[fault].words && outcome->started && !outcome->timed_out && !outcome->cancelled && !outcome->lost)
		run_answer_as(command, outcome, faults[fault].code, faults[fault].reason, faults[fault].words);
	else
		run_answer(command, outcome, NULL, NULL);
}

static void emit_data(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;
	bool of_one = job->task->takes == PACKAGE_TAKES_INSTALLED;
	const struct package *row = of_one ? package_list_find(&job->installed, job->name, NULL) : NULL;

	if (of_one && !row) {
		sink_null(out, key);
		return;
	}
	sink_object_begin(out, key);
	job->task->data(out, job, row);
	sink_object_end(out);
}

static void succeed(struct package_job *job)
{
	struct response response = {
		.success = true,
		.has_exit_code = job->out.bytes != NULL,
		.out = { job->out.bytes, job->out.len, job->out.total },
		.err = { job->err.bytes, job->err.len, job->err.total },
		.data = job->task->data ? emit_data : NULL,
		.arg = job,
	};
	char counted[128];
	size_t len;

	/* Beside the data, where people see it. */
	if (*job->warning && !response.err.bytes)
		response.err = (struct reply_stream){ job->warning, strlen(job->warning), strlen(job->warning) };
	if (job->task->counts_aloud) {
		len = (size_t)snprintf(counted, sizeof(counted),
				       "%llu of %zu installed packages have an update (%llu of them for security)\n",
				       (unsigned long long)package_count_updates(job, false), job->installed.count,
				       (unsigned long long)package_count_updates(job, true));
		response.out = (struct reply_stream){ counted, len, len };
	}
	command_answer(job->command, &response);
}

/*
 * JOB_JUDGE: whether enough is known of the repositories to report updates. A package is not called up to date when its
 * repository was not reached: without any list the command fails, with some lists missing the answer carries a warning
 * that names them. False with the command answered.
 */
static bool judge(struct package_job *job)
{
	struct package_refresh *last = &command_env(job->command)->package_refresh;
	const struct package_sources *asked = job->refreshed ? &job->unreached : &job->sources;
	size_t missing = package_sources_missing(asked);
	const char *words = NULL;
	char names[512];
	bool fatal = false;

	package_sources_name(asked, names, sizeof(names));
	/*
	 * No repository is configured, or the manager knows no package. Lists that exist all the same are of removed
	 * repositories and out of date. apt prints a URI for every kind of source, file: and cdrom: included.
	 */
	if (job->unreached.none ||
	    (job->manager->steps[PACKAGE_SOURCES].argv && !job->sources_unknown && job->sources.count == 0)) {
		words = "no repository is configured that has any package, so nothing is known of updates";
		fatal = job->refreshed || job->task->asks_for_updates;
		*names = '\0';
	} else if (job->refreshed) { /* what it said it could not reach */
		last->failed = missing > 0;
		snprintf(last->names, sizeof(last->names), "%s", names);
		fatal = missing && (job->sources_unknown || missing >= job->sources.count);
		if (fatal)
			words = "its repositories are out of reach";
		else if (missing)
			words = "these repositories are out of reach, so nothing is known of newer versions there";
	} else {
		char unlisted[sizeof(names)];

		job->refresh_failed = last->failed;
		package_sources_name(&job->unreached, unlisted, sizeof(unlisted));
		if (*unlisted) { /* apk says of its questions what others say of a refresh */
			words = "there is no list of these repositories, so nothing is known of updates there";
			memcpy(names, unlisted, sizeof(names));
		} else if (job->sources_unknown) {
			words = "which repositories are configured could not be read, so there may be updates that are "
				"not known of";
			*names = '\0';
		} else if (missing && missing == job->sources.count) {
			/* Lists of repositories that are not configured any more may lie there. */
			words = "no list of these repositories was ever fetched, so nothing is known of updates";
			fatal = job->task->asks_for_updates;
		} else if (missing) {
			words = "no list of these repositories was ever fetched, so nothing is known of updates there";
		} else if (last->failed) {
			words = "at the last refresh these repositories were out of reach, so newer versions may not "
				"be known of";
			memcpy(names, last->names, sizeof(names));
		}
	}
	if (fatal)
		command_fail(job->command, CODE_COMMAND_FAILED, "network", "%s%s%s", words, *names ? ": " : "", names);
	else if (words)
		snprintf(job->warning, sizeof(job->warning), "%s%s%s\n", words, *names ? ": " : "", names);
	return !fatal;
}

/* ------------------------------------------------------------------------------------------------- after each step */

static void next(struct command *command);

/* True if the program exited by itself, with any exit code. */
static bool ended(const struct exec_outcome *outcome)
{
	return outcome->started && outcome->spawn_errno == 0 && !outcome->lost && !outcome->cancelled &&
	       !outcome->stuck && !outcome->timed_out && !outcome->oom_killed && outcome->signal == 0;
}

/* True if the list of installed packages is compared with a later one. */
static bool compares(const enum job_step *plan)
{
	while (*plan != JOB_END && *plan != JOB_LIST_AGAIN)
		plan++;
	return *plan == JOB_LIST_AGAIN;
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

/* Drops the rows in `found` that do not have all words of the search in name or summary. */
static void keep_matching(struct package_job *job)
{
	size_t kept = 0;

	for (size_t i = 0; i < job->found.count; i++) {
		const struct package *row = &job->found.rows[i];
		size_t word = 0;

		while (word < job->word_count && ((row->name && strcasestr(row->name, job->words[word])) ||
						  (row->summary && strcasestr(row->summary, job->words[word]))))
			word++;
		if (word == job->word_count)
			job->found.rows[kept++] = *row;
	}
	job->found.count = kept;
}

/* Takes what the output of a step tells of repositories into the job. */
static void take_sources(struct package_job *job, enum job_step step, const struct exec_outcome *outcome)
{
	const struct package_command *program = &job->manager->steps[steps[step].step];
	bool of_questions = step == JOB_SOURCES || step == JOB_LISTS;
	struct package_sources *sources = of_questions ? &job->sources : &job->unreached;

	if (!program->sources)
		return;
	program->sources(outcome->out.bytes, outcome->out.len, sources);
	if (!of_questions)
		program->sources(outcome->err.bytes, outcome->err.len, sources);
	if (step == JOB_REFRESH && run_succeeded(outcome))
		package_sources_succeeded(sources);
}

/* Takes the output of a step into the job. 0, -ENOMEM, or -ENOENT: there is no such package. */
static int digest(struct package_job *job, enum job_step step, struct exec_outcome *outcome)
{
	struct package_list *list = (void *)((char *)job + steps[step].list);
	const struct package_command *program = &job->manager->steps[steps[step].step];
	const char *text = outcome->out.bytes;
	/* The last line of a truncated output may be half and is left out. */
	bool cut = outcome->out.total > outcome->out.len && outcome->out.len;
	const char *end = cut ? memrchr(text, '\n', outcome->out.len) : NULL;
	size_t len = end ? (size_t)(end - text) + 1 : outcome->out.len;
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
	case JOB_EXISTS: /* with exactly this name: the manager may have matched the word in other ways */
		len = strcspn(job->name, ":");
		for (size_t i = 0; i < job->found.count; i++)
			if (strncmp(job->found.rows[i].name, job->name, len) == 0 &&
			    job->found.rows[i].name[len] == '\0')
				return 0;
		return -ENOENT;
	case JOB_SEARCH:
		if (program->form == PACKAGE_FORM_GLOB)
			keep_matching(job);
		job->truncated = len < outcome->out.total;
		job->total = job->truncated ? 0 : job->found.count;
		return 0;
	case JOB_COUNT:
		job->total = 0;
		for (size_t i = 0; i < len; i++)
			job->total += text[i] == '\n';
		return 0;
	case JOB_ADVISORIES: /* details, such as which updates are for security, may then be unknown */
		job->truncated = job->truncated || outcome->out.len < outcome->out.total;
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
		return job->manager->history(text, len,
					     command_env(job->command)->loop->now.wall_ms / 1000 - job->days * DAY_S,
					     &job->history);
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
	int also_ok = job->manager->steps[steps[step].step].also_ok, r;
	bool well = run_succeeded(outcome) || (also_ok && outcome->exit_code == also_ok && ended(outcome));

	take_sources(job, step, outcome);
	/* JOB_JUDGE decides over the failures of steps that tell of repositories. */
	if (!well && ended(outcome) && (step == JOB_SOURCES || step == JOB_LISTS))
		well = job->sources_unknown = true;
	else if (!well && ended(outcome) && step == JOB_REFRESH)
		well = package_sources_missing(&job->unreached) > 0;
	if (!well) {
		fail(command, step, outcome);
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

/* --------------------------------------------------------------------------------------------------- the next step */

/* The names that are given to the program of the next step; none although it takes some: it is not run. */
static size_t names_of(struct package_job *job, const char *names[NAMES_MAX])
{
	const struct package_command *program = &job->manager->steps[steps[*job->plan].step];
	size_t count = 0;

	switch (steps[*job->plan].names) {
	case NAMES_ONE:
		names[0] = job->name;
		return 1;
	case NAMES_WORDS:
		for (size_t i = 0; i < job->word_count; i++)
			names[i] = program->form != PACKAGE_FORM_PLAIN ? job->escaped[i] : job->words[i];
		return job->word_count;
	case NAMES_PENDING: /* those not asked about yet; `name` alone if it is set */
		while (job->priced < job->pending.count && count < NAMES_MAX) {
			const struct package *row = &job->pending.rows[job->priced++];

			if (row->name && row->download_bytes < 0 && package_manager_takes(job->manager, row->name) &&
			    (!job->name || strcmp(job->name, row->name) == 0))
				names[count++] = row->name;
		}
		return count;
	default:
		return 0;
	}
}

/* A step that this job can do without. */
static bool is_dispensable(const struct package_job *job, enum job_step step)
{
	const struct command *command = job->command;
	uint64_t now_ns = command_env(command)->loop->now.mono_ns;

	if (step == JOB_ADVISORIES && job->pending.count == 0)
		return true;
	/* To count takes as long as to search: only when a third of the time was enough for that. */
	if (step == JOB_COUNT &&
	    (!job->truncated || now_ns - command->received_ns >= (command->term_ns - command->received_ns) / 3))
		return true;
	return steps[step].optional && !job->manager->steps[steps[step].step].argv;
}

static void next(struct command *command)
{
	struct package_job *job = command->work;
	const struct package_command *program;
	const char *names[NAMES_MAX], *argv[PACKAGE_ARGS_MAX];
	struct run run = { .argv = argv, .note = job->before.bytes ? &job->before : NULL, .done = on_step };
	size_t count = 0;
	char path[64];

	for (;; job->plan++) {
		if (*job->plan == JOB_END) {
			succeed(job);
			return;
		}
		if (*job->plan == JOB_JUDGE) {
			if (!judge(job))
				return;
			continue;
		}
		if (is_dispensable(job, *job->plan))
			continue;
		count = names_of(job, names);
		if (count || steps[*job->plan].names == NAMES_NONE)
			break;
	}
	program = &job->manager->steps[steps[*job->plan].step];
	run.step = steps[*job->plan].change;
	run.privileged = run.step != NULL;
	run.question = run.step == NULL;
	if (run.question)
		run.max_output_bytes = *job->plan == JOB_SEARCH ? SEARCH_MAX : ANSWER_MAX;
	if (!program->argv)
		command_fail(command, CODE_UNSUPPORTED_PLATFORM, "not_supported", "%s cannot do that",
			     job->manager->name);
	else if (!run_find(program->argv[0], path, sizeof(path)))
		command_fail(command, CODE_UNSUPPORTED_PLATFORM, "no_program", "this guest has no %s",
			     program->argv[0]);
	else if (package_argv(program, path, names, count, argv) < 0)
		command_fail(command, CODE_TOO_LARGE, "too_large", "too many packages at once");
	else
		run_program(command, &run);
}

/* ------------------------------------------------------------------------------------------------------- the begin */

const struct package_manager *package_manager_find(void)
{
	const struct package_manager *manager;
	char path[64];

	for (size_t i = 0; (manager = package_manager_at(i)); i++)
		if (run_find(manager->probe, path, sizeof(path)))
			break;
	return manager;
}

const struct package_manager *package_manager_require(struct command *command)
{
	const struct package_manager *manager = package_manager_find();

	if (!manager)
		command_fail(command, CODE_UNSUPPORTED_PLATFORM, "no_package_manager",
			     "this guest has none of apt, dnf and apk");
	return manager;
}

bool package_run(struct command *command, const struct package_manager *manager, enum package_step at, struct run run)
{
	const struct package_command *step = &manager->steps[at];
	const char *argv[PACKAGE_ARGS_MAX];
	char path[64];

	if (!step->argv || !run_find(step->argv[0], path, sizeof(path)) || package_argv(step, path, NULL, 0, argv) < 0)
		return false;
	run.argv = argv;
	run.question = true;
	run_program(command, &run);
	return true;
}

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

struct package_job *package_job_new(struct command *command, const struct package_task *task)
{
	const struct package_manager *manager = package_manager_require(command);
	struct package_job *job = manager ? calloc(1, sizeof(*job)) : NULL;

	if (manager && !job)
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
	if (!job)
		return NULL;
	job->command = command;
	job->task = task;
	job->manager = manager;
	job->refreshed_s = -1;
	command->work = job;
	command->work_free = job_free;
	return job;
}

void package_job_start(struct package_job *job, const enum job_step *plan)
{
	struct command *command = job->command;

	job->plan = plan;
	if (run_attaches(command)) { /* the plan of an earlier agent process goes on at the step that runs */
		_cleanup_(freep) char *before = NULL;
		size_t len = 0;

		while (*job->plan != JOB_END &&
		       (!steps[*job->plan].change || strcmp(steps[*job->plan].change, command->unit->step) != 0))
			job->plan++;
		if (*job->plan == JOB_END) { /* a step of another version: the answer is that of its program */
			run_program(command, &(struct run){ .privileged = true });
			return;
		}
		/* The list from before the update is the note of the run. */
		if (compares(job->plan) && *job->plan != JOB_REFRESH) {
			run_note_read(command, &before, &len);
			job->incomparable = !before ||
					    job->manager->steps[PACKAGE_LIST].parse(before, len, &job->installed) < 0 ||
					    (len && job->installed.count == 0);
			package_list_sort(&job->installed);
		}
	}
	next(command);
}
