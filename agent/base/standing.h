/* SPDX-License-Identifier: MIT */
/*
 * Faults that last: a collector that fails, a log that cannot be written, a configuration that was refused. Each is
 * told when it begins, to every session that begins while it stands, once, and when it is over. Whoever finds a fault
 * names it by a source and a subject; setting it again with the same words says nothing.
 */
#ifndef AGENT_BASE_STANDING_H
#define AGENT_BASE_STANDING_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/loop.h"
#include "transport/reply.h"

struct standing_fault;

#define STANDING_MAX	 32  /* faults at once; one more is told when it begins and not again */
#define STANDING_TEXT	 256 /* bytes of the words, with their NUL; longer ones are cut */
#define STANDING_SUBJECT 64

struct standing {
	const struct loop *loop;
	/* A fault begins, changes or is over: for the host that is there. The strings are the caller's. */
	void (*tell)(void *data, const struct reply_event *event);
	void *data;
	struct standing_fault *first, **end;
	unsigned count;
};

void standing_init(struct standing *standing, const struct loop *loop,
		   void (*tell)(void *data, const struct reply_event *event), void *data);
void standing_done(struct standing *standing);

/*
 * The fault stands, with these words: told (as an event of `source`, the words "subject: …", or the words alone where
 * the subject is ""), unless it stands with the same words already. `source` and `subject` are copied.
 */
__attribute__((format(printf, 5, 6))) void standing_set(struct standing *standing, enum reply_level level,
							const char *source, const char *subject, const char *format,
							...);

/* It does not stand any more: told if it did, with these words, or not at all when they are NULL. */
void standing_clear(struct standing *standing, const char *source, const char *subject, const char *words);

/* Calls `to` for everything that stands, oldest first; the context of the event says since when. */
void standing_each(const struct standing *standing, void (*to)(void *data, const struct reply_event *event),
		   void *data);

#endif
