/* SPDX-License-Identifier: MIT */
/* The facts behind the security checks and the judgements over them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/security.h"
#include "transport/json_write.h"

static void parse_sshd(struct sshd_settings *settings, const char *text)
{
	*settings = (struct sshd_settings){ .in_match = false };
	sshd_settings_parse(settings, text, strlen(text), NULL, NULL);
}

static void the_first_value_of_an_sshd_setting_counts(void **state)
{
	struct sshd_settings settings;

	(void)state;
	parse_sshd(&settings, "# PermitRootLogin yes\npermitrootlogin no\nPermitRootLogin yes\n  PasswordAuthentication=no\nX11Forwarding \"yes\"\n");
	assert_string_equal(settings.permit_root_login, "no");
	assert_string_equal(settings.password_authentication, "no");
	assert_string_equal(settings.x11_forwarding, "yes");
	assert_string_equal(settings.permit_empty_passwords, "");
}

static void what_an_sshd_match_block_says_holds_for_some_only(void **state)
{
	struct sshd_settings settings;

	(void)state;
	parse_sshd(&settings, "Match User ann\nPermitEmptyPasswords yes\nMatch Group x\nPermitRootLogin yes\nMatch all\nPermitRootLogin no\n");
	assert_string_equal(settings.permit_empty_passwords, "");
	assert_string_equal(settings.permit_root_login, "no");
	assert_int_equal(settings.match_blocks, 2);
}

static void note_include(void *data, const char *pattern)
{
	const char **seen = data;

	*seen = strstr(pattern, "sshd_config.d") ? "seen" : "other";
}

static void gather_include(void *data, const char *pattern)
{
	strcat(strcat(strcat(data, "<"), pattern), ">");
}

static void an_include_is_called_where_it_stands(void **state)
{
	static const char text[] = "Include /etc/ssh/sshd_config.d/*.conf\n";
	struct sshd_settings settings = { .in_match = false };
	const char *seen = NULL;

	(void)state;
	sshd_settings_parse(&settings, text, strlen(text), note_include, &seen);
	assert_non_null(seen);
	assert_string_equal(seen, "seen");
}

static void each_pattern_of_an_include_is_told_and_a_match_that_lets_in_is_seen(void **state)
{
	static const char text[] = "Include /a/*.conf \"/b c\" d.conf\nMatch User x\nInclude=/e\n  PasswordAuthentication yes\n";
	struct sshd_settings settings = { .in_match = false };
	char seen[128] = "";

	(void)state;
	sshd_settings_parse(&settings, text, strlen(text), gather_include, seen);
	assert_non_null(strstr(seen, "</a/*.conf>"));
	assert_non_null(strstr(seen, "<d.conf>"));
	assert_non_null(strstr(seen, "</e>"));
	assert_true(settings.match_passwords);
	assert_string_equal(settings.password_authentication, "");
}

static void the_last_value_of_an_apt_setting_counts(void **state)
{
	static const char text[] = "APT::Periodic::Unattended-Upgrade \"0\";\n// x\nAPT::Periodic::Unattended-Upgrade \"1\";\n"
				   "APT::Periodic::Update-Package-Lists \"0\";\n";
	bool on = false;

	(void)state;
	assert_true(apt_setting_parse(text, strlen(text), "Unattended-Upgrade", &on));
	assert_true(on);
	assert_true(apt_setting_parse(text, strlen(text), "Update-Package-Lists", &on));
	assert_false(on);
	on = true;
	assert_false(apt_setting_parse(text, strlen(text), "AutocleanInterval", &on));
	assert_true(on);
}

static bool filters(const char *text)
{
	return nft_filters_input(text, strlen(text));
}

static void a_firewall_that_refuses_nothing_is_none(void **state)
{
	(void)state;
	assert_true(filters("table inet f {\n chain i {\n  type filter hook input priority 0; policy drop;\n }\n}\n"));
	assert_true(filters("type filter hook input priority filter;\n tcp dport 23 reject\n"));
	assert_false(filters("type filter hook input priority filter;\n}\n"));
	assert_false(filters("type filter hook input priority 0;\n# policy drop\n"));
	assert_false(filters("type filter hook output priority 0; policy drop;\n"));
	assert_false(filters(""));
}

static void ufw_is_on_when_its_file_says_yes(void **state)
{
	(void)state;
	assert_true(ufw_enabled("# x\nENABLED=yes\n", 15));
	assert_false(ufw_enabled("ENABLED=no\n", 11));
	assert_false(ufw_enabled("#ENABLED=yes\n", 13));
}

static void a_profile_counts_by_what_its_line_ends_with(void **state)
{
	static const char text[] = "/usr/bin/man (enforce)\n(complain) x (enforce)\nlsb (complain)\nodd (unconfined)\n(enforce";
	unsigned enforce, complain;

	(void)state;
	apparmor_count(text, strlen(text), &enforce, &complain);
	assert_int_equal(enforce, 2);
	assert_int_equal(complain, 1);
}

static void set_unit(struct security_facts *facts, enum security_unit unit, const char *word)
{
	strncpy(facts->units[unit], word, sizeof(facts->units[unit]) - 1);
}

static void judges_the_firewall_by_what_runs(void **state)
{
	struct security_facts facts = { .ufw_enabled = true };
	char words[SECURITY_WORDS_MAX];

	(void)state;
	assert_int_equal(security_judge_firewall(&facts, words), SECURITY_WARNING);
	assert_non_null(strstr(words, "not known"));
	set_unit(&facts, SECURITY_UFW, "active");
	assert_int_equal(security_judge_firewall(&facts, words), SECURITY_PASSED);
	facts.ufw_enabled = false;
	assert_int_equal(security_judge_firewall(&facts, words), SECURITY_WARNING);
	set_unit(&facts, SECURITY_NFTABLES, "active");
	assert_int_equal(security_judge_firewall(&facts, words), SECURITY_WARNING);
	facts.nft_filters = true;
	assert_int_equal(security_judge_firewall(&facts, words), SECURITY_PASSED);
	security_unread(&facts.nft_unread, "/etc/nftables.conf includes \"/etc/nft/*\" (not followed)");
	assert_int_equal(security_judge_firewall(&facts, words), SECURITY_WARNING);
	assert_non_null(strstr(words, "/etc/nft/*"));
}

#define CHAIN(name, hook, policy)                                                                               \
	"{\"chain\":{\"family\":\"inet\",\"table\":\"f\",\"name\":\"" name "\",\"type\":\"filter\",\"hook\":\"" hook \
	"\",\"prio\":0,\"policy\":\"" policy "\"}}"
#define RULE_IN(table, chain, expression) \
	"{\"rule\":{\"family\":\"inet\",\"table\":\"" table "\",\"chain\":\"" chain "\",\"handle\":4,\"expr\":[{\"counter\":null}," expression "]}}"
#define RULE(table, statement) RULE_IN(table, "in", "{\"" statement "\":null}")
#define JUMP(chain)	       "{\"jump\":{\"target\":\"" chain "\"}}"
#define RULES(list) "{\"nftables\":[{\"metainfo\":{\"version\":\"1.0.6\"}}," list "]}"

static void the_rules_of_the_kernel_say_whether_anything_is_refused(void **state)
{
	static const struct {
		const char *text;
		bool known, filters;
	} cases[] = {
		{ RULES(CHAIN("in", "input", "drop")), true, true },
		{ RULES(CHAIN("in", "input", "accept")), true, false },
		{ RULES(CHAIN("out", "output", "drop")), true, false },
		{ RULES(CHAIN("in", "input", "accept") "," RULE("f", "reject")), true, true },
		{ RULES(CHAIN("in", "input", "accept") "," RULE("f", "accept")), true, false },
		{ RULES(CHAIN("in", "input", "accept") "," RULE("other", "drop")), true, false },
		/* What stands in a chain that nothing of what comes in reaches refuses nothing of it. */
		{ RULES(CHAIN("in", "input", "accept") "," CHAIN("fw", "forward", "accept") "," RULE_IN("f", "fw", "{\"drop\":null}")), true, false },
		{ RULES(CHAIN("in", "input", "accept") "," RULE_IN("f", "b", "{\"drop\":null}") "," RULE_IN("f", "a", JUMP("b")) "," RULE_IN("f", "in", JUMP("a"))),
		  true, true },
		{ RULES(CHAIN("in", "input", "accept") "," RULE_IN("f", "a", JUMP("b")) "," RULE_IN("f", "b", JUMP("a")) "," RULE_IN("f", "in", JUMP("a"))),
		  true, false },
		{ "{\"nftables\":[]}", true, false },
		{ "{\"nftables\":[5,null,{},{\"chain\":[]},{\"rule\":{}}]}", true, false },
		{ "{\"nftables\":{}}", false, false },
		{ "netlink: Error: cannot", false, false },
		{ "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct security_facts facts = { .nft_filters = true };
		char words[SECURITY_WORDS_MAX];

		set_unit(&facts, SECURITY_NFTABLES, "active");
		security_unread(&facts.nft_unread, "x");
		assert_int_equal(security_take_nft(&facts, cases[i].text, strlen(cases[i].text)), cases[i].known);
		assert_int_equal(facts.nft_asked, cases[i].known);
		assert_int_equal(facts.nft_kernel_filters, cases[i].filters);
		/* What the kernel holds counts, not what a file would have it hold. */
		assert_int_equal(security_judge_firewall(&facts, words), cases[i].filters ? SECURITY_PASSED : SECURITY_WARNING);
	}
}

