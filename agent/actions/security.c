/* SPDX-License-Identifier: MIT */
/*
 * CheckLinuxSecurity and its parts: facts from files, the states of units from the service manager, and the answers of
 * the programs themselves; then the judgements over them, and how they are told. Without D-Bus, an executor or an
 * answer the values are unknown; the checks are made all the same, and say so.
 */
#include "agent/actions/security.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/bus_work.h"
#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/actions/table.h"
#include "agent/rules/requests.h"
#include "collectors/host.h"
#include "collectors/table.h"

static const char *const unit_names[SECURITY_UNITS] = {
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

static bool active(const struct security_facts *facts, enum security_unit unit)
{
	return strcmp(facts->units[unit], "active") == 0;
}

static const char *or_else(const char *word, const char *fallback)
{
	return *word ? word : fallback;
}

/* ------------------------------------------------------------------------------------------------------- judgements */

__attribute__((format(printf, 3, 4))) static enum health_status say(char message[SECURITY_WORDS_MAX],
								    enum health_status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, SECURITY_WORDS_MAX, format, args);
	va_end(args);
	return status;
}

/*
 * One security module that enforces rules is enough to pass. Else unknown modules are reported first, then those that
 * enforce nothing.
 */
static enum health_status judge_modules(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	if (facts->selinux == SELINUX_ENFORCING)
		return say(message, HEALTH_PASSED, "SELinux is enforcing");
	if (facts->apparmor && facts->apparmor_counted && facts->apparmor_enforce > 0)
		return say(message, HEALTH_PASSED, "AppArmor is on and enforces profiles");
	if (facts->smack == SMACK_RULES)
		return say(message, HEALTH_PASSED, "Smack is on and enforces rules");
	if (facts->selinux == SELINUX_UNKNOWN)
		return say(message, HEALTH_WARNING, "whether SELinux is enforcing could not be read: %s",
			   facts->selinux_unread);
	if (facts->apparmor && !facts->apparmor_counted)
		return say(message, HEALTH_WARNING,
			   "AppArmor is on; whether it enforces a profile could not be read: %s",
			   *facts->apparmor_unread ? facts->apparmor_unread : "its list of profiles");
	if (*facts->apparmor_unread && !facts->apparmor)
		return say(message, HEALTH_WARNING, "whether AppArmor is on could not be read: %s",
			   facts->apparmor_unread);
	if (facts->smack == SMACK_UNKNOWN)
		return say(message, HEALTH_WARNING, "Smack is on; whether it has rules could not be read: %s",
			   facts->smack_unread);
	if (facts->apparmor)
		return say(message, HEALTH_WARNING, "AppArmor is on but enforces no profile");
	if (facts->selinux == SELINUX_PERMISSIVE)
		return say(message, HEALTH_WARNING, "SELinux only warns");
	if (facts->smack == SMACK_EMPTY)
		return say(message, HEALTH_WARNING, "Smack is on but has no rules");
	/* It is in the list of common kernels, which give it no policy; only root may read that. */
	if (lsm_has(facts->lsm, "tomoyo"))
		return say(message, HEALTH_WARNING,
			   "TOMOYO is in the kernel; whether it enforces anything is not known");
	return say(message, HEALTH_WARNING,
		   *facts->lsm
			   ? "no mandatory access control is on"
			   : "no mandatory access control is seen; the list of the kernel's modules could not be read");
}

/* nft does not see the tables of iptables: REFUSES_NOTHING by nft is not certain while those exist. */
static enum security_refusal refuses(enum security_refusal by_nft, enum security_tables iptables)
{
	return by_nft == REFUSES_NOTHING && iptables != TABLES_NONE ? MAY_REFUSE : by_nft;
}

/*
 * The kernel's rules count, no matter which program made them. Services and their files count where the kernel was not
 * asked, or where its answer leaves it open.
 */
