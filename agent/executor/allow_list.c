/* SPDX-License-Identifier: MIT */
#include "agent/executor/allow_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/package.h"
#include "agent/rules/policy.h"
#include "agent/rules/qga_policy.h"
#include "agent/rules/requests.h"
#include "agent/rules/unit_rules.h"

#define ARGUMENT_MAX	32
#define VERB_ARGS_MAX	32
#define STEP(name)	(1U << PACKAGE_##name)
#define OPERATION(name) (1U << RUNNER_OPERATION_##name)

/* How long a detached run may last, seconds. */
#define DETACHED_PACKAGES_S (2 * 3600)
#define DETACHED_GOLDEN_S   (30 * 60)

/* --------------------------------------------------------------------------------------------------- configuration */

/* FNV-1a: not collision-resistant, but only root can choose its input. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	for (int i = 0; i < 8; i++, value >>= 8)
		hash = (hash ^ (value & 0xff)) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t mix_file(uint64_t hash, int dir_fd, const char *name)
{
	struct stat st = { .st_size = 0 };

	if (fstatat(dir_fd, name, &st, 0) < 0)
		return mix(hash, 1);
	hash = mix(mix(mix(hash, st.st_ino), st.st_mode), ((uint64_t)st.st_uid << 32) | st.st_gid);
	hash = mix(mix(hash, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
	hash = mix(mix(hash, (uint64_t)st.st_mtim.tv_nsec), (uint64_t)st.st_ctim.tv_sec);
	return mix(hash, (uint64_t)st.st_ctim.tv_nsec);
}

/* A hash over the configuration file and the drop-ins, by their metadata, in the order of readdir, which is stable. */
static uint64_t fingerprint(const char *path)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	char name[4096];
	DIR *dir;

	snprintf(name, sizeof(name), "%s/infiniservice.conf", path);
	hash = mix_file(hash, AT_FDCWD, name);
	snprintf(name, sizeof(name), "%s/conf.d", path);
	dir = opendir(name);
	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		for (const char *c = entry->d_name; *c; c++)
			hash = mix(hash, (unsigned char)*c);
		if (entry->d_name[0] != '.')
			hash = mix_file(hash, dirfd(dir), entry->d_name);
	}
	if (dir)
		closedir(dir);
	return hash | 1;
}

void policy_file_init(struct policy_file *file, const char *dir)
{
	*file = (struct policy_file){ .dir = dir ? dir : SYSCONFDIR "/infiniservice" };
}

void policy_file_done(struct policy_file *file)
{
	if (file->usable)
		config_free(&file->config);
	file->usable = false;
}

bool policy_file_refresh(struct policy_file *file)
{
	uint64_t now = fingerprint(file->dir);
	struct config fresh;
	int error;

	if (now == file->fingerprint)
		return false;
	policy_file_done(file);
	file->err = (struct err){ 0 };
	error = config_init(&fresh);
	if (error == 0) {
		error = config_load_dir(&fresh, file->dir, NULL, NULL, &file->err);
		if (error == 0)
			error = config_check(&fresh, NULL, NULL, &file->err);
		if (error < 0)
			config_free(&fresh);
	}
	/* Taken before the files were read, so that a change meanwhile makes the next refresh read them again. */
	file->fingerprint = now;
	file->usable = error == 0;
	if (file->usable)
		file->config = fresh;
	else if (file->err.code == 0)
		err_set(&file->err, error, "%s: %s", file->dir, strerror(-error));
	return true;
}

/* ------------------------------------------------------------------------------------------------------ allow-list */

