/* SPDX-License-Identifier: MIT */
/*
 * What protects the guest, as facts (files, states of units) and as judgements over them in the shape of the health checks:
 * {status, message, details}, without nulls. The judgements are pure; what is not known is said to be
 * "unknown", and what was not read whole is named and has not passed.
 */
#ifndef AGENT_SECURITY_H
#define AGENT_SECURITY_H

#include <stdbool.h>
#include <stddef.h>

#include <infiniservice/sink.h>

enum security_status {
	SECURITY_PASSED,
	SECURITY_WARNING,
	SECURITY_FAILED,
};

/* Units whose state matters. */
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
extern const char *const security_unit_names[SECURITY_UNITS];

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
	bool match_passwords; /* one of them lets somebody in with a password */
};

#define SECURITY_NAME_MAX 192
#define SECURITY_WORDS_MAX 384

/* What was not read of a configuration: "" when all of it was; else the first file or folder, with why. */
struct security_unread {
	char what[SECURITY_NAME_MAX];
};

struct security_facts {
	char units[SECURITY_UNITS][16]; /* "active", …; "" unknown */
	char lsm[128];			/* "lockdown,capability,apparmor"; "" unknown */
	bool apparmor, apparmor_counted;
	unsigned apparmor_enforce, apparmor_complain;
	enum { SELINUX_OFF, SELINUX_PERMISSIVE, SELINUX_ENFORCING } selinux;
	bool ufw_enabled, nft_file, nft_filters;
	bool upgrades_installed, upgrades_on, lists_on;
	bool apt_braces;  /* all of its files were read, but one of them has a form that only apt reads */
	bool dnf_applies; /* what dnf-automatic fetches is installed, too */
	bool sshd_file, sshd_readable;
	struct sshd_settings sshd;
	/* What the programs themselves said; it holds then, and not what was read of their files. */
	bool sshd_asked, apt_asked, nft_asked;
	bool nft_kernel_filters; /* nft_asked: the kernel refuses something of what comes in */
	struct security_unread sshd_unread, apt_unread, nft_unread, ufw_unread, apparmor_unread, dnf_unread;
};

/* Notes what could not be read, if it is the first. */
__attribute__((format(printf, 2, 3))) void security_unread(struct security_unread *unread, const char *format, ...);

/* The outputs of the programs: sshd -T, apt-config dump, nft -j list ruleset (false: it made no sense). */
void security_take_sshd(struct security_facts *facts, const char *text, size_t len);
void security_take_apt(struct security_facts *facts, const char *text, size_t len); /* asked without rights: apt passes over what it may not read */
void security_take_apt_whole(struct security_facts *facts, const char *text, size_t len);
bool security_take_nft(struct security_facts *facts, const char *text, size_t len);

/* Reads what lies in files below / and /sys. */
void security_read(struct security_facts *facts, int root_fd, int sys_fd);

/* Pure parsers. `include` is called where an Include stands: of all values the first counts, see sshd_config(5). */
void sshd_settings_parse(struct sshd_settings *settings, const char *text, size_t len, void (*include)(void *data, const char *pattern),
			 void *data);
/* The value of `name` in apt's configuration, as `APT::Periodic::Name "1";`: true and *ret unless it is not set here. */
bool apt_setting_parse(const char *text, size_t len, const char *name, bool *ret);
/* True if a chain on input drops or rejects something. */
bool nft_filters_input(const char *text, size_t len);
/* ENABLED=yes of ufw.conf. */
bool ufw_enabled(const char *text, size_t len);
/* Profiles by mode in the list of the kernel: "name (mode)" a line. */
void apparmor_count(const char *text, size_t len, unsigned *ret_enforce, unsigned *ret_complain);

/* One check, or all with the worst of them on top, under `key`. */
void security_emit_modules(struct sink *out, const char *key, const struct security_facts *facts);
void security_emit_firewall(struct sink *out, const char *key, const struct security_facts *facts);
void security_emit_updates(struct sink *out, const char *key, const struct security_facts *facts);
void security_emit_ssh(struct sink *out, const char *key, const struct security_facts *facts);
void security_emit_all(struct sink *out, const char *key, const struct security_facts *facts);

/* The judgements behind them, with the words for people. */
enum security_status security_judge_modules(const struct security_facts *facts, char message[SECURITY_WORDS_MAX]);
enum security_status security_judge_firewall(const struct security_facts *facts, char message[SECURITY_WORDS_MAX]);
enum security_status security_judge_updates(const struct security_facts *facts, char message[SECURITY_WORDS_MAX]);
enum security_status security_judge_ssh(const struct security_facts *facts, char message[SECURITY_WORDS_MAX]);

#endif