static enum health_status judge_firewall(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	enum security_refusal ip = refuses(facts->kernel_ip, facts->iptables),
			      ip6 = facts->has_ip6 ? refuses(facts->kernel_ip6, facts->ip6tables) : ip;
	bool ufw = active(facts, SECURITY_UFW), nft = active(facts, SECURITY_NFTABLES),
	     firewalld = active(facts, SECURITY_FIREWALLD);
	const char *name = firewalld		       ? "firewalld is active"
			   : ufw && facts->ufw_enabled ? "ufw is active"
			   : nft		       ? "nftables is active"
						       : NULL;

	if (facts->nft_asked && ip == REFUSES && ip6 == REFUSES)
		return say(message, HEALTH_PASSED, "%s", name ? name : "the kernel filters what comes in");
	if (facts->nft_asked && (ip == REFUSES_NOTHING || ip6 == REFUSES_NOTHING)) {
		if (ip != ip6)
			return say(message, HEALTH_WARNING, "what comes in by %s is not filtered",
				   ip == REFUSES_NOTHING ? "IPv4" : "IPv6");
		return name ? say(message, HEALTH_WARNING, "%s, but refuses nothing that a stranger begins", name)
			    : say(message, HEALTH_WARNING, "no firewall is active");
	}
	if (ufw && *facts->ufw_unread)
		return say(message, HEALTH_WARNING, "whether ufw is on could not be read: %s", facts->ufw_unread);
	if (ufw && facts->ufw_enabled &&
	    (strcasecmp(facts->ufw_policy, "drop") == 0 || strcasecmp(facts->ufw_policy, "reject") == 0))
		return say(message, HEALTH_PASSED, "ufw is active");
	if (ufw && facts->ufw_enabled)
		return say(message, HEALTH_WARNING,
			   *facts->ufw_policy ? "ufw is active, but by default it lets in what comes in: its "
						"DEFAULT_INPUT_POLICY is %s"
					      : "ufw is active; what it does by default is not known%s",
			   facts->ufw_policy);
	if (firewalld)
		return say(message, HEALTH_WARNING, "firewalld is active; what the kernel refuses by it is not known");
	if (facts->nft_asked && facts->kernel_ip != MAY_REFUSE && facts->kernel_ip6 != MAY_REFUSE)
		return say(message, HEALTH_WARNING,
			   "what iptables refuses is not known, and nft refuses nothing that a stranger begins");
	if (facts->nft_asked)
		return say(message, HEALTH_WARNING,
			   "what the kernel refuses is not known: not all of its rules can be told by nft");
	if (*facts->nft_unread && nft)
		return say(message, HEALTH_WARNING, "what nftables refuses could not be read whole: %s",
			   facts->nft_unread);
	if (nft && facts->nft_filters)
		return say(message, HEALTH_PASSED, "nftables is active");
	if (nft)
		return say(message, HEALTH_WARNING,
			   "nftables is active, but nothing is seen in its configuration that refuses what a stranger "
			   "begins");
	if (facts->ufw_enabled || facts->nft_filters)
		return say(message, HEALTH_WARNING,
			   !*facts->units[SECURITY_UFW] ? "a firewall is configured; whether it is active is not known"
							: "a firewall is configured but not active");
	if (facts->iptables != TABLES_NONE || facts->ip6tables != TABLES_NONE)
		return say(message, HEALTH_WARNING,
			   "no service of a firewall is active; what the kernel refuses is not known");
	return say(message, HEALTH_WARNING, "no firewall is active");
}

static enum health_status judge_updates(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	bool apt = facts->upgrades_installed && facts->upgrades_on;

	if (active(facts, SECURITY_DNF_INSTALL_TIMER) || (active(facts, SECURITY_DNF_TIMER) && facts->dnf_applies))
		return say(message, HEALTH_PASSED, "updates are installed automatically");
	if (active(facts, SECURITY_DNF_TIMER))
		return *facts->dnf_unread ? say(message, HEALTH_WARNING,
						"whether dnf-automatic installs what it fetches could not be read: %s",
						facts->dnf_unread)
					  : say(message, HEALTH_WARNING,
						"dnf-automatic fetches updates but does not install them");
	if (facts->upgrades_installed && *facts->apt_unread)
		return say(message, HEALTH_WARNING, "apt's configuration could not be read whole: %s",
			   facts->apt_unread);
	if (apt && !facts->lists_on)
		return say(message, HEALTH_WARNING,
			   "unattended-upgrades is switched on, but not the refresh of the lists that it goes by");
	if (apt && !*facts->units[SECURITY_APT_TIMER])
		return say(message, HEALTH_WARNING,
			   "automatic updates are configured; whether their timer is active is not known");
	if (apt && active(facts, SECURITY_APT_TIMER))
		return say(message, HEALTH_PASSED, "updates are installed automatically");
	return say(message, HEALTH_WARNING,
		   apt			       ? "automatic updates are configured but their timer is not active"
		   : facts->upgrades_installed ? "unattended-upgrades is installed but not switched on"
					       : "updates are not installed automatically");
}

