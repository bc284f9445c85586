/* SPDX-License-Identifier: MIT */
/*
 * The protection of the guest: facts (files, states of units), and judgements over them in the form of the health
 * checks, {status, message, details}, without nulls. The judgements are pure. An unknown value is "unknown"; a file
 * that was not read whole is named, and its check does not pass.
 */
#ifndef AGENT_ACTIONS_SECURITY_H
#define AGENT_ACTIONS_SECURITY_H

#include <stdbool.h>
#include <stddef.h>

#include <infiniservice/sink.h>

#include "agent/actions/health.h"

enum security_check {
	CHECK_MODULES,
	CHECK_FIREWALL,
	CHECK_UPDATES,
	CHECK_SSH,
	CHECK_ALL,
};

/* The units that are asked for their state. */
enum security_unit {
	SECURITY_NFTABLES,
	SECURITY_UFW,
	SECURITY_FIREWALLD,
	SECURITY_APPARMOR,
	SECURITY_SSH,
	SECURITY_SSHD,
	SECURITY_SSH_SOCKET,
	SECURITY_UPGRADES,
	SECURITY_APT_TIMER,
	SECURITY_DNF_TIMER,
	SECURITY_DNF_INSTALL_TIMER,
	SECURITY_UNITS,
};

/* Words of sshd_config; "" where the file does not say. */
struct sshd_settings {
	char permit_root_login[32];
	char password_authentication[32];
	char permit_empty_passwords[32];
	char x11_forwarding[32];
	char kbd_interactive[32]; /* or by its old name, ChallengeResponseAuthentication */
	char use_pam[32];
	bool in_match; /* the rest belongs to a Match block */
	unsigned match_blocks;
	bool malformed;	      /* a line without a value, or with a quote that does not end: sshd takes no such file */
	bool match_passwords; /* a Match block permits passwords */
};

/* Can a new incoming connection of a stranger (a sender that no rule lists) be refused? */
enum security_refusal {
	REFUSES_NOTHING,
	MAY_REFUSE, /* not known: by a rule that only iptables reads, by a program, … */
	REFUSES,
};

/* iptables' own tables, which nft does not see: /proc/net/ip_tables_names, which only root may read. */
enum security_tables {
	TABLES_UNKNOWN,
	TABLES_NONE,
	TABLES_THERE,
};

#define SECURITY_WORDS_MAX 384

/* The part of a configuration that was not read: "" if all was read; else the first file or folder, and why. */
typedef char security_note[192];

struct security_facts {
	char units[SECURITY_UNITS][16]; /* "active", …; "" unknown */
	char lsm[128];			/* "lockdown,capability,apparmor"; "" unknown */
	bool apparmor, apparmor_counted;
	unsigned apparmor_enforce, apparmor_complain;
	enum { SELINUX_OFF, SELINUX_PERMISSIVE, SELINUX_ENFORCING, SELINUX_UNKNOWN } selinux;
	enum { SMACK_OFF, SMACK_EMPTY, SMACK_RULES, SMACK_UNKNOWN } smack; /* empty: no rules */
	bool ufw_enabled, nft_file, nft_filters;
	char ufw_policy[16]; /* for incoming packets: "DROP", "REJECT", "ACCEPT"; "" unknown */
	bool has_ip6;	     /* the guest has an IPv6 address that other machines can reach */
	enum security_tables iptables, ip6tables;
	bool upgrades_installed, upgrades_on, lists_on;
	bool dnf_applies; /* dnf-automatic installs the updates that it fetches */
	bool sshd_program, sshd_file, sshd_readable;
	struct sshd_settings sshd;
	/* The program itself was asked: its answer counts, and not what was read of its files. */
	bool sshd_asked, apt_asked, nft_asked;
	enum security_refusal kernel_ip, kernel_ip6; /* nft_asked: by the rules that nft sees */
	security_note sshd_unread, apt_unread, nft_unread, ufw_unread, apparmor_unread, selinux_unread, smack_unread,
		dnf_unread;
};

/* Notes what could not be read; only the first note is stored. */
__attribute__((format(printf, 2, 3))) void security_unread(security_note note, const char *format, ...);

/* Reads the facts that are in files below /, /proc and /sys. */
void security_read(struct security_facts *facts, int root_fd, int proc_fd, int sys_fd);

/* The judgement, of CHECK_ALL the worst; `message` gets the text for people. */
enum health_status security_judge(const struct security_facts *facts, enum security_check check,
				  char message[SECURITY_WORDS_MAX]);

/* Writes one check, or all checks with the worst status on top, under `key`. */
void security_emit(struct sink *out, const char *key, const struct security_facts *facts, enum security_check check);

/* Takes the output of `sshd -T`, the effective settings. What the files said of Match blocks, which it omits, stays. */
void security_take_sshd(struct security_facts *facts, const char *text, size_t len);
/* Takes the output of `nft -j list ruleset`; nft_asked stays false if it cannot be parsed. */
void security_take_nft(struct security_facts *facts, const char *text, size_t len);
/* Takes the output of `apt-config dump`. Asked without rights (not `whole`) apt passes over what it may not read. */
void security_take_apt(struct security_facts *facts, const char *text, size_t len, bool whole);

/* ---------------------------------------------------------------------------------------------------- pure parsers */

/* `include` is called where an Include stands: of all values the first counts, see sshd_config(5). */
void sshd_settings_parse(struct sshd_settings *settings, const char *text, size_t len,
			 void (*include)(void *data, const char *pattern), void *data);

enum apt_setting {
	APT_ENABLE,
	APT_UPGRADE,
	APT_LISTS,
	APT_SETTINGS,
};
/* The settings of apt's daily job: the last value of each, "" if it is not set. */
struct apt_periodic {
	char values[APT_SETTINGS][33];
	security_note unread;
};
/* A further file of apt's configuration, or `apt-config dump`. */
void apt_periodic_parse(struct apt_periodic *settings, const char *text, size_t len);
/* To be called after the last file. A value of unknown meaning is noted as unread. */
void apt_periodic_judge(struct security_facts *facts, const struct apt_periodic *settings);
/* True if apt reads a file of this name in apt.conf.d. */
bool apt_reads_name(const char *name);
/* apply_updates of dnf-automatic's [commands]: true if it is set and makes sense. */
bool dnf_applies_parse(const char *text, size_t len, bool *ret);
/* True if an input chain of nftables.conf drops or rejects some new connections of strangers. */
bool nft_filters_input(const char *text, size_t len);
/* The last value of KEY= in a file of ufw, in sh syntax; "" if it is not set. */
void ufw_setting(const char *text, size_t len, const char *key, char *value, size_t size);
/* True if /proc/net/if_inet6 lists an address that is not of the loopback device. */
bool inet6_addressed(const char *text, size_t len);
/* Parses ip_tables_names or ip6_tables_names. The table nat does not count, as it refuses nothing. */
enum security_tables iptables_names(const char *text, size_t len);
/* Counts the profiles by mode in the kernel's list, one "name (mode)" a line. */
void apparmor_count(const char *text, size_t len, unsigned *ret_enforce, unsigned *ret_complain);
/* True if `name` is in the list of the kernel's modules. */
bool lsm_has(const char *lsm, const char *name);

#endif
