/* SPDX-License-Identifier: MIT */
/* The guest's clock as the kernel keeps it, see adjtimex(2). */
#ifndef COLLECTORS_CLOCK_H
#define COLLECTORS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/timex.h>

struct clock_state {
	bool synchronized; /* a daemon disciplines the clock, and has done so lately */
	double offset_us;  /* still to be slewed: the clock is behind by this much (negative: ahead) */
	int64_t max_error_us, estimated_error_us;
	double frequency_ppm; /* by which the clock is made faster */
	int64_t tai_offset_s; /* TAI - UTC; 0: nobody has told the kernel */
	const char *leap;     /* "none", or a leap second: "insert" or "delete" at midnight, "now", "over" */
};

/* Out of what adjtimex(2) filled in, and returned. */
void clock_state_get(const struct timex *timex, int returned, struct clock_state *out);

#endif
