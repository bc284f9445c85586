/* SPDX-License-Identifier: MIT */
/* What the privileged executor lets an agent do, whatever that agent says; and the configuration it goes by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/executor/allow_list.h"
#include "agent/config/config.h"
#include "agent/rules/policy.h"

static struct config config;
static struct runner_command command;

static void allow(const char *allow, const char *deny, const char *more)
{
	char text[256];

	config_free(&config);
	assert_int_equal(config_init(&config), 0);
	snprintf(text, sizeof(text), "commands.allow=%s", allow);
	assert_int_equal(config_set(&config, text, NULL), 0);
	snprintf(text, sizeof(text), "commands.deny=%s", deny);
	assert_int_equal(config_set(&config, text, NULL), 0);
	if (more)
		assert_int_equal(config_set(&config, more, NULL), 0);
}

/* Words separated by blanks. */
static struct rules_verdict judge(const char *action, enum policy_group group, const char *words)
{
	static char text[512];
	char *at = text;
	size_t count = 0;

	snprintf(text, sizeof(text), "%s", words);
	command = (struct runner_command){ .action = action, .run = { .group = group } };
	while ((command.argv[count] = strsep(&at, " ")))
		count++;
	return rules_judge_run(&command, &config);
}

#define APT_GET "apt-get" APT_OPTIONS
#define APT_DO	"/usr/bin/apt-get" APT_OPTIONS
#define APT_OPTIONS                                                                                                    \
	" -y -q -o APT::Cmd::Pattern-Only=1 -o DPkg::Lock::Timeout=0 -o Dpkg::Use-Pty=0 -o "                           \
	"Dpkg::Options::=--force-confdef "                                                                             \
	"-o Dpkg::Options::=--force-confold "

static void lets_each_action_do_what_it_is_made_of(void **state)
{
	(void)state;
	allow("control packages power", "", NULL);
	assert_null(judge("PackageInstall", GROUP_PACKAGES, APT_DO "install -- hello").refusal);
	assert_null(judge("PackageRemove", GROUP_PACKAGES, APT_DO "remove -- hello").refusal);
	assert_null(judge("UpdateSystemSoftware", GROUP_PACKAGES, APT_DO "dist-upgrade").refusal);
	assert_true(judge("DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec clean -- tmp").own_program);
	assert_null(judge("DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec clean -- tmp").refusal);
	assert_null(judge("ProcessKill", GROUP_CONTROL, "/x/infiniservice-exec kill 7 9 TERM").refusal);
	assert_null(judge("PrepareGoldenImage", GROUP_POWER, "/x/infiniservice-exec golden").refusal);
}

static void refuses_what_an_action_is_not_made_of(void **state)
{
	const struct {
		const char *action;
		enum policy_group group;
		const char *words;
	} cases[] = {
		{ "PackageInstall", GROUP_PACKAGES, "/bin/sh -c id" },
		{ "PackageInstall", GROUP_PACKAGES, APT_DO "remove -- hello" },
		{ "PackageRemove", GROUP_PACKAGES, APT_DO "install -- hello" },
		{ "PackageInstall", GROUP_PACKAGES, "/tmp/apt-get -y -q install -- hello" },
		{ "PackageInstall", GROUP_PACKAGES, "/usr/bin/../../tmp/apt-get" },
		{ "PackageInstall", GROUP_PACKAGES, "/usr/bin/apt-get -o DPkg::Pre-Invoke::=id install -- hello" },
		{ "PackageInstall", GROUP_PACKAGES, APT_DO "install -- -oDPkg::Pre-Invoke::=id" },
		{ "PackageInstall", GROUP_PACKAGES, APT_DO "install -- ./evil.deb" },
		{ "PackageInstall", GROUP_PACKAGES, APT_DO "install" },
		{ "UpdateSystemSoftware", GROUP_PACKAGES, APT_DO "dist-upgrade hello" },
		{ "PackageRemove", GROUP_PACKAGES, APT_DO "remove --" },
		{ "PackageInstall", GROUP_PACKAGES, "/usr/bin/apt-getx -y" },
		{ "PackageInstall", GROUP_PACKAGES, "/usr/bin/../bin/" APT_GET "install -- hello" },
		{ "PackageInstall", GROUP_PACKAGES, "/usr/bin/x/" APT_GET "install -- hello" },
		{ "PackageInstall", GROUP_PACKAGES, "/usr/bin//" APT_GET "install -- hello" },
		{ "PackageInstall", GROUP_PACKAGES, "/sbin/" APT_GET "install -- hello" },
		{ "PackageInstall", GROUP_PACKAGES, "/usr/local/bin/" APT_GET "install -- hello" },
		{ "ProcessKill", GROUP_CONTROL, "/x/infiniservice-exec kill 7 9 TERM;id" },
		{ "ProcessKill", GROUP_CONTROL, "/x/infiniservice-exec kill ../7 9 TERM" },
		{ "DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec clean -- /etc" },
		{ "DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec/../infiniservice-exec golden" },
		{ "DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec golden" },
		{ "DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec launch" },
		{ "DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec" },
		{ "DiskCleanup", GROUP_CONTROL, "/bin/rm -rf /" },
		{ "ServiceControl", GROUP_CONTROL, "/bin/true" },
		{ "SystemInfo", GROUP_OBSERVE, "/bin/true" },
		{ "unsafe", GROUP_CONTROL, "/bin/true" },
		{ "PackageInstall", GROUP_OBSERVE, APT_DO "install -- hello" },
		{ "PackageInstall", (enum policy_group)77, APT_DO "install -- hello" },
		{ NULL, GROUP_EXEC, "/bin/true" },
	};

	(void)state;
	allow("observe control packages power", "", "commands.allow_unsafe=yes");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!judge(cases[i].action, cases[i].group, cases[i].words).refusal)
			fail_msg("%s: %s", cases[i].action, cases[i].words);
}

