/* SPDX-License-Identifier: MIT */
/*
 * CheckLinuxSecurity and its parts as a host asks for them: which programs are asked with which rights, and what is
 * told when they, the service manager or the time fail. The judgements themselves: test_security.c.
 */
#include "tests/actions_fixture.h"

/* The programs that this machine has, of those that the checks ask: "sshd;nft;". */
static const char *installed;

int access(const char *path, int mode)
{
	const char *name = strrchr(path, '/');
	char word[64];

	if (!installed || strncmp(path, "/usr/sbin/", 10) != 0)
		return strncmp(path, "/usr/", 5) == 0 || strncmp(path, "/bin/", 5) == 0 ||
				       strncmp(path, "/sbin/", 6) == 0
			       ? -1
			       : faccessat(AT_FDCWD, path, mode, 0);
	snprintf(word, sizeof(word), "%s;", name + 1);
	return strstr(installed, word) ? 0 : -1;
}

/* What nobody but root may read, even where the test is root. */
static void unreadable(const char *path)
{
	char full[512];

	fixture_write(machine, path, ""); /* with its folders */
	snprintf(full, sizeof(full), "%s/%s", machine->path, path);
	assert_int_equal(unlink(full) | mkfifo(full, 0600), 0);
}

/* ListUnitsByNames: units that the test has made, and the others as not found. */
static int list_by_names(sd_bus_message *message)
{
	sd_bus_message *reply = NULL;
	const char *name;

	if (!sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnitsByNames"))
		return 0;
	assert_true(sd_bus_message_new_method_return(message, &reply) >= 0);
	assert_true(sd_bus_message_open_container(reply, 'a', "(ssssssouso)") >= 0);
	assert_true(sd_bus_message_enter_container(message, 'a', "s") > 0);
	while (sd_bus_message_read(message, "s", &name) > 0) {
		struct played_unit at = unit_find(name);

		assert_true(sd_bus_message_append(reply, "(ssssssouso)", name, at.description, at.load, at.active,
						  at.sub, "", "/x", 0, "", "/") >= 0);
	}
	assert_true(sd_bus_message_close_container(reply) >= 0);
	assert_true(sd_bus_send(NULL, reply, NULL) >= 0);
	sd_bus_message_unref(reply);
	return 1;
}

static int setup(void **state)
{
	int r = actions_begin(state);

	/* Ubuntu, of which root may read more than the agent. */
	installed = "sshd;nft;apt-config;cat;";
	seen.manager = list_by_names;
	fixture_write(machine, "root/etc/ssh/sshd_config", "PasswordAuthentication no\nUsePAM no\n");
	fixture_write(machine, "root/usr/sbin/sshd", "");
	fixture_write(machine, "root/usr/bin/unattended-upgrade", "");
	fixture_write(machine, "sys/module/apparmor/parameters/enabled", "Y\n");
	fixture_write(machine, "sys/kernel/security/lsm", "lockdown,capability,apparmor\n");
	unreadable("sys/kernel/security/apparmor/profiles");
	unreadable("proc/net/ip_tables_names");
	unreadable("proc/net/ip6_tables_names");
	unreadable("root/etc/apt/apt.conf");
	return r;
}

static int teardown(void **state)
{
	installed = NULL;
	return actions_end(state);
}

#define SSHD                                                                                                           \
	"permitrootlogin no\npasswordauthentication no\nkbdinteractiveauthentication no\nusepam yes\n"                 \
	"permitemptypasswords no\nx11forwarding no\n"
#define NFT                                                                                                            \
	"{\"nftables\":[{\"chain\":{\"family\":\"inet\",\"table\":\"f\",\"name\":\"in\",\"type\":\"filter\","          \
	"\"hook\":\"input\",\"policy\":\"drop\"}}]}"
#define APT "APT::Periodic::Unattended-Upgrade \"1\";\nAPT::Periodic::Update-Package-Lists \"1\";\n"

static void play_all(void)
{
	play("/usr/sbin/sshd -T", 0, SSHD);
	play("/usr/sbin/nft -j list ruleset", 0, NFT);
	play("/usr/sbin/cat /proc/net/ip_tables_names", 0, "nat\n");
	play("/usr/sbin/cat /proc/net/ip6_tables_names", 0, "filter\n");
	play("/usr/sbin/cat /sys/kernel/security/apparmor/profiles", 0, "a (enforce)\nb (enforce)\nc (complain)\n");
	play("/usr/sbin/apt-config dump", 0, APT);
}

static void a_host_gets_what_the_programs_and_the_service_manager_say(void **state)
{
	(void)state;
	play_all();
	unit("ssh.service");
	unit("apt-daily-upgrade.timer");
	unit("ufw.service")->active = "inactive";
	expect("CheckLinuxSecurity", "", "\"status\":\"passed\",\"message\":\"nothing was found wanting\"");
	answer_has("\"profiles_enforced\":2,\"profiles_complaining\":1,\"service\":\"not-installed\"");
	answer_has("\"message\":\"AppArmor is on and enforces profiles\"");
	answer_has("\"message\":\"the kernel filters what comes in\",\"details\":{\"active\":true");
	answer_has("\"filters_input\":true},\"ufw\":{\"service\":\"inactive\",\"enabled\":false}");
	answer_has("\"iptables_tables\":\"present\",\"source\":\"nft\"");
	answer_has("\"message\":\"updates are installed automatically\"");
	answer_has("\"apt_timer\":\"active\",\"dnf_automatic_timer\":\"not-installed\",\"source\":\"apt-config\"");
	answer_has("\"service\":\"active\",\"source\":\"sshd\",\"permit_root_login\":\"no\"");
	assert_null(strstr(answer(), "not_read"));
	assert_int_equal(job_count, 6);
	for (unsigned i = 0; i < job_count; i++)
		assert_true(jobs[i].exec == &executor && strcmp(jobs[i].action, "CheckLinuxSecurity") == 0);
	expect("GetLinuxSecurityStatus", "", "\"message\":\"nothing was found wanting\"");
}

static void each_check_asks_only_what_it_is_about(void **state)
{
	(void)state;
	play_all();
	expect("CheckSecurityModules", "", "\"message\":\"AppArmor is on and enforces profiles\"");
	assert_int_equal(job_count, 1);
	expect("GetLinuxFirewallStatus", "", "\"message\":\"the kernel filters what comes in\"");
	assert_int_equal(job_count, 4);
	assert_string_equal(jobs[1].text, "/usr/sbin/nft -j list ruleset");
	expect("CheckFirewallStatus", "", "\"message\":\"the kernel filters what comes in\"");
	assert_int_equal(job_count, 7);
}

/* apt-config is asked for it, too, as the agent's own user: it passes over what it may not read. */
static void for_a_local_client_no_program_is_run_with_rights(void **state)
{
	(void)state;
	play_all();
	unit("apt-daily-upgrade.timer");
	ask_as(user(1000), "CheckLinuxSecurity", "");
	answer_has("\"status\":\"warning\"");
	assert_int_equal(job_count, 1);
	assert_ptr_equal(jobs[0].exec, &runner);
	assert_string_equal(jobs[0].text, "/usr/sbin/apt-config dump");
	answer_has("apt's configuration could not be read whole: /etc/apt/apt.conf (it is not a regular file)");
	answer_has("whether it enforces a profile could not be read: /sys/kernel/security/apparmor/profiles");
	answer_has("\"unattended_upgrades_enabled\":true");
	answer_has("\"source\":\"files\",\"permit_root_login\":\"prohibit-password\"");
	answer_has("\"iptables_tables\":\"unknown\"");
}

/* Files hold, where there are any. */
static void without_service_manager_and_programs_the_checks_are_made_all_the_same(void **state)
{
	(void)state;
	seen.bus_is_missing = true;
	installed = "";
	expect("CheckLinuxSecurity", "", "\"success\":true");
	assert_int_equal(job_count, 0);
	answer_has("\"service\":\"unknown\"");
	answer_has("\"message\":\"no service of a firewall is active; what the kernel refuses is not known\"");
	answer_has("\"message\":\"the SSH server accepts keys only\"");
	/* Nor does an executor that is off make an error of it. */
	installed = "sshd;nft;cat;";
	executor.state = EXEC_STATE_OFF;
	expect("CheckLinuxSecurity", "", "\"message\":\"the SSH server accepts keys only\"");
	assert_int_equal(job_count, 0);
}

static void a_program_that_fails_leaves_what_files_say(void **state)
{
	(void)state;
	play("*", 1, "permitrootlogin yes\npasswordauthentication yes\n");
	expect("CheckLinuxSecurity", "", "\"message\":\"the SSH server accepts keys only\"");
	answer_has("\"source\":\"files\",\"permit_root_login\":\"prohibit-password\"");
	answer_has("\"source\":\"files\",\"not_read\":\"/etc/apt/apt.conf (it is not a regular file)\"");
}

static void rules_longer_than_the_agent_takes_are_not_judged(void **state)
{
	(void)state;
	fixture_write(machine, "root/etc/nftables.conf", "include \"/etc/nft/*\"\n");
	play("*nft*", 0, NFT)->out.total = 2 << 20;
	unit("nftables.service");
	expect("GetLinuxFirewallStatus", "",
	       "what nftables refuses could not be read whole: the rules that nft lists (longer than 1 MiB)");
	answer_has("\"configured\":true},");
}

static void a_program_that_takes_too_long_ends_the_questions(void **state)
{
	(void)state;
	play_all();
	play("*nft*", 1, "")->timed_out = true;
	expect("CheckLinuxSecurity", "", "\"success\":true");
	assert_int_equal(job_count, 2);
	answer_has("\"source\":\"sshd\",\"permit_root_login\":\"no\"");
}

static void a_check_that_is_cancelled_says_so(void **state)
{
	char id[sizeof(asked)];

	(void)state;
	assert_null(ask("CheckLinuxSecurity", ""));
	assert_int_equal(job_count, 1);
	strcpy(id, asked);
	cancel(&host, "stop", id);
	turns();
	answered(&host, id, "CANCELLED");
	assert_int_equal(job_count, 1);
}

/* At its deadline a check is told with what is known by then. */
static void a_service_manager_that_says_nothing_leaves_the_units_unknown(void **state)
{
	(void)state;
	seen.manager_is_mute = true;
	assert_null(ask("CheckLinuxSecurity", ""));
	later(600 * NS_PER_S);
	answer_has("\"message\":\"the SSH server accepts keys only\"");
	answer_has("\"apt_timer\":\"unknown\"");
	assert_int_equal(job_count, 0);
}

#define test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_host_gets_what_the_programs_and_the_service_manager_say),
		test(each_check_asks_only_what_it_is_about),
		test(for_a_local_client_no_program_is_run_with_rights),
		test(without_service_manager_and_programs_the_checks_are_made_all_the_same),
		test(a_program_that_fails_leaves_what_files_say),
		test(rules_longer_than_the_agent_takes_are_not_judged),
		test(a_program_that_takes_too_long_ends_the_questions),
		test(a_check_that_is_cancelled_says_so),
		test(a_service_manager_that_says_nothing_leaves_the_units_unknown),
	};

	return cmocka_run_group_tests_name("check_security", tests, NULL, NULL);
}
