/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "capture_sink.h"
#include "collectors/table.h"
#include "collectors/tcp.h"
#include "fixture_dir.h"

#define SNMP                                                                                                           \
	"Ip: Forwarding DefaultTTL\nIp: 2 64\n"                                                                        \
	"Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs "  \
	"OutSegs RetransSegs InErrs OutRsts InCsumErrors\n"                                                            \
	"Tcp: 1 200 120000 -1 13 2 3 4 5 1067 584 6 7 8 9\n"                                                           \
	"Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\nUdp: 26 1 2 27 3 4\n"               \
	"UdpLite: InDatagrams NoPorts\nUdpLite: 99 98\n"
#define NETSTAT                                                                                                        \
	"TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows ListenDrops TCPTimeouts TCPBacklogDrop\n"               \
	"TcpExt: 1 9 20 21 22 23\nIpExt: InNoRoutes\nIpExt: 0\n"
#define SOCKSTAT "sockets: used 17\nTCP: inuse 1 orphan 2 tw 3 alloc 4 mem 137\nUDP: inuse 5 mem 6\nRAW: inuse 7\n"
#define SOFTNET	 "0000000d 00000001 00000002 00000000\n0000043b 00000000 ffffffff 00000000\n"

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	*state = fixture;
	fixture_write(fixture, "proc/net/snmp", SNMP);
	fixture_write(fixture, "proc/net/netstat", NETSTAT);
	fixture_write(fixture, "proc/net/sockstat", SOCKSTAT);
	fixture_write(fixture, "proc/net/softnet_stat", SOFTNET);
	return collector_tcp.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_tcp.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

/* A collect ten seconds after the last one. */
static void assert_collects(struct fixture *fixture, const char *want)
{
	struct capture *capture = capture_begin();
	int r;
	bool good;

	fixture_pass(fixture, 10);
	r = collector_tcp.collect(fixture->state, &fixture->ctx);
	if (r == 0)
		collector_tcp.emit(fixture->state, &capture->sink);
	good = r == 0 && capture_has(capture, want) && capture->depth == 0;
	if (!good)
		print_error("%d\n%s\nwithout\n%s\n", r, capture->text, want);
	free(capture);
	assert_true(good);
}

static struct inet_stats parsed(int (*parse)(const char *text, size_t len, struct inet_stats *out), const char *text,
				int want)
{
	struct inet_stats stats;
	int r;

	inet_stats_clear(&stats);
	r = parse(text, strlen(text), &stats);
	if (r != want)
		print_error("%d: %s\n", r, text);
	assert_int_equal(r, want);
	return stats;
}

static void numbers_are_taken_by_the_names_of_the_line_above_them(void **state)
{
	struct inet_stats stats = parsed(inet_pairs_parse, SNMP NETSTAT, 0);

	(void)state;
	assert_int_equal(stats.counters[INET_TCP_ACTIVE_OPENS], 13);
	assert_int_equal(stats.counters[INET_TCP_RETRANSMITTED], 6);
	assert_int_equal(stats.counters[INET_TCP_RESETS_SENT], 8);
	assert_int_equal(stats.gauges[INET_ESTABLISHED], 5);
	assert_int_equal(stats.counters[INET_UDP_IN], 26);
	assert_int_equal(stats.counters[INET_LISTEN_DROPS], 21);
	assert_int_equal(stats.skipped, 0);
	stats = parsed(inet_pairs_parse, "Tcp: New RetransSegs InSegs\nTcp: 1 2 3 4\n", 0);
	assert_int_equal(stats.counters[INET_TCP_RETRANSMITTED], 2);
	assert_int_equal(stats.counters[INET_TCP_SEGMENTS_IN], 3);
	assert_true(stats.counters[INET_TCP_SEGMENTS_OUT] == INET_ABSENT);
}

