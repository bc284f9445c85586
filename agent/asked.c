/* SPDX-License-Identifier: MIT */
#include "agent/asked.h"

#include "agent/agent.h"
#include "agent/subscribe.h"

/* ----------------------------------------------------------------------------------------------------------- pace */

static bool spaced(uint64_t last_ns, uint64_t now_ns)
{
	return last_ns == 0 || now_ns - last_ns >= ASKED_SPACING_NS;
}

/* The users share one pace of theirs, apart from root's and the host's; each of them has its own besides. */
static bool users_may(struct asked *asked, uint64_t ticks, uint64_t now_ns)
{
	uint64_t back = ticks - asked->ticks;

	asked->ticks = ticks;
	asked->users_spent -= back < asked->users_spent ? (unsigned)back : asked->users_spent;
	if (!spaced(asked->users_ns, now_ns) || asked->users_spent >= ASKED_USERS_SAVED)
		return false;
	asked->users_ns = now_ns;
	asked->users_spent++;
	return true;
}

static bool takes_turn(struct agent *agent, const struct session *session)
{
	uint64_t now_ns = agent->now.mono_ns;
	bool user = session->kind == SESSION_LOCAL && session->uid != 0;
	struct source *source = session->kind == SESSION_PORT
					? &agent->commands.sources.host
					: source_of_user(&agent->commands.sources, session->uid, now_ns);

	if (!spaced(source->sample_ns, now_ns) ||
	    (user && !users_may(&agent->asked, sampling_stats(agent->sampling).ticks, now_ns)))
		return false;
	source->sample_ns = now_ns;
	return true;
}

/* --------------------------------------------------------------------------------------------------------- answers */

static bool waits(const struct asked *asked, const struct session *session)
{
	const struct session *at = asked->first;

	while (at && at != session)
		at = at->asked_next;
	return at;
}

/* The host gets what is published in any case, but for one that subscribed with a pace of its own. */
static void wait_for_sample(struct asked *asked, struct session *session)
{
	if ((session->kind == SESSION_PORT && !subscribe_reads(session, FEED_METRICS)) || waits(asked, session))
		return;
	session->asked_next = asked->first;
	asked->first = session;
}

void asked_leave(struct session *session)
{
	struct session **at = &session_agent(session)->asked.first;

	while (*at && *at != session)
		at = &(*at)->asked_next;
	if (*at)
		*at = session->asked_next;
	session->asked_next = NULL;
}

/* A subscriber does not get by its pace what it has got by asking. */
static int hand(struct agent *agent, struct session *session, struct line *line)
{
	return subscribe_reads(session, FEED_METRICS) ? feed_hand(&agent->feed, &session->feed, line)
						      : session->send(session, line);
}

/* One that does not read what it has been sent has the sample there already. */
static void repeat(struct agent *agent, struct session *session)
{
	if (!session_crowded(session) && hand(agent, session, sampling_latest(agent->sampling)) == 0)
		agent->asked.repeated++;
}

static bool in_the_making(const struct agent *agent)
{
	return (sampling_stats(agent->sampling).making & SAMPLE_TO_PORT) != 0;
}

void asked_for_sample(struct agent *agent, struct session *session)
{
	if (in_the_making(agent)) {
		wait_for_sample(&agent->asked, session);
	} else if (!sampling_latest(agent->sampling) || takes_turn(agent, session)) {
		agent->asked.taken++;
		wait_for_sample(&agent->asked, session);
		sampling_soon(agent->sampling, SAMPLE_TO_ALL);
	} else {
		repeat(agent, session);
	}
}

/* A client that is cut off by the line leaves when the loop comes back to it, not in here. */
void asked_publish(struct agent *agent, struct line *line)
{
	struct asked *asked = &agent->asked;

	while (asked->first) {
		struct session *session = asked->first;

		asked_leave(session);
		/* A subscriber without a pace gets it as such, one with a pace when it is due. */
		if (!subscribe_reads(session, FEED_METRICS) ||
		    (session->feed.interval_ns && !feed_had(&agent->feed, &session->feed, line)))
			hand(agent, session, line);
	}
}
