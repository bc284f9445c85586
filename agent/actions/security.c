/* SPDX-License-Identifier: MIT */
/* Judgements over the facts, and how they are told; see security.h. */
#include "agent/actions/security.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>

const char *const security_unit_names[SECURITY_UNITS] = {
	[SECURITY_NFTABLES] = "nftables.service",
	[SECURITY_UFW] = "ufw.service",
	[SECURITY_FIREWALLD] = "firewalld.service",
	[SECURITY_APPARMOR] = "apparmor.service",
	[SECURITY_SSH] = "ssh.service",
	[SECURITY_SSHD] = "sshd.service",
	[SECURITY_SSH_SOCKET] = "ssh.socket",
	[SECURITY_UPGRADES] = "unattended-upgrades.service",
	[SECURITY_APT_TIMER] = "apt-daily-upgrade.timer",
	[SECURITY_DNF_TIMER] = "dnf-automatic.timer",
	[SECURITY_DNF_INSTALL_TIMER] = "dnf-automatic-install.timer",
};

static const char *status_name(enum security_status status)
{
	static const char *const names[] = { "passed", "warning", "failed" };

	return names[status];
}

static bool active(const struct security_facts *facts, enum security_unit unit)
{
	return strcmp(facts->units[unit], "active") == 0;
}

static bool unknown(const struct security_facts *facts, enum security_unit unit)
{
	return !*facts->units[unit];
}

static const char *or_unknown(const char *word)
{
	return *word ? word : "unknown";
}

/* ------------------------------------------------------------------------------------------------------- judgements */

__attribute__((format(printf, 3, 4))) static enum security_status
say(char message[SECURITY_WORDS_MAX], enum security_status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, SECURITY_WORDS_MAX, format, args);
	va_end(args);
	return status;
}

void security_unread(struct security_unread *unread, const char *format, ...)
{
	va_list args;

	if (*unread->what)
		return;
	va_start(args, format);
	vsnprintf(unread->what, sizeof(unread->what), format, args);
	va_end(args);
}

/*
 * One security module that enforces rules is enough to pass. Else unknown modules are reported first, then those that
 * enforce nothing.
 */
enum security_status security_judge_modules(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	if (facts->selinux == SELINUX_ENFORCING)
		return say(message, SECURITY_PASSED, "SELinux is enforcing");
	if (facts->apparmor && facts->apparmor_counted && facts->apparmor_enforce > 0)
		return say(message, SECURITY_PASSED, "AppArmor is on and enforces profiles");
	if (facts->smack == SMACK_RULES)
		return say(message, SECURITY_PASSED, "Smack is on and enforces rules");
	if (facts->selinux == SELINUX_UNKNOWN)
		return say(message, SECURITY_WARNING, "whether SELinux is enforcing could not be read: %s",
			   facts->selinux_unread.what);
	if (facts->apparmor && !facts->apparmor_counted)
		return say(message, SECURITY_WARNING,
			   "AppArmor is on; whether it enforces a profile could not be read: %s",
			   *facts->apparmor_unread.what ? facts->apparmor_unread.what : "its list of profiles");
	if (*facts->apparmor_unread.what && !facts->apparmor)
		return say(message, SECURITY_WARNING, "whether AppArmor is on could not be read: %s",
			   facts->apparmor_unread.what);
	if (facts->smack == SMACK_UNKNOWN)
		return say(message, SECURITY_WARNING, "Smack is on; whether it has rules could not be read: %s",
			   facts->smack_unread.what);
	if (facts->apparmor)
		return say(message, SECURITY_WARNING, "AppArmor is on but enforces no profile");
	if (facts->selinux == SELINUX_PERMISSIVE)
		return say(message, SECURITY_WARNING, "SELinux only warns");
	if (facts->smack == SMACK_EMPTY)
		return say(message, SECURITY_WARNING, "Smack is on but has no rules");
	/* It is in the list of common kernels, which give it no policy; only root may read that. */
	if (lsm_has(facts->lsm, "tomoyo"))
		return say(message, SECURITY_WARNING,
			   "TOMOYO is in the kernel; whether it enforces anything is not known");
	return say(message, SECURITY_WARNING,
		   *facts->lsm
			   ? "no mandatory access control is on"
			   : "no mandatory access control is seen; the list of the kernel's modules could not be read");
}

