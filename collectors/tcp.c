/* SPDX-License-Identifier: MIT */
/*
 * data.tcp: what goes wrong in the network of the guest, which the counters of its interfaces do not show: segments
 * sent again, connections that no listener took, datagrams that nobody read in time. The texts are those of the agent's
 * own network namespace.
 */
#include "tcp.h"

#include <errno.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"
#include "rate.h"
#include "table.h"

/* ------------------------------------------------------------------------------------------------------ parsing */

/* Gauges are numbered behind the counters. */
#define GAUGE(gauge) (INET_COUNTERS + (gauge))

struct inet_name {
	const char *group, *name;
	unsigned at;
};

static const struct inet_name pair_names[] = {
	{ "Tcp", "ActiveOpens", INET_TCP_ACTIVE_OPENS },
	{ "Tcp", "PassiveOpens", INET_TCP_PASSIVE_OPENS },
	{ "Tcp", "AttemptFails", INET_TCP_FAILED_OPENS },
	{ "Tcp", "EstabResets", INET_TCP_RESETS },
	{ "Tcp", "CurrEstab", GAUGE(INET_ESTABLISHED) },
	{ "Tcp", "InSegs", INET_TCP_SEGMENTS_IN },
	{ "Tcp", "OutSegs", INET_TCP_SEGMENTS_OUT },
	{ "Tcp", "RetransSegs", INET_TCP_RETRANSMITTED },
	{ "Tcp", "InErrs", INET_TCP_ERRORS_IN },
	{ "Tcp", "OutRsts", INET_TCP_RESETS_SENT },
	{ "Udp", "InDatagrams", INET_UDP_IN },
	{ "Udp", "NoPorts", INET_UDP_NO_PORTS },
	{ "Udp", "InErrors", INET_UDP_ERRORS_IN },
	{ "Udp", "OutDatagrams", INET_UDP_OUT },
	{ "Udp", "RcvbufErrors", INET_UDP_RECEIVE_FULL },
	{ "Udp", "SndbufErrors", INET_UDP_SEND_FULL },
	{ "TcpExt", "SyncookiesSent", INET_SYNCOOKIES_SENT },
	{ "TcpExt", "ListenOverflows", INET_LISTEN_OVERFLOWS },
	{ "TcpExt", "ListenDrops", INET_LISTEN_DROPS },
	{ "TcpExt", "TCPTimeouts", INET_TCP_TIMEOUTS },
	{ "TcpExt", "TCPBacklogDrop", INET_BACKLOG_DROPS },
};

static const struct inet_name sockstat_names[] = {
	{ "sockets", "used", GAUGE(INET_SOCKETS) },    { "TCP", "inuse", GAUGE(INET_TCP_IN_USE) },
	{ "TCP", "orphan", GAUGE(INET_TCP_ORPHANED) }, { "TCP", "tw", GAUGE(INET_TCP_TIME_WAIT) },
	{ "TCP", "alloc", GAUGE(INET_TCP_ALLOCATED) }, { "TCP", "mem", GAUGE(INET_TCP_PAGES) },
	{ "UDP", "inuse", GAUGE(INET_UDP_IN_USE) },    { "UDP", "mem", GAUGE(INET_UDP_PAGES) },
};

void inet_stats_clear(struct inet_stats *out)
{
	for (unsigned i = 0; i < INET_COUNTERS; i++)
		out->counters[i] = INET_ABSENT;
	for (unsigned i = 0; i < INET_GAUGES; i++)
		out->gauges[i] = INET_ABSENT;
	out->skipped = 0;
}

static const struct inet_name *name_find(const struct inet_name *names, size_t count, const struct scan *group,
					 const struct scan *name)
{
	for (size_t i = 0; i < count; i++)
		if (scan_equals(name, names[i].name) && scan_equals(group, names[i].group))
			return &names[i];
	return NULL;
}

static bool group_is_used(const struct inet_name *names, size_t count, const struct scan *group)
{
	for (size_t i = 0; i < count; i++)
		if (scan_equals(group, names[i].group))
			return true;
	return false;
}

/* Stores the number of a name; a second one of the same name may be anything: the first counts. True: it was stored. */
static bool number_store(struct inet_stats *out, unsigned at, struct scan number)
{
	uint64_t *to = at < INET_COUNTERS ? &out->counters[at] : &out->gauges[at - INET_COUNTERS], value;

	if (*to != INET_ABSENT || !scan_u64(&number, &value) || value == INET_ABSENT) {
		out->skipped++;
		return false;
	}
	*to = value;
	return true;
}

/*
 *	Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens …
 *	Tcp: 1 200 120000 -1 13 …
 */
