/* SPDX-License-Identifier: MIT */
/*
 * Privileged read-only queries: programs that report their own configuration, or the kernel's state set by them. The
 * agent takes its queries from this table, and the executor permits no others. Nothing in these command lines comes
 * from a host.
 */
#ifndef AGENT_RULES_QUESTIONS_H
#define AGENT_RULES_QUESTIONS_H

#include <stdbool.h>

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

#endif
