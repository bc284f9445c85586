/* SPDX-License-Identifier: MIT */
/*
 * Decides whether enough is known of the repositories to report updates. A package is not called up to date when its
 * repository was not reached: without any list the command fails, with some lists missing the answer carries a warning
 * that names them.
 */
#include "agent/actions/package_job.h"

#include <stdio.h>
#include <string.h>

#include "agent/actions/env.h"

static bool fail(struct command *command, const char *words, const char *names)
{
	command_fail(command, CODE_COMMAND_FAILED, "network", "%s%s%s", words, *names ? ": " : "", names);
	return false;
}

static void warn(struct package_job *job, const char *words, const char *names)
{
	snprintf(job->warning, sizeof(job->warning), "%s%s%s\n", words, *names ? ": " : "", names);
}

/*
 * True if no repository is configured, or the manager knows no package. Lists that exist all the same are of removed
 * repositories and out of date. apt prints a URI for every kind of source, file: and cdrom: included.
 */
static bool knows_nothing(const struct package_job *job)
{
	if (job->unreached.none)
		return true;
	return job->manager->steps[PACKAGE_SOURCES].argv && !job->sources_unknown && job->sources.count == 0;
}

/* After a refresh of our own: what it said it could not reach. */
static bool judge_refresh(struct command *command, struct package_job *job, const char *names)
{
	struct package_refresh *last = &command_env(command)->package_refresh;
	size_t missing = package_sources_missing(&job->unreached);

	last->failed = missing > 0;
	snprintf(last->names, sizeof(last->names), "%s", names);
	if (missing == 0)
		return true;
	if (job->sources_unknown || missing >= job->sources.count)
		return fail(command, "its repositories are out of reach", names);
	warn(job, "these repositories are out of reach, so nothing is known of newer versions there", names);
	return true;
}

static bool judge_lists(struct command *command, struct package_job *job, const char *names)
{
	const struct package_refresh *last = &command_env(command)->package_refresh;
	size_t missing = package_sources_missing(&job->sources);
	char without[512];

	job->refresh_failed = last->failed;
	package_sources_name(&job->unreached, without, sizeof(without));
	if (*without) { /* apk says of its questions what others say of a refresh */
		warn(job, "there is no list of these repositories, so nothing is known of updates there", without);
	} else if (job->sources_unknown) {
		warn(job,
		     "which repositories are configured could not be read, so there may be updates that are not known "
		     "of",
		     "");
	} else if (missing && missing == job->sources.count) { /* lists of repositories that are not configured any more
								  may lie there */
		if (job->asks_for_updates)
			return fail(command,
				    "no list of these repositories was ever fetched, so nothing is known of updates",
				    names);
		warn(job, "no list of these repositories was ever fetched, so nothing is known of updates", names);
	} else if (missing) {
		warn(job, "no list of these repositories was ever fetched, so nothing is known of updates there",
		     names);
	} else if (last->failed) {
		warn(job,
		     "at the last refresh these repositories were out of reach, so newer versions may not be known of",
		     last->names);
	}
	return true;
}

bool package_job_judge(struct command *command, struct package_job *job)
{
	static const char nothing[] =
		"no repository is configured that has any package, so nothing is known of updates";
	char names[512];

	if (knows_nothing(job)) {
		if (job->refreshed || job->asks_for_updates)
			return fail(command, nothing, "");
		warn(job, nothing, "");
		return true;
	}
	package_sources_name(job->refreshed ? &job->unreached : &job->sources, names, sizeof(names));
	return job->refreshed ? judge_refresh(command, job, names) : judge_lists(command, job, names);
}
