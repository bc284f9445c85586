/* SPDX-License-Identifier: MIT */
/*
 * Faults that last: a collector that fails, a log that cannot be written, a configuration that was refused. Each is
 * told when it begins, to every session that begins while it stands, once, and when it is over. Whoever finds a fault
 * names it by a source and a subject; setting it again with the same words says nothing.
 */
#ifndef AGENT_STANDING_H
#define AGENT_STANDING_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/reply.h"

struct agent;
struct standing_fault;

#define STANDING_MAX	 32  /* faults at once; one more is told when it begins and not again */
#define STANDING_TEXT	 256 /* bytes of the words, with their NUL; longer ones are cut */
#define STANDING_SUBJECT 64

struct standing {
	struct standing_fault *first, **end;
	unsigned count;
};

void standing_init(struct standing *standing);
void standing_done(struct standing *standing);

/*
 * The fault stands, with these words: told to the host that is there (an `agent_event` of `source`, the words "subject:
 * …", or the words alone where the subject is ""), unless it stands with the same words already. `source` and `subject`
 * are copied.
 */
__attribute__((format(printf, 5, 6))) void standing_set(struct agent *agent, enum reply_level level, const char *source,
							const char *subject, const char *format, ...);

/* It does not stand any more: told if it did, with these words, or not at all when they are NULL. */
void standing_clear(struct agent *agent, const char *source, const char *subject, const char *words);

/* A session begins: everything that stands is told to the host, oldest first. */
void standing_greet(struct agent *agent);

#endif