static const struct rule {
	const char *action;
	enum policy_group group;
	unsigned steps; /* STEP() of the package managers */
	unsigned operations;
	const char *verb; /* verb of infiniservice-exec; NULL: the action runs none */
	bool free;
	bool input;	     /* the RUN comes with an input (runner/protocol.h) */
	unsigned detached_s; /* longest detached run, seconds; 0: it may not be detached */
	const char *words;   /* that one of which has to follow the verb, with blanks around each; NULL: any */
	bool qga;	     /* a command of the QEMU guest agent's language, judged by [qga] alone */
} rules[] = {
	{ .action = "ServiceControl",
	  .group = GROUP_CONTROL,
	  .operations =
		  OPERATION(START) | OPERATION(STOP) | OPERATION(RESTART) | OPERATION(ENABLE) | OPERATION(DISABLE) },
	{ .action = "RestartServices", .group = GROUP_CONTROL, .operations = OPERATION(RESTART) },
	{ .action = "ProcessKill", .group = GROUP_CONTROL, .verb = "kill" },
	{ .action = "DiskCleanup", .group = GROUP_CONTROL, .verb = "clean" },
	{ .action = "CleanTemporaryFiles", .group = GROUP_CONTROL, .verb = "clean" },
	{ .action = "RunMaintenanceTask", .group = GROUP_CONTROL, .verb = "clean", .operations = OPERATION(RESTART) },
	{ .action = "RunMaintenanceTask",
	  .group = GROUP_PACKAGES,
	  .steps = STEP(REFRESH) | STEP(UPDATE) | STEP(UPDATE_ALL),
	  .detached_s = DETACHED_PACKAGES_S },
	{ .action = "PackageInstall",
	  .group = GROUP_PACKAGES,
	  .steps = STEP(REFRESH) | STEP(INSTALL),
	  .detached_s = DETACHED_PACKAGES_S },
	{ .action = "PackageRemove",
	  .group = GROUP_PACKAGES,
	  .steps = STEP(REMOVE),
	  .detached_s = DETACHED_PACKAGES_S },
	{ .action = "PackageUpdate",
	  .group = GROUP_PACKAGES,
	  .steps = STEP(REFRESH) | STEP(UPDATE),
	  .detached_s = DETACHED_PACKAGES_S },
	{ .action = "UpdateSystemSoftware",
	  .group = GROUP_PACKAGES,
	  .steps = STEP(REFRESH) | STEP(UPDATE) | STEP(UPDATE_ALL),
	  .detached_s = DETACHED_PACKAGES_S },
	{ .action = "CheckSystemIntegrity", .group = GROUP_OBSERVE, .steps = STEP(VERIFY) },
	{ .action = "CheckLinuxSecurity", .group = GROUP_OBSERVE },
	{ .action = "GetLinuxSecurityStatus", .group = GROUP_OBSERVE },
	{ .action = "GetLinuxFirewallStatus", .group = GROUP_OBSERVE },
	{ .action = "CheckFirewallStatus", .group = GROUP_OBSERVE },
	{ .action = "CheckSecurityModules", .group = GROUP_OBSERVE },
	{ .action = "RebootSystem", .group = GROUP_POWER, .operations = OPERATION(REBOOT) },
	{ .action = "ShutdownSystem", .group = GROUP_POWER, .operations = OPERATION(POWER_OFF) },
	{ .action = "PrepareGoldenImage",
	  .group = GROUP_POWER,
	  .verb = "golden",
	  .operations = OPERATION(POWER_OFF),
	  .detached_s = DETACHED_GOLDEN_S },
	{ .action = "JoinDomain", .group = GROUP_POWER, .verb = "join", .input = true },
	{ .action = "guest-shutdown",
	  .group = GROUP_CONTROL,
	  .operations = OPERATION(POWER_OFF) | OPERATION(REBOOT) | OPERATION(HALT),
	  .qga = true },
	{ .action = "guest-suspend-ram", .group = GROUP_CONTROL, .operations = OPERATION(SUSPEND), .qga = true },
	{ .action = "guest-suspend-disk", .group = GROUP_CONTROL, .operations = OPERATION(HIBERNATE), .qga = true },
	{ .action = "guest-suspend-hybrid",
	  .group = GROUP_CONTROL,
	  .operations = OPERATION(HYBRID_SLEEP),
	  .qga = true },
	{ .action = "guest-fsfreeze-freeze", .group = GROUP_CONTROL, .operations = OPERATION(FREEZE), .qga = true },
	{ .action = "guest-fsfreeze-freeze-list",
	  .group = GROUP_CONTROL,
	  .operations = OPERATION(FREEZE),
	  .qga = true },
	{ .action = "guest-fstrim", .group = GROUP_CONTROL, .verb = "trim", .qga = true },
	{ .action = "guest-set-time", .group = GROUP_CONTROL, .verb = "settime", .qga = true },
	{ .action = "guest-set-vcpus", .group = GROUP_CONTROL, .verb = "vcpus", .qga = true },
	{ .action = "guest-set-user-password",
	  .group = GROUP_CONTROL,
	  .verb = "password",
	  .words = " keep-root any-user ",
	  .input = true,
	  .qga = true },
	{ .action = "guest-ssh-get-authorized-keys",
	  .group = GROUP_CONTROL,
	  .verb = "keys",
	  .words = " get ",
	  .input = true,
	  .qga = true },
	{ .action = "guest-ssh-add-authorized-keys",
	  .group = GROUP_CONTROL,
	  .verb = "keys",
	  .words = " add reset ",
	  .input = true,
	  .qga = true },
	{ .action = "guest-ssh-remove-authorized-keys",
	  .group = GROUP_CONTROL,
	  .verb = "keys",
	  .words = " remove ",
	  .input = true,
	  .qga = true },
	{ .action = "guest-exec", .group = GROUP_CONTROL, .free = true, .qga = true },
	{ .action = "unsafe", .group = GROUP_EXEC, .free = true },
	{ .action = "script", .group = GROUP_EXEC, .free = true },
};

