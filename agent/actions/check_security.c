/* SPDX-License-Identifier: MIT */
/*
 * CheckLinuxSecurity and its parts: facts from files, the states of units from the service manager, and the answers of
 * the programs themselves. Without D-Bus, an executor or an answer the values are unknown; the checks are made all the
 * same, and say so.
 */
#include "agent/actions/table.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"
#include "agent/rules/questions.h"
#include "agent/actions/run.h"
#include "agent/actions/security.h"
#include "collectors/host.h"
#include "collectors/table.h"

/* A rule set of a large firewall. */
#define ANSWER_MAX (1u << 20)

typedef void (*security_emit_fn)(struct sink *out, const char *key, const struct security_facts *facts);

struct security_work {
	struct bus_work bus; /* first: see bus_work.h */
	security_emit_fn emit;
	const struct asking *next;
	struct security_facts facts;
};

static void emit(struct sink *out, const char *key, const void *arg)
{
	const struct security_work *work = arg;

	work->emit(out, key, &work->facts);
}

/* ----------------------------------------------------------------------------------------------- what programs know */

/* A program whose own answer is better than its files. */
struct asking {
	enum question question;
	bool privileged;
	bool (*wanted)(const struct security_work *work); /* NULL after the last */
	void (*take)(struct security_facts *facts, const char *text, size_t len);
	void (*miss)(struct security_facts *facts); /* answer too long; NULL: file values stay */
};

static bool wants_ssh(const struct security_work *work)
{
	return work->emit == security_emit_all && work->facts.sshd_file;
}

static bool wants_firewall(const struct security_work *work)
{
	return work->emit == security_emit_all || work->emit == security_emit_firewall;
}

static bool wants_apt(const struct security_work *work)
{
	return work->emit == security_emit_all && work->facts.upgrades_installed && !work->facts.apt_asked;
}

static bool wants_profiles(const struct security_work *work)
{
	return work->emit != security_emit_firewall && work->facts.apparmor && !work->facts.apparmor_counted;
}

static void take_nft(struct security_facts *facts, const char *text, size_t len)
{
	security_take_nft(facts, text, len);
}

static void miss_nft(struct security_facts *facts)
{
	facts->nft_unread = (struct security_unread){ .what = "" };
	security_unread(&facts->nft_unread, "the rules that nft lists (longer than %u MiB)", ANSWER_MAX >> 20);
}

static bool wants_iptables(const struct security_work *work)
{
	return wants_firewall(work) && work->facts.nft_asked && work->facts.iptables == TABLES_UNKNOWN;
}

static bool wants_ip6tables(const struct security_work *work)
{
	return wants_firewall(work) && work->facts.nft_asked && work->facts.ip6tables == TABLES_UNKNOWN;
}

static void take_iptables(struct security_facts *facts, const char *text, size_t len)
{
	facts->iptables = iptables_names(text, len);
}

static void take_ip6tables(struct security_facts *facts, const char *text, size_t len)
{
	facts->ip6tables = iptables_names(text, len);
}

static void take_profiles(struct security_facts *facts, const char *text, size_t len)
{
	facts->apparmor_counted = true;
	facts->apparmor_unread = (struct security_unread){ .what = "" };
	apparmor_count(text, len, &facts->apparmor_enforce, &facts->apparmor_complain);
}

static void ask_next(struct command *command);

/* The output of a program that was killed, or that was too long, is not used. */
static void on_asked(struct command *command, struct exec_outcome *outcome)
{
	struct security_work *work = command->work;

	if (outcome->cancelled || command->cancelled) {
		run_answer(command, outcome, NULL, NULL);
		return;
	}
	if (run_succeeded(outcome) && outcome->out.len == outcome->out.total)
		work->next->take(&work->facts, outcome->out.bytes, outcome->out.len);
	else if (outcome->out.len < outcome->out.total && work->next->miss)
		work->next->miss(&work->facts);
	if (outcome->timed_out) {
		command_succeed(command, emit, work);
		return;
	}
	work->next++;
	ask_next(command);
}

/*
 * From the first program on the executor keeps the deadlines. A local client gets no rights by this action: programs
 * that need rights are not run for it.
 */
