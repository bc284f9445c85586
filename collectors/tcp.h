/* SPDX-License-Identifier: MIT */
/* The counters of TCP, UDP, sockets and the receive path of the CPUs, parsed out of /proc/net. */
#ifndef COLLECTORS_TCP_H
#define COLLECTORS_TCP_H

#include <stddef.h>
#include <stdint.h>

/* The counters that are used, since boot (RFC 4022, RFC 4113; include/uapi/linux/snmp.h), in the order of the sample.
 */
enum inet_counter {
	INET_TCP_ACTIVE_OPENS,	/* snmp, Tcp: ActiveOpens */
	INET_TCP_PASSIVE_OPENS, /* PassiveOpens */
	INET_TCP_FAILED_OPENS,	/* AttemptFails */
	INET_TCP_RESETS,	/* EstabResets: connections that were reset */
	INET_TCP_RESETS_SENT,	/* OutRsts */
	INET_TCP_SEGMENTS_IN,	/* InSegs */
	INET_TCP_SEGMENTS_OUT,	/* OutSegs, without retransmitted ones */
	INET_TCP_RETRANSMITTED, /* RetransSegs */
	INET_TCP_ERRORS_IN,	/* InErrs */
	INET_LISTEN_OVERFLOWS,	/* netstat, TcpExt: ListenOverflows: the queue of a listener was full */
	INET_LISTEN_DROPS,     /* ListenDrops: connections dropped by a listener for any reason, overflows among them */
	INET_TCP_TIMEOUTS,     /* TCPTimeouts */
	INET_BACKLOG_DROPS,    /* TCPBacklogDrop */
	INET_SYNCOOKIES_SENT,  /* SyncookiesSent */
	INET_UDP_IN,	       /* snmp, Udp (IPv4 alone): InDatagrams */
	INET_UDP_OUT,	       /* OutDatagrams */
	INET_UDP_NO_PORTS,     /* NoPorts */
	INET_UDP_ERRORS_IN,    /* InErrors */
	INET_UDP_RECEIVE_FULL, /* RcvbufErrors */
	INET_UDP_SEND_FULL,    /* SndbufErrors */
	INET_SOFTNET_PROCESSED, /* softnet_stat, summed over the CPUs: packets, */
	INET_SOFTNET_DROPPED,	/* those for which the backlog of the CPU was full, */
	INET_SOFTNET_SQUEEZED,	/* times that a CPU had more to do than it was allowed in one go */
	INET_COUNTERS,
};

/* What there is at the moment. */
enum inet_gauge {
	INET_ESTABLISHED,   /* snmp, Tcp: CurrEstab: connections in ESTABLISHED or CLOSE-WAIT */
	INET_SOCKETS,	    /* sockstat, sockets: used: of all protocols */
	INET_TCP_IN_USE,    /* TCP: inuse */
	INET_TCP_ORPHANED,  /* orphan: without a process */
	INET_TCP_TIME_WAIT, /* tw */
	INET_TCP_ALLOCATED, /* alloc */
	INET_TCP_PAGES,	    /* mem: pages of buffers */
	INET_UDP_IN_USE,    /* UDP: inuse */
	INET_UDP_PAGES,	    /* mem */
	INET_GAUGES,
};

/* What a text does not have. */
#define INET_ABSENT UINT64_MAX

struct inet_stats {
	uint64_t counters[INET_COUNTERS];
	uint64_t gauges[INET_GAUGES];
	uint64_t skipped; /* invalid numbers and lines of these */
};

/* Everything absent, nothing skipped. */
void inet_stats_clear(struct inet_stats *out);

/*
 * Adds what /proc/net/snmp or /proc/net/netstat has: lines in pairs, "Tcp: NAME…" and "Tcp: NUMBER…". 0, or -EBADMSG
 * when not one of the numbers was found.
 */
int inet_pairs_parse(const char *text, size_t len, struct inet_stats *out);

/* The same of /proc/net/sockstat: "TCP: inuse 4 orphan 0 tw 0 alloc 6 mem 1". */
int sockstat_parse(const char *text, size_t len, struct inet_stats *out);

/* The same of /proc/net/softnet_stat: a line for each CPU, numbers of eight hexadecimal digits that wrap at 32 bits. */
int softnet_parse(const char *text, size_t len, struct inet_stats *out);

#endif