static struct rules_verdict judge_freeze(void)
{
	struct runner_call call = { .operation = { .operation = RUNNER_OPERATION_FREEZE, .group = GROUP_CONTROL },
				    .action = "guest-fsfreeze-freeze-list",
				    .argument = "/a\n/b" };

	return rules_judge_operation(&call, &config);
}

static void commands_of_the_other_language_go_by_a_policy_of_their_own(void **state)
{
	static const char trim[] = "/x/infiniservice-exec trim 0";

	(void)state;
	/* Nothing is inherited from [commands], and nothing is open without a port. */
	allow("control packages power", "", "commands.allow_unsafe=yes");
	assert_non_null(judge("guest-fstrim", GROUP_CONTROL, trim).refusal);
	assert_non_null(judge_freeze().refusal);
	allow("", "", "qga.spec=unix:/x");
	assert_true(judge("guest-fstrim", GROUP_CONTROL, trim).own_program);
	assert_null(judge("guest-fstrim", GROUP_CONTROL, trim).refusal);
	assert_null(judge_freeze().refusal);
	assert_non_null(judge("guest-fstrim", GROUP_CONTROL, "/x/infiniservice-exec clean -- tmp").refusal);
	assert_non_null(judge("guest-fstrim", GROUP_CONTROL, "/bin/true").refusal);
	assert_non_null(judge("guest-fstrim", GROUP_OBSERVE, trim).refusal);
	assert_non_null(judge("guest-nonsense", GROUP_CONTROL, trim).refusal);
	assert_int_equal(config_set(&config, "qga.deny=guest-fstrim", NULL), 0);
	assert_non_null(judge("guest-fstrim", GROUP_CONTROL, trim).refusal);
	assert_null(judge_freeze().refusal);
	assert_int_equal(config_set(&config, "qga.deny=freeze", NULL), 0);
	assert_non_null(judge_freeze().refusal);
}

/* As judge, with an input. */
static const char *refusal_with_input(const char *action, const char *words)
{
	judge(action, GROUP_CONTROL, words);
	command.run.flags = RUNNER_RUN_INPUT;
	return rules_judge_run(&command, &config).refusal;
}

