/* SPDX-License-Identifier: MIT */
/* Judgements over the facts, and how they are told; see security.h. */
#include "agent/security.h"

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

enum security_status security_judge_modules(const struct security_facts *facts, const char **ret_message)
{
	if (facts->selinux == SELINUX_ENFORCING) {
		*ret_message = "SELinux is enforcing";
		return SECURITY_PASSED;
	}
	if (facts->apparmor && (!facts->apparmor_counted || facts->apparmor_enforce > 0)) {
		*ret_message = facts->apparmor_counted ? "AppArmor is on and enforces profiles" : "AppArmor is on";
		return SECURITY_PASSED;
	}
	*ret_message = facts->apparmor ? "AppArmor is on but enforces no profile" :
		       facts->selinux == SELINUX_PERMISSIVE ? "SELinux only warns" : "no mandatory access control is on";
	return SECURITY_WARNING;
}

enum security_status security_judge_firewall(const struct security_facts *facts, const char **ret_message)
{
	if (active(facts, SECURITY_FIREWALLD)) {
		*ret_message = "firewalld is active";
		return SECURITY_PASSED;
	}
	if (active(facts, SECURITY_UFW) && facts->ufw_enabled) {
		*ret_message = "ufw is active";
		return SECURITY_PASSED;
	}
	if (active(facts, SECURITY_NFTABLES) && facts->nft_filters) {
		*ret_message = "nftables is active";
		return SECURITY_PASSED;
	}
	if (active(facts, SECURITY_NFTABLES))
		*ret_message = "nftables is active, but its configuration refuses nothing";
	else if (facts->ufw_enabled || facts->nft_filters)
		*ret_message = unknown(facts, SECURITY_UFW) ? "a firewall is configured; whether it is active is not known" :
							      "a firewall is configured but not active";
	else
		*ret_message = "no firewall is active";
	return SECURITY_WARNING;
}

enum security_status security_judge_updates(const struct security_facts *facts, const char **ret_message)
{
	bool apt = facts->upgrades_installed && facts->upgrades_on;

	if (active(facts, SECURITY_DNF_TIMER) || (apt && (active(facts, SECURITY_APT_TIMER) || unknown(facts, SECURITY_APT_TIMER)))) {
		*ret_message = "updates are installed automatically";
		return SECURITY_PASSED;
	}
	*ret_message = apt ? "automatic updates are configured but their timer is not active" :
		       facts->upgrades_installed ? "unattended-upgrades is installed but not switched on" :
						   "updates are not installed automatically";
	return SECURITY_WARNING;
}

static bool says(const char *value, const char *fallback, const char *word)
{
	return strcasecmp(*value ? value : fallback, word) == 0;
}

/* What holds when the file does not say, see sshd_config(5). */
enum security_status security_judge_ssh(const struct security_facts *facts, const char **ret_message)
{
	const struct sshd_settings *sshd = &facts->sshd;