/*
 * The kernel's rules count, no matter which program made them. nft does not see the tables of iptables: REFUSES_NOTHING
 * by nft is not certain while those exist.
 */
static enum security_refusal refuses(enum security_refusal by_nft, enum security_tables iptables)
{
	return by_nft == REFUSES_NOTHING && iptables != TABLES_NONE ? MAY_REFUSE : by_nft;
}

static const char *firewall_name(const struct security_facts *facts)
{
	if (active(facts, SECURITY_FIREWALLD))
		return "firewalld is active";
	if (active(facts, SECURITY_UFW) && facts->ufw_enabled)
		return "ufw is active";
	return active(facts, SECURITY_NFTABLES) ? "nftables is active" : NULL;
}

static enum security_status judge_ufw(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	if (*facts->ufw_unread.what)
		return say(message, SECURITY_WARNING, "whether ufw is on could not be read: %s",
			   facts->ufw_unread.what);
	if (strcasecmp(facts->ufw_policy, "drop") == 0 || strcasecmp(facts->ufw_policy, "reject") == 0)
		return say(message, SECURITY_PASSED, "ufw is active");
	return say(message, SECURITY_WARNING,
		   *facts->ufw_policy
			   ? "ufw is active, but by default it lets in what comes in: its DEFAULT_INPUT_POLICY is %s"
			   : "ufw is active; what it does by default is not known%s",
		   facts->ufw_policy);
}

/* The kernel was asked, and its answer leaves it open; or it was not asked. */
static enum security_status judge_firewall_files(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	bool nft = active(facts, SECURITY_NFTABLES);

	if (active(facts, SECURITY_UFW) && (facts->ufw_enabled || *facts->ufw_unread.what))
		return judge_ufw(facts, message);
	if (active(facts, SECURITY_FIREWALLD))
		return say(message, SECURITY_WARNING,
			   "firewalld is active; what the kernel refuses by it is not known");
	if (facts->nft_asked && facts->kernel_ip != MAY_REFUSE && facts->kernel_ip6 != MAY_REFUSE)
		return say(message, SECURITY_WARNING,
			   "what iptables refuses is not known, and nft refuses nothing that a stranger begins");
	if (facts->nft_asked)
		return say(message, SECURITY_WARNING,
			   "what the kernel refuses is not known: not all of its rules can be told by nft");
	if (*facts->nft_unread.what && nft)
		return say(message, SECURITY_WARNING, "what nftables refuses could not be read whole: %s",
			   facts->nft_unread.what);
	if (nft && facts->nft_filters)
		return say(message, SECURITY_PASSED, "nftables is active");
	if (nft)
		return say(message, SECURITY_WARNING,
			   "nftables is active, but nothing is seen in its configuration that refuses what a stranger "
			   "begins");
	if (facts->ufw_enabled || facts->nft_filters)
		return say(message, SECURITY_WARNING,
			   unknown(facts, SECURITY_UFW) ? "a firewall is configured; whether it is active is not known"
							: "a firewall is configured but not active");
	if (facts->iptables != TABLES_NONE || facts->ip6tables != TABLES_NONE)
		return say(message, SECURITY_WARNING,
			   "no service of a firewall is active; what the kernel refuses is not known");
	return say(message, SECURITY_WARNING, "no firewall is active");
}

enum security_status security_judge_firewall(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	enum security_refusal ip = refuses(facts->kernel_ip, facts->iptables),
			      ip6 = refuses(facts->kernel_ip6, facts->ip6tables);
	const char *name = firewall_name(facts);

	if (!facts->has_ip6)
		ip6 = ip;
	if (!facts->nft_asked ||
	    (ip != REFUSES_NOTHING && ip6 != REFUSES_NOTHING && (ip == MAY_REFUSE || ip6 == MAY_REFUSE)))
		return judge_firewall_files(facts, message);
	if (ip == REFUSES && ip6 == REFUSES)
		return say(message, SECURITY_PASSED, "%s", name ? name : "the kernel filters what comes in");
	if (ip != ip6)
		return say(message, SECURITY_WARNING, "what comes in by %s is not filtered",
			   ip == REFUSES_NOTHING ? "IPv4" : "IPv6");
	return name ? say(message, SECURITY_WARNING, "%s, but refuses nothing that a stranger begins", name)
		    : say(message, SECURITY_WARNING, "no firewall is active");
}

