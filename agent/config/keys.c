/* SPDX-License-Identifier: MIT */
/* The table of all keys, and the parser and printer of values that use it. */
#include "agent/config/keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"

#define KIB    1024ULL
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define DAY_MS 86400000ULL

static const char *const log_levels[] = { "error", "warning", "notice", "info", "debug", NULL };
static const char *const signatures[] = { "auto", "no", "yes", NULL };
static const char *const compressions[] = { "none", "zstd", NULL };
static const char *const syncs[] = { "none", "interval", "always", NULL };

/* clang-format off */
#define AT(field) .offset = offsetof(struct config, field)
/* What may stand behind a row: */
#define AT_START .at_start = true
#define OR_ZERO .zero = true
#define HOST_MAY_SET .host_may_set = true
#define BOOL(s, n, d, h, ...) { #s, #n, CONFIG_BOOL, AT(s.n), .fallback = d, .help = h, __VA_ARGS__ }
#define UINT(s, n, lo, hi, d, h, ...) { #s, #n, CONFIG_UINT, AT(s.n), .min = lo, .max = hi, .fallback = d, .help = h, __VA_ARGS__ }
#define SIZE(s, n, lo, hi, d, h, ...) { #s, #n, CONFIG_SIZE, AT(s.n), .min = lo, .max = hi, .fallback = d, .help = h, __VA_ARGS__ }
#define ENUM(s, n, v, d, h, ...) { #s, #n, CONFIG_ENUM, AT(s.n), .values = v, .fallback = d, .help = h, __VA_ARGS__ }
#define TEXT(s, n, d, h, ...) { #s, #n, CONFIG_TEXT, AT(s.n), .fallback = d, .help = h, __VA_ARGS__ }
#define PATHS(s, n, lo, d, h, ...) { #s, #n, CONFIG_PATH, AT(s.n), .min = lo, .fallback = d, .help = h, __VA_ARGS__ }
#define LIST(s, n, d, h, ...) { #s, #n, CONFIG_LIST, AT(s.n), .fallback = d, .help = h, __VA_ARGS__ }

#define COLLECTOR_KEY(name, fallback, help) BOOL(collectors, name, fallback, help),

