/* SPDX-License-Identifier: MIT */
/*
 * The agent's log: lines on stderr with the `<N>` priority prefix that the journal reads (sd-daemon(3)). It never
 * blocks: when the journal is stuck on a frozen disk the line is dropped and counted.
 */
#ifndef AGENT_BASE_REPORT_H
#define AGENT_BASE_REPORT_H

#include <stdint.h>
#include <syslog.h>

/* Lines above `level` (LOG_ERR … LOG_DEBUG) are not written. */
void report_set_level(int level);

/* Writes one line, control characters replaced by '?'. `level` is LOG_ERR … LOG_DEBUG. */
__attribute__((format(printf, 2, 3))) void report(int level, const char *format, ...);

/*
 * For messages that may repeat endlessly (an open that fails, a bad host): the first of a topic is written, then at
 * most one a minute with the number left out in between. One `struct report_topic` (zeroed) per kind of message, owned
 * by the caller.
 */
struct report_topic {
	uint64_t next_ns;
	unsigned suppressed;
};
__attribute__((format(printf, 4, 5))) void report_limited(struct report_topic *topic, uint64_t mono_ns, int level,
							  const char *format, ...);

/* Number of lines dropped because stderr would have blocked. */
uint64_t report_lost(void);

#endif
