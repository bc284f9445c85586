/* SPDX-License-Identifier: MIT */
/*
 * data.clock: whether the guest's clock can be trusted, by the kernel's own account (adjtimex(2), which needs no right
 * to ask), and what it counts by (clocksource): in a guest kvm-clock, tsc, hyperv_clocksource_tsc_page, …
 */
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "table.h"

/* ---------------------------------------------------------------------------------------------------------- kernel */

void clock_state_get(const struct timex *timex, int returned, struct clock_state *out)
{
	static const char *const leaps[] = { [TIME_OK] = "none",
					     [TIME_INS] = "insert",
					     [TIME_DEL] = "delete",
					     [TIME_OOP] = "now",
					     [TIME_WAIT] = "over" };

	*out = (struct clock_state){
		.synchronized = !(timex->status & STA_UNSYNC),
		/* Nanoseconds with STA_NANO, else microseconds. */
		.offset_us = timex->status & STA_NANO ? (double)timex->offset / 1000 : (double)timex->offset,
		.max_error_us = timex->maxerror,
		.estimated_error_us = timex->esterror,
		.frequency_ppm = (double)timex->freq / 65536,
		.tai_offset_s = timex->tai,
		/* While it is not synchronised TIME_ERROR stands in the place of the leap second's state. */
		.leap = returned >= 0 && returned < (int)ARRAY_SIZE(leaps) ? leaps[returned]
			: timex->status & STA_INS			   ? "insert"
			: timex->status & STA_DEL			   ? "delete"
									   : "none",
	};
}

/* ---------------------------------------------------------------------------------------------------- collecting */

#define SOURCE_DIR "devices/system/clocksource/clocksource0/"

struct clock {
	struct clock_state state;
	int error; /* of adjtimex */
	char source[64];
	int source_error;
};

static int clock_open(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	*ret_state = calloc(1, sizeof(struct clock));
	return *ret_state ? 0 : -ENOMEM;
}

static void clock_close(void *state)
{
	free(state);
}

static int clock_collect(void *state, const struct collect_ctx *ctx)
{
	struct clock *clock = state;
	struct timex timex = { .modes = 0 };
	int returned = -1;

	clock->error = -ENOSYS;
	if (ctx->live) {
		returned = adjtimex(&timex);
		clock->error = returned < 0 ? -errno : 0;
	}
	if (clock->error == 0)
		clock_state_get(&timex, returned, &clock->state);
	clock->source_error =
		attr_text(ctx->sys_fd, SOURCE_DIR "current_clocksource", clock->source, sizeof(clock->source));
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void clock_emit(const void *state, struct sink *out)
{
	static const char *const keys[] = { "synchronized",  "offset_us",    "max_error_us", "estimated_error_us",
					    "frequency_ppm", "tai_offset_s", "leap" };
	const struct clock *clock = state;
	const struct clock_state *now = &clock->state;

	if (clock->error == 0) {
		sink_bool(out, "synchronized", now->synchronized);
		sink_real(out, "offset_us", now->offset_us, 3);
		sink_int(out, "max_error_us", now->max_error_us);
		sink_int(out, "estimated_error_us", now->estimated_error_us);
		sink_real(out, "frequency_ppm", now->frequency_ppm, 3);
		sink_int(out, "tai_offset_s", now->tai_offset_s);
		sink_str(out, "leap", now->leap);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			sink_null(out, keys[i]);
		sink_str(out, "reason", attr_reason(clock->error));
	}
	attr_emit_text(out, "source", clock->source);
	if (clock->source_error < 0)
		sink_str(out, "source_reason", attr_reason(clock->source_error));
}

const struct collector collector_clock = {
	.name = "clock",
	.path = "clock",
	.period_s = 30,
	.open = clock_open,
	.close = clock_close,
	.collect = clock_collect,
	.emit = clock_emit,
};