const struct config_key config_keys[] = {
	TEXT(agent, vm_id, "", "Name of this VM towards the host. Empty: $INFINIBAY_VM_ID, else the product UUID of the machine,|else one made from its machine-id, else one made once and kept in state_dir.", AT_START),
	ENUM(agent, log_level, log_levels, "info", "Least important message that is logged."),
	UINT(agent, shutdown_grace_s, 0, 3600, "10", "Time that running commands get to end by themselves when the agent stops."),
	PATHS(agent, state_dir, 1, "/var/lib/infiniservice", "What has to outlive a reboot. $STATE_DIRECTORY (set by systemd) takes the place of the default.", AT_START),
	PATHS(agent, runtime_dir, 1, "/run/infiniservice", "latest.json and what has to outlive a restart. $RUNTIME_DIRECTORY takes the place of the default.", AT_START),

	TEXT(port, spec, "virtio:org.infinibay.agent", "Where the host is: virtio:NAME, the path of a port, pty or serial line, unix:PATH, stdio or none.", AT_START),
	SIZE(port, max_line_bytes, 1024, 16 * MIB, "1M", "Longest line taken from the host.", AT_START),
	SIZE(port, queue_bytes, 64 * KIB, 256 * MIB, "4M", "Output kept for a host that does not read; beyond it the oldest samples are dropped.", AT_START),

	UINT(timers, metrics_interval_ms, 10, DAY_MS, "30000", "Between two samples.", HOST_MAY_SET),
	UINT(timers, command_poll_ms, 10, DAY_MS, "100", "Between two looks for commands, only on ports that cannot be waited on."),
	UINT(timers, health_interval_ms, 10, DAY_MS, "60000", "Between two looks at the agent's own health."),
	UINT(timers, collect_timeout_ms, 10, DAY_MS, "5000", "What is not measured by then is left out of the sample.", HOST_MAY_SET),

	COLLECTORS(COLLECTOR_KEY)
	UINT(collectors, processes_top, 0, 1000, "20", "How many processes a sample lists.", HOST_MAY_SET),
	UINT(collectors, ports_max, 0, 1000, "1000", "How many ports a sample lists.", HOST_MAY_SET),

	BOOL(commands, enabled, "yes", "Take commands at all."),
	UINT(commands, max_concurrent, 1, 64, "5", "Commands of the host that run at the same time. Local clients have one slot of their own."),
	UINT(commands, queue_size, 1, 10000, "100", "Commands of the host that wait; one more is answered QUEUE_FULL."),
	UINT(commands, rate_per_s, 0, 100000, "0", "Commands taken in a second from one source; 0 is unlimited."),
	UINT(commands, default_timeout_s, 1, 86400, "30", "For a command that brings no time-out."),
	SIZE(commands, max_output_bytes, 1024, 512 * KIB, "256K", "Kept of each output stream of a command; the rest is read and counted."),
	SIZE(commands, max_memory_bytes, MIB, 1024 * GIB, "0", "Address space that each process of a command may have; 0: no limit.|Those that start as units of their own are limited as a whole.", OR_ZERO),
	UINT(commands, max_tasks, 8, 1000000, "0", "Processes and threads that the user of a command may have when it runs; 0: no limit.|Root is exempt, except in units of their own.", OR_ZERO),
	LIST(commands, allow, "observe", "Actions or groups the host may use: observe, control, packages, power."),
	BOOL(commands, audit_reads, "yes", "Record commands that only read what the agent knows already, too.|Of more than 20 a second it is counted only how many they were."),
	LIST(commands, deny, "", "Actions or groups it may not; deny wins over allow."),
	LIST(commands, deny_units, "", "Units that ServiceControl and RestartServices leave alone, besides those that are built in:|infiniservice's own, those that give a shell, a login or the power over the machine (see the manual).|Patterns: postgresql@ is each of its instances, backup-* all that begin so."),
	BOOL(commands, allow_unsafe, "no", "Let the host run any program and script (UnsafeCommand)."),
	TEXT(commands, run_as, "", "User that programs run as; the host can then name no other.|A host's system or administrator is this user; where none is set, root.|Empty: the one the host names, else the one the agent, or its executor, runs as."),
	PATHS(commands, executor_socket, 1, "/run/infiniservice-exec/exec.sock", "Where an agent that is not root reaches the executor, for all that changes something.|It is there once infiniservice-exec.socket is enabled.", AT_START),

	PATHS(auth, secret_file, 0, "", "Secret shared with the host. Empty: a systemd credential \"secret\", else " SYSCONFDIR "/infiniservice/secret,|else $INFINISERVICE_SHARED_SECRET; none of them: no secret."),
	ENUM(auth, require_signature, signatures, "auto", "Refuse what is not signed; auto: when there is a secret."),

	BOOL(log, enabled, "yes", "Keep the samples in a local log.", AT_START),
	PATHS(log, dir, 1, "/var/log/infiniservice", "Directory of the log; made if missing.", AT_START),
	SIZE(log, segment_bytes, 64 * KIB, GIB, "8M", "A file of the log is closed before it would grow beyond this.", AT_START),
	SIZE(log, max_total_bytes, 128 * KIB, 1024 * GIB, "256M", "All files together; the oldest are removed. At least two segments.", AT_START),
	ENUM(log, compress, compressions, "none", "Compression of closed files.", AT_START),
	ENUM(log, sync, syncs, "interval", "When lines are forced to the disk: none, interval (at most once in 5 s) or always.", AT_START),
	UINT(log, interval_ms, 10, DAY_MS, "0", "Between two samples for the log; 0: the same samples as for the host.", OR_ZERO),

	PATHS(socket, path, 1, "/run/infiniservice/agent.sock", "Socket for local clients, such as infinictl.", AT_START),
	TEXT(socket, group, "infiniservice", "Group that may use it. Empty: only the agent's own user.", AT_START),
	UINT(socket, max_clients, 1, 10000, "1100", "Clients at the same time."),
	UINT(socket, max_per_user, 1, 10000, "16", "Of one user; root and the agent's own user are exempt."),
	{ .section = NULL },
};
/* clang-format on */

