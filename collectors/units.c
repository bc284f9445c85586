/* SPDX-License-Identifier: MIT */
/*
 * data.units: the units that have failed, and those that PID 1 starts again and again. PID 1 is asked by the prober
 * (agent/bus/units_ask.h), in whose answer it is; in between the last one stands with its age.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "table.h"

/* Names of each kind in a sample; the others are counted. */
#define LISTED_MAX 8

struct units {
	int error; /* 0: the answer is known; -EINPROGRESS: not yet */
	struct probe_units answer;
	struct probe_unit rows[PROBE_UNITS_MAX];
};

static int units_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct units *units = calloc(1, sizeof(*units));

	(void)ctx;
	if (!units)
		return -ENOMEM;
	units->error = -EINPROGRESS;
	*ret_state = units;
	return 0;
}

static void units_close(void *state)
{
	free(state);
}

/* A prober that is busy is asked again at the next sample; an answer that is known stays. */
static int units_collect(void *state, const struct collect_ctx *ctx)
{
	static const struct probe_request request = { .kind = PROBE_UNITS };
	struct units *units = state;
	int r = ctx->prober ? ctx->prober->request(ctx->prober, &request) : -ENOSYS;

	if (r == -ENOSYS)
		units->error = r;
	return 0;
}

static void units_probed(void *state, const struct probe_result *result)
{
	struct units *units = state;
	struct probe_units answer;

	if (result->kind != PROBE_UNITS)
		return;
	units->error = result->error;
	if (result->error < 0)
		return;
	units->error = -EBADMSG;
	if (result->data_len < sizeof(answer))
		return;
	memcpy(&answer, result->data, sizeof(answer));
	if (answer.count > PROBE_UNITS_MAX ||
	    result->data_len != sizeof(answer) + answer.count * sizeof(units->rows[0]))
		return;
	memcpy(units->rows, (const char *)result->data + sizeof(answer), answer.count * sizeof(units->rows[0]));
	units->answer = answer;
	units->error = 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static const char *reason_of(int error)
{
	switch (error) {
	case -EINPROGRESS:
		return "not_asked";
	case -ETIMEDOUT:
	case -ECANCELED:
		return "no_answer";
	case -ENOENT:
	case -ECONNREFUSED:
		return "no_bus";
	case -ELIBACC:
		return "no_library";
	case -EREMOTEIO:
		return "denied";
	default:
		return attr_reason(error);
	}
}

static void names_emit(struct sink *out, const struct units *units, bool failed, uint64_t total, const char *list,
		       const char *left_out)
{
	unsigned listed = 0;

	sink_array_begin(out, list);
	for (unsigned i = 0; i < units->answer.count && listed < LISTED_MAX; i++) {
		const struct probe_unit *row = &units->rows[i];

		if (row->failed != failed)
			continue;
		sink_text(out, NULL, row->name, strnlen(row->name, sizeof(row->name)), sizeof(row->name));
		listed++;
	}
	sink_array_end(out);
	if (total > listed)
		sink_uint(out, left_out, total - listed);
}

static void units_emit(const void *state, struct sink *out)
{
	const struct units *units = state;

	if (units->error < 0) {
		sink_null(out, "failed_total");
		sink_null(out, "failed");
		sink_null(out, "restarting_total");
		sink_null(out, "restarting");
		sink_str(out, "reason", reason_of(units->error));
		return;
	}
	sink_uint(out, "failed_total", units->answer.failed);
	names_emit(out, units, true, units->answer.failed, "failed", "failed_left_out");
	sink_uint(out, "restarting_total", units->answer.restarting);
	names_emit(out, units, false, units->answer.restarting, "restarting", "restarting_left_out");
}

const struct collector collector_units = {
	.name = "units",
	.path = "units",
	.period_s = 120,
	.open = units_open,
	.close = units_close,
	.collect = units_collect,
	.probed = units_probed,
	.emit = units_emit,
};
