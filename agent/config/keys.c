/* SPDX-License-Identifier: MIT */
/* The table of keys made of the settings, the parser and printer of values that use it, and suggestions. */
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
/* What may stand behind a row: */
#define AT_START .at_start = true
#define OR_ZERO .zero = true
#define HOST_MAY_SET .host_may_set = true
#define KEY(t, s, n) .section = #s, .name = #n, .type = CONFIG_##t, .offset = offsetof(struct config, s.n)
#define KEY_BOOL(s, n, d, h, ...) { KEY(BOOL, s, n), .fallback = d, .help = h, __VA_ARGS__ },
#define KEY_UINT(s, n, lo, hi, d, h, ...) { KEY(UINT, s, n), .min = lo, .max = hi, .fallback = d, .help = h, __VA_ARGS__ },
#define KEY_SIZE(s, n, lo, hi, d, h, ...) { KEY(SIZE, s, n), .min = lo, .max = hi, .fallback = d, .help = h, __VA_ARGS__ },
#define KEY_ENUM(s, n, v, d, h, ...) { KEY(ENUM, s, n), .values = v, .fallback = d, .help = h, __VA_ARGS__ },
#define KEY_TEXT(s, n, d, h, ...) { KEY(TEXT, s, n), .fallback = d, .help = h, __VA_ARGS__ },
#define KEY_PATH(s, n, lo, d, h, ...) { KEY(PATH, s, n), .min = lo, .fallback = d, .help = h, __VA_ARGS__ },
#define KEY_LIST(s, n, d, h, ...) { KEY(LIST, s, n), .fallback = d, .help = h, __VA_ARGS__ },
#define KEY_ROW(type, ...) KEY_##type(__VA_ARGS__)
#define KEY_COLLECTOR(name, fallback, help) KEY_BOOL(collectors, name, fallback, help)
/* clang-format on */

const struct config_key config_keys[] = {
	CONFIG_AGENT(KEY_ROW) CONFIG_PORT(KEY_ROW) CONFIG_TIMERS(KEY_ROW) COLLECTORS(KEY_COLLECTOR)
		CONFIG_COLLECTORS(KEY_ROW) CONFIG_COMMANDS(KEY_ROW) CONFIG_AUTH(KEY_ROW) CONFIG_LOG(KEY_ROW)
			CONFIG_SOCKET(KEY_ROW) CONFIG_QGA(KEY_ROW){ .section = NULL },
};

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

/* A decimal number; a size may have a unit behind it: "8M", "8MB" and "8MiB" mean the same. */
static bool parse_number(const char *text, bool size, uint64_t *ret)
{
	static const char units[] = "KMG";
	uint64_t value, factor = 1;
	const char *unit;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return false;
	while (size && *end == ' ')
		end++;
	unit = size && *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit) {
		factor = KIB << (10 * (unit - units));
		end += strcasecmp(end + 1, "B") == 0 || strcasecmp(end + 1, "iB") == 0 ? strlen(end) : 1;
	}
	return *end == '\0' && !__builtin_mul_overflow(value, factor, ret);
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

int config_key_parse(struct config *config, const struct config_key *key, const char *text, bool append,
		     struct err *err)
{
	void *to = field(config, key);
	uint64_t number;
	bool control = false;