_Static_assert(ARRAY_SIZE(config_keys) <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX is too small");

const struct config_key *config_key_find(const char *section, const char *name)
{
	for (const struct config_key *key = config_keys; key->section; key++)
		if (!strcmp(key->section, section) && !strcmp(key->name, name))
			return key;
	return NULL;
}

static void *field(struct config *config, const struct config_key *key)
{
	return (char *)config + key->offset;
}

static const void *field_const(const struct config *config, const struct config_key *key)
{
	return (const char *)config + key->offset;
}

static char **strv_free(char **list)
{
	for (char **item = list; item && *item; item++)
		free(*item);
	free(list);
	return NULL;
}

static void strv_freep(char ***list)
{
	strv_free(*list);
}

void config_key_clear(struct config *config, const struct config_key *key)
{
	char **text = field(config, key);

	if (key->type == CONFIG_TEXT || key->type == CONFIG_PATH) {
		free(*text);
		*text = NULL;
	} else if (key->type == CONFIG_LIST) {
		*(char ***)field(config, key) = strv_free(*(char ***)field(config, key));
	}
}

/* ------------------------------------------------------------------------------------------------------ parsing */

static bool parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };

	for (unsigned i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcasecmp(text, yes[i]) && strcasecmp(text, no[i]))
			continue;
		*ret = !strcasecmp(text, yes[i]);
		return true;
	}
	return false;
}

static bool parse_unit(const char *text, uint64_t *ret_factor)
{
	static const struct {
		char letter;
		uint64_t factor;
	} units[] = { { 'K', KIB }, { 'M', MIB }, { 'G', GIB } };

	*ret_factor = 1;
	if (!*text)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(units); i++) {
		if ((*text & ~0x20) != units[i].letter)
			continue;
		*ret_factor = units[i].factor;
		/* "8M", "8MB" and "8MiB" mean the same. */
		return !text[1] || !strcasecmp(text + 1, "B") || !strcasecmp(text + 1, "iB");
	}
	return false;
}

static bool parse_number(const char *text, bool size, uint64_t *ret)
{
	uint64_t value, factor = 1;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return false;
	while (size && *end == ' ')
		end++;
	if (size ? !parse_unit(end, &factor) : *end != '\0')
		return false;
	return !__builtin_mul_overflow(value, factor, ret);
}

static bool number_in_range(const struct config_key *key, uint64_t value)
{
	return (key->zero && value == 0) || (value >= key->min && value <= key->max);
}

static int wrong_value(const struct config_key *key, const char *text, struct err *err)
{
	char range[256];

	config_key_range(key, range, sizeof(range));
	return err_set(err, -EINVAL, "%s.%s: \"%.100s\" is not allowed, it has to be %s", key->section, key->name, text,
		       range);
}

static int no_memory(const struct config_key *key, struct err *err)
{
	return err_set(err, -ENOMEM, "%s.%s: out of memory", key->section, key->name);
}

static int parse_text(char **to, const struct config_key *key, const char *text, struct err *err)
{
	size_t len = strlen(text);
	char *copy;

	if ((key->min && !len) || (key->type == CONFIG_PATH && len && text[0] != '/'))
		return wrong_value(key, text, err);
	if (len >= 2 && (text[0] == '"' || text[0] == '\'') && text[len - 1] == text[0])
		return err_set(err, -EINVAL, "%s.%s: quotes would be part of the value, write it without them",
			       key->section, key->name);
	copy = strdup(text);
	if (!copy)
		return no_memory(key, err);
	free(*to);
	*to = copy;
	return 0;
}

static int parse_list(char ***to, const struct config_key *key, const char *text, bool append, struct err *err)
{
	_cleanup_(strv_freep) char **list = calloc(CONFIG_LIST_MAX + 1, sizeof(*list));
	size_t count = 0;

	if (!list)
		return no_memory(key, err);
	for (size_t i = 0; append && *to && (*to)[i]; i++)
		if (!(list[count++] = strdup((*to)[i])))
			return no_memory(key, err);
	for (size_t len; *(text += strspn(text, " ,\t")); text += len) {
		len = strcspn(text, " ,\t");
		if (count == CONFIG_LIST_MAX)
			return err_set(err, -EINVAL, "%s.%s: more than %d items", key->section, key->name,
				       CONFIG_LIST_MAX);
		if (!(list[count++] = strndup(text, len)))
			return no_memory(key, err);
	}
	strv_free(*to);
	*to = TAKE_PTR(list);
	return 0;
}

