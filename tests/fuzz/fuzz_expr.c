/* SPDX-License-Identifier: MIT */
/*
 * A condition over metrics: a wrong one names a column within the text; a good one means the same in parentheses, and
 * its `not` the opposite, for values that are known and such that are not.
 */
#include "agent/catalog/expr.h"
#include "require.h"

static enum expr_truth truth(const struct expr *expr, unsigned seed)
{
	struct expr_value values[EXPR_METRICS_MAX];

	for (unsigned i = 0; i < EXPR_METRICS_MAX; i++) {
		seed = seed * 1103515245 + 12345;
		values[i] =
			(struct expr_value){ .known = (seed >> 16) % 4 != 0, .value = (double)((seed >> 18) % 200) };
	}
	return expr_eval(expr, values);
}

static bool parse(const char *before, const uint8_t *data, size_t size, const char *after, struct expr *ret,
		  struct err *err)
{
	size_t head = strlen(before), tail = strlen(after);
	char *text = malloc(head + size + tail + 1);
	int r;

	REQUIRE(text);
	memcpy(text, before, head);
	memcpy(text + head, data, size);
	memcpy(text + head + size, after, tail);
	r = expr_parse(text, head + size + tail, size % 2 ? "cpu.usage_percent" : NULL, ret, err);
	free(text);
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct expr plain, enclosed, negated;
	struct err err = { 0 };

	if (!parse("", data, size, "", &plain, &err)) {
		size_t column = strtoul(err.text + strlen("column "), NULL, 10);

		REQUIRE(strncmp(err.text, "column ", 7) == 0 && column >= 1 && column <= size + 1);
		return 0;
	}
	REQUIRE(plain.metric_count > 0 && plain.node_count > 0);
	/* One level or word more may be one too many. */
	if (!parse("(", data, size, ")", &enclosed, &err) || !parse("not (", data, size, ")", &negated, &err))
		return 0;
	for (unsigned seed = 0; seed < 8; seed++) {
		enum expr_truth is = truth(&plain, seed), opposite = truth(&negated, seed);

		REQUIRE(truth(&enclosed, seed) == is);
		REQUIRE(is == EXPR_UNKNOWN ? opposite == EXPR_UNKNOWN
					   : opposite == (is == EXPR_TRUE ? EXPR_FALSE : EXPR_TRUE));
	}
	return 0;
}
