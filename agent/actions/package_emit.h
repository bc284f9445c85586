/* SPDX-License-Identifier: MIT */
/*
 * The data of the package actions' answers, from a finished package job: each function writes one value under `key`;
 * `arg` is the struct package_job.
 */
#ifndef AGENT_ACTIONS_PACKAGE_EMIT_H
#define AGENT_ACTIONS_PACKAGE_EMIT_H

#include <infiniservice/sink.h>

struct package_job;

/* {packages:[…]}: the installed packages, or those that a search found. */
void package_emit_installed(struct sink *out, const char *key, const void *arg);
void package_emit_found(struct sink *out, const char *key, const void *arg);

/* {pending_updates:[…], …}, with `history` if the job has read it; the second one adds `applications`. */
void package_emit_updates(struct sink *out, const char *key, const void *arg);
void package_emit_updates_and_applications(struct sink *out, const char *key, const void *arg);

/*
 * {applications:[…], summary}: all applications, or those that have an update; the third one writes the latter as a
 * line of text for people.
 */
void package_emit_applications(struct sink *out, const char *key, const void *arg);
void package_emit_updatable(struct sink *out, const char *key, const void *arg);
void package_say_updatable(const struct package_job *job, char *out, size_t size);

/*
 * {updates:[…], days, history_count, history_available}: the changes in the package log, newest first, a bounded
 * number.
 */
void package_emit_history(struct sink *out, const char *key, const void *arg);

/*
 * The package job->name, as an application, {application, metadata} or {app_id, size_bytes, …}; null if it is not
 * installed.
 */
void package_emit_application(struct sink *out, const char *key, const void *arg);
void package_emit_details(struct sink *out, const char *key, const void *arg);
void package_emit_size(struct sink *out, const char *key, const void *arg);

/* {updated:[…], reboot_required}: the packages whose version differs from that before the update. */
void package_emit_updated(struct sink *out, const char *key, const void *arg);

#endif