int inet_pairs_parse(const char *text, size_t len, struct inet_stats *out)
{
	struct scan rest = scan_text(text, len), names, numbers, group, group_again, name, number;
	unsigned found = 0;

	while (scan_line(&rest, &names)) {
		if (!scan_until(&names, ':', &group) || !group_is_used(pair_names, ARRAY_SIZE(pair_names), &group))
			continue;
		if (!scan_line(&rest, &numbers) || !scan_until(&numbers, ':', &group_again) ||
		    scan_len(&group) != scan_len(&group_again) ||
		    memcmp(group.at, group_again.at, scan_len(&group)) != 0) {
			out->skipped++;
			break;
		}
		while (scan_field(&names, &name) && scan_field(&numbers, &number)) {
			const struct inet_name *known = name_find(pair_names, ARRAY_SIZE(pair_names), &group, &name);

			if (known)
				found += number_store(out, known->at, number);
		}
	}
	return found > 0 ? 0 : -EBADMSG;
}

/*	TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 137 */
int sockstat_parse(const char *text, size_t len, struct inet_stats *out)
{
	struct scan rest = scan_text(text, len), line, group, name, number;
	unsigned found = 0;

	while (scan_line(&rest, &line)) {
		if (!scan_until(&line, ':', &group))
			continue;
		while (scan_field(&line, &name) && scan_field(&line, &number)) {
			const struct inet_name *known =
				name_find(sockstat_names, ARRAY_SIZE(sockstat_names), &group, &name);

			if (known)
				found += number_store(out, known->at, number);
		}
	}
	return found > 0 ? 0 : -EBADMSG;
}

/* Eight hexadecimal digits (softnet_seq_show in net/core/net-procfs.c). */
static bool hex_scan(struct scan *line, uint64_t *ret)
{
	struct scan field;
	uint64_t value = 0;

	if (!scan_field(line, &field) || scan_len(&field) != 8)
		return false;
	for (; field.at < field.end; field.at++) {
		char c = *field.at;
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		value = value << 4 | (unsigned)digit;
	}
	*ret = value;
	return true;
}

/*	0000043b 00000000 00000000 00000000 … */
int softnet_parse(const char *text, size_t len, struct inet_stats *out)
{
	struct scan rest = scan_text(text, len), line;
	uint64_t sums[3] = { 0 };
	unsigned found = 0;

	while (scan_line(&rest, &line)) {
		uint64_t values[3];

		if (!hex_scan(&line, &values[0]) || !hex_scan(&line, &values[1]) || !hex_scan(&line, &values[2])) {
			out->skipped++;
			continue;
		}
		for (unsigned i = 0; i < 3; i++)
			sums[i] += values[i];
		found++;
	}
	if (found == 0)
		return -EBADMSG;
	out->counters[INET_SOFTNET_PROCESSED] = sums[0];
	out->counters[INET_SOFTNET_DROPPED] = sums[1];
	out->counters[INET_SOFTNET_SQUEEZED] = sums[2];
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

static const struct {
	const char *path;
	int (*parse)(const char *text, size_t len, struct inet_stats *out);
	bool single; /* see struct procfs_file */
} texts[] = {
	{ "net/snmp", inet_pairs_parse, true },
	{ "net/netstat", inet_pairs_parse, true },
	{ "net/sockstat", sockstat_parse, true },
	{ "net/softnet_stat", softnet_parse, false },
};
#define TEXTS ARRAY_SIZE(texts)

struct inet {
	struct procfs_file files[TEXTS];
	struct procfs_buffer text;
	struct rate_clock clock;
	struct rate rates[INET_COUNTERS];
	struct inet_stats now;
};

static int tcp_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct inet *inet = calloc(1, sizeof(*inet));

	(void)ctx;
	if (!inet)
		return -ENOMEM;
	for (size_t i = 0; i < TEXTS; i++)
		inet->files[i] = texts[i].single ? PROCFS_FILE_SINGLE : PROCFS_FILE_SHORT;
	inet->text.max = 64U << 10;
	*ret_state = inet;
	return 0;
}

static void tcp_close(void *state)
{
	struct inet *inet = state;

	if (!inet)
		return;
	for (size_t i = 0; i < TEXTS; i++)
		procfs_close(&inet->files[i]);
	procfs_buffer_free(&inet->text);
	free(inet);
}