static int parse_enum(int *to, const struct config_key *key, const char *text, struct err *err)
{
	for (int i = 0; key->values[i]; i++) {
		if (strcasecmp(key->values[i], text))
			continue;
		*to = i;
		return 0;
	}
	return wrong_value(key, text, err);
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

int config_key_parse(struct config *config, const struct config_key *key, const char *text, bool append,
		     struct err *err)
{
	void *to = field(config, key);
	uint64_t number;

	if (strlen(text) >= CONFIG_VALUE_MAX)
		return err_set(err, -EINVAL, "%s.%s: longer than %d bytes", key->section, key->name,
			       CONFIG_VALUE_MAX - 1);
	if (has_control(text) && key->type != CONFIG_LIST)
		return err_set(err, -EINVAL, "%s.%s: control characters are not allowed", key->section, key->name);
	switch (key->type) {
	case CONFIG_BOOL:
		return parse_bool(text, to) ? 0 : wrong_value(key, text, err);
	case CONFIG_UINT:
	case CONFIG_SIZE:
		if (!parse_number(text, key->type == CONFIG_SIZE, &number) || !number_in_range(key, number))
			return wrong_value(key, text, err);
		*(uint64_t *)to = number;
		return 0;
	case CONFIG_ENUM:
		return parse_enum(to, key, text, err);
	case CONFIG_TEXT:
	case CONFIG_PATH:
		return parse_text(to, key, text, err);
	case CONFIG_LIST:
		return parse_list(to, key, text, append, err);
	}
	return -EINVAL;
}

/* ----------------------------------------------------------------------------------------------------- printing */

/* Writes the shortest exact form: 8388608 is 8M. */
static int format_size(uint64_t value, char *out, size_t size)
{
	static const char units[] = " KMG";
	unsigned unit = 0;

	while (unit < 3 && value && value % 1024 == 0) {
		value /= 1024;
		unit++;
	}
	if (!unit)
		return snprintf(out, size, "%" PRIu64, value);
	return snprintf(out, size, "%" PRIu64 "%c", value, units[unit]);
}

static int format_list(char *const *list, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (; *list && at < size; list++)
		at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "", *list);
	return (int)at;
}

size_t config_key_format(const struct config *config, const struct config_key *key, char out[CONFIG_VALUE_MAX])
{
	const void *from = field_const(config, key);
	int len = 0;

	switch (key->type) {
	case CONFIG_BOOL:
		len = snprintf(out, CONFIG_VALUE_MAX, "%s", *(const bool *)from ? "yes" : "no");
		break;
	case CONFIG_UINT:
		len = snprintf(out, CONFIG_VALUE_MAX, "%" PRIu64, *(const uint64_t *)from);
		break;
	case CONFIG_SIZE:
		len = format_size(*(const uint64_t *)from, out, CONFIG_VALUE_MAX);
		break;
	case CONFIG_ENUM:
		len = snprintf(out, CONFIG_VALUE_MAX, "%s", key->values[*(const int *)from]);
		break;
	case CONFIG_TEXT:
	case CONFIG_PATH:
		len = snprintf(out, CONFIG_VALUE_MAX, "%s", *(char *const *)from);
		break;
	case CONFIG_LIST:
		len = format_list(*(char *const *const *)from, out, CONFIG_VALUE_MAX);
		break;
	}
	return len < CONFIG_VALUE_MAX ? (size_t)len : CONFIG_VALUE_MAX - 1;
}

static void range_numbers(const struct config_key *key, char *out, size_t size)
{
	char min[32], max[32];

	if (key->type == CONFIG_SIZE) {
		format_size(key->min, min, sizeof(min));
		format_size(key->max, max, sizeof(max));
		snprintf(out, size, "%sa size from %s to %s (in bytes, or with K, M, G)", key->zero ? "0 or " : "", min,
			 max);
	} else {
		snprintf(out, size, "%sa whole number from %" PRIu64 " to %" PRIu64, key->zero ? "0 or " : "", key->min,
			 key->max);
	}
}

static void range_values(const struct config_key *key, char *out, size_t size)
{
	size_t at = 0;

	for (int i = 0; key->values[i] && at < size; i++) {
		const char *before = i == 0 ? "" : key->values[i + 1] ? ", " : " or ";

		at += (size_t)snprintf(out + at, size - at, "%s%s", before, key->values[i]);
	}
}

void config_key_range(const struct config_key *key, char *out, size_t size)
{
	switch (key->type) {
	case CONFIG_BOOL:
		snprintf(out, size, "yes or no");
		break;
	case CONFIG_UINT:
	case CONFIG_SIZE:
		range_numbers(key, out, size);
		break;
	case CONFIG_ENUM:
		range_values(key, out, size);
		break;
	case CONFIG_TEXT:
		snprintf(out, size, "%s", key->min ? "a text that is not empty" : "a text");
		break;
	case CONFIG_PATH:
		snprintf(out, size, "an absolute path%s", key->min ? "" : " or empty");
		break;
	case CONFIG_LIST:
		snprintf(out, size, "words separated by blanks or commas");
		break;
	}
}