static void odd_numbers_and_lines_cost_themselves(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t segments, retransmitted, skipped;
	} cases[] = {
		{ "Tcp: InSegs RetransSegs\nTcp: 1 2", 0, 1, 2, 0 },
		{ "Tcp: InSegs RetransSegs\nTcp: 1\n", 0, 1, INET_ABSENT, 0 },
		{ "Tcp: InSegs RetransSegs\nTcp: -1 2\n", 0, INET_ABSENT, 2, 1 },
		{ "Tcp: InSegs RetransSegs\nTcp: 1 2x\n", 0, 1, INET_ABSENT, 1 },
		{ "Tcp: InSegs InSegs RetransSegs\nTcp: 1 7 2\n", 0, 1, 2, 1 },
		{ "Tcp: InSegs RetransSegs\nTcp: 18446744073709551615 18446744073709551616\n", -EBADMSG, INET_ABSENT,
		  INET_ABSENT, 2 },
		{ "Tcp: InSegs RetransSegs\nUdp: 1 2\n", -EBADMSG, INET_ABSENT, INET_ABSENT, 1 },
		{ "Tcp: InSegs\nTcp: 1\nTcp: RetransSegs\n", 0, 1, INET_ABSENT, 1 },
		{ "tcp: InSegs\ntcp: 1\n", -EBADMSG, INET_ABSENT, INET_ABSENT, 0 },
		{ "", -EBADMSG, INET_ABSENT, INET_ABSENT, 0 },
		{ "\n\xff\nTcp InSegs\nTcp: InSegs\nTcp: 1\n", 0, 1, INET_ABSENT, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct inet_stats stats = parsed(inet_pairs_parse, cases[i].text, cases[i].r);

		if (stats.skipped != cases[i].skipped)
			print_error("%s\n", cases[i].text);
		assert_true(stats.counters[INET_TCP_SEGMENTS_IN] == cases[i].segments);
		assert_true(stats.counters[INET_TCP_RETRANSMITTED] == cases[i].retransmitted);
		assert_true(stats.skipped == cases[i].skipped);
	}
}

static void the_cpus_are_summed_up_and_a_line_that_is_none_is_passed_over(void **state)
{
	struct inet_stats stats = parsed(softnet_parse, SOFTNET, 0);

	(void)state;
	assert_int_equal(stats.counters[INET_SOFTNET_PROCESSED], 0xd + 0x43b);
	assert_int_equal(stats.counters[INET_SOFTNET_DROPPED], 1);
	assert_true(stats.counters[INET_SOFTNET_SQUEEZED] == UINT64_C(0x100000001));
	stats = parsed(softnet_parse, "0000000d 00000001 00000002\n0000000D 00000001 00000002\n0 0 0\n", 0);
	assert_int_equal(stats.counters[INET_SOFTNET_PROCESSED], 13);
	assert_int_equal(stats.skipped, 2);
	parsed(softnet_parse, "", -EBADMSG);
	parsed(softnet_parse, "0000000d 00000001\n", -EBADMSG);
}

static void every_cut_of_the_texts_is_survived(void **state)
{
	static const struct {
		const char *text;
		int (*parse)(const char *text, size_t len, struct inet_stats *out);
	} texts[] = { { SNMP NETSTAT, inet_pairs_parse }, { SOCKSTAT, sockstat_parse }, { SOFTNET, softnet_parse } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (size_t len = 0; len <= strlen(texts[i].text); len++) {
			char *exact = malloc(len ? len : 1);
			struct inet_stats stats;
			int r;

			memcpy(exact, texts[i].text, len);
			inet_stats_clear(&stats);
			r = texts[i].parse(exact, len, &stats);
			free(exact);
			assert_true(r == 0 || r == -EBADMSG);
		}
	}
}