/*
 * Whether dpkg has a package of this name installed, with or without ":ARCHITECTURE" behind the name (dpkg(1),
 * /var/lib/dpkg/info).
 */
static bool dpkg_has(const char *name)
{
	size_t len = strlen(name);
	DIR *dir = opendir("/var/lib/dpkg/info");
	bool found = false;

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry && !found; entry = readdir(dir)) {
		const char *rest = entry->d_name + len;

		found = strncmp(entry->d_name, name, len) == 0 && (*rest == ':' || strcmp(rest, ".list") == 0);
	}
	if (dir)
		closedir(dir);
	return found;
}

/*
 * The rule of the action in this group, else any rule of the action: the group of RunMaintenanceTask depends on its
 * type.
 */
static const struct rule *find_rule(const char *action, uint32_t group)
{
	const struct rule *found = NULL;

	for (size_t i = 0; action && i < ARRAY_SIZE(rules); i++)
		if (strcmp(rules[i].action, action) == 0 && (!found || rules[i].group == group))
			found = &rules[i];
	return found;
}

/* Whether [auth] demands signatures, which the QEMU guest agent's language has not: as the agent decides it. */
static bool demands_signatures(const struct config *config)
{
	const char *secret = *config->auth.secret_file ? config->auth.secret_file : SYSCONFDIR "/infiniservice/secret";

	return config->auth.require_signature == CONFIG_SIGNATURE_YES ||
	       (config->auth.require_signature == CONFIG_SIGNATURE_AUTO && access(secret, F_OK) == 0);
}

static const char *judge_qga(const char *action, const struct config *config)
{
	const struct qga_rule *rule = qga_rule_find(action);
	struct qga_policy policy = {
		.allow = config->qga.allow,
		.deny = config->qga.deny,
		.allow_unsafe = config->qga.allow_unsafe,
		.signatures = demands_signatures(config),
		.unsigned_ok = config->auth.unsigned_qga,
	};

	if (strcmp(config->qga.spec, "none") == 0)
		return "this guest's owner has not opened the port of that language (qga.spec)";
	if (!rule || !qga_policy_allows(&policy, rule))
		return "the policy that the executor reads does not allow it ([qga] in infiniservice.conf)";
	return NULL;
}