	if (!facts->sshd_file) {
		*ret_message = "no SSH server is installed";
		return SECURITY_PASSED;
	}
	if (!facts->sshd_readable) {
		*ret_message = "the settings of the SSH server cannot be read";
		return SECURITY_WARNING;
	}
	if (says(sshd->permit_empty_passwords, "no", "yes")) {
		*ret_message = "the SSH server accepts empty passwords";
		return SECURITY_FAILED;
	}
	if (says(sshd->permit_root_login, "prohibit-password", "yes")) {
		*ret_message = "the SSH server lets root log in, with a password too";
		return SECURITY_WARNING;
	}
	if (says(sshd->password_authentication, "yes", "yes")) {
		*ret_message = "the SSH server accepts passwords";
		return SECURITY_WARNING;
	}
	*ret_message = "the SSH server accepts keys only";
	return SECURITY_PASSED;
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

void security_emit_modules(struct sink *out, const char *key, const struct security_facts *facts)
{
	static const char *const modes[] = { "disabled", "permissive", "enforcing" };
	const char *message;
	enum security_status status = security_judge_modules(facts, &message);

	begin(out, key, status, message);
	sink_str(out, "active_modules", or_unknown(facts->lsm));
	sink_object_begin(out, "apparmor");
	sink_bool(out, "enabled", facts->apparmor);
	if (facts->apparmor_counted) {
		sink_uint(out, "profiles_enforced", facts->apparmor_enforce);
		sink_uint(out, "profiles_complaining", facts->apparmor_complain);
	}
	emit_unit(out, "service", facts, SECURITY_APPARMOR);
	sink_object_end(out);
	sink_object_begin(out, "selinux");
	sink_bool(out, "enabled", facts->selinux != SELINUX_OFF);
	sink_str(out, "mode", modes[facts->selinux]);
	sink_object_end(out);
	end(out);
}

void security_emit_firewall(struct sink *out, const char *key, const struct security_facts *facts)
{
	const char *message;
	enum security_status status = security_judge_firewall(facts, &message);

	begin(out, key, status, message);
	sink_bool(out, "active", status == SECURITY_PASSED);
	sink_object_begin(out, "nftables");
	emit_unit(out, "service", facts, SECURITY_NFTABLES);
	sink_bool(out, "configured", facts->nft_file);
	sink_bool(out, "filters_input", facts->nft_filters);
	sink_object_end(out);
	sink_object_begin(out, "ufw");
	emit_unit(out, "service", facts, SECURITY_UFW);
	sink_bool(out, "enabled", facts->ufw_enabled);
	sink_object_end(out);
	sink_object_begin(out, "firewalld");
	emit_unit(out, "service", facts, SECURITY_FIREWALLD);
	sink_object_end(out);
	end(out);
}

void security_emit_updates(struct sink *out, const char *key, const struct security_facts *facts)
{
	const char *message;
	enum security_status status = security_judge_updates(facts, &message);

	begin(out, key, status, message);
	sink_bool(out, "unattended_upgrades_installed", facts->upgrades_installed);
	sink_bool(out, "unattended_upgrades_enabled", facts->upgrades_on);
	sink_bool(out, "package_lists_refreshed", facts->lists_on);
	emit_unit(out, "apt_timer", facts, SECURITY_APT_TIMER);
	emit_unit(out, "dnf_automatic_timer", facts, SECURITY_DNF_TIMER);
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
	const char *message;
	enum security_status status = security_judge_ssh(facts, &message);

	begin(out, key, status, message);
	sink_bool(out, "installed", facts->sshd_file);
	sink_str(out, "service", ssh_state(facts));
	if (facts->sshd_readable) {
		emit_setting(out, "permit_root_login", sshd->permit_root_login, "prohibit-password");
		emit_setting(out, "password_authentication", sshd->password_authentication, "yes");
		emit_setting(out, "permit_empty_passwords", sshd->permit_empty_passwords, "no");
		emit_setting(out, "x11_forwarding", sshd->x11_forwarding, "no");
		sink_uint(out, "match_blocks", sshd->match_blocks);
	}
	end(out);
}

void security_emit_all(struct sink *out, const char *key, const struct security_facts *facts)
{
	typedef enum security_status judge_fn(const struct security_facts *facts, const char **ret_message);
	static judge_fn *const judges[] = {
		security_judge_modules, security_judge_firewall, security_judge_updates, security_judge_ssh,
	};
	enum security_status worst = SECURITY_PASSED;
	const char *message = "nothing was found wanting";

	for (size_t i = 0; i < ARRAY_SIZE(judges); i++) {
		const char *words;
		enum security_status status = judges[i](facts, &words);

		if (status > worst) {
			worst = status;
			message = words;
		}
	}
	begin(out, key, worst, message);
	security_emit_modules(out, "security_modules", facts);
	security_emit_firewall(out, "firewall", facts);
	security_emit_updates(out, "automatic_updates", facts);
	security_emit_ssh(out, "ssh", facts);
	end(out);
}
