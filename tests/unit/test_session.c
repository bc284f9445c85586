/* SPDX-License-Identifier: MIT */
/* A session over a buffer: what of the bytes of a peer is handed on, and the one answer that everything else gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <ev.h>

#include <infiniservice/cleanup.h>

#include "agent/peer/session.h"

#define KEY  "a key of the tests"
#define WALL 1700000000000

static struct loop loop;
static struct config config;
static struct secret secret;
static struct json_writer writer;
static char writer_text[65536];
static struct peers peers;
static struct session session;
static char folder[] = "/tmp/test-session-XXXXXX";

/* What the handler was called with, */
static struct {
	unsigned messages;
	enum message_type type;
	char id[MESSAGE_ID_SIZE];
	uint64_t gone_ns;
	unsigned gone, drained;
	int nonces_error; /* 1: not called */
} handled;

/* and what the peer was sent. */
static struct {
	unsigned lines;
	char last[65536];
	bool refuses;
	size_t backlog;
} sent;

static void on_message(void *data, struct session *peer, struct message *message)
{
	assert_ptr_equal(data, &handled);
	assert_ptr_equal(peer, &session);
	handled.messages++;
	handled.type = message->type;
	snprintf(handled.id, sizeof(handled.id), "%s", message->id);
	message_free(message);
}

static void on_gone(void *data, struct session *peer, uint64_t before_ns)
{
	(void)data;
	(void)peer;
	handled.gone++;
	handled.gone_ns = before_ns;
}

static void on_drained(void *data, struct session *peer)
{
	(void)data;
	(void)peer;
	handled.drained++;
}

static const struct peer_handler handler = { .message = on_message, .gone = on_gone, .drained = on_drained };

static void on_nonces(void *data, int error)
{
	(void)data;
	handled.nonces_error = error;
}

static int take(struct session *peer, struct line *line)
{
	(void)peer;
	if (sent.refuses)
		return -ENOBUFS;
	assert_true(line->len < sizeof(sent.last));
	memcpy(sent.last, line->text, line->len);
	sent.last[line->len] = '\0';
	sent.lines++;
	return 0;
}

static size_t backlog(const struct session *peer)
{
	(void)peer;
	return sent.backlog;
}

static void use_folder(const char *path)
{
	free(config.agent.runtime_dir);
	free(config.agent.state_dir);
	config.agent.runtime_dir = strdup(path);
	config.agent.state_dir = strdup(path);
}

static void begin_as(enum session_kind kind)
{
	memset(&handled, 0, sizeof(handled));
	memset(&sent, 0, sizeof(sent));
	handled.nonces_error = 1;
	peers = (struct peers){ .loop = &loop,
				.config = &config,
				.secret = &secret,
				.writer = &writer,
				.handler = &handler,
				.data = &handled,
				.nonces_changed = on_nonces };
	peers_init(&peers, 1);
	session_init(&session, &peers, kind, take);
	session.backlog = backlog;
	session.backlog_max = 1000;
	snprintf(session.name, sizeof(session.name), "unit");
}

static int begin(void **state)
{
	(void)state;
	begin_as(SESSION_PORT);
	return 0;
}

static int begin_local(void **state)
{
	(void)state;
	begin_as(SESSION_LOCAL);
	return 0;
}

static int begin_signed(void **state)
{
	(void)state;
	secret.len = (size_t)snprintf(secret.bytes, sizeof(secret.bytes), KEY);
	begin_as(SESSION_PORT);
	return 0;
}

static int end(void **state)
{
	char path[128];

	(void)state;
	session_done(&session);
	peers_done(&peers);
	secret.len = 0;
	config.auth.require_signature = CONFIG_SIGNATURE_AUTO;
	snprintf(path, sizeof(path), "%s/" NONCES_NAME, folder);
	unlink(path);
	return 0;
}

static void hear(const char *bytes)
{
	session_receive(&session, bytes, strlen(bytes));
}

/* The message as its host signs it. */
static void hear_signed(const char *payload, const char *nonce)
{
	char line[4096];

	assert_int_equal(envelope_sign(&writer, KEY, strlen(KEY), WALL, nonce, payload, strlen(payload)), 0);
	assert_true(writer.len < sizeof(line));
	memcpy(line, writer.buf, writer.len);
	line[writer.len] = '\0';
	hear(line);
}

static void answered(const char *part)
{
	if (!strstr(sent.last, part))
		fail_msg("'%s' is not in: %s", part, sent.last);
}

#define STATUS "{\"type\":\"Status\",\"id\":\"s\"}"

/* ---------------------------------------------------------------------------------------------------------- messages
 */