static void what_is_roots_power_needs_to_be_unsafe_and_signed_for(void **state)
{
	static const char keep[] = "/x/infiniservice-exec password keep-root",
			  any[] = "/x/infiniservice-exec password any-user crypted";

	(void)state;
	allow("", "", "qga.spec=unix:/x");
	config_set(&config, "qga.allow=control exec files", NULL);
	config_set(&config, "auth.secret_file=/nowhere/at/all", NULL);
	assert_null(judge("guest-set-time", GROUP_CONTROL, "/x/infiniservice-exec settime 5").refusal);
	assert_null(judge("guest-set-vcpus", GROUP_CONTROL, "/x/infiniservice-exec vcpus 1-on").refusal);
	assert_non_null(judge("guest-exec", GROUP_CONTROL, "/bin/true").refusal);
	assert_non_null(refusal_with_input("guest-set-user-password", keep));
	config_set(&config, "qga.allow_unsafe=yes", NULL);
	assert_true(judge("guest-exec", GROUP_CONTROL, "/bin/true").free);
	assert_null(judge("guest-exec", GROUP_CONTROL, "/bin/true").refusal);
	assert_null(refusal_with_input("guest-set-user-password", keep));
	/* Root's password needs one more word of the owner. */
	assert_non_null(refusal_with_input("guest-set-user-password", any));
	assert_non_null(refusal_with_input("guest-set-user-password", "/x/infiniservice-exec password"));
	config_set(&config, "qga.deny_root_password=no", NULL);
	assert_null(refusal_with_input("guest-set-user-password", any));
	assert_non_null(refusal_with_input("guest-set-user-password", "/x/infiniservice-exec password none"));
	/* No action does what another one of a group of its own does. */
	assert_null(refusal_with_input("guest-ssh-get-authorized-keys", "/x/infiniservice-exec keys get"));
	assert_non_null(refusal_with_input("guest-ssh-get-authorized-keys", "/x/infiniservice-exec keys add"));
	assert_null(refusal_with_input("guest-ssh-add-authorized-keys", "/x/infiniservice-exec keys reset"));
	assert_non_null(refusal_with_input("guest-ssh-remove-authorized-keys", "/x/infiniservice-exec keys reset"));
	assert_non_null(
		judge("guest-ssh-get-authorized-keys", GROUP_CONTROL, "/x/infiniservice-exec keys get").refusal);
	/* A language without signatures has none to give. */
	config_set(&config, "auth.require_signature=yes", NULL);
	assert_non_null(judge("guest-exec", GROUP_CONTROL, "/bin/true").refusal);
	assert_null(judge("guest-set-time", GROUP_CONTROL, "/x/infiniservice-exec settime rtc").refusal);
	config_set(&config, "auth.unsigned_qga=guest-exec", NULL);
	assert_null(judge("guest-exec", GROUP_CONTROL, "/bin/true").refusal);
	/* There is a secret: auto demands signatures. */
	config_set(&config, "auth.unsigned_qga=", NULL);
	config_set(&config, "auth.require_signature=auto", NULL);
	assert_null(judge("guest-exec", GROUP_CONTROL, "/bin/true").refusal);
	config_set(&config, "auth.secret_file=/etc/passwd", NULL);
	assert_non_null(judge("guest-exec", GROUP_CONTROL, "/bin/true").refusal);
}

static void questions_are_asked_word_by_word(void **state)
{
	static const char *const actions[] = { "CheckLinuxSecurity", "GetLinuxSecurityStatus", "GetLinuxFirewallStatus",
					       "CheckFirewallStatus", "CheckSecurityModules" };
	static const char *const asked[] = { "/usr/sbin/sshd -T",
					     "/usr/sbin/nft -j list ruleset",
					     "/usr/bin/apt-config dump",
					     "/usr/bin/cat /sys/kernel/security/apparmor/profiles",
					     "/usr/bin/cat /proc/net/ip_tables_names",
					     "/usr/bin/cat /proc/net/ip6_tables_names" };
	static const char *const not_asked[] = {
		"/usr/sbin/sshd",
		"/usr/sbin/sshd -T -f /tmp/x",
		"/usr/sbin/sshd -D",
		"/tmp/sshd -T",
		"/usr/sbin/nft -j list",
		"/usr/sbin/nft flush ruleset",
		"/usr/sbin/nft -j list ruleset -f /tmp/x",
		"/usr/bin/cat /etc/shadow",
		"/usr/bin/cat",
		"/usr/bin/cat /proc/net/ip_tables_names /etc/shadow",
		"/usr/bin/cat /sys/kernel/security/apparmor/profiles /etc/shadow",
		"/usr/bin/sh -T",
	};

	(void)state;
	allow("observe", "", NULL);
	for (size_t a = 0; a < ARRAY_SIZE(actions); a++) {
		for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
			assert_null(judge(actions[a], GROUP_OBSERVE, asked[i]).refusal);
		for (size_t i = 0; i < ARRAY_SIZE(not_asked); i++)
			if (!judge(actions[a], GROUP_OBSERVE, not_asked[i]).refusal)
				fail_msg("%s: %s", actions[a], not_asked[i]);
	}
	assert_non_null(judge("SystemInfo", GROUP_OBSERVE, asked[0]).refusal);
	assert_non_null(judge("CheckSystemIntegrity", GROUP_OBSERVE, asked[0]).refusal);
	assert_non_null(judge("CheckLinuxSecurity", GROUP_EXEC, asked[0]).refusal);
	allow("observe", "CheckLinuxSecurity", NULL);
	assert_non_null(judge("CheckLinuxSecurity", GROUP_OBSERVE, asked[0]).refusal);
	allow("", "", NULL);
	assert_non_null(judge("CheckFirewallStatus", GROUP_OBSERVE, asked[1]).refusal);
}