static void ask_next(struct command *command)
{
	struct security_work *work = command->work;
	const char *argv[8];
	char path[64];
	struct run run = {
		.argv = argv, .question = true, .optional = true, .max_output_bytes = ANSWER_MAX, .done = on_asked
	};

	for (; work->next->wanted; work->next++) {
		const char *const *words = questions[work->next->question];
		size_t count = 1;

		if (!work->next->wanted(work) || (work->next->privileged && !run_has_rights(command)) ||
		    !run_find(words[0], path, sizeof(path)))
			continue;
		argv[0] = path;
		for (; words[count] && count + 1 < ARRAY_SIZE(argv); count++)
			argv[count] = words[count];
		argv[count] = NULL;
		run.privileged = work->next->privileged;
		run_program(command, &run);
		return;
	}
	command_succeed(command, emit, work);
}

static void ask_programs(struct command *command)
{
	static const struct asking askings[] = {
		{ QUESTION_SSHD, true, wants_ssh, security_take_sshd, NULL },
		{ QUESTION_NFT, true, wants_firewall, take_nft, miss_nft },
		{ QUESTION_IPTABLES, true, wants_iptables, take_iptables, NULL },
		{ QUESTION_IP6TABLES, true, wants_ip6tables, take_ip6tables, NULL },
		{ QUESTION_APPARMOR, true, wants_profiles, take_profiles, NULL },
		{ QUESTION_APT, true, wants_apt, security_take_apt_whole, NULL },
		{ QUESTION_APT, false, wants_apt, security_take_apt, NULL },
		{ .wanted = NULL },
	};
	struct security_work *work = command->work;

	work->next = askings;
	ask_next(command);
}

/* ------------------------------------------------------------------------------------------------------ the units */

static void take_unit(struct security_facts *facts, const char *name, const char *load, const char *state)
{
	for (size_t i = 0; i < SECURITY_UNITS; i++)
		if (strcmp(security_unit_names[i], name) == 0)
			snprintf(facts->units[i], sizeof(facts->units[i]), "%s",
				 strcmp(load, "not-found") == 0 ? "not-installed" : state);
}

static void on_units(struct command *command, const struct bus_reply *reply)
{
	struct security_work *work = command->work;
	const char *name, *description, *load, *state, *sub, *followed, *path, *job_type, *job_path;
	uint32_t job;

	if (reply->error == 0 && sd_bus_message_enter_container(reply->message, 'a', "(ssssssouso)") > 0)
		while (sd_bus_message_read(reply->message, "(ssssssouso)", &name, &description, &load, &state, &sub,
					   &followed, &path, &job, &job_type, &job_path) > 0)
			take_unit(&work->facts, name, load, state);
	ask_programs(command);
}

static void on_expired(struct command *command)
{
	command_succeed(command, emit, command->work);
}

static sd_bus_message *ask_units(struct bus *bus)
{
	sd_bus_message *message = NULL;
	int r = bus_message(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsByNames", &message);

	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "s");
	for (size_t i = 0; i < SECURITY_UNITS && r >= 0; i++)
		r = sd_bus_message_append(message, "s", security_unit_names[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	return r < 0 ? sd_bus_message_unref(message) : message;
}

static void check(struct command *command, security_emit_fn emit_checks)
{
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_host);
	struct security_work *work = bus_work_new(command, sizeof(*work));
	sd_bus_message *message;

	if (!work)
		return;
	work->emit = emit_checks;
	security_read(&work->facts, ctx.root_fd, ctx.proc_fd, ctx.sys_fd);
	command->on_expired = on_expired;
	message = ask_units(env->bus);
	if (!message || bus_work_send(command, on_units, message) < 0) {
		sd_bus_message_unref(message);
		ask_programs(command);
		return;
	}
	sd_bus_message_unref(message);
}

static void run_check_security(struct command *command)
{
	check(command, security_emit_all);
}

static void run_check_firewall(struct command *command)
{
	check(command, security_emit_firewall);
}

static void run_check_security_modules(struct command *command)
{
	check(command, security_emit_modules);
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

const struct action action_check_security_modules = { .name = "CheckSecurityModules",
						      .group = GROUP_OBSERVE,
						      .bus = true,
						      .slot = true,
						      .run = run_check_security_modules };