static void a_message_is_handed_on_with_the_time_it_came(void **state)
{
	(void)state;
	loop.now.mono_ns = 7000;
	hear(STATUS "\n");
	assert_int_equal(handled.messages, 1);
	assert_int_equal(handled.type, MESSAGE_STATUS);
	assert_string_equal(handled.id, "s");
	assert_int_equal(session.heard_ns[MESSAGE_STATUS], 7000);
	assert_int_equal(session.heard_ns[MESSAGE_ACK], 0);
	assert_int_equal(sent.lines, 0);
	assert_int_equal(session.lines_in, 1);
	assert_int_equal(session.bad_lines, 0);
}

static void a_message_may_come_byte_by_byte_and_several_at_once(void **state)
{
	static const char lines[] = STATUS "\n" STATUS "\n\n" STATUS "\n";

	(void)state;
	for (size_t i = 0; i < strlen(lines); i++)
		session_receive(&session, lines + i, 1);
	assert_int_equal(handled.messages, 3);
	hear(lines);
	assert_int_equal(handled.messages, 6);
	assert_int_equal(sent.lines, 0);
}

static void a_line_that_is_no_message_gets_one_error(void **state)
{
	static const char *const lines[] = { "x\n", "{}\n", "[1]\n", "{\"type\":\"Nothing\"}\n",
					     "{\"type\":\"Status\n" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		hear(lines[i]);
		assert_int_equal(sent.lines, i + 1);
		answered("\"type\":\"error\"");
	}
	assert_int_equal(handled.messages, 0);
	assert_int_equal(session.bad_lines, ARRAY_SIZE(lines));
}

static void a_faulty_message_with_an_id_gets_a_response_to_it(void **state)
{
	(void)state;
	hear("{\"type\":\"SafeCommand\",\"id\":\"a\",\"command_type\":7}\n");
	assert_int_equal(sent.lines, 1);
	answered("\"type\":\"response\"");
	answered("\"id\":\"a\"");
	answered("\"success\":false");
	assert_int_equal(handled.messages, 0);
}

static void a_line_longer_than_a_local_client_may_send_is_refused_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * SESSION_LOCAL_LINE_BYTES; i++)
		session_receive(&session, "a", 1);
	hear("\n" STATUS "\n");
	assert_int_equal(sent.lines, 1);
	answered("\"type\":\"error\"");
	assert_int_equal(handled.messages, 1);
}

static void an_answer_that_cannot_be_sent_is_counted(void **state)
{
	(void)state;
	sent.refuses = true;
	hear("x\n");
	assert_int_equal(session.answers_lost, 1);
}

static void a_peer_with_more_to_read_than_its_limit_is_crowded(void **state)
{
	(void)state;
	sent.backlog = 1000;
	assert_false(session_crowded(&session));
	sent.backlog = 1001;
	assert_true(session_crowded(&session));
}

/* --------------------------------------------------------------------------------------------------------- half lines
 */

static void half_a_line_is_discarded_after_30_seconds_and_told(void **state)
{
	(void)state;
	loop.now.mono_ns = NS_PER_S;
	hear("{\"type\":");
	assert_true(deadline_is_set(&session.half_line));
	assert_int_equal(session.half_line.at_ns, 31 * NS_PER_S);
	session.half_line.passed(session.half_line.data);
	assert_int_equal(sent.lines, 1);
	answered("incomplete_line");
	answered("8 bytes");
	hear(STATUS "\n");
	assert_int_equal(handled.messages, 1);
}

static void a_whole_line_leaves_no_deadline(void **state)
{
	(void)state;
	hear("{\"type\":\"Sta");
	hear("tus\",\"id\":\"s\"}\n");
	assert_false(deadline_is_set(&session.half_line));
	assert_int_equal(handled.messages, 1);
}

static void a_message_behind_half_a_line_is_taken_and_the_head_told_once(void **state)
{
	(void)state;
	hear("{\"type\":\"SafeCommand\",\"id\":\"old\"," STATUS "\n");
	assert_int_equal(handled.messages, 1);
	assert_string_equal(handled.id, "s");
	assert_int_equal(sent.lines, 1);
	answered("\"type\":\"error\"");
	answered("half_line");
	assert_null(strstr(sent.last, "\"old\""));
	assert_int_equal(session.half_lines, 1);
}

static void a_local_client_has_no_half_lines_of_others(void **state)
{
	(void)state;
	hear("{\"type\":\"SafeCommand\",\"id\":\"old\"," STATUS "\n");
	assert_int_equal(handled.messages, 0);
	assert_int_equal(sent.lines, 1);
	assert_int_equal(session.half_lines, 0);
}