static void what_sshd_says_of_itself_counts_and_match_blocks_stay(void **state)
{
	static const char text[] = "port 22\npermitrootlogin without-password\npasswordauthentication no\nkbdinteractiveauthentication yes\nusepam yes\n"
				   "permitemptypasswords no\nx11forwarding yes\n";
	struct security_facts facts = { .sshd_file = true };
	char words[SECURITY_WORDS_MAX];

	(void)state;
	security_unread(&facts.sshd_unread, "/etc/ssh/sshd_config (Permission denied)");
	security_take_sshd(&facts, text, sizeof(text) - 1);
	assert_true(facts.sshd_asked && facts.sshd_readable);
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
	assert_non_null(strstr(words, "keyboard-interactive"));
	strcpy(facts.sshd.kbd_interactive, "no");
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING); /* a Match block may stand in what was not read */
	assert_non_null(strstr(words, "sshd_config"));
	*facts.sshd_unread.what = '\0';
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_PASSED);
	facts = (struct security_facts){ .sshd_file = true };
	security_take_sshd(&facts, "sshd: no hostkeys available -- exiting.\n", 40);
	assert_false(facts.sshd_asked);
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
}

static void judges_ssh_by_its_defaults_where_the_file_is_silent(void **state)
{
	struct security_facts facts = { .sshd_file = false };
	char words[SECURITY_WORDS_MAX];

	(void)state;
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_PASSED);
	facts.sshd_file = true;
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
	facts.sshd_readable = true;
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
	strcpy(facts.sshd.password_authentication, "No");
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_PASSED);
	strcpy(facts.sshd.use_pam, "yes"); /* and the keyboard-interactive way is open where the file is silent */
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
	strcpy(facts.sshd.kbd_interactive, "no");
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_PASSED);
	security_unread(&facts.sshd_unread, "/etc/ssh/%s", "one");
	security_unread(&facts.sshd_unread, "/etc/ssh/%s", "two");
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
	assert_non_null(strstr(words, "/etc/ssh/one"));
	*facts.sshd_unread.what = '\0';
	facts.sshd.match_passwords = true;
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
	strcpy(facts.sshd.permit_root_login, "yes");
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_WARNING);
	strcpy(facts.sshd.permit_empty_passwords, "YES");
	assert_int_equal(security_judge_ssh(&facts, words), SECURITY_FAILED);
}