static void names_of_packages_are_names_and_no_orders_versions_releases_or_patterns(void **state)
{
	static const char *const bad[] = {
		"no-such-package-here+",
		"hello-",
		"hello/stable",
		"hello=1.0",
		"hello:any",
		"hello:all",
		"hello:",
		"hello:amd64:i386",
		"hello:-",
		"hello:../x",
		"*",
		"hel*",
		"h.*",
		"^hello",
		"hello$",
		"~nhello",
		"?name(hello)",
		"?true",
		"hel[lp]o",
		"hello^",
		"he~llo",
		"Hello",
		"he_llo",
		"-hello",
		"./hello.deb",
		"/tmp/hello.deb",
		"hello,world",
		"hello|world",
		"",
		"hello\n",
		"h\xc3\xa9llo",
		"hello;id",
		"+hello",
		".hello",
	};
	static const char *const good[] = {
		"hello", "g++", "libstdc++6", "python3.11", "libc6:i386", "0ad", "linux-image-6.1.0-10-amd64"
	};
	char words[512];

	(void)state;
	allow("packages", "", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(words, sizeof(words), APT_DO "remove -- %s", bad[i]);
		if (!judge("PackageRemove", GROUP_PACKAGES, words).refusal)
			fail_msg("remove -- %s", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(words, sizeof(words), APT_DO "install -- %s", good[i]);
		if (judge("PackageInstall", GROUP_PACKAGES, words).refusal)
			fail_msg("install -- %s", good[i]);
	}
	/* What is not there cannot be what is meant by a name that ends like an order. */
	assert_null(judge("PackageRemove", GROUP_PACKAGES, APT_DO "remove -- libstdc++6").refusal);
}

static void only_packages_and_golden_images_outlive_the_agent_and_not_for_ever(void **state)
{
	static char unit[] = "1-2";

	(void)state;
	allow("control packages power", "", "commands.allow_unsafe=yes");
	assert_int_equal(judge("PackageInstall", GROUP_PACKAGES, APT_DO "install -- hello").detached_s, 7200);
	assert_int_equal(judge("UpdateSystemSoftware", GROUP_PACKAGES, APT_DO "dist-upgrade").detached_s, 7200);
	assert_int_equal(judge("PrepareGoldenImage", GROUP_POWER, "/x/infiniservice-exec golden").detached_s, 1800);
	command.unit = unit;
	assert_null(rules_judge_run(&command, &config).refusal);
	judge("unsafe", GROUP_EXEC, "/bin/true");
	command.unit = unit;
	assert_non_null(rules_judge_run(&command, &config).refusal);
	judge("DiskCleanup", GROUP_CONTROL, "/x/infiniservice-exec clean -- tmp");
	command.unit = unit;
	assert_non_null(rules_judge_run(&command, &config).refusal);
	judge("ProcessKill", GROUP_CONTROL, "/x/infiniservice-exec kill 7 9 TERM");
	command.unit = unit;
	assert_non_null(rules_judge_run(&command, &config).refusal);
}

static void asks_the_owners_policy_itself(void **state)
{
	(void)state;
	allow("observe", "", NULL);
	assert_non_null(judge("PackageInstall", GROUP_PACKAGES, APT_DO "install -- hello").refusal);
	assert_non_null(judge("unsafe", GROUP_EXEC, "/bin/true").refusal);
	allow("packages", "PackageInstall", "commands.allow_unsafe=yes");
	assert_non_null(judge("PackageInstall", GROUP_PACKAGES, APT_DO "install -- hello").refusal);
	assert_null(judge("PackageRemove", GROUP_PACKAGES, APT_DO "remove -- hello").refusal);
	assert_null(judge("unsafe", GROUP_EXEC, "/bin/true").refusal);
	assert_true(judge("unsafe", GROUP_EXEC, "/bin/true").free);
	allow("packages", "", "commands.enabled=no");
	assert_non_null(judge("PackageInstall", GROUP_PACKAGES, APT_DO "install -- hello").refusal);
}

static void holds_free_commands_to_the_user_that_is_set(void **state)
{
	(void)state;
	allow("observe", "", "commands.allow_unsafe=yes");
	assert_int_equal(config_set(&config, "commands.run_as=nobody", NULL), 0);
	assert_non_null(judge("unsafe", GROUP_EXEC, "/bin/true").refusal);
	command.user = "root";
	assert_non_null(rules_judge_run(&command, &config).refusal);
	command.user = "nobody";
	assert_null(rules_judge_run(&command, &config).refusal);
}

static void gives_no_user_and_directory_to_what_is_not_free(void **state)
{
	(void)state;
	allow("packages", "", NULL);
	assert_null(judge("PackageRemove", GROUP_PACKAGES, APT_DO "remove -- hello").refusal);
	command.user = "nobody";
	assert_non_null(rules_judge_run(&command, &config).refusal);
	command.user = NULL;
	command.cwd = "/tmp";
	assert_non_null(rules_judge_run(&command, &config).refusal);
}

static const char *judge_operation(const char *action, enum policy_group group, enum runner_operation operation,
				   const char *unit)
{
	struct runner_call call = { .operation = { .operation = operation, .group = group },
				    .action = action,
				    .argument = unit };

	return rules_judge_operation(&call, &config).refusal;
}

static void lets_operations_be_about_whole_names_of_units_only(void **state)
{
	(void)state;
	allow("control", "", NULL);
	assert_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_START, "cron.service"));
	assert_null(judge_operation("RestartServices", GROUP_CONTROL, RUNNER_OPERATION_RESTART,
				    "postgresql@15-main.service"));
	assert_non_null(judge_operation("RestartServices", GROUP_CONTROL, RUNNER_OPERATION_STOP, "cron.service"));
	assert_non_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_START, "cron"));
	assert_non_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_START, "reboot.target"));
	assert_non_null(
		judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_START, "systemd-reboot.service"));
	assert_non_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_ENABLE, "/etc/evil.service"));
	assert_non_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_START, ""));
	assert_non_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_REBOOT, ""));
	assert_non_null(judge_operation("RebootSystem", GROUP_POWER, RUNNER_OPERATION_REBOOT, ""));
	allow("power", "", NULL);
	assert_null(judge_operation("RebootSystem", GROUP_POWER, RUNNER_OPERATION_REBOOT, ""));
	assert_non_null(judge_operation("RebootSystem", GROUP_POWER, RUNNER_OPERATION_REBOOT, "x"));
	assert_non_null(judge_operation("RebootSystem", GROUP_POWER, RUNNER_OPERATION_POWER_OFF, ""));
	assert_non_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_START, "cron.service"));
}