/* ------------------------------------------------------------------------------------------------------------ borders
 */

static void a_border_is_told_with_its_time_and_keeps_the_half_line(void **state)
{
	(void)state;
	hear("{\"type\":\"Sta");
	session_border(&session, 55);
	assert_int_equal(handled.gone, 1);
	assert_int_equal(handled.gone_ns, 55);
	hear("tus\",\"id\":\"s\"}\n");
	assert_int_equal(handled.messages, 1);
}

static void a_peer_that_is_gone_takes_its_half_line_along(void **state)
{
	(void)state;
	hear("{\"type\":\"Sta");
	session_reset(&session);
	assert_int_equal(handled.gone_ns, UINT64_MAX);
	assert_false(deadline_is_set(&session.half_line));
	hear(STATUS "\n");
	assert_int_equal(handled.messages, 1);
	assert_int_equal(sent.lines, 0);
}

static void output_that_moved_on_is_told(void **state)
{
	(void)state;
	session_drained(&session);
	assert_int_equal(handled.drained, 1);
}

/* --------------------------------------------------------------------------------------------------------- signatures
 */

static void with_a_secret_the_host_must_sign(void **state)
{
	(void)state;
	hear(STATUS "\n");
	assert_int_equal(handled.messages, 0);
	assert_int_equal(sent.lines, 1);
	answered("\"type\":\"response\"");
	answered("\"id\":\"s\"");
	answered("signed messages only");
	hear_signed(STATUS, "n1");
	assert_int_equal(handled.messages, 1);
	assert_int_equal(handled.nonces_error, 0);
	assert_int_equal(sent.lines, 1);
}

static void a_replayed_envelope_is_told_by_an_error_that_names_the_id(void **state)
{
	(void)state;
	hear_signed(STATUS, "n1");
	hear_signed(STATUS, "n1");
	assert_int_equal(handled.messages, 1);
	assert_int_equal(sent.lines, 1);
	answered("\"type\":\"error\"");
	answered("\"id\":\"s\"");
	assert_null(strstr(sent.last, "\"response\""));
	assert_int_equal(session.bad_lines, 1);
}

/* The message in an envelope whose signature is wrong. */
static void hear_forged(const char *payload)
{
	char line[4096], *signature;

	assert_int_equal(envelope_sign(&writer, KEY, strlen(KEY), WALL, "forged", payload, strlen(payload)), 0);
	assert_true(writer.len < sizeof(line));
	memcpy(line, writer.buf, writer.len);
	line[writer.len] = '\0';
	signature = strstr(line, "\"sig\":\"");
	assert_non_null(signature);
	signature += strlen("\"sig\":\"");
	*signature = *signature == '0' ? '1' : '0';
	hear(line);
}

