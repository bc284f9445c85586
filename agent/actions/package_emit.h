/* SPDX-License-Identifier: MIT */
/* What the package actions answer, from a finished package job: each function writes one value. `arg` is the job. */
#ifndef AGENT_ACTIONS_PACKAGE_EMIT_H
#define AGENT_ACTIONS_PACKAGE_EMIT_H

#include <infiniservice/sink.h>

struct package_job;

/* {packages:[…]} of what is installed, or of what a search found. */
void package_emit_installed(struct sink *out, const char *key, const void *arg);
void package_emit_found(struct sink *out, const char *key, const void *arg);

/* {pending_updates:[…], …}; with `history` when there is one asked for, with `applications` beside. */
void package_emit_updates(struct sink *out, const char *key, const void *arg);
void package_emit_updates_and_applications(struct sink *out, const char *key, const void *arg);

/* {applications:[…], summary}: all, or those that have an update; and the latter in a line for people. */
void package_emit_applications(struct sink *out, const char *key, const void *arg);
void package_emit_updatable(struct sink *out, const char *key, const void *arg);
void package_say_updatable(const struct package_job *job, char *out, size_t size);

/*
 * {updates:[…], days, history_count, history_available}: the changes of the log, the newest first, a bounded number of
 * them.
 */
void package_emit_history(struct sink *out, const char *key, const void *arg);

/* Of job->name: the application, {application, metadata}, {app_id, size_bytes, …}; null if it is not installed. */
void package_emit_application(struct sink *out, const char *key, const void *arg);
void package_emit_details(struct sink *out, const char *key, const void *arg);
void package_emit_size(struct sink *out, const char *key, const void *arg);

/* {updated:[…], reboot_required}: what is of another version after than before. */
void package_emit_updated(struct sink *out, const char *key, const void *arg);

#endif