	if (strlen(text) >= CONFIG_VALUE_MAX)
		return err_set(err, -EINVAL, "%s.%s: longer than %d bytes", key->section, key->name,
			       CONFIG_VALUE_MAX - 1);
	for (const char *at = text; *at; at++)
		control = control || (unsigned char)*at < 0x20 || *at == 0x7f;
	if (control && key->type != CONFIG_LIST)
		return err_set(err, -EINVAL, "%s.%s: control characters are not allowed", key->section, key->name);
	switch (key->type) {
	case CONFIG_BOOL:
		return parse_bool(text, to) ? 0 : wrong_value(key, text, err);
	case CONFIG_UINT:
	case CONFIG_SIZE:
		if (!parse_number(text, key->type == CONFIG_SIZE, &number) ||
		    ((number < key->min || number > key->max) && !(key->zero && number == 0)))
			return wrong_value(key, text, err);
		*(uint64_t *)to = number;
		return 0;
	case CONFIG_ENUM:
		for (int i = 0; key->values[i]; i++)
			if (strcasecmp(key->values[i], text) == 0) {
				*(int *)to = i;
				return 0;
			}
		return wrong_value(key, text, err);
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

size_t config_key_format(const struct config *config, const struct config_key *key, char out[CONFIG_VALUE_MAX])
{
	const void *from = (const char *)config + key->offset;
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
		out[0] = '\0';
		for (char *const *item = *(char *const *const *)from; *item && len < CONFIG_VALUE_MAX; item++)
			len += snprintf(out + len, CONFIG_VALUE_MAX - (size_t)len, "%s%s", len ? " " : "", *item);
		break;
	}
	return len < CONFIG_VALUE_MAX ? (size_t)len : CONFIG_VALUE_MAX - 1;
}

void config_key_range(const struct config_key *key, char *out, size_t size)
{
	char min[32], max[32];
	size_t at = 0;

	switch (key->type) {
	case CONFIG_BOOL:
		snprintf(out, size, "yes or no");
		break;
	case CONFIG_UINT:
		snprintf(out, size, "%sa whole number from %" PRIu64 " to %" PRIu64, key->zero ? "0 or " : "", key->min,
			 key->max);
		break;
	case CONFIG_SIZE:
		format_size(key->min, min, sizeof(min));
		format_size(key->max, max, sizeof(max));
		snprintf(out, size, "%sa size from %s to %s (in bytes, or with K, M, G)", key->zero ? "0 or " : "", min,
			 max);
		break;
	case CONFIG_ENUM:
		for (int i = 0; key->values[i] && at < size; i++) {
			const char *before = i == 0 ? "" : key->values[i + 1] ? ", " : " or ";

			at += (size_t)snprintf(out + at, size - at, "%s%s", before, key->values[i]);
		}
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

/* --------------------------------------------------------------------------------------------------- suggestions */

#define NAME_BYTES_MAX 63
/* Up to this length two edits make a different word. */
#define SHORT_NAME 4

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
	return strncasecmp(&a, &b, 1) == 0;
}

unsigned likely_distance(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b);
	unsigned rows[3][NAME_BYTES_MAX + 1];

	if (m > NAME_BYTES_MAX || n > NAME_BYTES_MAX || (m > n ? m - n : n - m) > LIKELY_EDITS)
		return LIKELY_EDITS + 1;
	for (size_t j = 0; j <= n; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= m; i++) {
		const unsigned *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
		unsigned *row = rows[i % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			row[j] =
				least(above[j - 1] + !same_letter(a[i - 1], b[j - 1]), least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
				row[j] = least(row[j], two_above[j - 2] + 1);
		}
	}
	return least(rows[m % 3][n], LIKELY_EDITS + 1);
}

const char *likely_name(const char *const *names, const char *name)
{
	unsigned best = LIKELY_EDITS + 1;
	const char *found = NULL;

	for (; *names; names++) {
		unsigned distance = likely_distance(name, *names);

		if (distance >= best)
			continue;
		best = distance;
		found = *names;
	}
	return found;
}

const char *likely_section(const char *section)
{
	const char *names[ARRAY_SIZE(config_keys)] = { NULL };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		names[i] = config_keys[i].section;
	return likely_name(names, section);
}

const struct config_key *likely_key(const char *section, const char *name)
{
	const char *meant = likely_section(section);
	const struct config_key *found = NULL;
	unsigned best = 2 * (LIKELY_EDITS + 1);

	for (const struct config_key *key = config_keys; key->section; key++) {
		bool here = meant && !strcmp(key->section, meant);
		unsigned distance = likely_distance(name, key->name);

		if (distance > (!here && strlen(name) <= SHORT_NAME ? 0 : LIKELY_EDITS))
			continue;
		/* A key of the same section precedes one of any other. */
		distance += here ? 0 : LIKELY_EDITS + 1;
		if (distance >= best)
			continue;
		best = distance;
		found = key;
	}
	return found;
}