/* Why the policy or the group of the request does not permit the action; NULL: it is permitted. */
static const char *judge_action(const struct rule *rule, const char *action, uint32_t group, bool operation,
				const struct config *config)
{
	const char *part = NULL;
	struct policy policy = {
		.enabled = config->commands.enabled,
		.allow_unsafe = config->commands.allow_unsafe,
		.allow = config->commands.allow,
		.deny = config->commands.deny,
	};

	if (!rule)
		return "the executor does nothing for this action";
	if (group != rule->group)
		return "the action is of another group";
	if (rule->qga)
		return judge_qga(action, config);
	/* An owner who denies the action that a maintenance task consists of denies the task too. */
	if (strcmp(rule->action, "RunMaintenanceTask") == 0)
		part = operation		       ? "RestartServices"
		       : rule->group == GROUP_PACKAGES ? "UpdateSystemSoftware"
						       : "DiskCleanup";
	if (!policy_allows(&policy, action, rule->group) || (part && !policy_allows(&policy, part, rule->group)))
		return "the policy that the executor reads does not allow it ([commands] in infiniservice.conf)";
	return NULL;
}

/*
 * Whether `path` is the executable that a search of runner_directories for `name` finds. Where there is no executable
 * any of the directories will do: the start fails then.
 */
static bool is_program(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	char own[256];
	bool known = false;

	if (!slash || strcmp(slash + 1, name) != 0)
		return false;
	for (size_t i = 0; runner_directories[i]; i++) {
		snprintf(own, sizeof(own), "%s/%s", runner_directories[i], name);
		known = known || strcmp(path, own) == 0;
		if (access(own, X_OK) == 0)
			return strcmp(path, own) == 0;
	}
	return known;
}

/* Whether argv is the fixed words of the step and, if the step takes names, valid package names behind them. */
static bool is_step(char *const *argv, const struct package_manager *manager, unsigned step)
{
	const char *const *words = manager->steps[step].argv;
	size_t i = 1;

	if (!words || !is_program(argv[0], words[0]))
		return false;
	for (; words[i]; i++)
		if (!argv[i] || strcmp(argv[i], words[i]) != 0)
			return false;
	/* A step that takes names needs at least one. */
	if ((strcmp(words[i - 1], "--") == 0) != (argv[i] != NULL))
		return false;
	for (; argv[i]; i++) {
		/*
		 * To apt "name+" means "install name" even in a removal, unless a package has the "+" in its name. A
		 * package to be removed is installed, so dpkg is asked.
		 */
		bool plus = step == PACKAGE_REMOVE && manager->architectures && *argv[i] &&
			    argv[i][strlen(argv[i]) - 1] == '+';

		if (!package_manager_takes(manager, argv[i]) || (plus && !dpkg_has(argv[i])))
			return false;
	}
	return true;
}

static bool is_permitted_step(char *const *argv, unsigned steps)
{
	const struct package_manager *manager;

	for (size_t i = 0; (manager = package_manager_at(i)); i++)
		for (unsigned step = 0; step < PACKAGE_STEPS; step++)
			if ((steps & (1U << step)) && is_step(argv, manager, step))
				return true;
	return false;
}

/* Whether argv is one of the permitted read-only queries. */
static bool is_question(char *const *argv)
{
	for (size_t question = 0; question < QUESTIONS; question++) {
		size_t i = 1;

		while (questions[question][i] && argv[i] && strcmp(argv[i], questions[question][i]) == 0)
			i++;
		if (!questions[question][i] && !argv[i] && is_program(argv[0], questions[question][0]))
			return true;
	}
	return false;
}

/*
 * Whether argv calls the verb of infiniservice-exec. Its directory does not matter: unit_start replaces argv[0] by the
 * executor's own path. Arguments of a verb are judged by the verb itself; here only their characters are checked, so
 * that argv carries nothing else.
 */
static bool is_verb(char *const *argv, const char *verb)
{
	const char *name = strrchr(argv[0], '/');

	if (!verb || !name || strcmp(name, "/infiniservice-exec") != 0 || !argv[1] || strcmp(argv[1], verb) != 0)
		return false;
	for (size_t i = 2; argv[i]; i++) {
		size_t len = strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

		if (i > VERB_ARGS_MAX || len == 0 || len > ARGUMENT_MAX || argv[i][len] != '\0')
			return false;
	}
	return true;
}

