/* SPDX-License-Identifier: MIT */
/* Lists that may be longer than there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "capture_sink.h"
#include "collectors/ranked.h"

static void emit_item(struct sink *out, uint32_t at, const void *user)
{
	const int *values = user;

	if (values[at] >= 0) /* others are not shown */
		sink_int(out, NULL, values[at]);
}

static bool item_before(uint32_t a, uint32_t b, const void *user)
{
	const int *values = user;

	return values[a] > values[b];
}

/* What the list looks like in `limit` bytes. */
static void expect(const int *values, size_t count, size_t limit, size_t shown, const char *text)
{
	struct ranked list = { .key = "items",
			       .rank = "largest first",
			       .count = count,
			       .emit = emit_item,
			       .before = item_before,
			       .user = values };
	struct capture *capture = capture_begin();
	size_t taken;

	capture->limit = limit;
	taken = ranked_emit(&capture->sink, &list);
	capture->limit = CAPTURE_SIZE;
	ranked_tell(&capture->sink, &list, count - taken);
	if (taken != shown || !capture_has(capture, text))
		fail_msg("%zu in %s, not %zu and %s", taken, capture->text, shown, text);
	free(capture);
}

static void a_list_that_fits_stands_as_it_is_and_another_by_its_rank(void **state)
{
	static const int values[] = { 3, 9, -1, 1, 7, 5 };

	(void)state;
	expect(values, ARRAY_SIZE(values), 1000, 6, "{\"items\":[3,9,1,7,5]");
	expect(values, ARRAY_SIZE(values), strlen("{\"items\":[9,7,5,"), 3,
	       "{\"items\":[9,7,5],\"items_left_out\":3,\"items_rank\":\"largest first\"");
	expect(values, 0, 1000, 0, "{\"items\":[]");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
		a_list_that_fits_stands_as_it_is_and_another_by_its_rank) };

	return cmocka_run_group_tests_name("ranked", tests, NULL, NULL);
}
