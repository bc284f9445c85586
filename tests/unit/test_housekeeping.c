/* SPDX-License-Identifier: MIT */
/* The manager's watchdog is fed by what the agent does, not by its loop's turning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/fake_loop.h"
#include "tests/still_agent.h"

static int manager = -1;

static int begin(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (make_agent(state) < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", folder);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(manager, (const struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	setenv("WATCHDOG_USEC", "2000000", 1);
	housekeeping_start(&agent);
	return 0;
}

static int end(void **state)
{
	ev_io_stop(agent.loop.ev, &agent.clock_io);
	deadline_stop(&agent.health_deadline);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	close_fd(&manager);
	return remove_folder(state);
}

/* The health deadline's turn, when the last sample was begun so long ago. */
static bool fed_after(uint64_t ns)
{
	char text[512];
	ssize_t len;
	bool fed = false;

	fake_set_clocks(&agent.loop, agent.loop.now.mono_ns + 10 * NS_PER_S);
	sampling_start(agent.sampling, &agent.config);
	sampling_stop(agent.sampling);
	fake_set_clocks(&agent.loop, agent.loop.now.mono_ns + ns);
	pass_time(&agent.loop, 0);
	while ((len = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT)) >= 0) {
		text[len] = '\0';
		fed = fed || strcmp(text, "WATCHDOG=1") == 0;
	}
	return fed;
}

static void the_watchdog_is_fed_while_samples_come_and_starves_without(void **state)
{
	/* Two that fail to come are patience, and one more that takes as long as it may. */
	uint64_t patience_ns = 3 * agent.config.timers.metrics_interval_ms * NS_PER_MS +
			       agent.config.timers.collect_timeout_ms * NS_PER_MS;

	(void)state;
	assert_int_equal(agent.watchdog_ns, NS_PER_S);
	assert_true(fed_after(0));
	assert_true(fed_after(patience_ns));
	assert_false(fed_after(patience_ns + 1));
	assert_false(fed_after(10 * patience_ns));
	assert_true(fed_after(NS_PER_S));
}

/* No sample is taken any more while commands come to their end. */
static void the_watchdog_is_fed_to_the_end_of_one_that_is_told_to_stop(void **state)
{
	(void)state;
	agent.stopping = STOP_DRAIN;
	assert_true(fed_after(3600 * NS_PER_S));
	agent.stopping = STOP_NOT;
	assert_false(fed_after(3600 * NS_PER_S));
}

static void no_watchdog_is_fed_where_there_is_none(void **state)
{
	uint64_t watchdog_ns = agent.watchdog_ns;

	(void)state;
	agent.watchdog_ns = 0;
	assert_false(fed_after(0));
	agent.watchdog_ns = watchdog_ns;
}

/* A longer pace of samples is more patience. */
static void patience_goes_by_the_interval_that_holds_now(void **state)
{
	uint64_t interval_ms = agent.config.timers.metrics_interval_ms;

	(void)state;
	assert_false(fed_after(4 * interval_ms * NS_PER_MS + 10 * NS_PER_S));
	agent.config.timers.metrics_interval_ms = 10 * interval_ms;
	assert_true(fed_after(4 * interval_ms * NS_PER_MS + 10 * NS_PER_S));
	agent.config.timers.metrics_interval_ms = interval_ms;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_watchdog_is_fed_while_samples_come_and_starves_without),
		cmocka_unit_test(the_watchdog_is_fed_to_the_end_of_one_that_is_told_to_stop),
		cmocka_unit_test(no_watchdog_is_fed_where_there_is_none),
		cmocka_unit_test(patience_goes_by_the_interval_that_holds_now),
	};

	return cmocka_run_group_tests_name("housekeeping", tests, begin, end);
}
