/* SPDX-License-Identifier: MIT */
/*
 * The agent's settings as typed values, one field for each row of settings.h. Texts are never NULL after config_init:
 * "" means unset. Lists are NULL-terminated and never NULL either. Nothing here logs: errors are returned as text,
 * warnings go to the caller's callback.
 */
#ifndef AGENT_CONFIG_CONFIG_H
#define AGENT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <infiniservice/collectors.h>
#include <infiniservice/err.h>

#include "agent/config/alerts.h"
#include "agent/config/settings.h"

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

/* The types of the fields, by the first word of a row. */
#define CONFIG_BOOL_FIELD		       bool
#define CONFIG_UINT_FIELD		       uint64_t
#define CONFIG_SIZE_FIELD		       uint64_t
#define CONFIG_ENUM_FIELD		       int
#define CONFIG_TEXT_FIELD		       char *
#define CONFIG_PATH_FIELD		       char *
#define CONFIG_LIST_FIELD		       char **
#define CONFIG_FIELD(type, section, name, ...) CONFIG_##type##_FIELD name;
#define CONFIG_SWITCH(name, ...)	       bool name;

/* clang-format off */
struct config {
	struct { CONFIG_AGENT(CONFIG_FIELD) } agent;
	struct { CONFIG_PORT(CONFIG_FIELD) } port;
	struct { CONFIG_TIMERS(CONFIG_FIELD) } timers;
	struct { COLLECTORS(CONFIG_SWITCH) CONFIG_COLLECTORS(CONFIG_FIELD) } collectors;
	struct { CONFIG_COMMANDS(CONFIG_FIELD) } commands;
	struct { CONFIG_AUTH(CONFIG_FIELD) } auth;
	struct { CONFIG_LOG(CONFIG_FIELD) } log;
	struct { CONFIG_SOCKET(CONFIG_FIELD) } socket;
	struct { CONFIG_QGA(CONFIG_FIELD) } qga;
	struct config_alerts alerts;
};
/* clang-format on */

/* Longest line of a configuration file without its newline: the limit of libinih 55 as built by Debian. */
#define CONFIG_LINE_MAX 197
/* Warnings reported for one load; a last one has the number of the rest. */
#define CONFIG_WARNINGS_MAX 20

/* Receives one warning, "FILE:LINE: text"; `text` is valid during the call. */
typedef void (*config_warn_fn)(void *data, const char *text);

/* Kinds of findings of config_inspect. */
enum config_finding {
	CONFIG_WARNING,
	CONFIG_MISTAKE, /* the agent ignores it with a warning, but it is probably a mistake */
	CONFIG_ERROR,
};
typedef void (*config_tell_fn)(void *data, enum config_finding finding, const char *text);
/* Errors and warnings reported by one inspection; a last one has the number of the rest. */
#define CONFIG_FINDINGS_MAX 200

/* For each row of config_keys, "FILE:LINE" of its value, or NULL: the default. Initially zeroed. */
#define CONFIG_KEYS_MAX 256
struct config_origins {
	char *of[CONFIG_KEYS_MAX];
};

/*
 * Sets the defaults; agent.state_dir and agent.runtime_dir come from $STATE_DIRECTORY and $RUNTIME_DIRECTORY (the first
 * path of systemd's list). 0 or -ENOMEM.
 */
int config_init(struct config *config);

/* Frees what the config holds (not the struct); accepts a zeroed one. */
void config_free(struct config *config);

/* Makes `ret` (uninitialised memory) an independent copy. 0 or -ENOMEM. */
int config_copy(struct config *ret, const struct config *config);

/*
 * Reads the file at `path` alone or, if NULL, SYSCONFDIR/infiniservice like config_load_dir. On error (-EINVAL for the
 * content, -EPERM for an unsafe file, or that of open and read) `err` names file, line, key and cure, and the config is
 * unchanged. `warn` may be NULL.
 */
int config_load(struct config *config, const char *path, config_warn_fn warn, void *data, struct err *err);

/* Reads DIR/infiniservice.conf and then DIR/conf.d/(any).conf in the order of their names; each may be missing. */
int config_load_dir(struct config *config, const char *dir, config_warn_fn warn, void *data, struct err *err);

/*
 * For `config check`: reads like config_load, but goes on after an error, so that each is reported. Misspelt names,
 * keys outside of sections, keys set twice in a file and comments behind a value are errors here. The config gets all
 * valid values and is finally checked by config_check. The origin of each value is stored in `origins`, if not NULL. 0;
 * the first error: -EINVAL or -EPERM for a file or its content, else that of open(2); -ENOMEM.
 */
int config_inspect(struct config *config, const char *path, config_tell_fn tell, void *data,
		   struct config_origins *origins);
int config_inspect_dir(struct config *config, const char *dir, config_tell_fn tell, void *data,
		       struct config_origins *origins);

void config_origins_free(struct config_origins *origins);

/* Applies one "section.key=value". An unknown key is an error. 0, -EINVAL, -ENOMEM. */
int config_set(struct config *config, const char *assignment, struct err *err);

/*
 * Checks what depends on several keys or on the system: total against segments, lengths of paths, form of the port's
 * name. 0 or -EINVAL.
 */
int config_check(const struct config *config, config_warn_fn warn, void *data, struct err *err);

/* Checks one rule after the other: *at begins as 0. The error of the next broken rule, or 0 after the last. */
int config_check_each(const struct config *config, unsigned *at, struct err *err);

/* The interval of the metric log, with 0 resolved. */
uint64_t config_log_interval_ms(const struct config *config);

/*
 * Prints every key with its value as a file that config_load would read back to the same config; with `origins`, a
 * comment above each key names the origin of its value.
 */
void config_print(const struct config *config, const struct config_origins *origins, FILE *out);

/* Prints the commented default file, packaging/infiniservice.conf. Independent of the environment. */
void config_print_example(FILE *out);

#endif
