/* SPDX-License-Identifier: MIT */
/*
 * Faults that last: a collector that fails, a log that cannot be written, a configuration that was refused. Each is
 * reported when it begins, once to every session that begins meanwhile, and when it is over. A fault is identified by
 * source and subject; setting it again with the same words reports nothing.
 */
#ifndef AGENT_BASE_STANDING_H
#define AGENT_BASE_STANDING_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/loop.h"
#include "transport/reply.h"

struct standing_fault;

#define STANDING_MAX	 32  /* faults at once; a further one is reported when it begins and not again */
#define STANDING_TEXT	 256 /* bytes of the words, NUL included; longer ones are cut */
#define STANDING_SUBJECT 64

struct standing {
	const struct loop *loop;
	/* Reports that a fault begins, changes or is over, to a connected host. The strings are the caller's. */
	void (*tell)(void *data, const struct reply_event *event);
	void *data;
	struct standing_fault *first, **end;
	unsigned count;
};

void standing_init(struct standing *standing, const struct loop *loop,
		   void (*tell)(void *data, const struct reply_event *event), void *data);
void standing_done(struct standing *standing);

/*
 * Sets the fault and reports it (as an event of `source`, with the words "subject: …", or the words alone when the
 * subject is ""), unless it is set with the same words. `source` and `subject` are copied.
 */
__attribute__((format(printf, 5, 6))) void standing_set(struct standing *standing, enum reply_level level,
							const char *source, const char *subject, const char *format,
							...);

/* Clears the fault and, if it was set, reports its end with these words; NULL: no report. */
void standing_clear(struct standing *standing, const char *source, const char *subject, const char *words);

/* Calls `to` for every fault that is set, oldest first; the context of the event has the time since when. */
void standing_each(const struct standing *standing, void (*to)(void *data, const struct reply_event *event),
		   void *data);

#endif