static void judges_modules_and_updates(void **state)
{
	static const char on[] = "APT::Periodic::Unattended-Upgrade \"1\";\n";
	struct security_facts facts = { .selinux = SELINUX_PERMISSIVE };
	char words[SECURITY_WORDS_MAX];

	(void)state;
	assert_int_equal(security_judge_modules(&facts, words), SECURITY_WARNING);
	facts.apparmor = true;
	assert_int_equal(security_judge_modules(&facts, words), SECURITY_WARNING);
	assert_non_null(strstr(words, "could not be read"));
	facts.apparmor_counted = true;
	assert_int_equal(security_judge_modules(&facts, words), SECURITY_WARNING);
	facts.apparmor_enforce = 1;
	assert_int_equal(security_judge_modules(&facts, words), SECURITY_PASSED);
	facts.selinux = SELINUX_ENFORCING;
	assert_int_equal(security_judge_modules(&facts, words), SECURITY_PASSED);
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_WARNING);
	facts.upgrades_installed = facts.upgrades_on = true;
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_PASSED);
	security_unread(&facts.apt_unread, "/etc/apt/apt.conf.d/20auto (Permission denied)");
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_WARNING);
	assert_non_null(strstr(words, "20auto"));
	security_take_apt(&facts, on, sizeof(on) - 1);
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_WARNING); /* apt may have passed over that file */
	security_take_apt_whole(&facts, on, sizeof(on) - 1);
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_PASSED);
	set_unit(&facts, SECURITY_APT_TIMER, "inactive");
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_WARNING);
	set_unit(&facts, SECURITY_DNF_TIMER, "active");
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_WARNING);
	assert_non_null(strstr(words, "does not install"));
	facts.dnf_applies = true;
	assert_int_equal(security_judge_updates(&facts, words), SECURITY_PASSED);
}