static void refuses_units_that_are_never_controlled_whatever_the_agent_says(void **state)
{
	static const char *const denied[] = {
		"infiniservice.service",
		"infiniservice-exec.socket",
		"infiniservice-port@x.service",
		"infiniservice-port@zz\\x3bid.service",
		"debug-shell.service",
		"user@0.service",
		"getty@tty1.service",
		"emergency.service",
		"modprobe@x.service",
		"systemd-nspawn@x.service",
		"systemd-reboot.service",
		"any@\\x2d.service",
		"mine.service",
		"db@1.service",
	};
	static const enum runner_operation operations[] = { RUNNER_OPERATION_START, RUNNER_OPERATION_STOP,
							    RUNNER_OPERATION_RESTART, RUNNER_OPERATION_ENABLE,
							    RUNNER_OPERATION_DISABLE };

	(void)state;
	allow("control", "", "commands.deny_units=mine db@");
	for (size_t i = 0; i < ARRAY_SIZE(denied); i++)
		for (size_t j = 0; j < ARRAY_SIZE(operations); j++) {
			struct runner_call call = { .operation = { .operation = operations[j], .group = GROUP_CONTROL },
						    .action = "ServiceControl",
						    .argument = denied[i] };
			struct rules_verdict verdict = rules_judge_operation(&call, &config);

			if (!verdict.refusal || verdict.stage != RUNNER_STAGE_UNIT)
				fail_msg("%s", denied[i]);
		}
	assert_null(judge_operation("ServiceControl", GROUP_CONTROL, RUNNER_OPERATION_START, "cron.service"));
}

/* ------------------------------------------------------------------------------------------------- the policy file */

static char dir[] = "/tmp/test_guard.XXXXXX";
static char file[64];

static void put_at(const char *path, const char *text, mode_t mode)
{
	char fresh[128];
	FILE *out;

	snprintf(fresh, sizeof(fresh), "%s/.new", dir);
	out = fopen(fresh, "w");
	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(fresh, mode), 0);
	assert_int_equal(rename(fresh, path), 0);
}

