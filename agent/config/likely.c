/* SPDX-License-Identifier: MIT */
#include "agent/config/likely.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "agent/config/keys.h"

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
	unsigned best = LIKELY_EDITS + 1;
	const char *found = NULL;

	for (const struct config_key *key = config_keys; key->section; key++) {
		unsigned distance = likely_distance(section, key->section);

		if (distance >= best)
			continue;
		best = distance;
		found = key->section;
	}
	return found;
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