static void nothing_known_is_told_without_a_null(void **state)
{
	static char text[16384];
	const struct security_facts facts = { .apparmor = false };
	struct json_writer writer;
	const char *line;
	size_t len;

	(void)state;
	json_writer_init(&writer, text, sizeof(text));
	security_emit_all(&writer.sink, NULL, &facts);
	assert_int_equal(json_writer_finish(&writer, &line, &len), 0);
	assert_null(memmem(line, len, "null", 4));
	assert_non_null(memmem(line, len, "\"status\":\"warning\"", 18));
	assert_non_null(memmem(line, len, "\"security_modules\":", 19));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_value_of_an_sshd_setting_counts),
		cmocka_unit_test(what_an_sshd_match_block_says_holds_for_some_only),
		cmocka_unit_test(an_include_is_called_where_it_stands),
		cmocka_unit_test(each_pattern_of_an_include_is_told_and_a_match_that_lets_in_is_seen),
		cmocka_unit_test(the_last_value_of_an_apt_setting_counts),
		cmocka_unit_test(the_rules_of_the_kernel_say_whether_anything_is_refused),
		cmocka_unit_test(what_sshd_says_of_itself_counts_and_match_blocks_stay),
		cmocka_unit_test(a_firewall_that_refuses_nothing_is_none),
		cmocka_unit_test(ufw_is_on_when_its_file_says_yes),
		cmocka_unit_test(a_profile_counts_by_what_its_line_ends_with),
		cmocka_unit_test(judges_the_firewall_by_what_runs),
		cmocka_unit_test(judges_ssh_by_its_defaults_where_the_file_is_silent),
		cmocka_unit_test(judges_modules_and_updates),
		cmocka_unit_test(nothing_known_is_told_without_a_null),
	};

	return cmocka_run_group_tests_name("security", tests, NULL, NULL);
}