/* A text that cannot be read leaves its numbers absent; none that can is a failure. */
static int tcp_collect(void *state, const struct collect_ctx *ctx)
{
	struct inet *inet = state;
	struct rate_interval interval;
	struct inet_stats now;
	bool any = false;
	int first = 0;

	inet_stats_clear(&now);
	for (size_t i = 0; i < TEXTS; i++) {
		int r = procfs_read(&inet->files[i], ctx->proc_fd, texts[i].path, &inet->text);

		if (r == 0)
			r = texts[i].parse(inet->text.text, inet->text.len, &now);
		any = any || r == 0;
		if (first == 0)
			first = r;
	}
	if (!any)
		return first;
	inet->now = now;
	interval = rate_clock_next(&inet->clock, &ctx->now, ctx->gap);
	if (!interval.first && !(interval.seconds > 0))
		return 0;
	for (unsigned i = 0; i < INET_COUNTERS; i++) {
		if (now.counters[i] == INET_ABSENT)
			rate_miss(&inet->rates[i]);
		else
			rate_update(&inet->rates[i], interval, now.counters[i]);
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

/* What is written, in its order; `rate` for those that a host looks at as they come. */
static const struct {
	const char *object; /* it opens or goes on in; "": data.tcp itself */
	unsigned at;
	const char *key, *rate;
} rows[] = {
	{ "", GAUGE(INET_ESTABLISHED), "established", NULL },
	{ "", INET_TCP_ACTIVE_OPENS, "active_opens", NULL },
	{ "", INET_TCP_PASSIVE_OPENS, "passive_opens", NULL },
	{ "", INET_TCP_FAILED_OPENS, "failed_opens", NULL },
	{ "", INET_TCP_RESETS, "resets", NULL },
	{ "", INET_TCP_RESETS_SENT, "resets_sent", "resets_sent_per_sec" },
	{ "", INET_TCP_SEGMENTS_IN, "segments_in", "segments_in_per_sec" },
	{ "", INET_TCP_SEGMENTS_OUT, "segments_out", "segments_out_per_sec" },
	{ "", INET_TCP_RETRANSMITTED, "retransmitted", "retransmitted_per_sec" },
	{ "", INET_TCP_ERRORS_IN, "errors_in", NULL },
	{ "", INET_LISTEN_OVERFLOWS, "listen_overflows", NULL },
	{ "", INET_LISTEN_DROPS, "listen_drops", "listen_drops_per_sec" },
	{ "", INET_TCP_TIMEOUTS, "timeouts", NULL },
	{ "", INET_BACKLOG_DROPS, "backlog_drops", NULL },
	{ "", INET_SYNCOOKIES_SENT, "syncookies_sent", NULL },
	{ "udp", INET_UDP_IN, "datagrams_in", NULL },
	{ "udp", INET_UDP_OUT, "datagrams_out", NULL },
	{ "udp", INET_UDP_NO_PORTS, "no_ports", NULL },
	{ "udp", INET_UDP_ERRORS_IN, "errors_in", "errors_in_per_sec" },
	{ "udp", INET_UDP_RECEIVE_FULL, "receive_buffer_full", NULL },
	{ "udp", INET_UDP_SEND_FULL, "send_buffer_full", NULL },
	{ "sockets", GAUGE(INET_SOCKETS), "used", NULL },
	{ "sockets", GAUGE(INET_TCP_IN_USE), "tcp", NULL },
	{ "sockets", GAUGE(INET_TCP_ALLOCATED), "tcp_allocated", NULL },
	{ "sockets", GAUGE(INET_TCP_ORPHANED), "tcp_orphaned", NULL },
	{ "sockets", GAUGE(INET_TCP_TIME_WAIT), "tcp_time_wait", NULL },
	{ "sockets", GAUGE(INET_TCP_PAGES), "tcp_pages", NULL },
	{ "sockets", GAUGE(INET_UDP_IN_USE), "udp", NULL },
	{ "sockets", GAUGE(INET_UDP_PAGES), "udp_pages", NULL },
	{ "softnet", INET_SOFTNET_PROCESSED, "processed", NULL },
	{ "softnet", INET_SOFTNET_DROPPED, "dropped", "dropped_per_sec" },
	{ "softnet", INET_SOFTNET_SQUEEZED, "squeezed", NULL },
};

static void value_emit(struct sink *out, const char *key, uint64_t value)
{
	if (value == INET_ABSENT)
		sink_null(out, key);
	else
		sink_uint(out, key, value);
}

static void rate_emit(struct sink *out, const char *key, const struct rate *rate)
{
	if (rate_known(rate))
		sink_real(out, key, rate->per_second, 2);
	else
		sink_null(out, key);
}

static void tcp_emit(const void *state, struct sink *out)
{
	const struct inet *inet = state;
	const char *object = "";
	enum rate_state worst = RATE_OK;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned at = rows[i].at;

		if (strcmp(rows[i].object, object) != 0) {
			if (object[0])
				sink_object_end(out);
			object = rows[i].object;
			sink_object_begin(out, object);
		}
		value_emit(out, rows[i].key,
			   at < INET_COUNTERS ? inet->now.counters[at] : inet->now.gauges[at - INET_COUNTERS]);
		if (!rows[i].rate)
			continue;
		rate_emit(out, rows[i].rate, &inet->rates[at]);
		if (inet->rates[at].started)
			worst = rate_state_worse(worst, inet->rates[at].state);
	}
	sink_object_end(out);
	sink_str(out, "state", rate_state_name(worst));
	if (inet->now.skipped > 0)
		sink_uint(out, "lines_skipped", inet->now.skipped);
}

const struct collector collector_tcp = {
	.name = "tcp",
	.path = "tcp",
	.period_s = 10,
	.open = tcp_open,
	.close = tcp_close,
	.collect = tcp_collect,
	.emit = tcp_emit,
};
