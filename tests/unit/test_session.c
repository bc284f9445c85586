/* SPDX-License-Identifier: MIT */
/* What outlives a message: wishes at a border between two hosts, and generations begun on a host's word. The loop never turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/agent.h"
#include "agent/subscribe.h"

static struct agent agent;
static struct session session;
static char folder[] = "/tmp/test-session-XXXXXX";

static int discard(struct session *peer, struct line *line)
{
	(void)peer;
	(void)line;
	return 0;
}

static size_t no_backlog(const struct session *peer)
{
	(void)peer;
	return 0;
}

static int make_agent(void **state)
{
	static const char *const keys[] = { "agent.state_dir", "agent.runtime_dir", "log.dir" };
	static char config[64], settings[ARRAY_SIZE(keys)][128], path[128];
	static struct agent_options options = { .config_path = config, .port_spec = "none" };
	struct err e = { 0 };
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(config, sizeof(config), "%s/agent.conf", folder);
	fd = open(config, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		snprintf(settings[i], sizeof(settings[i]), "%s=%s", keys[i], folder);
		options.settings[options.setting_count++] = settings[i];
	}
	snprintf(path, sizeof(path), "socket.path=%s/agent.sock", folder);
	options.settings[options.setting_count++] = path;
	options.settings[options.setting_count++] = "log.enabled=no";
	options.settings[options.setting_count++] = "agent.vm_id=unit";
	assert_int_equal(agent_init(&agent, &options, &e), 0);
	report_set_level(-1);
	if (agent.audit.journal_fd >= 0)
		close_fd(&agent.audit.journal_fd);
	agent.audit.next_try_ns = UINT64_MAX;
	return 0;
}

static int remove_folder(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static int begin(void **state)
{
	(void)state;
	session_init(&session, &agent, SESSION_PORT, discard);
	session.backlog = no_backlog;
	session.backlog_max = 1 << 20;
	snprintf(session.name, sizeof(session.name), "unit");
	return 0;
}

static int end(void **state)
{
	(void)state;
	session_done(&session);
	return 0;
}

/* Each line comes in a turn of its own. */
static void hear(const char *line)
{
	agent.now.mono_ns += NS_PER_MS;
	session_receive(&session, line, strlen(line));
}

/* Between what the old host said and what the new one says. */
static uint64_t border(void)
{
	agent.now.mono_ns += NS_PER_MS;
	return agent.now.mono_ns;
}

static const char subscribe[] = "{\"type\":\"Subscribe\",\"id\":\"s\",\"topics\":[\"metrics\"]}\n";
static const char ack[] = "{\"type\":\"Ack\",\"seq\":0}\n";

static void an_ack_of_the_next_host_keeps_no_subscription_of_the_last(void **state)
{
	uint64_t gone_ns;

	(void)state;
	hear(subscribe);
	assert_true(subscribe_reads(&session, FEED_METRICS));
	gone_ns = border();
	hear(ack);
	session_border(&session, gone_ns);
	assert_false(subscribe_reads(&session, FEED_METRICS));
	assert_true(session.acked);
}

static void a_subscription_of_the_next_host_keeps_no_ack_of_the_last(void **state)
{
	uint64_t gone_ns;

	(void)state;
	hear(ack);
	session.first_seq = 5;
	assert_true(session.acked);
	gone_ns = border();
	hear(subscribe);
	session_border(&session, gone_ns);
	assert_true(subscribe_reads(&session, FEED_METRICS));
	assert_false(session.acked);
	assert_int_equal(session.first_seq, 0);
}

static void a_border_before_all_that_was_asked_takes_nothing(void **state)
{
	uint64_t gone_ns = border();

	(void)state;
	hear(ack);
	hear(subscribe);
	session_border(&session, gone_ns);
	session_border(&session, 0);
	assert_true(session.acked && subscribe_reads(&session, FEED_METRICS));
}

static void a_host_begins_only_so_many_generations_by_its_acks(void **state)
{
	uint64_t before = agent.counters.generations;
	char line[80];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), "{\"type\":\"Ack\",\"seq\":%u}\n", 1000000 + i);
		hear(line);
	}
	assert_int_equal(agent.counters.generations - before, 4);
	/* One comes back every 30 s, and never more than there were. */
	agent.generation.word_ns -= 31 * NS_PER_S;
	hear("{\"type\":\"Ack\",\"seq\":2000000}\n");
	hear("{\"type\":\"Ack\",\"seq\":2000001}\n");
	assert_int_equal(agent.counters.generations - before, 5);
}

static void the_same_ack_that_names_no_generation_begins_one_once(void **state)
{
	uint64_t before;

	(void)state;
	agent.generation.words = 0;
	before = agent.counters.generations;
	for (unsigned i = 0; i < 3; i++)
		hear("{\"type\":\"Ack\",\"seq\":3000000}\n");
	assert_int_equal(agent.counters.generations - before, 1);
}

static void a_host_begins_only_so_many_generations_by_its_clock(void **state)
{
	uint64_t before;
	char line[128];

	(void)state;
	agent.generation.words = 0;
	before = agent.counters.generations;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), "{\"type\":\"keep_alive_request\",\"sequence_number\":1,\"timestamp\":%lld}\n",
			 (long long)agent_now(&agent).wall_ms + 60000LL * i);
		hear(line);
	}
	assert_int_equal(agent.counters.generations - before, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_ack_of_the_next_host_keeps_no_subscription_of_the_last, begin, end),
		cmocka_unit_test_setup_teardown(a_subscription_of_the_next_host_keeps_no_ack_of_the_last, begin, end),
		cmocka_unit_test_setup_teardown(a_border_before_all_that_was_asked_takes_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_host_begins_only_so_many_generations_by_its_acks, begin, end),
		cmocka_unit_test_setup_teardown(the_same_ack_that_names_no_generation_begins_one_once, begin, end),
		cmocka_unit_test_setup_teardown(a_host_begins_only_so_many_generations_by_its_clock, begin, end),
	};

	return cmocka_run_group_tests(tests, make_agent, remove_folder);
}
