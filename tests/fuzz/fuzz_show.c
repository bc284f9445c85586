/* SPDX-License-Identifier: MIT */
/* Text of any origin on its way to a terminal: nothing that may not be shown comes out, and JSON stays the same JSON.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "require.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"
#include "transport/printable.h"

static void check_shown(const char *text, size_t len, bool lines)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;

	while (p < end) {
		int step = printable_step(p, end);

		REQUIRE(step > 0 || (lines && (*p == '\n' || *p == '\t')));
		p += step < 0 ? -step : step;
	}
}

static char *shown(const char *text, size_t len, bool json, size_t *ret_len)
{
	char *out = NULL;
	FILE *stream = open_memstream(&out, ret_len);

	REQUIRE(stream);
	if (json)
		show_json(stream, text);
	else
		show_text(stream, text, len);
	REQUIRE(fclose(stream) == 0);
	return out;
}

static struct json_object *parse(const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(16);
	struct json_object *object;

	REQUIRE(tokener);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, text, (int)len + 1);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *plain, *escaped;
	struct json_object *before, *after;
	size_t plain_len, escaped_len;

	REQUIRE(text);
	memcpy(text, data, size);
	text[size] = '\0';
	plain = shown(text, size, false, &plain_len);
	check_shown(plain, plain_len, false);
	escaped = shown(text, size, true, &escaped_len);
	check_shown(escaped, escaped_len, true);
	before = parse(text, strlen(text));
	if (before) {
		after = parse(escaped, escaped_len);
		/* As text: NaN, which json-c takes, equals nothing. */
		REQUIRE(after && !strcmp(json_object_to_json_string(before), json_object_to_json_string(after)));
		json_object_put(after);
		json_object_put(before);
	}
	json_object_put(text_parse(text, size));
	size = printable_clean(text, size);
	REQUIRE(size == plain_len && memcmp(text, plain, size) == 0);
	free(text);
	free(plain);
	free(escaped);
	return 0;
}