static void a_refused_envelope_tells_the_id_of_a_payload_that_is_whole_and_no_other(void **state)
{
	static const struct {
		const char *payload;
		const char *id; /* as it stands in the answer, or NULL: none does */
	} cases[] = {
		{ STATUS, "\"id\":\"s\"" },
		{ "{\"id\":\"first\",\"type\":\"Status\"}", "\"id\":\"first\"" },
		/* Nothing is read out of what would not be a message. */
		{ "{\"type\":\"Status\",\"id\":\"s\"", NULL },
		{ "{\"type\":\"Status\",\"id\":\"s\"} and more", NULL },
		{ "{\"type\":\"Status\",\"id\":\"s\",}", NULL },
		{ "{\"type\":\"Status\",\"id\":\"s\",\"n\":01}", NULL },
		{ "{\"type\":\"Status\",\"id\":\"\"}", NULL },
		{ "{\"type\":\"Status\",\"id\":5}", NULL },
		{ "{\"type\":\"Status\"}", NULL },
		{ "{\"type\":\"Status\",\"inner\":{\"id\":\"s\"}}", NULL },
		{ "\"id\"", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		hear_forged(cases[i].payload);
		assert_int_equal(sent.lines, i + 1);
		answered("\"type\":\"error\"");
		answered("bad_signature");
		if (cases[i].id)
			answered(cases[i].id);
		else if (strstr(sent.last, "\"id\":\""))
			fail_msg("case %zu: an id was read: %s", i, sent.last);
		assert_null(strstr(sent.last, "\"response\""));
		assert_int_equal(session.bad_lines, i + 1);
	}
	assert_int_equal(handled.messages, 0);
	/* None of them has used up the nonce. */
	hear_signed(STATUS, "forged");
	assert_int_equal(handled.messages, 1);
}

static void a_nonce_is_known_to_the_next_run(void **state)
{
	(void)state;
	hear_signed(STATUS, "n1");
	session_done(&session);
	peers_done(&peers);
	begin_as(SESSION_PORT);
	hear_signed(STATUS, "n1");
	assert_int_equal(handled.messages, 0);
	answered("\"type\":\"error\"");
}

static void a_nonce_that_cannot_be_written_down_is_told_and_the_message_taken(void **state)
{
	(void)state;
	session_done(&session);
	peers_done(&peers);
	use_folder("/nowhere/at/all");
	begin_as(SESSION_PORT);
	hear_signed(STATUS, "n1");
	use_folder(folder);
	assert_int_equal(handled.nonces_error, -ENOENT);
	assert_int_equal(handled.messages, 1);
}

static void an_envelope_within_an_envelope_is_refused(void **state)
{
	(void)state;
	hear_signed("{\"type\":\"signed\",\"v\":1,\"ts\":1,\"nonce\":\"n\",\"payload\":\"{}\",\"sig\":\"00\"}", "n1");
	assert_int_equal(handled.messages, 0);
	assert_int_equal(sent.lines, 1);
}

static void local_clients_send_no_envelopes_and_need_none(void **state)
{
	(void)state;
	secret.len = (size_t)snprintf(secret.bytes, sizeof(secret.bytes), KEY);
	hear(STATUS "\n");
	assert_int_equal(handled.messages, 1);
	hear_signed(STATUS, "n1");
	assert_int_equal(handled.messages, 1);
	assert_int_equal(handled.nonces_error, 1);
	answered("no_envelopes");
}

static void the_owner_says_whether_signatures_are_demanded(void **state)
{
	(void)state;
	assert_false(peers_demand_signature(&peers));
	config.auth.require_signature = CONFIG_SIGNATURE_YES;
	assert_true(peers_demand_signature(&peers));
	config.auth.require_signature = CONFIG_SIGNATURE_AUTO;
	secret.len = 1;
	assert_true(peers_demand_signature(&peers));
	config.auth.require_signature = CONFIG_SIGNATURE_NO;
	assert_false(peers_demand_signature(&peers));
}

/* ------------------------------------------------------------------------------------------------------ subscriptions
 */

static struct publisher publisher;

static void publish(enum publish_topic topic, const char *text)
{
	struct line *line = line_new(LINE_EVENT, text, strlen(text));

	assert_non_null(line);
	publish_line(&publisher, topic, line);
	line_unref(line);
}

static void a_subscriber_is_sent_lines_while_it_reads_and_told_what_it_lost(void **state)
{
	(void)state;
	publish_init(&publisher, &loop);
	session_subscribe(&session, &publisher, 1U << PUBLISH_COMMANDS, 0, NULL);
	publish(PUBLISH_COMMANDS, "first\n");
	answered("first");
	sent.backlog = 64 << 10;
	for (unsigned i = 0; i < PUBLISH_RING_LINES + 3; i++)
		publish(PUBLISH_COMMANDS, "later\n");
	assert_int_equal(sent.lines, 1); /* they wait in the ring, which is full */
	sent.backlog = 0;
	sent.refuses = true;
	publish_drained(&session.subscriber);
	assert_int_equal(sent.lines, 1);
	sent.refuses = false;
	for (unsigned i = 0; i < 3; i++)
		publish_drained(&session.subscriber);
	assert_int_equal(sent.lines, 1 + 1 + PUBLISH_RING_LINES); /* one that tells the loss */
	assert_int_equal(publisher.lagged, 3);
	publish_unsubscribe(&session.subscriber, session.subscriber.topics);
	publish_done(&publisher);
}

static void a_host_gets_every_event_anyway_and_a_local_client_by_subscription(void **state)
{
	const unsigned all = (1U << PUBLISH_TOPICS) - 1;
	struct line *latest = line_new(LINE_SAMPLE, "sample\n", 7);

	(void)state;
	publish_init(&publisher, &loop);
	session_subscribe(&session, &publisher, all, NS_PER_S, latest);
	assert_int_equal(session.subscriber.topics, all & ~(1U << PUBLISH_EVENTS));
	assert_int_equal(session.subscriber.interval_ns, NS_PER_S);
	publish_unsubscribe(&session.subscriber, all);
	session.kind = SESSION_LOCAL;
	session_subscribe(&session, &publisher, 1U << PUBLISH_EVENTS, 5 * NS_PER_S, latest);
	assert_int_equal(session.subscriber.topics, 1U << PUBLISH_EVENTS);
	assert_int_equal(session.subscriber.interval_ns, NS_PER_S); /* that of samples stays */
	publish(PUBLISH_EVENTS, "event\n");
	answered("event");
	publish_unsubscribe(&session.subscriber, all);
	publish_done(&publisher);
	line_unref(latest);
}

static void a_faulty_message_behind_half_a_line_is_answered_to_its_id(void **state)
{
	(void)state;
	hear("{\"type\":\"Sta{\"type\":\"SafeCommand\",\"id\":\"a\",\"command_type\":7}\n");
	assert_int_equal(sent.lines, 2);
	answered("\"type\":\"response\"");
	answered("\"id\":\"a\"");
	assert_int_equal(session.half_lines, 1);
	assert_int_equal(handled.messages, 0);
}

static void a_message_at_the_end_of_a_line_too_long_is_taken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < config.port.max_line_bytes / 64 + 1; i++)
		session_receive(&session, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 64);
	hear(STATUS "\n");
	assert_int_equal(sent.lines, 1);
	answered("\"type\":\"error\"");
	assert_int_equal(handled.messages, 1);
	assert_int_equal(session.half_lines, 1);
}