enum security_status security_judge_updates(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	bool apt = facts->upgrades_installed && facts->upgrades_on;

	if (active(facts, SECURITY_DNF_INSTALL_TIMER) || (active(facts, SECURITY_DNF_TIMER) && facts->dnf_applies))
		return say(message, SECURITY_PASSED, "updates are installed automatically");
	if (active(facts, SECURITY_DNF_TIMER))
		return *facts->dnf_unread.what
			       ? say(message, SECURITY_WARNING,
				     "whether dnf-automatic installs what it fetches could not be read: %s",
				     facts->dnf_unread.what)
			       : say(message, SECURITY_WARNING,
				     "dnf-automatic fetches updates but does not install them");
	if (facts->upgrades_installed && *facts->apt_unread.what)
		return say(message, SECURITY_WARNING, "apt's configuration could not be read whole: %s",
			   facts->apt_unread.what);
	if (apt && !facts->lists_on)
		return say(message, SECURITY_WARNING,
			   "unattended-upgrades is switched on, but not the refresh of the lists that it goes by");
	if (apt && unknown(facts, SECURITY_APT_TIMER))
		return say(message, SECURITY_WARNING,
			   "automatic updates are configured; whether their timer is active is not known");
	if (apt && active(facts, SECURITY_APT_TIMER))
		return say(message, SECURITY_PASSED, "updates are installed automatically");
	return say(message, SECURITY_WARNING,
		   apt			       ? "automatic updates are configured but their timer is not active"
		   : facts->upgrades_installed ? "unattended-upgrades is installed but not switched on"
					       : "updates are not installed automatically");
}

static bool says(const char *value, const char *fallback, const char *word)
{
	return strcasecmp(*value ? value : fallback, word) == 0;
}

/* Neither yes nor no, where there is nothing else: sshd does not start with it. */
static bool odd(const char *value)
{
	return *value && strcasecmp(value, "yes") != 0 && strcasecmp(value, "no") != 0;
}

/*
 * A setting that the file does not have has its default, see sshd_config(5). With PAM keyboard-interactive
 * authentication asks for the password, too.
 */
enum security_status security_judge_ssh(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	const struct sshd_settings *sshd = &facts->sshd;

	if (!facts->sshd_file &&
	    (active(facts, SECURITY_SSH) || active(facts, SECURITY_SSHD) || active(facts, SECURITY_SSH_SOCKET)))
		return say(message, SECURITY_WARNING,
			   "an SSH server is active, but its settings are not in /etc/ssh/sshd_config");
	if (!facts->sshd_file && facts->sshd_program && unknown(facts, SECURITY_SSH) && unknown(facts, SECURITY_SSHD))
		return say(
			message, SECURITY_WARNING,
			"an SSH server is installed without /etc/ssh/sshd_config; whether it is active is not known");
	if (!facts->sshd_file)
		return say(message, SECURITY_PASSED, "no SSH server is installed");
	if (!facts->sshd_readable)
		return say(message, SECURITY_WARNING, "the settings of the SSH server cannot be read%s%s",
			   *facts->sshd_unread.what ? ": " : "", facts->sshd_unread.what);
	if (says(sshd->permit_empty_passwords, "no", "yes"))
		return say(message, SECURITY_FAILED, "the SSH server accepts empty passwords");
	if (says(sshd->permit_root_login, "prohibit-password", "yes"))
		return say(message, SECURITY_WARNING, "the SSH server lets root log in, with a password too");
	if (says(sshd->password_authentication, "yes", "yes"))
		return say(message, SECURITY_WARNING, "the SSH server accepts passwords");
	if (says(sshd->kbd_interactive, "yes", "yes") && says(sshd->use_pam, "no", "yes"))
		return say(message, SECURITY_WARNING,
			   "the SSH server accepts passwords by keyboard-interactive and PAM");
	if (odd(sshd->password_authentication) || odd(sshd->kbd_interactive) || odd(sshd->permit_empty_passwords) ||
	    odd(sshd->use_pam))
		return say(message, SECURITY_WARNING, "the settings of the SSH server make no sense");
	if (sshd->match_passwords)
		return say(message, SECURITY_WARNING,
			   "the SSH server accepts passwords of those that a Match block is about");
	if (*facts->sshd_unread.what)
		return say(message, SECURITY_WARNING, "the settings of the SSH server could not be read whole: %s",
			   facts->sshd_unread.what);
	return say(message, SECURITY_PASSED, "the SSH server accepts keys only");
}