static bool says(const char *value, const char *fallback, const char *word)
{
	return strcasecmp(or_else(value, fallback), word) == 0;
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
static enum health_status judge_ssh(const struct security_facts *facts, char message[SECURITY_WORDS_MAX])
{
	const struct sshd_settings *sshd = &facts->sshd;

	if (!facts->sshd_file &&
	    (active(facts, SECURITY_SSH) || active(facts, SECURITY_SSHD) || active(facts, SECURITY_SSH_SOCKET)))
		return say(message, HEALTH_WARNING,
			   "an SSH server is active, but its settings are not in /etc/ssh/sshd_config");
	if (!facts->sshd_file && facts->sshd_program && !*facts->units[SECURITY_SSH] && !*facts->units[SECURITY_SSHD])
		return say(
			message, HEALTH_WARNING,
			"an SSH server is installed without /etc/ssh/sshd_config; whether it is active is not known");
	if (!facts->sshd_file)
		return say(message, HEALTH_PASSED, "no SSH server is installed");
	if (!facts->sshd_readable)
		return say(message, HEALTH_WARNING, "the settings of the SSH server cannot be read%s%s",
			   *facts->sshd_unread ? ": " : "", facts->sshd_unread);
	if (says(sshd->permit_empty_passwords, "no", "yes"))
		return say(message, HEALTH_FAILED, "the SSH server accepts empty passwords");
	if (says(sshd->permit_root_login, "prohibit-password", "yes"))
		return say(message, HEALTH_WARNING, "the SSH server lets root log in, with a password too");
	if (says(sshd->password_authentication, "yes", "yes"))
		return say(message, HEALTH_WARNING, "the SSH server accepts passwords");
	if (says(sshd->kbd_interactive, "yes", "yes") && says(sshd->use_pam, "no", "yes"))
		return say(message, HEALTH_WARNING, "the SSH server accepts passwords by keyboard-interactive and PAM");
	if (odd(sshd->password_authentication) || odd(sshd->kbd_interactive) || odd(sshd->permit_empty_passwords) ||
	    odd(sshd->use_pam))
		return say(message, HEALTH_WARNING, "the settings of the SSH server make no sense");
	if (sshd->match_passwords)
		return say(message, HEALTH_WARNING,
			   "the SSH server accepts passwords of those that a Match block is about");
	if (*facts->sshd_unread)
		return say(message, HEALTH_WARNING, "the settings of the SSH server could not be read whole: %s",
			   facts->sshd_unread);
	return say(message, HEALTH_PASSED, "the SSH server accepts keys only");
}

/* --------------------------------------------------------------------------------------------------------- telling */

/* Writes the source of the values (the program itself, or its files), and what could not be read. */
static void emit_source(struct sink *out, bool asked, const char *program, const char *unread)
{
	sink_str(out, "source", asked ? program : "files");
	if (*unread)
		sink_str(out, "not_read", unread);
}

static void emit_unit(struct sink *out, const char *key, const struct security_facts *facts, enum security_unit unit)
{
	sink_str(out, key, or_else(facts->units[unit], "unknown"));
}

static void emit_modules(struct sink *out, const struct security_facts *facts)
{
	static const char *const modes[] = { "disabled", "permissive", "enforcing", "unknown" };
	static const char *const rules[] = { "disabled", "no rules", "rules", "unknown" };

	sink_str(out, "active_modules", or_else(facts->lsm, "unknown"));
	sink_object_begin(out, "apparmor");
	if (facts->apparmor || !*facts->apparmor_unread)
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
}

static void emit_firewall(struct sink *out, const struct security_facts *facts)
{
	char words[SECURITY_WORDS_MAX];
	bool known = facts->nft_asked ? facts->kernel_ip != MAY_REFUSE && facts->kernel_ip6 != MAY_REFUSE
				      : !*facts->nft_unread;

	sink_bool(out, "active", judge_firewall(facts, words) == HEALTH_PASSED);
	sink_object_begin(out, "nftables");
	emit_unit(out, "service", facts, SECURITY_NFTABLES);
	sink_bool(out, "configured", facts->nft_file);
	if (known)
		sink_bool(out, "filters_input",
			  facts->nft_asked ? facts->kernel_ip == REFUSES || facts->kernel_ip6 == REFUSES
					   : facts->nft_filters);
	sink_object_end(out);
	sink_object_begin(out, "ufw");
	emit_unit(out, "service", facts, SECURITY_UFW);
	if (!*facts->ufw_unread)
		sink_bool(out, "enabled", facts->ufw_enabled);
	if (*facts->ufw_policy)
		sink_str(out, "default_input_policy", facts->ufw_policy);
	sink_object_end(out);
	sink_object_begin(out, "firewalld");
	emit_unit(out, "service", facts, SECURITY_FIREWALLD);
	sink_object_end(out);
	sink_str(out, "iptables_tables",
		 facts->iptables == TABLES_THERE || facts->ip6tables == TABLES_THERE	   ? "present"
		 : facts->iptables == TABLES_UNKNOWN || facts->ip6tables == TABLES_UNKNOWN ? "unknown"
											   : "none");
	emit_source(out, facts->nft_asked, "nft", facts->nft_unread);
}

static void emit_updates(struct sink *out, const struct security_facts *facts)
{
	sink_bool(out, "unattended_upgrades_installed", facts->upgrades_installed);
	sink_bool(out, "unattended_upgrades_enabled", facts->upgrades_on);
	sink_bool(out, "package_lists_refreshed", facts->lists_on);
	emit_unit(out, "apt_timer", facts, SECURITY_APT_TIMER);
	emit_unit(out, "dnf_automatic_timer", facts, SECURITY_DNF_TIMER);
	emit_source(out, facts->apt_asked, "apt-config", facts->apt_unread);
}

static void emit_ssh(struct sink *out, const struct security_facts *facts)
{
	const struct sshd_settings *sshd = &facts->sshd;
	bool on = active(facts, SECURITY_SSH) || active(facts, SECURITY_SSHD) || active(facts, SECURITY_SSH_SOCKET);

	sink_bool(out, "installed", facts->sshd_file);
	sink_str(out, "service", on ? "active" : or_else(facts->units[SECURITY_SSH], "unknown"));
	emit_source(out, facts->sshd_asked, "sshd", facts->sshd_unread);
	if (!facts->sshd_readable)
		return;
	sink_str(out, "permit_root_login", or_else(sshd->permit_root_login, "prohibit-password"));
	sink_str(out, "password_authentication", or_else(sshd->password_authentication, "yes"));
	sink_str(out, "permit_empty_passwords", or_else(sshd->permit_empty_passwords, "no"));
	sink_str(out, "x11_forwarding", or_else(sshd->x11_forwarding, "no"));
	sink_str(out, "kbd_interactive_authentication", or_else(sshd->kbd_interactive, "yes"));
	sink_str(out, "use_pam", or_else(sshd->use_pam, "no"));
	sink_uint(out, "match_blocks", sshd->match_blocks);
}

static const struct {
	const char *key;
	enum health_status (*judge)(const struct security_facts *facts, char message[SECURITY_WORDS_MAX]);
	void (*emit)(struct sink *out, const struct security_facts *facts);
} parts[CHECK_ALL] = {
	[CHECK_MODULES] = { "security_modules", judge_modules, emit_modules },
	[CHECK_FIREWALL] = { "firewall", judge_firewall, emit_firewall },
	[CHECK_UPDATES] = { "automatic_updates", judge_updates, emit_updates },
	[CHECK_SSH] = { "ssh", judge_ssh, emit_ssh },
};

enum health_status security_judge(const struct security_facts *facts, enum security_check check,
				  char message[SECURITY_WORDS_MAX])
{
	enum health_status worst = HEALTH_PASSED;
	char words[SECURITY_WORDS_MAX];

	if (check != CHECK_ALL)
		return parts[check].judge(facts, message);
	strcpy(message, "nothing was found wanting");
	for (size_t i = 0; i < CHECK_ALL; i++) {
		enum health_status status = parts[i].judge(facts, words);

		if (status > worst) {
			worst = status;
			memcpy(message, words, sizeof(words));
		}
	}
	return worst;
}

void security_emit(struct sink *out, const char *key, const struct security_facts *facts, enum security_check check)
{
	char message[SECURITY_WORDS_MAX];
	enum health_status status = security_judge(facts, check, message);

	sink_object_begin(out, key);
	sink_str(out, "status", health_status_name(status));
	sink_str(out, "message", message);
	sink_object_begin(out, "details");
	if (check != CHECK_ALL)
		parts[check].emit(out, facts);
	for (size_t i = 0; check == CHECK_ALL && i < CHECK_ALL; i++)
		security_emit(out, parts[i].key, facts, (enum security_check)i);
	sink_object_end(out);
	sink_object_end(out);
}

/* ------------------------------------------------------------------------------------------------- gathering facts */

/* A rule set of a large firewall. */
#define ANSWER_MAX (1u << 20)

struct security_work {
	struct bus_work bus; /* first: see bus_work.h */
	enum security_check check;
	size_t asked; /* programs that have been asked, or passed over */
	struct security_facts facts;
};

static void emit(struct sink *out, const char *key, const void *arg)
{
	const struct security_work *work = arg;

	security_emit(out, key, &work->facts, work->check);
}

/* Programs whose own answers are better than their files, in their order. */
static const struct asking {
	enum question question;
	bool privileged;
} askings[] = {
	{ QUESTION_SSHD, true },     { QUESTION_NFT, true }, { QUESTION_IPTABLES, true }, { QUESTION_IP6TABLES, true },
	{ QUESTION_APPARMOR, true }, { QUESTION_APT, true }, { QUESTION_APT, false },
};

/* True if the check needs the answer, and no earlier answer or file has told it. */
static bool wants(const struct security_work *work, enum question question)
{
	const struct security_facts *facts = &work->facts;
	bool all = work->check == CHECK_ALL, firewall = all || work->check == CHECK_FIREWALL;

	switch (question) {
	case QUESTION_SSHD:
		return all && facts->sshd_file;
	case QUESTION_NFT:
		return firewall;
	case QUESTION_IPTABLES:
		return firewall && facts->nft_asked && facts->iptables == TABLES_UNKNOWN;
	case QUESTION_IP6TABLES:
		return firewall && facts->nft_asked && facts->ip6tables == TABLES_UNKNOWN;
	case QUESTION_APPARMOR:
		return work->check != CHECK_FIREWALL && facts->apparmor && !facts->apparmor_counted;
	default:
		return all && facts->upgrades_installed && !facts->apt_asked;
	}
}

static void take(struct security_facts *facts, const struct asking *asking, const char *text, size_t len)
{
	switch (asking->question) {
	case QUESTION_SSHD:
		security_take_sshd(facts, text, len);
		break;
	case QUESTION_NFT:
		security_take_nft(facts, text, len);
		break;
	case QUESTION_IPTABLES:
		facts->iptables = iptables_names(text, len);
		break;
	case QUESTION_IP6TABLES:
		facts->ip6tables = iptables_names(text, len);
		break;
	case QUESTION_APPARMOR:
		facts->apparmor_counted = true;
		*facts->apparmor_unread = '\0';
		apparmor_count(text, len, &facts->apparmor_enforce, &facts->apparmor_complain);
		break;
	default:
		security_take_apt(facts, text, len, asking->privileged);
	}
}

static void on_asked(struct command *command, struct exec_outcome *outcome);

/*
 * Asks the next program. From the first program on the executor keeps the deadlines. A local client gets no rights by
 * this action: programs that need rights are not run for it.
 */
static void ask_next(struct command *command)
{
	struct security_work *work = command->work;
	const char *argv[8];
	char path[64];
	struct run run = {
		.argv = argv, .question = true, .optional = true, .max_output_bytes = ANSWER_MAX, .done = on_asked
	};

	for (; work->asked < ARRAY_SIZE(askings); work->asked++) {
		const struct asking *asking = &askings[work->asked];
		const char *const *words = questions[asking->question];
		size_t count = 1;

		if (!wants(work, asking->question) || (asking->privileged && !run_has_rights(command)) ||
		    !run_find(words[0], path, sizeof(path)))
			continue;
		argv[0] = path;
		for (; words[count] && count + 1 < ARRAY_SIZE(argv); count++)
			argv[count] = words[count];
		argv[count] = NULL;
		run.privileged = asking->privileged;
		run_program(command, &run);
		return;
	}
	command_succeed(command, emit, work);
}

/* The output of a program that was killed, or that was too long, is not used: the values of files stay. */
static void on_asked(struct command *command, struct exec_outcome *outcome)
{
	struct security_work *work = command->work;
	const struct asking *asking = &askings[work->asked];
	bool whole = outcome->out.len == outcome->out.total;

	if (outcome->cancelled || command->cancelled) {
		run_answer(command, outcome, NULL, NULL);
		return;
	}
	if (whole && run_succeeded(outcome)) {
		take(&work->facts, asking, outcome->out.bytes, outcome->out.len);
	} else if (!whole && asking->question == QUESTION_NFT) {
		*work->facts.nft_unread = '\0';
		security_unread(work->facts.nft_unread, "the rules that nft lists (longer than %u MiB)",
				ANSWER_MAX >> 20);
	}
	if (outcome->timed_out) {
		command_succeed(command, emit, work);
		return;
	}
	work->asked++;
	ask_next(command);
}

static void on_units(struct command *command, const struct bus_reply *reply)
{
	struct security_work *work = command->work;
	const char *name, *description, *load, *state, *sub, *followed, *path, *job_type, *job_path;
	uint32_t job;

	if (reply->error == 0 && sd_bus_message_enter_container(reply->message, 'a', "(ssssssouso)") > 0)
		while (sd_bus_message_read(reply->message, "(ssssssouso)", &name, &description, &load, &state, &sub,
					   &followed, &path, &job, &job_type, &job_path) > 0)
			for (size_t i = 0; i < SECURITY_UNITS; i++)
				if (strcmp(unit_names[i], name) == 0)
					snprintf(work->facts.units[i], sizeof(work->facts.units[i]), "%s",
						 strcmp(load, "not-found") == 0 ? "not-installed" : state);
	ask_next(command);
}

static void on_expired(struct command *command)
{
	command_succeed(command, emit, command->work);
}

static void check(struct command *command, enum security_check which)
{
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_host);
	struct security_work *work = bus_work_new(command, sizeof(*work));
	sd_bus_message *message = NULL;
	int r;

	if (!work)
		return;
	work->check = which;
	security_read(&work->facts, ctx.root_fd, ctx.proc_fd, ctx.sys_fd);
	command->on_expired = on_expired;
	r = bus_message(env->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsByNames", &message);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "s");
	for (size_t i = 0; i < SECURITY_UNITS && r >= 0; i++)
		r = sd_bus_message_append(message, "s", unit_names[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = bus_work_send(command, on_units, message);
	sd_bus_message_unref(message);
	if (r < 0)
		ask_next(command);
}

static void run_check_security(struct command *command)
{
	check(command, CHECK_ALL);
}

static void run_check_firewall(struct command *command)
{
	check(command, CHECK_FIREWALL);
}

static void run_check_modules(struct command *command)
{
	check(command, CHECK_MODULES);
}

const struct action action_check_linux_security = {
	.name = "CheckLinuxSecurity", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = run_check_security
};

const struct action action_get_linux_security_status = {
	.name = "GetLinuxSecurityStatus", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = run_check_security
};

const struct action action_get_linux_firewall_status = {
	.name = "GetLinuxFirewallStatus", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = run_check_firewall
};

const struct action action_check_firewall_status = {
	.name = "CheckFirewallStatus", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = run_check_firewall
};

const struct action action_check_security_modules = {
	.name = "CheckSecurityModules", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = run_check_modules
};