static int make(void **state)
{
	(void)state;
	loop = (struct loop){ .ev = ev_loop_new(0), .now = { .wall_ms = WALL } };
	json_writer_init(&writer, writer_text, sizeof(writer_text) - 1);
	report_set_level(-1);
	if (!mkdtemp(folder) || !loop.ev || config_init(&config) < 0)
		return -1;
	use_folder(folder);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	config_free(&config);
	ev_loop_destroy(loop.ev);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_message_is_handed_on_with_the_time_it_came, begin, end),
		cmocka_unit_test_setup_teardown(a_message_may_come_byte_by_byte_and_several_at_once, begin, end),
		cmocka_unit_test_setup_teardown(a_line_that_is_no_message_gets_one_error, begin, end),
		cmocka_unit_test_setup_teardown(a_faulty_message_with_an_id_gets_a_response_to_it, begin, end),
		cmocka_unit_test_setup_teardown(a_line_longer_than_a_local_client_may_send_is_refused_once, begin_local,
						end),
		cmocka_unit_test_setup_teardown(an_answer_that_cannot_be_sent_is_counted, begin, end),
		cmocka_unit_test_setup_teardown(a_peer_with_more_to_read_than_its_limit_is_crowded, begin, end),
		cmocka_unit_test_setup_teardown(half_a_line_is_discarded_after_30_seconds_and_told, begin, end),
		cmocka_unit_test_setup_teardown(a_whole_line_leaves_no_deadline, begin, end),
		cmocka_unit_test_setup_teardown(a_message_behind_half_a_line_is_taken_and_the_head_told_once, begin,
						end),
		cmocka_unit_test_setup_teardown(a_local_client_has_no_half_lines_of_others, begin_local, end),
		cmocka_unit_test_setup_teardown(a_border_is_told_with_its_time_and_keeps_the_half_line, begin, end),
		cmocka_unit_test_setup_teardown(a_peer_that_is_gone_takes_its_half_line_along, begin, end),
		cmocka_unit_test_setup_teardown(output_that_moved_on_is_told, begin, end),
		cmocka_unit_test_setup_teardown(with_a_secret_the_host_must_sign, begin_signed, end),
		cmocka_unit_test_setup_teardown(a_replayed_envelope_is_told_by_an_error_that_names_the_id, begin_signed,
						end),
		cmocka_unit_test_setup_teardown(a_refused_envelope_tells_the_id_of_a_payload_that_is_whole_and_no_other,
						begin_signed, end),
		cmocka_unit_test_setup_teardown(a_nonce_is_known_to_the_next_run, begin_signed, end),
		cmocka_unit_test_setup_teardown(a_nonce_that_cannot_be_written_down_is_told_and_the_message_taken,
						begin_signed, end),
		cmocka_unit_test_setup_teardown(an_envelope_within_an_envelope_is_refused, begin_signed, end),
		cmocka_unit_test_setup_teardown(local_clients_send_no_envelopes_and_need_none, begin_local, end),
		cmocka_unit_test_setup_teardown(the_owner_says_whether_signatures_are_demanded, begin, end),
		cmocka_unit_test_setup_teardown(a_subscriber_is_sent_lines_while_it_reads_and_told_what_it_lost, begin,
						end),
		cmocka_unit_test_setup_teardown(a_host_gets_every_event_anyway_and_a_local_client_by_subscription,
						begin, end),
		cmocka_unit_test_setup_teardown(a_faulty_message_behind_half_a_line_is_answered_to_its_id, begin, end),
		cmocka_unit_test_setup_teardown(a_message_at_the_end_of_a_line_too_long_is_taken, begin, end),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
