/* SPDX-License-Identifier: MIT */
/*
 * Programs that tell how they read their own configuration, or what the kernel does by it, where that needs rights. One
 * table for both sides: the agent reads in it what to ask for, the executor what may be asked. Nothing in these lines
 * comes from a host.
 */
#ifndef AGENT_RULES_QUESTIONS_H
#define AGENT_RULES_QUESTIONS_H

#include <stdbool.h>

enum question {
	QUESTION_SSHD,	   /* the settings of the SSH server, outside of Match blocks: sshd(8), -T */
	QUESTION_NFT,	   /* the rules that the kernel holds: nft(8), -j */
	QUESTION_APPARMOR, /* its profiles, by mode */
	QUESTION_APT,	   /* its settings, of files that only root may read, too: apt-config(8) */
	QUESTION_IPTABLES, /* the names of iptables' own tables, of IPv4 */
	QUESTION_IP6TABLES,
	QUESTIONS,
};

/* argv: the first is a name, looked for in the fixed directories; ends with NULL. */
extern const char *const *const questions[QUESTIONS];

/* True if this action may ask. */
bool question_of_action(const char *action);

#endif