static void put(const char *text, mode_t mode)
{
	put_at(file, text, mode);
}

static void reads_the_policy_again_when_it_has_changed(void **state)
{
	struct policy_file policy;

	(void)state;
	put("[commands]\nallow = control\n", 0644);
	policy_file_init(&policy, dir);
	assert_true(policy_file_refresh(&policy));
	assert_true(policy.usable);
	assert_string_equal(policy.config.commands.allow[0], "control");
	assert_false(policy_file_refresh(&policy));
	put("[commands]\nallow = power\n", 0644);
	assert_true(policy_file_refresh(&policy));
	assert_string_equal(policy.config.commands.allow[0], "power");
	policy_file_done(&policy);
}

/* What a drop-in takes away is taken away at once; the file itself has not changed. */
static void sees_a_drop_in_that_is_added_changed_or_removed(void **state)
{
	char folder[80], drop_in[128];
	struct policy_file policy;

	(void)state;
	snprintf(folder, sizeof(folder), "%s/conf.d", dir);
	snprintf(drop_in, sizeof(drop_in), "%s/50-owner.conf", folder);
	put("[commands]\nallow = control\n", 0644);
	assert_int_equal(mkdir(folder, 0755), 0);
	policy_file_init(&policy, dir);
	assert_true(policy_file_refresh(&policy));
	put_at(drop_in, "[commands]\nallow = observe\n", 0644);
	assert_true(policy_file_refresh(&policy));
	assert_string_equal(policy.config.commands.allow[0], "observe");
	assert_false(policy_file_refresh(&policy));
	put_at(drop_in, "[commands]\nallow = packages\n", 0644);
	assert_true(policy_file_refresh(&policy));
	assert_string_equal(policy.config.commands.allow[0], "packages");
	assert_int_equal(chmod(drop_in, 0666), 0);
	assert_true(policy_file_refresh(&policy));
	assert_false(policy.usable);
	assert_int_equal(unlink(drop_in), 0);
	assert_true(policy_file_refresh(&policy));
	assert_string_equal(policy.config.commands.allow[0], "control");
	policy_file_done(&policy);
	assert_int_equal(rmdir(folder), 0);
}

static void allows_nothing_while_the_policy_is_unsafe_or_broken(void **state)
{
	struct policy_file policy;

	(void)state;
	policy_file_init(&policy, dir);
	put("[commands]\nallow = control\n", 0666);
	assert_true(policy_file_refresh(&policy));
	assert_false(policy.usable);
	assert_non_null(strstr(policy.err.text, "can be written by others"));
	put("[commands]\nenabled = perhaps\n", 0644);
	assert_true(policy_file_refresh(&policy));
	assert_false(policy.usable);
	assert_non_null(strstr(policy.err.text, ":2:"));
	put("[commands]\nenabled = yes\n", 0644);
	assert_true(policy_file_refresh(&policy));
	assert_true(policy.usable);
	policy_file_done(&policy);
}

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/infiniservice.conf", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	config_free(&config);
	unlink(file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lets_each_action_do_what_it_is_made_of),
		cmocka_unit_test(refuses_what_an_action_is_not_made_of),
		cmocka_unit_test(commands_of_the_other_language_go_by_a_policy_of_their_own),
		cmocka_unit_test(what_is_roots_power_needs_to_be_unsafe_and_signed_for),
		cmocka_unit_test(questions_are_asked_word_by_word),
		cmocka_unit_test(asks_the_owners_policy_itself),
		cmocka_unit_test(names_of_packages_are_names_and_no_orders_versions_releases_or_patterns),
		cmocka_unit_test(only_packages_and_golden_images_outlive_the_agent_and_not_for_ever),
		cmocka_unit_test(holds_free_commands_to_the_user_that_is_set),
		cmocka_unit_test(gives_no_user_and_directory_to_what_is_not_free),
		cmocka_unit_test(lets_operations_be_about_whole_names_of_units_only),
		cmocka_unit_test(refuses_units_that_are_never_controlled_whatever_the_agent_says),
		cmocka_unit_test(reads_the_policy_again_when_it_has_changed),
		cmocka_unit_test(sees_a_drop_in_that_is_added_changed_or_removed),
		cmocka_unit_test(allows_nothing_while_the_policy_is_unsafe_or_broken),
	};

	return cmocka_run_group_tests_name("allow_list", tests, make_dir, remove_dir);
}