/* --------------------------------------------------------------------------------------------------------- telling */

static void begin(struct sink *out, const char *key, enum security_status status, const char *message)
{
	sink_object_begin(out, key);
	sink_str(out, "status", status_name(status));
	sink_str(out, "message", message);
	sink_object_begin(out, "details");
}

static void end(struct sink *out)
{
	sink_object_end(out);
	sink_object_end(out);
}

static void emit_unit(struct sink *out, const char *key, const struct security_facts *facts, enum security_unit unit)
{
	sink_str(out, key, or_unknown(facts->units[unit]));
}

/* Writes the source of the values (the program itself, or its files), and what could not be read. */
static void emit_source(struct sink *out, bool asked, const char *program, const struct security_unread *unread)
{
	sink_str(out, "source", asked ? program : "files");
	if (*unread->what)
		sink_str(out, "not_read", unread->what);
}

void security_emit_modules(struct sink *out, const char *key, const struct security_facts *facts)
{
	static const char *const modes[] = { "disabled", "permissive", "enforcing", "unknown" };
	static const char *const rules[] = { "disabled", "no rules", "rules", "unknown" };
	char message[SECURITY_WORDS_MAX];
	enum security_status status = security_judge_modules(facts, message);

	begin(out, key, status, message);
	sink_str(out, "active_modules", or_unknown(facts->lsm));
	sink_object_begin(out, "apparmor");
	if (facts->apparmor || !*facts->apparmor_unread.what)
		sink_bool(out, "enabled", facts->apparmor);
	if (facts->apparmor_counted) {
		sink_uint(out, "profiles_enforced", facts->apparmor_enforce);
		sink_uint(out, "profiles_complaining", facts->apparmor_complain);
	}
	emit_unit(out, "service", facts, SECURITY_APPARMOR);
	sink_object_end(out);
	sink_object_begin(out, "selinux");
	if (facts->selinux != SELINUX_UNKNOWN)
		sink_bool(out, "enabled", facts->selinux != SELINUX_OFF);
	sink_str(out, "mode", modes[facts->selinux]);
	sink_object_end(out);
	sink_str(out, "smack", rules[facts->smack]);
	end(out);
}

static enum security_tables worst_tables(const struct security_facts *facts)
{
	if (facts->iptables == TABLES_THERE || facts->ip6tables == TABLES_THERE)
		return TABLES_THERE;
	return facts->iptables == TABLES_UNKNOWN ? facts->iptables : facts->ip6tables;
}

static bool nft_is_known(const struct security_facts *facts)
{
	if (facts->nft_asked)
		return facts->kernel_ip != MAY_REFUSE && facts->kernel_ip6 != MAY_REFUSE;
	return !*facts->nft_unread.what;
}

void security_emit_firewall(struct sink *out, const char *key, const struct security_facts *facts)
{
	static const char *const tables[] = {
		[TABLES_UNKNOWN] = "unknown", [TABLES_NONE] = "none", [TABLES_THERE] = "present"
	};
	char message[SECURITY_WORDS_MAX];
	enum security_status status = security_judge_firewall(facts, message);

	begin(out, key, status, message);
	sink_bool(out, "active", status == SECURITY_PASSED);
	sink_object_begin(out, "nftables");
	emit_unit(out, "service", facts, SECURITY_NFTABLES);
	sink_bool(out, "configured", facts->nft_file);
	if (nft_is_known(facts))
		sink_bool(out, "filters_input",
			  facts->nft_asked ? facts->kernel_ip == REFUSES || facts->kernel_ip6 == REFUSES
					   : facts->nft_filters);
	sink_object_end(out);
	sink_object_begin(out, "ufw");
	emit_unit(out, "service", facts, SECURITY_UFW);
	if (!*facts->ufw_unread.what)
		sink_bool(out, "enabled", facts->ufw_enabled);
	if (*facts->ufw_policy)
		sink_str(out, "default_input_policy", facts->ufw_policy);
	sink_object_end(out);
	sink_object_begin(out, "firewalld");
	emit_unit(out, "service", facts, SECURITY_FIREWALLD);
	sink_object_end(out);
	sink_str(out, "iptables_tables", tables[worst_tables(facts)]);
	emit_source(out, facts->nft_asked, "nft", &facts->nft_unread);
	end(out);
}