static void counters_stand_beside_the_rates_of_those_that_tell_of_trouble(void **state)
{
	struct fixture *fixture = *state;

	assert_collects(fixture, "\"retransmitted\":6,\"retransmitted_per_sec\":null,");
	fixture_write(fixture, "proc/net/snmp",
		      "Tcp: InSegs OutSegs RetransSegs OutRsts\nTcp: 1167 584 36 8\n"
		      "Udp: InErrors\nUdp: 7\n");
	fixture_write(fixture, "proc/net/netstat", "TcpExt: ListenOverflows ListenDrops\nTcpExt: 20 41\n");
	assert_collects(fixture, "\"segments_in\":1167,\"segments_in_per_sec\":10.00,\"segments_out\":584,"
				 "\"segments_out_per_sec\":0.00,\"retransmitted\":36,\"retransmitted_per_sec\":3.00,"
				 "\"errors_in\":null,\"listen_overflows\":20,\"listen_drops\":41,"
				 "\"listen_drops_per_sec\":2.00,\"timeouts\":null,");
	assert_collects(fixture,
			"\"udp\":{\"datagrams_in\":null,\"datagrams_out\":null,\"no_ports\":null,\"errors_in\":7,"
			"\"errors_in_per_sec\":0.00,");
	assert_collects(fixture, "\"sockets\":{\"used\":17,\"tcp\":1,\"tcp_allocated\":4,\"tcp_orphaned\":2,"
				 "\"tcp_time_wait\":3,\"tcp_pages\":137,\"udp\":5,\"udp_pages\":6},"
				 "\"softnet\":{\"processed\":1096,\"dropped\":1,\"dropped_per_sec\":0.00,"
				 "\"squeezed\":4294967297},\"state\":\"ok\"");
}

static void a_text_that_is_not_there_is_null_and_spoils_nothing_else(void **state)
{
	struct fixture *fixture = *state;

	collector_tcp.close(fixture->state);
	assert_int_equal(collector_tcp.open(&fixture->ctx, &fixture->state), 0);
	fixture_remove(fixture, "proc/net/netstat");
	fixture_write(fixture, "proc/net/softnet_stat", "garbage\n");
	assert_collects(fixture, "\"listen_overflows\":null,\"listen_drops\":null,\"listen_drops_per_sec\":null,");
	assert_collects(fixture, "\"softnet\":{\"processed\":null,\"dropped\":null,\"dropped_per_sec\":null,"
				 "\"squeezed\":null},\"state\":\"ok\",\"lines_skipped\":1");
	assert_collects(fixture, "\"segments_in_per_sec\":0.00");
}

static void a_counter_that_steps_back_gives_no_rate(void **state)
{
	struct fixture *fixture = *state;

	assert_collects(fixture, "\"state\":\"first\"");
	fixture_write(fixture, "proc/net/softnet_stat", "00000001 00000000 00000000\n");
	assert_collects(fixture, "\"dropped\":0,\"dropped_per_sec\":null,");
	fixture_write(fixture, "proc/net/softnet_stat", "00000001 0000000a 00000000\n");
	assert_collects(fixture, "\"dropped\":10,\"dropped_per_sec\":1.00,");
}

static void without_any_text_there_is_an_error(void **state)
{
	struct fixture *fixture = *state;
	static const char *const paths[] = { "proc/net/snmp", "proc/net/netstat", "proc/net/sockstat",
					     "proc/net/softnet_stat" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		fixture_write(fixture, paths[i], "garbage\n");
	assert_int_equal(collector_tcp.collect(fixture->state, &fixture->ctx), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		fixture_remove(fixture, paths[i]);
	collector_tcp.close(fixture->state);
	assert_int_equal(collector_tcp.open(&fixture->ctx, &fixture->state), 0);
	assert_int_equal(collector_tcp.collect(fixture->state, &fixture->ctx), -ENOENT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(numbers_are_taken_by_the_names_of_the_line_above_them),
		T(odd_numbers_and_lines_cost_themselves),
		T(the_cpus_are_summed_up_and_a_line_that_is_none_is_passed_over),
		T(every_cut_of_the_texts_is_survived),
		T(counters_stand_beside_the_rates_of_those_that_tell_of_trouble),
		T(a_text_that_is_not_there_is_null_and_spoils_nothing_else),
		T(a_counter_that_steps_back_gives_no_rate),
		T(without_any_text_there_is_an_error),
	};

	return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
