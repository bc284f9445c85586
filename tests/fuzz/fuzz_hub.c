/* SPDX-License-Identifier: MIT */
/*
 * What a guest sends into the hub: any line is parsed, its series gathered within bounds and written as text in small
 * parts. The text has one line a series, each of printable characters, none longer than its bound.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/hub/expose.h"
#include "tools/hub/parse.h"
#include "tools/hub/series.h"
#include "require.h"

static bool next(void *arg, uint64_t after, struct expose_vm *ret)
{
	if (after > 0)
		return false;
	*ret = (struct expose_vm){ .serial = 1, .labels = "vm=\"a\"", .sets = arg, .sets_len = 1 };
	for (int i = 0; i < FIGURES; i++)
		ret->figures[i] = NAN;
	return true;
}

static void look_at(const char *text, size_t len, size_t *lines)
{
	size_t since = 0;

	for (size_t i = 0; i < len; i++, since++) {
		unsigned char c = (unsigned char)text[i];

		REQUIRE(c == '\n' || (c >= 0x20 && c != 0x7F));
		if (c != '\n')
			continue;
		REQUIRE(since < EXPOSE_LINE_MAX);
		if (text[i - since] != '#')
			(*lines)++;
		since = (size_t)-1;
	}
}

static void expose_all(const struct series_set *set, enum expose_format format, bool late)
{
	struct expose expose;
	char buffer[3 * EXPOSE_LINE_MAX];
	size_t n, lines = 0;

	expose_init(&expose, (struct expose_source){ next, &set }, format, late);
	while ((n = expose_some(&expose, buffer, sizeof(buffer))) > 0) {
		REQUIRE(n <= sizeof(buffer));
		look_at(buffer, n, &lines);
	}
	REQUIRE(lines == set->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct series_bounds bounds = { 64, 4096 };
	char *line = malloc(size + 1); /* exactly as long as the line: what is read behind it is seen */
	struct series_set *set = NULL;
	struct json_object *message, *whole;

	REQUIRE(line != NULL);
	memcpy(line, data, size);
	message = line_parse(line, size);
	whole = message ? series_keep_whole(message) : NULL;
	if (message && series_of_sample(message, size % 2 ? whole : NULL, &bounds, &set) == 0) {
		REQUIRE(set->count <= bounds.series &&
			series_size(set) <= sizeof(*set) + 64 * sizeof(struct series) + 4096);
		expose_all(set, EXPOSE_TEXT, false);
		expose_all(set, EXPOSE_OPENMETRICS, false);
		expose_all(set, EXPOSE_TEXT, true);
		free(set);
	}
	json_object_put(whole);
	json_object_put(message);
	free(line);
	return 0;
}
