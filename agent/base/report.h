/* SPDX-License-Identifier: MIT */
/*
 * The one place that logs: lines on stderr with the `<N>` priority prefix the journal reads (sd-daemon(3)). It never
 * waits: a journal stuck on a frozen disk costs the line, which is counted, never the loop.
 */
#ifndef AGENT_BASE_REPORT_H
#define AGENT_BASE_REPORT_H

#include <stdint.h>
#include <syslog.h>

/* Lines above `level` (LOG_ERR … LOG_DEBUG) are not written. */
void report_set_level(int level);

/* Writes one line, controls in it replaced by '?'. `level` is LOG_ERR … LOG_DEBUG. */
__attribute__((format(printf, 2, 3))) void report(int level, const char *format, ...);

/*
 * For what may repeat for ever (an open that fails, a bad host): the first occurrence of a topic is written, then at
 * most one a minute with the number left out in between. One `struct report_topic` (zeroed) per kind of message, kept
 * by its owner.
 */
struct report_topic {
	uint64_t next_ns;
	unsigned suppressed;
};
__attribute__((format(printf, 4, 5))) void report_limited(struct report_topic *topic, uint64_t mono_ns, int level,
							  const char *format, ...);

/* Lines that could not be written because stderr would have blocked. */
uint64_t report_lost(void);

#endif