void security_emit_updates(struct sink *out, const char *key, const struct security_facts *facts)
{
	char message[SECURITY_WORDS_MAX];
	enum security_status status = security_judge_updates(facts, message);

	begin(out, key, status, message);
	sink_bool(out, "unattended_upgrades_installed", facts->upgrades_installed);
	sink_bool(out, "unattended_upgrades_enabled", facts->upgrades_on);
	sink_bool(out, "package_lists_refreshed", facts->lists_on);
	emit_unit(out, "apt_timer", facts, SECURITY_APT_TIMER);
	emit_unit(out, "dnf_automatic_timer", facts, SECURITY_DNF_TIMER);
	emit_source(out, facts->apt_asked, "apt-config", &facts->apt_unread);
	end(out);
}

static const char *ssh_state(const struct security_facts *facts)
{
	static const enum security_unit units[] = { SECURITY_SSH, SECURITY_SSHD, SECURITY_SSH_SOCKET };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (active(facts, units[i]))
			return "active";
	return or_unknown(facts->units[SECURITY_SSH]);
}

static void emit_setting(struct sink *out, const char *key, const char *value, const char *fallback)
{
	sink_str(out, key, *value ? value : fallback);
}

void security_emit_ssh(struct sink *out, const char *key, const struct security_facts *facts)
{
	const struct sshd_settings *sshd = &facts->sshd;
	char message[SECURITY_WORDS_MAX];
	enum security_status status = security_judge_ssh(facts, message);

	begin(out, key, status, message);
	sink_bool(out, "installed", facts->sshd_file);
	sink_str(out, "service", ssh_state(facts));
	emit_source(out, facts->sshd_asked, "sshd", &facts->sshd_unread);
	if (facts->sshd_readable) {
		emit_setting(out, "permit_root_login", sshd->permit_root_login, "prohibit-password");
		emit_setting(out, "password_authentication", sshd->password_authentication, "yes");
		emit_setting(out, "permit_empty_passwords", sshd->permit_empty_passwords, "no");
		emit_setting(out, "x11_forwarding", sshd->x11_forwarding, "no");
		emit_setting(out, "kbd_interactive_authentication", sshd->kbd_interactive, "yes");
		emit_setting(out, "use_pam", sshd->use_pam, "no");
		sink_uint(out, "match_blocks", sshd->match_blocks);
	}
	end(out);
}

void security_emit_all(struct sink *out, const char *key, const struct security_facts *facts)
{
	typedef enum security_status judge_fn(const struct security_facts *facts, char message[SECURITY_WORDS_MAX]);
	static judge_fn *const judges[] = {
		security_judge_modules,
		security_judge_firewall,
		security_judge_updates,
		security_judge_ssh,
	};
	enum security_status worst = SECURITY_PASSED;
	char message[SECURITY_WORDS_MAX] = "nothing was found wanting";

	for (size_t i = 0; i < ARRAY_SIZE(judges); i++) {
		char words[SECURITY_WORDS_MAX];
		enum security_status status = judges[i](facts, words);

		if (status > worst) {
			worst = status;
			memcpy(message, words, sizeof(message));
		}
	}
	begin(out, key, worst, message);
	security_emit_modules(out, "security_modules", facts);
	security_emit_firewall(out, "firewall", facts);
	security_emit_updates(out, "automatic_updates", facts);
	security_emit_ssh(out, "ssh", facts);
	end(out);
}