/* Whether the word behind the verb is one that the action may give it. */
static bool is_word(const char *word, const char *words)
{
	char wanted[ARGUMENT_MAX + 3];

	if (!words)
		return true;
	if (!word)
		return false;
	snprintf(wanted, sizeof(wanted), " %s ", word);
	return strstr(words, wanted);
}

struct rules_verdict rules_judge_run(const struct runner_command *command, const struct config *config)
{
	const struct rule *rule = find_rule(command->action, command->run.group);
	const char *refusal = judge_action(rule, command->action, command->run.group, false, config);
	const char *run_as = config->commands.run_as;

	if (refusal)
		return (struct rules_verdict){ .refusal = refusal };
	if (rule->free) {
		if (rule->qga && command->user)
			refusal = "commands of this language run as root";
		if (!rule->qga && *run_as && (!command->user || strcmp(command->user, run_as) != 0))
			refusal = "commands run as the user of commands.run_as alone";
		if (command->unit)
			refusal = "what this action starts does not outlive the agent";
		return (struct rules_verdict){ .refusal = refusal, .free = true };
	}
	if (!(command->run.flags & RUNNER_RUN_INPUT) != !rule->input)
		return (struct rules_verdict){ .refusal = rule->input ? "this action has an input"
								      : "this action has no input" };
	if (command->unit && !rule->detached_s)
		return (struct rules_verdict){ .refusal = "what this action starts does not outlive the agent" };
	if (command->user || (command->cwd && strcmp(command->cwd, "/") != 0))
		return (struct rules_verdict){ .refusal = "this action has neither user nor directory" };
	if (rule->words && strcmp(rule->verb, "password") == 0 && config->qga.deny_root_password &&
	    !is_word(command->argv[0] && command->argv[1] ? command->argv[2] : NULL, " keep-root "))
		return (struct rules_verdict){ .refusal = "root's password is left alone (qga.deny_root_password)" };
	if (is_verb(command->argv, rule->verb) && is_word(command->argv[2], rule->words))
		return (struct rules_verdict){ .own_program = true, .detached_s = rule->detached_s };
	if (question_of_action(command->action) && is_question(command->argv))
		return (struct rules_verdict){ .refusal = NULL };
	if (is_permitted_step(command->argv, rule->steps))
		return (struct rules_verdict){ .detached_s = rule->detached_s };
	return (struct rules_verdict){ .refusal = "this program with these arguments is no part of the action" };
}

bool rules_operation_takes_unit(uint32_t operation)
{
	return operation < RUNNER_OPERATION_REBOOT;
}

struct rules_verdict rules_judge_operation(const struct runner_call *call, const struct config *config)
{
	const struct rule *rule = find_rule(call->action, call->operation.group);
	const char *refusal = judge_action(rule, call->action, call->operation.group, true, config);
	bool about_unit = rules_operation_takes_unit(call->operation.operation);
	char unit[UNIT_NAME_SIZE];

	if (!refusal && !(rule->operations & (1U << call->operation.operation)))
		refusal = "this operation is no part of the action";
	if (!refusal && !about_unit && *call->argument && call->operation.operation != RUNNER_OPERATION_FREEZE)
		refusal = "this operation takes no argument";
	/* unit_name_make leaves a complete unit name unchanged. */
	if (!refusal && about_unit && (!unit_name_make(call->argument, unit) || strcmp(unit, call->argument) != 0))
		refusal = "this is no unit that an action may be about";
	if (refusal || !about_unit)
		return (struct rules_verdict){ .refusal = refusal, .stage = RUNNER_STAGE_POLICY };
	return (struct rules_verdict){ .refusal = unit_rules_deny(unit, config->commands.deny_units),
				       .stage = RUNNER_STAGE_UNIT };
}
