/* SPDX-License-Identifier: MIT */
/* Samples that peers ask for, by a clock that the test turns; there are no collectors. */
#include <string.h>

#include "tests/fake_loop.h"

#include <infiniservice/cleanup.h>

#include "agent/peer/session.h"

#define USER 1000

const struct collector *const collectors[] = { NULL };

static struct loop loop;
static struct config config;
static struct identity id;
static struct sampling *sampling;
static struct sources sources;
static struct asked asked;
static unsigned samples, logged;

struct peer {
	struct session session;
	unsigned got;
	uint64_t seq;
};

static int take(struct session *session, struct line *line)
{
	struct peer *peer = container_of(session, struct peer, session);

	peer->got++;
	peer->seq = line->seq;
	return 0;
}

static size_t no_backlog(const struct session *session)
{
	(void)session;
	return 0;
}

static struct peer new_peer(enum session_kind kind, uid_t uid)
{
	return (struct peer){
		.session = { .kind = kind, .uid = uid, .send = take, .backlog = no_backlog, .backlog_max = 1 }
	};
}

static void on_begin(void *data)
{
	(void)data;
}

static void on_sample(void *data, unsigned to, struct line *line, struct line *whole)
{
	(void)data;
	samples++;
	logged += (to & SAMPLE_TO_LOG) != 0;
	(void)line;
	asked_publish(&asked, whole);
}

static int setup(void **state)
{
	(void)state;
	samples = logged = 0;
	memset(&sources, 0, sizeof(sources));
	loop_init(&loop, ev_loop_new(0));
	assert_int_equal(config_init(&config), 0);
	sampling = sampling_new(
		&(struct sampling_config){
			.loop = &loop, .id = &id, .first_seq = 1, .begin = on_begin, .sample = on_sample },
		&config);
	assert_non_null(sampling);
	asked = (struct asked){ .loop = &loop, .sampling = sampling, .sources = &sources };
	sampling_start(sampling, &config);
	pass_time(&loop, 5 * NS_PER_S);
	samples = logged = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sampling = sampling_free(sampling);
	config_free(&config);
	ev_loop_destroy(loop.ev);
	return 0;
}

static void all_who_ask_before_it_is_taken_get_the_same_one(void **state)
{
	struct peer first = new_peer(SESSION_LOCAL, 0), second = new_peer(SESSION_LOCAL, USER);

	(void)state;
	asked_for_sample(&asked, &first.session);
	asked_for_sample(&asked, &second.session);
	asked_for_sample(&asked, &second.session); /* asked twice, answered once */
	assert_int_equal(first.got, 0);
	pass_time(&loop, NS_PER_MS);
	assert_int_equal(samples, 1);
	assert_int_equal(first.got, 1);
	assert_int_equal(second.got, 1);
	assert_int_equal(second.seq, first.seq);
	assert_int_equal(asked.taken, 1);
	pass_time(&loop, 10 * NS_PER_S);
	assert_int_equal(first.got, 1);
}

static void who_asks_again_within_a_second_gets_the_newest_at_once_and_the_log_nothing(void **state)
{
	struct peer peer = new_peer(SESSION_LOCAL, USER), other = new_peer(SESSION_LOCAL, USER);

	(void)state;
	asked_for_sample(&asked, &peer.session);
	pass_time(&loop, NS_PER_S - 1);
	asked_for_sample(&asked, &peer.session);
	assert_int_equal(peer.got, 2);
	asked_for_sample(&asked, &other.session); /* another client of the same user */
	assert_int_equal(other.got, 1);
	assert_int_equal(asked.repeated, 2);
	pass_time(&loop, 1);
	assert_int_equal(logged, 1);
	asked_for_sample(&asked, &peer.session);
	pass_time(&loop, NS_PER_MS);
	assert_int_equal(peer.got, 3);
	assert_int_equal(logged, 2);
}

static void the_host_gets_what_is_published_and_is_handed_only_what_there_is_already(void **state)
{
	struct peer host = new_peer(SESSION_PORT, 0);

	(void)state;
	asked_for_sample(&asked, &host.session);
	pass_time(&loop, NS_PER_MS);
	assert_int_equal(samples, 1);
	assert_int_equal(host.got, 0);
	asked_for_sample(&asked, &host.session);
	assert_int_equal(host.got, 1);
}

/* `seconds` of a user who asks every second: how many samples that took. */
static unsigned taken_by(struct peer *peer, unsigned seconds)
{
	uint64_t before = asked.taken;

	for (unsigned i = 0; i < seconds; i++) {
		asked_for_sample(&asked, &peer->session);
		pass_time(&loop, NS_PER_S);
	}
	return (unsigned)(asked.taken - before);
}

static void users_share_what_they_have_in_hand_and_get_back_one_for_each_regular_sample(void **state)
{
	struct peer user = new_peer(SESSION_LOCAL, USER), other = new_peer(SESSION_LOCAL, USER + 1);
	struct peer root = new_peer(SESSION_LOCAL, 0), host = new_peer(SESSION_PORT, 0);

	(void)state;
	config.timers.metrics_interval_ms = 3600000;
	sampling_stop(sampling);
	sampling_start(sampling, &config);
	pass_time(&loop, 5 * NS_PER_S);
	assert_int_equal(taken_by(&user, ASKED_USERS_SAVED + 10), ASKED_USERS_SAVED);
	assert_int_equal(taken_by(&other, 10), 0);
	assert_int_equal(taken_by(&root, 10), 10);
	assert_int_equal(taken_by(&host, 10), 10);
	pass_time(&loop, 2 * 3600 * NS_PER_S);
	assert_int_equal(taken_by(&other, 10), 2);
	/* It never becomes more than that. */
	pass_time(&loop, 100 * 3600 * NS_PER_S);
	assert_int_equal(taken_by(&user, ASKED_USERS_SAVED + 10), ASKED_USERS_SAVED);
}

static void users_have_one_pace_together(void **state)
{
	struct peer user = new_peer(SESSION_LOCAL, USER), other = new_peer(SESSION_LOCAL, USER + 1);

	(void)state;
	asked_for_sample(&asked, &user.session);
	pass_time(&loop, 500 * NS_PER_MS);
	asked_for_sample(&asked, &other.session);
	assert_int_equal(other.got, 1);
	assert_int_equal(asked.taken, 1);
}

static void who_is_gone_is_sent_nothing(void **state)
{
	struct peer peers[3] = { new_peer(SESSION_LOCAL, 0), new_peer(SESSION_LOCAL, 0), new_peer(SESSION_LOCAL, 0) };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		asked_for_sample(&asked, &peers[i].session);
	asked_leave(&asked, &peers[1].session);
	asked_leave(&asked, &peers[1].session);
	pass_time(&loop, NS_PER_S);
	assert_int_equal(peers[0].got + peers[2].got, 2);
	assert_int_equal(peers[1].got, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(all_who_ask_before_it_is_taken_get_the_same_one),
		T(who_asks_again_within_a_second_gets_the_newest_at_once_and_the_log_nothing),
		T(the_host_gets_what_is_published_and_is_handed_only_what_there_is_already),
		T(users_share_what_they_have_in_hand_and_get_back_one_for_each_regular_sample),
		T(users_have_one_pace_together),
		T(who_is_gone_is_sent_nothing),
	};

	return cmocka_run_group_tests_name("asked", tests, NULL, NULL);
}
