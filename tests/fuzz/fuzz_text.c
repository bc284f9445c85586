/* SPDX-License-Identifier: MIT */
/*
 * infinictl's way from the bytes of an agent, a host or a file to a terminal: of whatever comes no control character
 * gets there but newlines and tabs, and JSON stays the same JSON.
 */
#include <json-c/json.h>

#include "tools/infinictl/table.h"
#include "tools/infinictl/text.h"
#include "tools/infinictl/timespec.h"
#include "tools/show/show.h"
#include "require.h"
#include "transport/printable.h"

static char shown[1 << 16];
static FILE *out;

static size_t begin(void)
{
	if (!out)
		out = fmemopen(shown, sizeof(shown), "w");
	REQUIRE(out);
	rewind(out);
	return 0;
}

static void check_shown(bool lines)
{
	long len = (fflush(out), ftell(out));
	const unsigned char *p = (const unsigned char *)shown, *end = p + len;

	REQUIRE(len >= 0);
	while (p < end) {
		int step = printable_step(p, end);

		REQUIRE(step > 0 || *p == '\n' || (lines && *p == '\t'));
		p += step < 0 ? -step : step;
	}
}

static void check_json(const char *text, size_t size)
{
	struct json_object *object = text_parse(text, size), *again;
	struct table table;
	char bytes[32];
	double number;
	bool ascii = true;
	long len;

	if (!object)
		return;
	for (size_t i = 0; i < size; i++)
		ascii = ascii && (unsigned char)text[i] < 0x80;
	begin();
	show_json(out, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	check_shown(false);
	len = ftell(out);
	again = len < (long)sizeof(shown) - 1 ? text_parse(shown, (size_t)len) : NULL;
	/* What is not UTF-8 cannot stay the same. */
	REQUIRE(!ascii || len >= (long)sizeof(shown) - 1 || (again && json_object_equal(object, again)));
	json_object_put(again);
	begin();
	table_init(&table, out, true, 0, false);
	table_print(&table, 1790000000000, object);
	check_shown(false);
	text_bytes(text_number(object, &number) ? number : 0, true, bytes, sizeof(bytes));
	json_object_put(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct err e = { 0 };
	int64_t ms;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (size < sizeof(shown) / 8) {
		begin();
		show_text(out, text, size);
		check_shown(false);
		begin();
		show_cut(out, text, 20);
		check_shown(false);
		begin();
		show(out, "%s %d\n", text, 5);
		check_shown(false);
		check_json(text, size);
		if (timespec_parse(text, 1790000000000, &ms, &e) < 0)
			REQUIRE(*e.text);
	}
	free(text);
	return 0;
}
