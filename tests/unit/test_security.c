/* SPDX-License-Identifier: MIT */
/* The facts behind the security checks and the judgements over them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/security.h"
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
	parse_sshd(&settings, "# PermitRootLogin yes\npermitrootlogin no\nPermitRootLogin yes\n  "
			      "PasswordAuthentication=no\nX11Forwarding \"yes\"\n");
	assert_string_equal(settings.permit_root_login, "no");
	assert_string_equal(settings.password_authentication, "no");
	assert_string_equal(settings.x11_forwarding, "yes");
	assert_string_equal(settings.permit_empty_passwords, "");
}

static void what_an_sshd_match_block_says_holds_for_some_only(void **state)
{
	struct sshd_settings settings;

	(void)state;
	parse_sshd(&settings, "Match User ann\nPermitEmptyPasswords yes\nMatch Group x\nPermitRootLogin yes\nMatch "
			      "all\nPermitRootLogin no\n");
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
	static const char text[] =
		"Include /a/*.conf \"/b c/*\" d.conf\nMatch User x\nInclude=/e=f # /g\n  PasswordAuthentication yes\n";
	struct sshd_settings settings = { .in_match = false };
	char seen[128] = "";

	(void)state;
	sshd_settings_parse(&settings, text, strlen(text), gather_include, seen);
	assert_string_equal(seen, "</a/*.conf></b c/*><d.conf></e=f>");
	assert_true(settings.match_passwords);
	assert_string_equal(settings.password_authentication, "");
}

/* Lines, and what sshd takes for the value of PasswordAuthentication and for what is to be included. */
static void lines_are_split_as_sshd_splits_them(void **state)
{
	static const struct {
		const char *text, *value, *included;
		bool malformed;
	} cases[] = {
		{ "PasswordAuthentication no # yes\n", "no", "", false },
		{ "PasswordAuthentication \"no\"#\n", "no#", "", false },
		{ "PasswordAuthentication 'no'\r\n", "no", "", false },
		{ "  PasswordAuthentication\t=  no  \n", "no", "", false },
		{ "PasswordAuthentication=\"n\"o\n", "no", "", false },
		{ " # PasswordAuthentication no\n", "", "", false },
		{ "PasswordAuthentication#no yes\n", "", "", false },
		{ "Include \"/etc/ssh/my dir/*\"\n", "", "</etc/ssh/my dir/*>", false },
		{ "Include '/etc/ssh/#1/*' /b#c #d\n", "", "</etc/ssh/#1/*></b#c>", false },
		{ "Include /my\\ dir/x \"a\\\"b\" c\\d\n", "", "</my dir/x><a\"b><c\\d>", false },
		{ "Include \"/a b\nPasswordAuthentication no\n", "no", "", true },
		{ "Include /a '/b\n", "", "</a>", true },
		{ "PasswordAuthentication\n", "", "", true },
		{ "PasswordAuthentication # no\n", "", "", true },
		{ "\n\t\n\r\n", "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sshd_settings settings = { .in_match = false };
		char seen[128] = "";

		sshd_settings_parse(&settings, cases[i].text, strlen(cases[i].text), gather_include, seen);
		if (strcmp(settings.password_authentication, cases[i].value) != 0 ||
		    strcmp(seen, cases[i].included) != 0 || settings.malformed != cases[i].malformed)
			fail_msg("%s: \"%s\", \"%s\", %d", cases[i].text, settings.password_authentication, seen,
				 settings.malformed);
	}
}

#define P "APT::Periodic::"

/* What was written into apt.conf.d, and what `apt-config dump` and apt's daily job made of it. */
static void apt_settings_are_what_apt_makes_of_them(void **state)
{
	static const struct {
		const char *text;
		bool upgrades, lists;
		const char *unread;
	} cases[] = {
		{ "", false, false, NULL },
		{ P "Unattended-Upgrade \"0\";\n// x\n" P "Unattended-Upgrade \"1\";\n" P
		    "Update-Package-Lists \"0\";\n",
		  true, false, NULL },
		{ P "Unattended-Upgrade \"1\";" P "Update-Package-Lists \"1\"; # " P "Enable \"0\";\n", true, true,
		  NULL },
		{ P "Unattended-Upgrade \"1\"; " P "Enable \"0\"; " P "Update-Package-Lists \"1\";\n", false, false,
		  NULL },
		{ P "Enable \"0\";\n" P "Enable \"1\";\n" P "Unattended-Upgrade \"1\";", true, false, NULL },
		{ "apt::PERIODIC::unattended-upgrade 1;\nAPT::periodic::UPDATE-package-lists\n \"always\" ;", true,
		  true, NULL },
		{ "APT { Periodic { Unattended-Upgrade \"1\"; }; Periodic::Update-Package-Lists \"12h\"; };\n", true,
		  true, NULL },
		{ "APT { Periodic { Unattended-Upgrade \"1\" } }\nUpdate-Package-Lists \"1\";\n", true, false, NULL },
		{ P "Unattended-Upgrade \"1\"; /* " P "Unattended-Upgrade \"0\";\n*/ " P "Update-Package-Lists \"1\";",
		  true, true, NULL },
		{ P "Unattended-Upgrade \"1\";\n#clear apt::periodic::unattended-upgrade;\n" P
		    "Update-Package-Lists \"1\";",
		  false, true, NULL },
		{ P "Unattended-Upgrade \"1\";\n" P "Update-Package-Lists \"1\";\n#clear APT;", false, false, NULL },
		{ P "Unattended-Upgrade \"1\";\n#clear APT::Peri;", true, false, NULL },
		{ P "Unattended-Upgrade \"1\";\n" P "Unattended-Upgrade \"\";", false, false, NULL },
		{ "Dir::Log \"a#b//c\";" P "Unattended-Upgrade \"10\";", true, false, NULL },
		{ "x" P "Unattended-Upgrade \"1\";" P "Unattended-Upgrade::More \"1\";", false, false, NULL },
		{ P "Unattended-Upgrade \"yes\";", false, false, "Unattended-Upgrade \"yes\"" },
		{ P "Unattended-Upgrade \"1\";" P "Enable \"false\";", false, false, "Enable \"false\"" },
		{ P "Unattended-Upgrade \"1w\";", false, false, "1w" },
		{ P "Unattended-Upgrade \"1\";\n#include \"/etc/more.conf\";", true, false, "/etc/more.conf" },
		{ "}}};;{{{\"", false, false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct apt_periodic settings = { .unread = "" };
		struct security_facts facts = { .upgrades_on = true };

		apt_periodic_parse(&settings, cases[i].text, strlen(cases[i].text));
		apt_periodic_judge(&facts, &settings);
		if (facts.upgrades_on != cases[i].upgrades || facts.lists_on != cases[i].lists ||
		    (cases[i].unread ? !strstr(facts.apt_unread, cases[i].unread) : *facts.apt_unread != '\0'))
			fail_msg("%s: %d, %d, \"%s\"", cases[i].text, facts.upgrades_on, facts.lists_on,
				 facts.apt_unread);
	}
}

static void files_of_apt_are_those_that_apt_reads(void **state)
{
	static const char *const read[] = { "20auto-upgrades", "a.b.conf", "50x.conf", "40:x", "A_b" };
	static const char *const left[] = { "20auto.dpkg-old", "20auto.conf.", "20 auto", "a+b", ".hidden",
					    "20auto~",	       "x.bak",	       "y.CONF",  "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(read); i++)
		assert_true(apt_reads_name(read[i]));
	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		assert_false(apt_reads_name(left[i]));
}

static void booleans_of_dnf_are_those_that_dnf_knows(void **state)
{
	static const struct {
		const char *text;
		bool known, applies;
	} cases[] = {
		{ "", true, false },
		{ "[commands]\napply_updates = yes\n", true, true },
		{ "[commands]\napply_updates=ON", true, true },
		{ "[commands]\r\napply_updates = TRUE \r\n", true, true },
		{ "[commands]\napply_updates = 1\napply_updates = Off\n", true, false },
		{ "[commands]\napply_updates = False\n", true, false },
		{ "[commands]\napply_updates = 12\n", false, false },
		{ "[commands]\napply_updates = yesterday\n", false, false },
		{ "[commands]\n#apply_updates = yes\napply_updates_too = yes\n", true, false },
		{ "[emitters]\napply_updates = yes\n", true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool applies = true, known = dnf_applies_parse(cases[i].text, strlen(cases[i].text), &applies);

		if (known != cases[i].known || applies != cases[i].applies)
			fail_msg("%s: %d, %d", cases[i].text, known, applies);
	}
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
	/* What no stranger meets, words that only look like it, and tables that are asleep or of another layer. */
	assert_false(filters("type filter hook input priority 0; policy accept;\n ct state invalid drop\n ip saddr "
			     "192.0.2.1 drop\n"));
	assert_false(filters(
		"type filter hook input priority 0; policy accept;\n counter name dropped\n log prefix \"drop \"\n"));
	assert_false(filters("type filter hook input priority 0; policy accept;\n ct state vmap { established : "
			     "accept, invalid : drop }\n"));
	assert_false(filters("table inet f {\n flags dormant\n chain i {\n  type filter hook input priority 0; policy "
			     "drop;\n }\n}\n"));
	assert_false(filters("table arp f {\n chain i {\n  type filter hook input priority 0; policy drop;\n }\n}\n"));
	assert_true(filters("table arp f {\n}\ntable ip f {\n type filter hook input priority 0; policy drop;\n}\n"));
	assert_true(filters("type filter hook input priority 0; policy accept;\n ip saddr != 10.0.0.0/8 drop\n"));
	assert_true(filters("type filter hook input priority 0; policy accept;\n ct state new tcp dport 23 drop\n"));
}

static const char *ufw(const char *text)
{
	static char value[16];

	ufw_setting(text, strlen(text), "ENABLED", value, sizeof(value));
	return value;
}

static void what_ufw_is_told_is_read_as_sh_reads_it(void **state)
{
	(void)state;
	assert_string_equal(ufw("# x\nENABLED=yes\n"), "yes");
	assert_string_equal(ufw("ENABLED=no\nENABLED=\"yes\" # on\n"), "yes");
	assert_string_equal(ufw("ENABLED='YES'"), "YES");
	assert_string_equal(ufw("ENABLED=yesterday\n"), "yesterday");
	assert_string_equal(ufw("#ENABLED=yes\nENABLED_NOT=yes\n"), "");
}

static void addresses_and_tables_are_told_by_their_names(void **state)
{
	static const char lo[] = "00000000000000000000000000000001 01 80 10 80       lo\n";
	static const char both[] = "00000000000000000000000000000001 01 80 10 80       "
				   "lo\nfd000000000000000000000000000002 04 40 00 82     eth0\n";

	(void)state;
	assert_false(inet6_addressed(lo, strlen(lo)));
	assert_true(inet6_addressed(both, strlen(both)));
	assert_int_equal(iptables_names("", 0), TABLES_NONE);
	assert_int_equal(iptables_names("nat\n", 4), TABLES_NONE);
	assert_int_equal(iptables_names("nat\nfilter\n", 11), TABLES_THERE);
}

static void a_profile_counts_by_what_its_line_ends_with(void **state)
{
	static const char text[] =
		"/usr/bin/man (enforce)\n(complain) x (enforce)\nlsb (complain)\nodd (unconfined)\n(enforce";
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

/* What is looked at, whether it protects, and words of what is said. */
static void judges_the_firewall_by_what_runs(void **state)
{
	static const struct {
		const char *active; /* units */
		struct security_facts facts;
		enum health_status status;
		const char *words;
	} cases[] = {
		{ "", { .iptables = TABLES_NONE, .ip6tables = TABLES_NONE }, HEALTH_WARNING, "no firewall is active" },
		{ "", { .iptables = TABLES_THERE, .ip6tables = TABLES_NONE }, HEALTH_WARNING, "not known" },
		{ "", { .iptables = TABLES_UNKNOWN }, HEALTH_WARNING, "not known" },
		/* By the files alone. */
		{ "", { .ufw_enabled = true }, HEALTH_WARNING, "not known" },
		{ "u", { .ufw_enabled = true, .ufw_policy = "DROP" }, HEALTH_PASSED, "ufw" },
		{ "u", { .ufw_enabled = true, .ufw_policy = "reject" }, HEALTH_PASSED, "ufw" },
		{ "u", { .ufw_enabled = true, .ufw_policy = "ACCEPT" }, HEALTH_WARNING, "ACCEPT" },
		{ "u", { .ufw_enabled = true }, HEALTH_WARNING, "not known" },
		{ "u",
		  { .ufw_enabled = true, .ufw_policy = "DROP", .ufw_unread = { "/etc/x" } },
		  HEALTH_WARNING,
		  "/etc/x" },
		{ "u",
		  { .ufw_policy = "DROP", .iptables = TABLES_NONE, .ip6tables = TABLES_NONE },
		  HEALTH_WARNING,
		  "no firewall" },
		{ "n", { .nft_filters = false }, HEALTH_WARNING, "nothing is seen" },
		{ "n", { .nft_filters = true }, HEALTH_PASSED, "nftables" },
		{ "n", { .nft_filters = true, .nft_unread = { "/etc/nft/*" } }, HEALTH_WARNING, "/etc/nft/*" },
		{ "f", { .nft_filters = true }, HEALTH_WARNING, "not known" },
		/* What the kernel does holds, whatever a service would have it do. */
		{ "f", { .nft_asked = true, .kernel_ip = REFUSES }, HEALTH_PASSED, "firewalld" },
		{ "", { .nft_asked = true, .kernel_ip = REFUSES }, HEALTH_PASSED, "the kernel" },
		{ "f",
		  { .nft_asked = true, .iptables = TABLES_NONE, .ip6tables = TABLES_NONE },
		  HEALTH_WARNING,
		  "firewalld is active, but" },
		{ "u",
		  { .nft_asked = true, .ufw_enabled = true, .ufw_policy = "DROP", .iptables = TABLES_NONE },
		  HEALTH_WARNING,
		  "but refuses nothing" },
		{ "u",
		  { .nft_asked = true, .kernel_ip = REFUSES, .ufw_enabled = true, .ufw_policy = "ACCEPT" },
		  HEALTH_PASSED,
		  "ufw" },
		{ "",
		  { .nft_asked = true, .nft_filters = true, .iptables = TABLES_NONE },
		  HEALTH_WARNING,
		  "no firewall" },
		/* A no of nft is none while iptables has tables of its own, or may have. */
		{ "n",
		  { .nft_asked = true, .nft_filters = true, .iptables = TABLES_THERE },
		  HEALTH_WARNING,
		  "iptables" },
		{ "n", { .nft_asked = true, .iptables = TABLES_UNKNOWN }, HEALTH_WARNING, "iptables" },
		{ "f", { .nft_asked = true, .iptables = TABLES_THERE }, HEALTH_WARNING, "not known" },
		{ "u",
		  { .nft_asked = true, .ufw_enabled = true, .ufw_policy = "DROP", .iptables = TABLES_THERE },
		  HEALTH_PASSED,
		  "ufw" },
		{ "n",
		  { .nft_asked = true, .nft_filters = true, .kernel_ip = MAY_REFUSE, .iptables = TABLES_NONE },
		  HEALTH_WARNING,
		  "not known" },
		{ "u",
		  { .nft_asked = true, .kernel_ip = MAY_REFUSE, .ufw_enabled = true, .ufw_policy = "ACCEPT" },
		  HEALTH_WARNING,
		  "ACCEPT" },
		/* Two ways in. */
		{ "n",
		  { .nft_asked = true, .has_ip6 = true, .kernel_ip = REFUSES, .ip6tables = TABLES_NONE },
		  HEALTH_WARNING,
		  "IPv6 is not filtered" },
		{ "n",
		  { .nft_asked = true, .has_ip6 = true, .kernel_ip6 = REFUSES, .iptables = TABLES_NONE },
		  HEALTH_WARNING,
		  "IPv4 is not filtered" },
		{ "n",
		  { .nft_asked = true, .has_ip6 = true, .kernel_ip = REFUSES, .ip6tables = TABLES_THERE },
		  HEALTH_WARNING,
		  "not known" },
		{ "n",
		  { .nft_asked = true, .has_ip6 = true, .kernel_ip = REFUSES, .kernel_ip6 = REFUSES },
		  HEALTH_PASSED,
		  "nftables" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct security_facts facts = cases[i].facts;
		char words[SECURITY_WORDS_MAX];
		enum health_status status;

		if (strchr("ufn", *cases[i].active) && *cases[i].active)
			set_unit(&facts,
				 *cases[i].active == 'u'   ? SECURITY_UFW
				 : *cases[i].active == 'f' ? SECURITY_FIREWALLD
							   : SECURITY_NFTABLES,
				 "active");
		status = security_judge(&facts, CHECK_FIREWALL, words);
		if (status != cases[i].status || !strstr(words, cases[i].words))
			fail_msg("%zu: %d, \"%s\"; expected \"%s\"", i, status, words, cases[i].words);
	}
}

#define CHAIN(name, hook, policy)                                                                                      \
	"{\"chain\":{\"family\":\"inet\",\"table\":\"f\",\"name\":\"" name "\",\"type\":\"filter\",\"hook\":\"" hook   \
	"\",\"prio\":0,\"policy\":\"" policy "\"}}"
#define RULE_IN(table, chain, expression)                                                                              \
	"{\"rule\":{\"family\":\"inet\",\"table\":\"" table "\",\"chain\":\"" chain                                    \
	"\",\"handle\":4,\"expr\":[{\"counter\":null}," expression "]}}"
#define RULE(table, statement) RULE_IN(table, "in", "{\"" statement "\":null}")
#define JUMP(chain)	       "{\"jump\":{\"target\":\"" chain "\"}}"
#define RULES(list)	       "{\"nftables\":[{\"metainfo\":{\"version\":\"1.0.6\"}}," list "]}"

#define MATCH(left, op, right) "{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define STATE		       "{\"ct\":{\"key\":\"state\"}}"
#define IIF		       "{\"meta\":{\"key\":\"iifname\"}}"
#define PAYLOAD(field)	       "{\"payload\":{\"protocol\":\"tcp\",\"field\":\"" field "\"}}"
#define DROP		       "{\"drop\":null}"
#define ACCEPT		       "{\"accept\":null}"
#define XT(type, name)	       "{\"xt\":{\"type\":\"" type "\",\"name\":\"" name "\"}}"
#define VMAP(key, data)	       "{\"vmap\":{\"key\":" key ",\"data\":" data "}}"
#define OPEN		       CHAIN("in", "input", "accept")
#define ON(rule)	       RULES(OPEN "," RULE_IN("f", "in", rule))
#define TABLE(flags)	       "{\"table\":{\"family\":\"inet\",\"name\":\"f\",\"handle\":1,\"flags\":" flags "}}"
#define FAMILY(family, policy)                                                                                         \
	RULES("{\"chain\":{\"family\":\"" family                                                                       \
	      "\",\"table\":\"f\",\"name\":\"in\",\"type\":\"filter\",\"hook\":\"input\","                             \
	      "\"policy\":\"" policy "\"}}")

static void the_rules_of_the_kernel_say_whether_anything_is_refused(void **state)
{
	static const struct {
		const char *text;
		bool known;
		enum security_refusal refuses;
	} cases[] = {
		{ RULES(CHAIN("in", "input", "drop")), true, REFUSES },
		{ RULES(OPEN), true, REFUSES_NOTHING },
		{ RULES(CHAIN("out", "output", "drop")), true, REFUSES_NOTHING },
		{ ON("{\"reject\":null}"), true, REFUSES },
		{ ON(ACCEPT), true, REFUSES_NOTHING },
		{ RULES(OPEN "," RULE("other", "drop")), true, REFUSES_NOTHING },
		/* What stands in a chain that nothing of what comes in reaches refuses nothing of it. */
		{ RULES(OPEN "," CHAIN("fw", "forward", "accept") "," RULE_IN("f", "fw", DROP)), true,
		  REFUSES_NOTHING },
		{ RULES(OPEN "," CHAIN("b", "", "") "," CHAIN("a", "", "") "," RULE_IN("f", "b", DROP) "," RULE_IN(
			  "f", "a", JUMP("b")) "," RULE_IN("f", "in", JUMP("a"))),
		  true, REFUSES },
		{ RULES(OPEN "," CHAIN("b", "", "") "," CHAIN("a", "", "") "," RULE_IN("f", "a", JUMP("b")) "," RULE_IN(
			  "f", "b", JUMP("a")) "," RULE_IN("f", "in", JUMP("a"))),
		  true, MAY_REFUSE },
		/* A table that sleeps, or is of another layer. */
		{ RULES(TABLE("\"dormant\"") "," CHAIN("in", "input", "drop")), true, REFUSES_NOTHING },
		{ RULES(TABLE("\"d\"") "," CHAIN("in", "input", "drop")), true, REFUSES_NOTHING },
		{ RULES(TABLE("[\"owner\",\"dormant\"]") "," CHAIN("in", "input", "drop")), true, REFUSES_NOTHING },
		{ RULES(TABLE("\"owner\"") "," CHAIN("in", "input", "drop")), true, REFUSES },
		{ FAMILY("arp", "drop"), true, REFUSES_NOTHING },
		{ FAMILY("bridge", "drop"), true, REFUSES_NOTHING },
		{ FAMILY("ip", "drop"), true, REFUSES },
		/* Rules that no stranger meets. */
		{ ON(MATCH(STATE, "in", "\"invalid\"") "," DROP), true, REFUSES_NOTHING },
		{ ON(MATCH(STATE, "in", "[\"invalid\",\"untracked\"]") "," DROP), true, REFUSES_NOTHING },
		{ ON(MATCH(STATE, "==", "{\"set\":[\"established\",\"related\"]}") "," DROP), true, REFUSES_NOTHING },
		{ ON(MATCH(STATE, "in", "\"new\"") "," DROP), true, REFUSES },
		{ ON(MATCH(STATE, "!=", "\"established\"") "," DROP), true, REFUSES },
		{ ON(MATCH(IIF, "==", "\"lo\"") "," DROP), true, REFUSES_NOTHING },
		{ ON(MATCH(IIF, "!=", "\"lo\"") "," DROP), true, REFUSES },
		{ ON(MATCH(PAYLOAD("saddr"), "==", "\"@banned\"") "," DROP), true, REFUSES_NOTHING },
		{ ON(MATCH(PAYLOAD("saddr"), "!=", "\"192.0.2.1\"") "," DROP), true, REFUSES },
		{ ON(MATCH("{\"&\":[" PAYLOAD("flags") ",[\"fin\",\"syn\"]]}", "!=", "\"syn\"") "," DROP), true,
		  REFUSES_NOTHING },
		{ ON("{\"limit\":{\"rate\":9,\"per\":\"second\",\"inv\":true}}," DROP), true, REFUSES_NOTHING },
		{ ON(MATCH(PAYLOAD("dport"), "==", "23") "," DROP), true, REFUSES },
		/* Nothing is behind an accept without a condition; firewalld's zone "trusted" is one. */
		{ RULES(OPEN "," RULE_IN("f", "in", ACCEPT) "," RULE_IN("f", "in", DROP)), true, REFUSES_NOTHING },
		{ RULES(CHAIN("in", "input", "drop") "," RULE_IN("f", "in", ACCEPT)), true, REFUSES_NOTHING },
		{ RULES(CHAIN("in", "input", "drop") "," RULE_IN(
			  "f", "in", MATCH(STATE, "in", "[\"new\",\"established\"]") "," ACCEPT)),
		  true, REFUSES_NOTHING },
		{ RULES(CHAIN("in", "input", "drop") "," RULE_IN("f", "in",
								 MATCH(PAYLOAD("dport"), "==", "22") "," ACCEPT)),
		  true, REFUSES },
		{ RULES(OPEN "," CHAIN("zones", "", "") "," CHAIN("trusted", "", "") "," RULE_IN(
			  "f", "in",
			  MATCH(STATE, "in",
				"\"invalid\"") "," DROP) "," RULE_IN("f", "in",
								     JUMP("zones")) "," RULE("f",
											     "reject") "," RULE_IN("f",
														   "zon"
														   "es",
														   "{\""
														   "got"
														   "o\""
														   ":{"
														   "\"t"
														   "arg"
														   "et"
														   "\":"
														   "\"t"
														   "rus"
														   "ted"
														   "\"}"
														   "}") "," RULE_IN("f",
																    "trusted",
																    ACCEPT)),
		  true, REFUSES_NOTHING },
		{ RULES(OPEN "," CHAIN("zones", "", "") "," RULE_IN("f", "in", JUMP("zones")) "," RULE(
			  "f", "reject") "," RULE_IN("f", "zones", MATCH(PAYLOAD("dport"), "==", "22") "," ACCEPT)),
		  true, REFUSES },
		/* Verdict maps. */
		{ ON(VMAP(STATE, "{\"set\":[[\"established\"," ACCEPT "],[\"invalid\"," DROP "]]}")), true,
		  REFUSES_NOTHING },
		{ RULES(OPEN "," RULE_IN("f", "in",
					 VMAP(STATE, "{\"set\":[[\"new\"," ACCEPT "],[\"invalid\"," DROP
						     "]]}")) "," RULE("f", "drop")),
		  true, REFUSES_NOTHING },
		{ ON(VMAP(PAYLOAD("dport"), "{\"set\":[[22," ACCEPT "],[23," DROP "]]}")), true, REFUSES },
		{ RULES(OPEN "," CHAIN("x", "", "") "," RULE_IN(
			  "f", "in",
			  VMAP(IIF, "{\"set\":[[\"lo\"," ACCEPT "],[\"eth0\"," JUMP("x") "]]}")) "," RULE_IN("f", "x",
													     DROP)),
		  true, REFUSES },
		{ RULES(OPEN ",{\"map\":{\"family\":\"inet\",\"name\":\"m\",\"table\":\"f\",\"map\":\"verdict\","
			     "\"elem\":[[23," DROP "]]}}," RULE_IN("f", "in", VMAP(PAYLOAD("dport"), "\"@m\""))),
		  true, REFUSES },
		{ ON(VMAP(PAYLOAD("dport"), "\"@not_listed\"")), true, MAY_REFUSE },
		/* What only iptables, or another program, can tell. */
		{ ON(XT("match", "conntrack") "," DROP), true, MAY_REFUSE },
		{ ON(XT("target", "REJECT")), true, REFUSES },
		{ ON(XT("target", "LOG")), true, REFUSES_NOTHING },
		{ ON(XT("target", "TARPIT")), true, MAY_REFUSE },
		{ ON("{\"xt\":null}"), true, MAY_REFUSE },
		{ ON("\"reject with icmp port-unreachable\""), true, MAY_REFUSE },
		{ ON("{\"queue\":null}"), true, MAY_REFUSE },
		{ RULES(CHAIN("in", "input", "drop") "," RULE_IN("f", "in", XT("match", "conntrack") "," ACCEPT)), true,
		  REFUSES },
		/* For a local address: that is all there is. */
		{ RULES(CHAIN("in", "input", "drop") "," RULE_IN("f", "in", XT("match", "addrtype") "," ACCEPT)), true,
		  MAY_REFUSE },
		{ ON(JUMP("gone")), true, MAY_REFUSE },
		{ "{\"nftables\":[]}", true, REFUSES_NOTHING },
		{ "{\"nftables\":[5,null,{},{\"chain\":[]},{\"rule\":{}},{\"map\":{}},{\"table\":{\"flags\":[null,1]}}]"
		  "}",
		  true, REFUSES_NOTHING },
		{ "{\"nftables\":{}}", false, REFUSES_NOTHING },
		{ "netlink: Error: cannot", false, REFUSES_NOTHING },
		{ "", false, REFUSES_NOTHING },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct security_facts facts = { .nft_filters = true };
		char words[SECURITY_WORDS_MAX];

		set_unit(&facts, SECURITY_NFTABLES, "active");
		security_unread(facts.nft_unread, "x");
		security_take_nft(&facts, cases[i].text, strlen(cases[i].text));
		if (facts.nft_asked != cases[i].known || facts.kernel_ip != cases[i].refuses)
			fail_msg("%s: %d, %d", cases[i].text, facts.nft_asked, facts.kernel_ip);
		/* What the kernel holds counts, not what a file would have it hold. */
		assert_int_equal(security_judge(&facts, CHECK_FIREWALL, words),
				 cases[i].refuses == REFUSES ? HEALTH_PASSED : HEALTH_WARNING);
	}
}

/*
 * More chains than anybody has, each jumping to the next, and to one that they share: no walk is made twice, and the
 * depth is bounded.
 */
static void a_large_rule_set_is_walked_once(void **state)
{
	enum { CHAINS = 3000 };
	static char text[CHAINS * 400];
	struct security_facts facts = { .nft_asked = false };
	size_t len = (size_t)sprintf(text, "{\"nftables\":[" OPEN);

	(void)state;
	for (int i = 0; i < CHAINS; i++)
		len += (size_t)sprintf(text + len,
				       "," CHAIN("c%d", "", "") "," RULE_IN("f", "in", JUMP("c%d")) "," RULE_IN(
					       "f", "c%d", JUMP("c%d")),
				       i, i, i, (i + 1) % CHAINS);
	len += (size_t)sprintf(text + len, "," RULE_IN("f", "c%d", DROP) "]}", CHAINS - 1);
	security_take_nft(&facts, text, len);
	assert_true(facts.nft_asked);
	assert_int_equal(facts.kernel_ip, REFUSES);
}

static void what_sshd_says_of_itself_counts_and_match_blocks_stay(void **state)
{
	static const char text[] = "port 22\npermitrootlogin without-password\npasswordauthentication "
				   "no\nkbdinteractiveauthentication yes\nusepam yes\n"
				   "permitemptypasswords no\nx11forwarding yes\n";
	struct security_facts facts = { .sshd_file = true };
	char words[SECURITY_WORDS_MAX];

	(void)state;
	security_unread(facts.sshd_unread, "/etc/ssh/sshd_config (Permission denied)");
	security_take_sshd(&facts, text, sizeof(text) - 1);
	assert_true(facts.sshd_asked && facts.sshd_readable);
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	assert_non_null(strstr(words, "keyboard-interactive"));
	strcpy(facts.sshd.kbd_interactive, "no");
	assert_int_equal(security_judge(&facts, CHECK_SSH, words),
			 HEALTH_WARNING); /* a Match block may stand in what was not read */
	assert_non_null(strstr(words, "sshd_config"));
	*facts.sshd_unread = '\0';
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_PASSED);
	facts = (struct security_facts){ .sshd_file = true };
	security_take_sshd(&facts, "sshd: no hostkeys available -- exiting.\n", 40);
	assert_false(facts.sshd_asked);
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
}

/* Nothing is waited for, and what is said is the reason. */
static void what_lies_in_the_place_of_a_file_and_is_none_is_said(void **state)
{
	static const struct {
		mode_t type;
		const char *path, *link;
	} cases[] = {
		{ S_IFIFO, "etc/ssh/sshd_config", NULL },
		{ S_IFSOCK, "etc/ssh/sshd_config", NULL },
		{ S_IFIFO, "etc/ssh/more", "etc/ssh/sshd_config" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char dir[] = "/tmp/test_security.XXXXXX", words[SECURITY_WORDS_MAX], command[64];
		struct security_facts facts = { .sshd_file = false };
		_cleanup_(closep) int root_fd = -1;

		assert_non_null(mkdtemp(dir));
		root_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(mkdirat(root_fd, "etc", 0755) | mkdirat(root_fd, "etc/ssh", 0755), 0);
		assert_int_equal(mknodat(root_fd, cases[i].path, cases[i].type | 0644, 0), 0);
		if (cases[i].link)
			assert_int_equal(symlinkat("more", root_fd, cases[i].link), 0);
		security_read(&facts, root_fd, root_fd, root_fd);
		assert_true(facts.sshd_file && !facts.sshd_readable);
		assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
		if (!strstr(words, "/etc/ssh/sshd_config (it is not a regular file)"))
			fail_msg("%zu: %s", i, words);
		snprintf(command, sizeof(command), "rm -r %s", dir);
		assert_int_equal(system(command), 0);
	}
}

static void judges_ssh_by_its_defaults_where_the_file_is_silent(void **state)
{
	struct security_facts facts = { .sshd_file = false };
	char words[SECURITY_WORDS_MAX];

	(void)state;
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_PASSED);
	facts.sshd_program = true; /* with its settings elsewhere */
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	assert_non_null(strstr(words, "not known"));
	facts.sshd_file = true;
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	facts.sshd_readable = true;
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	strcpy(facts.sshd.password_authentication, "No");
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_PASSED);
	strcpy(facts.sshd.use_pam, "on"); /* sshd knows no such word */
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	strcpy(facts.sshd.use_pam, "yes"); /* and the keyboard-interactive way is open where the file is silent */
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	strcpy(facts.sshd.kbd_interactive, "no");
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_PASSED);
	security_unread(facts.sshd_unread, "/etc/ssh/%s", "one");
	security_unread(facts.sshd_unread, "/etc/ssh/%s", "two");
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	assert_non_null(strstr(words, "/etc/ssh/one"));
	*facts.sshd_unread = '\0';
	facts.sshd.match_passwords = true;
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	strcpy(facts.sshd.permit_root_login, "yes");
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_WARNING);
	strcpy(facts.sshd.permit_empty_passwords, "YES");
	assert_int_equal(security_judge(&facts, CHECK_SSH, words), HEALTH_FAILED);
}

static void put(int dir_fd, const char *path, const char *text)
{
	char folder[128];
	int fd;

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		if (mkdirat(dir_fd, folder, 0755) < 0)
			assert_int_equal(errno, EEXIST);
	}
	if (!text) { /* nothing that can be read, not even by root */
		assert_int_equal(mkfifoat(dir_fd, path, 0600), 0);
		return;
	}
	fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

#define ENFORCE	 "fs/selinux/enforce"
#define LSM	 "kernel/security/lsm"
#define ENABLED	 "module/apparmor/parameters/enabled"
#define PROFILES "kernel/security/apparmor/profiles"
#define LOAD2	 "fs/smackfs/load2"

/* Files of /sys (NULL: one that cannot be read), and what is told of them. */
static void a_module_that_could_not_be_read_is_not_off_and_one_without_rules_protects_nobody(void **state)
{
	static const struct {
		const char *files[3][2];
		enum health_status status;
		const char *words;
	} cases[] = {
		{ { { NULL } }, HEALTH_WARNING, "could not be read" },
		{ { { LSM, "lockdown,capability,landlock,yama,bpf\n" } },
		  HEALTH_WARNING,
		  "no mandatory access control is on" },
		{ { { ENFORCE, "1" } }, HEALTH_PASSED, "SELinux" },
		{ { { ENFORCE, "0" } }, HEALTH_WARNING, "only warns" },
		{ { { ENFORCE, NULL } },
		  HEALTH_WARNING,
		  "whether SELinux is enforcing could not be read: /sys/fs/selinux/enforce (" },
		{ { { ENFORCE, "" } }, HEALTH_WARNING, "whether SELinux is enforcing could not be read" },
		{ { { "fs/selinux/x", "" } }, HEALTH_WARNING, "whether SELinux is enforcing could not be read" },
		{ { { LSM, "capability,selinux" } }, HEALTH_WARNING, "whether SELinux is enforcing could not be read" },
		{ { { ENFORCE, NULL }, { ENABLED, "Y\n" }, { PROFILES, "a (enforce)\n" } }, HEALTH_PASSED, "AppArmor" },
		{ { { ENABLED, "Y\n" }, { PROFILES, "a (complain)\n" } }, HEALTH_WARNING, "enforces no profile" },
		{ { { ENABLED, "Y\n" }, { PROFILES, NULL } },
		  HEALTH_WARNING,
		  "/sys/kernel/security/apparmor/profiles" },
		{ { { ENABLED, NULL } }, HEALTH_WARNING, "whether AppArmor is on" },
		{ { { ENABLED, "N\n" }, { LSM, "capability" } }, HEALTH_WARNING, "no mandatory access control is on" },
		{ { { LOAD2, "System _ rx\n" } }, HEALTH_PASSED, "Smack" },
		{ { { LOAD2, "" }, { LSM, "capability,smack" } }, HEALTH_WARNING, "no rules" },
		{ { { LSM, "capability,smack" } }, HEALTH_WARNING, "whether it has rules" },
		{ { { LOAD2, NULL } }, HEALTH_WARNING, "/sys/fs/smackfs/load2" },
		{ { { LSM, "capability,tomoyo,bpf" } }, HEALTH_WARNING, "TOMOYO" },
		{ { { LSM, "capability,tomoyo,apparmor" }, { ENABLED, "Y\n" }, { PROFILES, "a (enforce)\n" } },
		  HEALTH_PASSED,
		  "AppArmor" },
		{ { { LSM, "capability,nottomoyo,tomoyos" } }, HEALTH_WARNING, "no mandatory access control is on" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[] = "/tmp/test_security.XXXXXX", command[64], words[SECURITY_WORDS_MAX];
		struct security_facts facts = { .apparmor = false };
		enum health_status status;
		int fd;

		assert_non_null(mkdtemp(path));
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		for (size_t file = 0; file < 3 && cases[i].files[file][0]; file++)
			put(fd, cases[i].files[file][0], cases[i].files[file][1]);
		security_read(&facts, fd, fd, fd);
		status = security_judge(&facts, CHECK_MODULES, words);
		close(fd);
		snprintf(command, sizeof(command), "rm -r %s", path);
		assert_int_equal(system(command), 0);
		if (status != cases[i].status || !strstr(words, cases[i].words))
			fail_msg("%zu: %d, \"%s\"; expected \"%s\"", i, status, words, cases[i].words);
	}
}

/* The facts of a guest with these files below / (at most 8), and nothing in /proc and /sys. */
static struct security_facts facts_of(const char *const files[][2])
{
	char dir[] = "/tmp/test_security.XXXXXX", command[64];
	struct security_facts facts = { .apparmor = false };
	int root_fd, none_fd;

	assert_non_null(mkdtemp(dir));
	root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(root_fd, "none/x", "");
	none_fd = openat(root_fd, "none", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < 8 && files[i][0]; i++)
		put(root_fd, files[i][0], files[i][1]);
	security_read(&facts, root_fd, none_fd, none_fd);
	close(root_fd);
	close(none_fd);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	return facts;
}

#define SSHD_CONFIG "etc/ssh/sshd_config"

static void included_files_of_sshd_are_read_where_they_stand_in_the_order_of_their_names(void **state)
{
	static const char *const files[8][2] = {
		{ SSHD_CONFIG,
		  "Include sshd_config.d/*.conf\nUsePAM no\nPasswordAuthentication yes\nX11Forwarding no\n" },
		{ "etc/ssh/sshd_config.d/20.conf", "PasswordAuthentication no\nPermitRootLogin yes\n" },
		{ "etc/ssh/sshd_config.d/10.conf", "PermitRootLogin no\nMatch User x\nX11Forwarding yes\n" },
		{ "etc/ssh/sshd_config.d/00.off", "PermitRootLogin yes\n" },
		{ "etc/ssh/sshd_config.d/.hidden.conf", "PermitRootLogin yes\n" },
		{ "usr/sbin/sshd", "" },
	};
	struct security_facts facts = facts_of(files);

	(void)state;
	assert_true(facts.sshd_file && facts.sshd_readable && facts.sshd_program && !*facts.sshd_unread);
	assert_string_equal(facts.sshd.permit_root_login, "no");
	assert_string_equal(facts.sshd.password_authentication, "no");
	assert_string_equal(facts.sshd.x11_forwarding, "no"); /* the Match block ended with its file */
	assert_string_equal(facts.sshd.use_pam, "no");
	assert_int_equal(facts.sshd.match_blocks, 1);
}

/* What sshd would read and the agent does not is named, and nothing is waited for or gone through without end. */
static void what_is_not_followed_of_a_configuration_is_told(void **state)
{
	static char long_text[(1 << 20) + 100];
	const struct {
		const char *const files[8][2];
		const char *words;
	} cases[] = {
		{ { { SSHD_CONFIG, "Include ~/more\n" } }, "~/more (not followed)" },
		{ { { SSHD_CONFIG, "Include /etc/*/more.conf\n" } }, "/etc/*/more.conf (not followed)" },
		{ { { SSHD_CONFIG, "Include /more\n" } }, "/more (not followed)" },
		{ { { SSHD_CONFIG, "Include sshd_config\n" } },
		  "sshd_config (not followed)" }, /* itself, again and again */
		{ { { SSHD_CONFIG, "Include d/*\n" }, { "etc/ssh/d/1", NULL } },
		  "/etc/ssh/d/1 (it is not a regular file)" },
		{ { { SSHD_CONFIG, "Include d/*\n" },
		    { "etc/ssh/d/1", "Include d/*\n" },
		    { "etc/ssh/d/2", "Include d/*\n" } },
		  "d/* (not followed)" },
		{ { { SSHD_CONFIG, "PasswordAuthentication \"no\n" } }, "that makes no sense" },
		{ { { SSHD_CONFIG, long_text } }, "/etc/ssh/sshd_config (longer than 1 MiB)" },
		{ { { SSHD_CONFIG, "Include /etc/ssh/absent/*\nInclude absent\n" } }, "" },
	};

	(void)state;
	memset(long_text, '\n', sizeof(long_text) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct security_facts facts = facts_of(cases[i].files);

		if (*cases[i].words ? !strstr(facts.sshd_unread, cases[i].words) : *facts.sshd_unread != '\0')
			fail_msg("%zu: \"%s\"; expected \"%s\"", i, facts.sshd_unread, cases[i].words);
	}
}

static void a_folder_with_more_files_than_are_read_is_told(void **state)
{
	char dir[] = "/tmp/test_security.XXXXXX", path[64], command[64];
	struct security_facts facts = { .apparmor = false };
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < 257; i++) {
		snprintf(path, sizeof(path), "etc/apt/apt.conf.d/%03u", i);
		put(fd, path, "");
	}
	security_read(&facts, fd, fd, fd);
	close(fd);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	assert_string_equal(facts.apt_unread, "/etc/apt/apt.conf.d (more than 256 files)");
}

static void files_of_updates_and_firewalls_are_read(void **state)
{
	static const char *const files[8][2] = {
		{ "etc/apt/apt.conf.d/20auto", P "Unattended-Upgrade \"0\";" P "Update-Package-Lists \"1\";" },
		{ "etc/apt/apt.conf.d/30auto", P "Unattended-Upgrade \"1\";" },
		{ "etc/apt/apt.conf.d/40auto.dpkg-old", P "Unattended-Upgrade \"0\";" },
		{ "etc/apt/apt.conf", P "Update-Package-Lists \"0\";" },
		{ "etc/dnf/automatic.conf", "[commands]\napply_updates = yes\n" },
		{ "etc/ufw/ufw.conf", "ENABLED=yes\n" },
		{ "etc/default/ufw", "DEFAULT_INPUT_POLICY=\"DROP\"\n" },
		{ "etc/nftables.conf",
		  "  include \"/etc/nft/*.nft\"\ntype filter hook input priority 0; policy drop;\n" },
	};
	static const char *const odd[8][2] = { { "etc/dnf/automatic.conf", "[commands]\napply_updates = perhaps\n" } };
	struct security_facts facts = facts_of(files);

	(void)state;
	assert_true(facts.upgrades_on && !facts.lists_on && !facts.upgrades_installed && !*facts.apt_unread);
	assert_true(facts.dnf_applies && !*facts.dnf_unread);
	assert_true(facts.ufw_enabled && !*facts.ufw_unread);
	assert_string_equal(facts.ufw_policy, "DROP");
	assert_true(facts.nft_file && facts.nft_filters);
	assert_string_equal(facts.nft_unread, "/etc/nftables.conf includes \"/etc/nft/*.nft\" (not followed)");
	facts = facts_of(odd);
	assert_non_null(strstr(facts.dnf_unread, "neither yes nor no"));
	assert_true(!facts.dnf_applies && !facts.nft_file && !facts.ufw_enabled);
}

static void judges_modules_and_updates(void **state)
{
	static const char on[] =
		"APT::Periodic::Unattended-Upgrade \"1\";\nAPT::Periodic::Update-Package-Lists \"1\";\n";
	struct security_facts facts = { .selinux = SELINUX_PERMISSIVE };
	char words[SECURITY_WORDS_MAX];

	(void)state;
	assert_int_equal(security_judge(&facts, CHECK_MODULES, words), HEALTH_WARNING);
	facts.apparmor = true;
	assert_int_equal(security_judge(&facts, CHECK_MODULES, words), HEALTH_WARNING);
	assert_non_null(strstr(words, "could not be read"));
	facts.apparmor_counted = true;
	assert_int_equal(security_judge(&facts, CHECK_MODULES, words), HEALTH_WARNING);
	facts.apparmor_enforce = 1;
	assert_int_equal(security_judge(&facts, CHECK_MODULES, words), HEALTH_PASSED);
	facts.selinux = SELINUX_ENFORCING;
	assert_int_equal(security_judge(&facts, CHECK_MODULES, words), HEALTH_PASSED);
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_WARNING);
	facts.upgrades_installed = facts.upgrades_on = true;
	set_unit(&facts, SECURITY_APT_TIMER, "active");
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words),
			 HEALTH_WARNING); /* of lists that nothing refreshes */
	facts.lists_on = true;
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_PASSED);
	set_unit(&facts, SECURITY_APT_TIMER, "");
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_WARNING);
	assert_non_null(strstr(words, "not known"));
	set_unit(&facts, SECURITY_APT_TIMER, "active");
	security_unread(facts.apt_unread, "/etc/apt/apt.conf.d/20auto (Permission denied)");
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_WARNING);
	assert_non_null(strstr(words, "20auto"));
	security_take_apt(&facts, on, sizeof(on) - 1, false);
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words),
			 HEALTH_WARNING); /* apt may have passed over that file */
	security_take_apt(&facts, on, sizeof(on) - 1, true);
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_PASSED);
	set_unit(&facts, SECURITY_APT_TIMER, "inactive");
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_WARNING);
	set_unit(&facts, SECURITY_DNF_TIMER, "active");
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_WARNING);
	assert_non_null(strstr(words, "does not install"));
	facts.dnf_applies = true;
	assert_int_equal(security_judge(&facts, CHECK_UPDATES, words), HEALTH_PASSED);
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
	security_emit(&writer.sink, NULL, &facts, CHECK_ALL);
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
		cmocka_unit_test(lines_are_split_as_sshd_splits_them),
		cmocka_unit_test(apt_settings_are_what_apt_makes_of_them),
		cmocka_unit_test(files_of_apt_are_those_that_apt_reads),
		cmocka_unit_test(booleans_of_dnf_are_those_that_dnf_knows),
		cmocka_unit_test(the_rules_of_the_kernel_say_whether_anything_is_refused),
		cmocka_unit_test(a_large_rule_set_is_walked_once),
		cmocka_unit_test(what_sshd_says_of_itself_counts_and_match_blocks_stay),
		cmocka_unit_test(a_firewall_that_refuses_nothing_is_none),
		cmocka_unit_test(what_ufw_is_told_is_read_as_sh_reads_it),
		cmocka_unit_test(addresses_and_tables_are_told_by_their_names),
		cmocka_unit_test(a_profile_counts_by_what_its_line_ends_with),
		cmocka_unit_test(judges_the_firewall_by_what_runs),
		cmocka_unit_test(what_lies_in_the_place_of_a_file_and_is_none_is_said),
		cmocka_unit_test(judges_ssh_by_its_defaults_where_the_file_is_silent),
		cmocka_unit_test(a_module_that_could_not_be_read_is_not_off_and_one_without_rules_protects_nobody),
		cmocka_unit_test(included_files_of_sshd_are_read_where_they_stand_in_the_order_of_their_names),
		cmocka_unit_test(what_is_not_followed_of_a_configuration_is_told),
		cmocka_unit_test(a_folder_with_more_files_than_are_read_is_told),
		cmocka_unit_test(files_of_updates_and_firewalls_are_read),
		cmocka_unit_test(judges_modules_and_updates),
		cmocka_unit_test(nothing_known_is_told_without_a_null),
	};

	return cmocka_run_group_tests_name("security", tests, NULL, NULL);
}
