/* SPDX-License-Identifier: MIT */
/*
 * What agent and executor have to agree on about a request to run a program: its environment, the privileged queries,
 * and the inputs of a domain join and of killing a process. The agent makes requests by these rules, and the executor
 * permits no others.
 */
#ifndef AGENT_RULES_REQUESTS_H
#define AGENT_RULES_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/moment.h>

/*
 * The environment of every command, "NAME=value", NULL at the end: nothing of the agent's own. A command of the host's
 * choice may have more or other variables.
 */
extern const char *const runner_environment[];

/* Directories in which programs are searched, in this order; NULL at the end. */
extern const char *const runner_directories[];

/* ----------------------------------------------------------------------------------------------- privileged queries */

/*
 * Programs that report their own configuration, or the kernel's state set by them. Nothing in these command lines comes
 * from a host.
 */
enum question {
	QUESTION_SSHD,	   /* settings of the SSH server, outside of Match blocks: sshd(8), -T */
	QUESTION_NFT,	   /* nftables rules in the kernel: nft(8), -j */
	QUESTION_APPARMOR, /* AppArmor profiles, by mode */
	QUESTION_APT,	   /* settings of apt, also from files that only root may read: apt-config(8) */
	QUESTION_IPTABLES, /* names of iptables' tables, IPv4 */
	QUESTION_IP6TABLES,
	QUESTIONS,
};

/* argv of each query, NULL at the end; argv[0] is a name, searched in runner_directories. */
extern const char *const *const questions[QUESTIONS];

/* True if this action may run the queries. */
bool question_of_action(const char *action);

/* ------------------------------------------------------------------------------------------------------ domain join */

/*
 * The input of a request to join a domain: five texts, each ended by NUL: domain, user, password, organizational unit
 * and computer name (the last two may be empty).
 */
#define JOIN_INPUT_MAX	  4096
#define JOIN_DOMAIN_MAX	  253 /* JOIN_…_MAX are bytes without the NUL */
#define JOIN_USER_MAX	  256
#define JOIN_PASSWORD_MAX 1024
#define JOIN_UNIT_MAX	  1024
#define JOIN_COMPUTER_MAX 63

enum join_part { JOIN_DOMAIN, JOIN_USER, JOIN_PASSWORD, JOIN_UNIT, JOIN_COMPUTER, JOIN_PARTS };

struct join_request {
	const char *parts[JOIN_PARTS]; /* point into the parsed text */
};

/* Parses the input. False for anything but these five texts, each valid for its part. `text` ends with a NUL. */
bool join_parse(const char *text, size_t len, struct join_request *ret);

/* Whether `text` is valid for `part`. */
bool join_part_valid(enum join_part part, const char *text);

/* ------------------------------------------------------------------------------------------------------------- kill */

/*
 * The start time by which a host identifies a process, as ProcessList shows it. Shown times depend on the wall clock,
 * so they are compared with a tolerance; a pid is not reused within it.
 */
#define KILL_RULE_ROOM_MS 1500

/* Parses "2026-01-02T03:04:05[.678]Z" to milliseconds since 1970. False: not of this form. */
bool kill_rule_parse(const char *text, int64_t *ret_ms);

/*
 * True if a process that started `start_ticks` after boot (`tick_hz` a second) would now be shown with start time
 * `start_ms`, within the tolerance.
 */
bool kill_rule_matches(int64_t start_ms, uint64_t start_ticks, uint64_t tick_hz, const struct moment *now);

/* Exit status of `infiniservice-exec kill`. */
enum kill_exit {
	KILL_EXIT_DONE = 0,
	KILL_EXIT_FAILED = 1,
	KILL_EXIT_USAGE = 2,
	KILL_EXIT_GONE = 3,	 /* no such process, or the pid has been reused */
	KILL_EXIT_PROTECTED = 4, /* pid 1 and kernel threads */
};

#endif
