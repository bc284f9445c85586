/* SPDX-License-Identifier: MIT */
/* See asked.h. */
#include "agent/peer/asked.h"

#include "agent/peer/session.h"

static bool spaced(uint64_t last_ns, uint64_t now_ns)
{
	return last_ns == 0 || now_ns - last_ns >= ASKED_SPACING_NS;
}

/*
 * True when the source gets a new sample. All users but root share one rate limit and budget; besides, each user has a
 * limit of its own.
 */
static bool takes_turn(struct asked *asked, const struct session *session)
{
	uint64_t now_ns = asked->loop->now.mono_ns, ticks = sampling_stats(asked->sampling).ticks;
	bool user = session->kind == SESSION_LOCAL && session->uid != 0;
	struct source *source = session->kind == SESSION_PORT ? &asked->sources->host
							      : source_of_user(asked->sources, session->uid, now_ns);

	if (!spaced(source->sample_ns, now_ns))
		return false;
	if (user) {
		uint64_t back = ticks - asked->ticks;

		asked->ticks = ticks;
		asked->users_spent -= back < asked->users_spent ? (unsigned)back : asked->users_spent;
		if (!spaced(asked->users_ns, now_ns) || asked->users_spent >= ASKED_USERS_SAVED)
			return false;
		asked->users_ns = now_ns;
		asked->users_spent++;
	}
	source->sample_ns = now_ns;
	return true;
}

/* The host gets every sample anyway and need not wait, unless it has subscribed to "metrics". */
static void wait_for_sample(struct asked *asked, struct session *session)
{
	if (session->kind == SESSION_PORT && !publish_reads(&session->subscriber, PUBLISH_METRICS))
		return;
	for (const struct session *at = asked->first; at; at = at->asked_next)
		if (at == session)
			return;
	session->asked_next = asked->first;
	asked->first = session;
}

void asked_leave(struct asked *asked, struct session *session)
{
	struct session **at = &asked->first;

	while (*at && *at != session)
		at = &(*at)->asked_next;
	if (*at)
		*at = session->asked_next;
	session->asked_next = NULL;
}

/*
 * A subscriber to "metrics" is handed the sample as a published one, so that its subscription does not bring it again.
 */
static int hand(struct session *session, struct line *line)
{
	return publish_reads(&session->subscriber, PUBLISH_METRICS) ? publish_hand(&session->subscriber, line)
								    : session->send(session, line);
}

void asked_for_sample(struct asked *asked, struct session *session)
{
	if (sampling_stats(asked->sampling).making & SAMPLE_TO_PORT) {
		wait_for_sample(asked, session);
	} else if (!sampling_latest(asked->sampling) || takes_turn(asked, session)) {
		asked->taken++;
		wait_for_sample(asked, session);
		sampling_soon(asked->sampling, SAMPLE_TO_ALL);
	} else if (!session_crowded(session) && hand(session, sampling_latest(asked->sampling)) == 0) {
		asked->repeated++; /* a session with back-pressure is not sent the sample again */
	}
}

/* A client that is cut off because of this line is removed later by the loop, so the list stays valid here. */
void asked_publish(struct asked *asked, struct line *line)
{
	while (asked->first) {
		struct session *session = asked->first;

		asked_leave(asked, session);
		/*
		 * A subscriber without an interval gets the sample by its subscription; with an interval unless it has
		 * had it.
		 */
		if (!publish_reads(&session->subscriber, PUBLISH_METRICS) ||
		    (session->subscriber.interval_ns && !publish_had(&session->subscriber, line)))
			hand(session, line);
	}
}
