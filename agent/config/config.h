/* SPDX-License-Identifier: MIT */
/*
 * The agent's settings as typed values. Every key is one row of the table in keys.c, which drives parsing, defaults,
 * ranges, --set, printing and the example file; this struct is what the rows point into.
 * Texts are never NULL after config_init: "" means unset. Lists are NULL-terminated and never NULL either.
 * Nothing here logs: errors come with words, warnings through the caller's callback.
 */
#ifndef AGENT_CONFIG_CONFIG_H
#define AGENT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <infiniservice/collectors.h>
#include <infiniservice/err.h>

enum config_log_level {
	CONFIG_LOG_ERROR,
	CONFIG_LOG_WARNING,
	CONFIG_LOG_NOTICE,
	CONFIG_LOG_INFO,
	CONFIG_LOG_DEBUG,
};

enum config_signature {
	CONFIG_SIGNATURE_AUTO, /* required when there is a secret */
	CONFIG_SIGNATURE_NO,
	CONFIG_SIGNATURE_YES,
};

enum config_compress {
	CONFIG_COMPRESS_NONE,
	CONFIG_COMPRESS_ZSTD,
};

/* The values are those of enum log_sync (agent/log/writer.h). */
enum config_sync {
	CONFIG_SYNC_NONE,
	CONFIG_SYNC_INTERVAL,
	CONFIG_SYNC_ALWAYS,
};

#define COLLECTOR_SWITCH(name, fallback, help) bool name;

struct config {
	struct {
		char *vm_id;   /* "": found out at start */
		int log_level; /* enum config_log_level */
		uint64_t shutdown_grace_s;
		char *state_dir;
		char *runtime_dir;
	} agent;
	struct {
		char *spec;
		uint64_t max_line_bytes;
		uint64_t queue_bytes;
	} port;
	struct {
		uint64_t metrics_interval_ms;
		uint64_t command_poll_ms;
		uint64_t health_interval_ms;
		uint64_t collect_timeout_ms;
	} timers;
	struct {
		COLLECTORS(COLLECTOR_SWITCH)
		uint64_t processes_top;
		uint64_t ports_max;
	} collectors;
	struct {
		bool enabled;
		uint64_t max_concurrent;
		uint64_t queue_size;
		uint64_t rate_per_s; /* 0: unlimited */
		uint64_t default_timeout_s;
		uint64_t max_output_bytes;
		uint64_t max_memory_bytes; /* 0: no limit */
		uint64_t max_tasks;	   /* 0: no limit */
		char **allow;		   /* actions or groups */
		char **deny;
		char **deny_units; /* patterns, besides the table of agent/rules/unit_rules.c */
		bool audit_reads;
		bool allow_unsafe;
		char *run_as; /* "": the agent's own user */
		char *executor_socket;
	} commands;
	struct {
		char *secret_file;     /* "": the usual places, see secret.h */
		int require_signature; /* enum config_signature */
	} auth;
	struct {
		bool enabled;
		char *dir;
		uint64_t segment_bytes;
		uint64_t max_total_bytes;
		int compress;	      /* enum config_compress */
		int sync;	      /* enum config_sync */
		uint64_t interval_ms; /* 0: the metrics interval, see config_log_interval_ms */
	} log;
	struct {
		char *path;
		char *group;
		uint64_t max_clients;
		uint64_t max_per_user;
	} socket;
};

/* Longest line of a configuration file, its newline not counted: what libinih 55 as Debian builds it takes whole. */
#define CONFIG_LINE_MAX 197
/* Warnings told for one load; the rest are only counted in a last one. */
#define CONFIG_WARNINGS_MAX 20

/* Receives one warning, "FILE:LINE: text"; `text` is valid during the call. */
typedef void (*config_warn_fn)(void *data, const char *text);

/* What config_inspect tells: "FILE:LINE: text". */
enum config_finding {
	CONFIG_WARNING,
	CONFIG_MISTAKE, /* the agent passes over it with a warning, but it can hardly be meant */
	CONFIG_ERROR,
};
typedef void (*config_tell_fn)(void *data, enum config_finding finding, const char *text);
/* Errors and warnings told by one inspection; the rest are only counted in a last one. */
#define CONFIG_FINDINGS_MAX 200

/* For each row of config_keys, "FILE:LINE" of the value it has, or NULL: the default. Begins zeroed. */
#define CONFIG_KEYS_MAX 256
struct config_origins {
	char *of[CONFIG_KEYS_MAX];
};

/*
 * Fills in the defaults; agent.state_dir and agent.runtime_dir follow $STATE_DIRECTORY and $RUNTIME_DIRECTORY (the
 * first path of the list that systemd may put there). 0 or -ENOMEM.
 */
int config_init(struct config *config);

/* Frees what the config holds (not the struct); accepts a zeroed one. */
void config_free(struct config *config);

/* Makes `ret` (uninitialised memory) an independent copy. 0 or -ENOMEM. */
int config_copy(struct config *ret, const struct config *config);

/*
 * Reads the file at `path` alone, or with NULL SYSCONFDIR/infiniservice as config_load_dir does. On an error
 * (-EINVAL for what is in the file, -EPERM for an unsafe file, or that of open and read) `err` names file, line, key
 * and cure, and the config is as it was. `warn` may be NULL.
 */
int config_load(struct config *config, const char *path, config_warn_fn warn, void *data, struct err *err);

/* Reads DIR/infiniservice.conf and then DIR/conf.d/(any).conf in the order of their names; each may be missing. */
int config_load_dir(struct config *config, const char *dir, config_warn_fn warn, void *data, struct err *err);

/*
 * For `config check`: reads as config_load does, but goes on after an error, so that each is told. Names that are none
 * but near one, keys in no section, keys set twice in a file and comments behind a value are errors here. What could be
 * read is in the config, and ends with what config_check says. Where each value came from is in `origins`, if not NULL.
 * 0; the first error: -EINVAL or -EPERM for what is wrong with a file or in it, else that of open(2); -ENOMEM.
 */
int config_inspect(struct config *config, const char *path, config_tell_fn tell, void *data,
		   struct config_origins *origins);
int config_inspect_dir(struct config *config, const char *dir, config_tell_fn tell, void *data,
		       struct config_origins *origins);

void config_origins_free(struct config_origins *origins);

/* Applies one "section.key=value". An unknown key is an error here: somebody typed it. 0, -EINVAL, -ENOMEM. */
int config_set(struct config *config, const char *assignment, struct err *err);

/* What no single key can know: total against segments, lengths of paths, shape of the port's name. 0 or -EINVAL. */
int config_check(const struct config *config, config_warn_fn warn, void *data, struct err *err);

/* One rule of it after the other: *at begins as 0; the next one that is broken, or 0 after the last. */
int config_check_each(const struct config *config, unsigned *at, struct err *err);

/* The interval of the metric log, with 0 resolved. */
uint64_t config_log_interval_ms(const struct config *config);

/*
 * Prints every key with its value as a file that config_load would read back to the same config; with `origins`, above
 * each that has one a comment that names it.
 */
void config_print(const struct config *config, const struct config_origins *origins, FILE *out);

/* Prints the commented default file, packaging/infiniservice.conf. The environment has no influence on it. */
void config_print_example(FILE *out);

#endif
