/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/aggregate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

int aggregate_function_parse(const char *text, size_t len, struct aggregate_function *ret, struct err *err)
{
	static const struct {
		const char *name;
		enum aggregate_kind kind;
	} names[] = { { "average", AGGREGATE_AVERAGE }, { "avg", AGGREGATE_AVERAGE }, { "min", AGGREGATE_MIN },
		      { "max", AGGREGATE_MAX },		{ "sum", AGGREGATE_SUM },     { "last", AGGREGATE_LAST },
		      { "count", AGGREGATE_COUNT } };
	char number[8] = "", *end;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i].name) == len && !strncmp(names[i].name, text, len)) {
			*ret = (struct aggregate_function){ .kind = names[i].kind };
			return 0;
		}
	if (len > 1 && len < sizeof(number) && text[0] == 'p' && text[1] >= '0' && text[1] <= '9') {
		memcpy(number, text + 1, len - 1);
		ret->kind = AGGREGATE_PERCENTILE;
		ret->percent = strtod(number, &end);
		if (!*end && ret->percent >= 0 && ret->percent <= 100)
			return 0;
	}
	return err_set(err, -EINVAL, "\"%.*s\": write average, min, max, sum, last, count or a percentile such as p95",
		       (int)(len < 40 ? len : 40), text);
}

void aggregate_init(struct aggregate *aggregate, bool percentiles)
{
	*aggregate = (struct aggregate){ .wants_values = percentiles };
}

static void hold(struct aggregate *a, double value, uint64_t count)
{
	size_t room = a->room ? 2 * a->room : 64;
	struct aggregate_held *values = a->values;

	if (a->lost)
		return;
	if (a->held == a->room) {
		values = a->held < AGGREGATE_VALUES_MAX ? realloc(a->values, room * sizeof(*values)) : NULL;
		if (!values) {
			a->lost = true;
			return;
		}
		a->values = values;
		a->room = room;
	}
	values[a->held++] = (struct aggregate_held){ value, count };
}

void aggregate_add_several(struct aggregate *a, const struct aggregate_several *several)
{
	a->min = a->count == 0 || several->min < a->min ? several->min : a->min;
	a->max = a->count == 0 || several->max > a->max ? several->max : a->max;
	a->sum += several->average * (double)several->count;
	a->last = several->last;
	a->count += several->count;
	if (a->wants_values)
		hold(a, several->average, several->count);
}

void aggregate_add(struct aggregate *a, double value)
{
	aggregate_add_several(a, &(struct aggregate_several){ 1, value, value, value, value });
}

static int by_value(const void *a, const void *b)
{
	double left = ((const struct aggregate_held *)a)->value, right = ((const struct aggregate_held *)b)->value;

	return left < right ? -1 : left > right;
}

static bool percentile(struct aggregate *a, double percent, double *ret)
{
	uint64_t rank = (uint64_t)ceil(percent / 100 * (double)a->count), seen;
	size_t at = 0;

	if (a->lost || !a->wants_values)
		return false;
	qsort(a->values, a->held, sizeof(*a->values), by_value);
	for (seen = a->values[0].count; seen < rank && at + 1 < a->held; seen += a->values[at].count)
		at++;
	*ret = a->values[at].value;
	return true;
}

bool aggregate_result(struct aggregate *a, struct aggregate_function function, double *ret)
{
	if (function.kind == AGGREGATE_COUNT || function.kind == AGGREGATE_SUM) {
		*ret = function.kind == AGGREGATE_COUNT ? (double)a->count : a->sum;
		return isfinite(*ret);
	}
	if (a->count == 0)
		return false;
	switch (function.kind) {
	case AGGREGATE_AVERAGE:
		*ret = a->sum / (double)a->count;
		break;
	case AGGREGATE_MIN:
		*ret = a->min;
		break;
	case AGGREGATE_MAX:
		*ret = a->max;
		break;
	case AGGREGATE_LAST:
		*ret = a->last;
		break;
	default:
		return percentile(a, function.percent, ret);
	}
	return isfinite(*ret);
}

void aggregate_reset(struct aggregate *a)
{
	a->count = a->held = 0;
	a->sum = a->min = a->max = a->last = 0;
	a->lost = false;
}

void aggregate_done(struct aggregate *a)
{
	free(a->values);
	a->values = NULL;
}
