/* SPDX-License-Identifier: MIT */
/*
 * What package managers print. The texts of dpkg and apt were taken from a Debian 12; those of rpm, dnf and apk follow
 * their manuals. Every parser is also given each of its texts cut at every byte.
 */
#include "agent/packages/package.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/verify.h"

static const char dpkg_text[] =
	"adduser\t3.134\tall\tinstalled\t686\t1747699200\tadmin\tadduser\tDebian Adduser Developers "
	"<adduser@packages.debian.org>\tadd and "
	"remove users and groups\n"
	"bash\t5.2.15-2+b8\tamd64\tinstalled\t7164\t1747699200\tshells\tbash\tMatthias Klose <doko@debian.org>\tGNU "
	"Bourne Again SHell\n"
	"held\t1\tall\tinstalled hold ok\t1\t1747699200\tmisc\theld\tNobody\tx\n"
	"half\t1\tall\thalf-configured install ok\t1\t1747699200\tmisc\thalf\tNobody\tx\n"
	"broken\t1\tall\thalf-installed install reinstreq\t1\t1747699200\tmisc\tbroken\tNobody\tx\n"
	"trig\t1\tall\ttriggers-awaited install ok\t1\t1747699200\tmisc\ttrig\tNobody\tx\n"
	"never\t\tall\tnot-installed unknown ok\t1\t\tmisc\tnever\tNobody\tx\n"
	"libmount1\t2.38.1-5+deb12u3\tamd64\tconfig-files deinstall ok\t\t1747699200\tlibs\tutil-linux\tNobody\tgone "
	"but for its configuration\n"
	"short\tline\n"
	"\t\t\tinstalled\t\t\t\t\t\t\n";

static const char apt_text[] = "Reading package lists...\n"
			       "The following packages will be upgraded:\n"
			       "  bash libc6\n"
			       "Inst bash [5.2.15-2+b8] (5.2.15-2+b13 Debian:12.15/oldstable [amd64])\n"
			       "Inst libgcrypt20-dev [1.10.1-3] (1.10.1-3+deb12u1 Debian:12.15/oldstable, "
			       "Debian-Security:12/oldstable-security [amd64]) []\n"
			       "Inst libpam-modules-bin [1.5.2-6+deb12u1] (1.5.2-6+deb12u2 Debian:12.15/oldstable "
			       "[amd64]) [libpam-modules:amd64 on "
			       "libpam-modules-bin:amd64] [libpam-modules:amd64 ]\n"
			       "Inst sl (5.02-1+b1 Debian:12.15/oldstable [amd64])\n"
			       "Inst libc6:i386 [2.36-9] (2.36-10 Ubuntu:22.04/jammy-security [i386])\n"
			       "Inst tiny [1.0] (1.1 localhost [all])\n"
			       "Inst bare (1.1 [all])\n"
			       "Conf bash (5.2.15-2+b13 Debian:12.15/oldstable [amd64])\n"
			       "Remv old [1.0]\n"
			       "Inst\nInst x\nInst x [\nInst x [1] (\nInst x (2\n";

static const char records_text[] =
	"Package: bash\nSource: bash (5.2.15-2)\nVersion: 5.2.15-2+b13\nInstalled-Size: 7164\nMaintainer: Matthias "
	"Klose "
	"<doko@debian.org>\nArchitecture: amd64\nDepends: base-files (>= 2.1.12)\nDescription: GNU Bourne Again "
	"SHell\nTag: admin::TODO,\n "
	"interface::shell\nHomepage: http://tiswww.case.edu/\nSection: shells\nSize: 1490652\n\n"
	"Package: sl\nVersion: 5.02-1\nSize: many\nDescription-en: Correct you if you type\n Version: 9\n\n";

static const char log_text[] = "2025-06-24 14:36:25 startup archives unpack\n"
			       "2025-06-24 14:36:25 upgrade libsystemd0:amd64 252.36-1~deb12u1 252.38-1~deb12u1\n"
			       "2025-06-24 14:36:26 status triggers-pending libc-bin:amd64 2.36-9+deb12u10\n"
			       "2025-06-25 14:36:25 install sl:amd64 <none> 5.02-1\n"
			       "2025-06-25 14:36:25 status half-installed sl:amd64 5.02-1\n"
			       "2025-06-25 14:36:26 status unpacked sl:amd64 5.02-1\n"
			       "2025-06-25 14:36:27 status installed other:amd64 5.02-1\n"
			       "2025-06-25 14:36:27 status installed sl:i386 5.02-1\n"
			       "2025-06-25 14:36:27 status installed sl:amd64 5.02-1\n"
			       "2025-06-26 14:36:25 remove sl:amd64 5.02-1 <none>\n"
			       "2025-06-26 14:36:25 status half-configured sl:amd64 5.02-1\n"
			       "not-a-date 14:36:25 remove sl:amd64 5.02-1 <none>\n";

static const char rpm_text[] =
	"bash\t5.2.26-1.fc39\tx86_64\t8470000\t1708000000\tUnspecified\tbash-5.2.26-1.fc39.src.rpm\tFedora "
	"Project\tThe GNU Bourne Again shell\n"
	"vim-minimal\t2:9.1.113-1.fc39\tx86_64\t1700000\t1708000000\tUnspecified\tvim.src.rpm\t(none)\tA minimal "
	"version\n"
	"gpg-pubkey\t18b8e74c-62f2920f\t(none)\t0\t1708000000\tPublic Keys\t(none)\t(none)\tFedora\n"
	"package nosuch is not installed\n";

static const char dnf_text[] =
	"bash\t5.2.26-3.fc39\tx86_64\tupdates\t1900000\t8470000\thttps://www.gnu.org/software/bash\tThe GNU Bourne "
	"Again shell\n\n"
	"vim-minimal\t2:9.1.200-1.fc39\tx86_64\tupdates\t800000\t1700000\thttps://www.vim.org\tA minimal version\n";

static const char dnf4_advisories[] = "FEDORA-2024-0a1b2c3d4e Important/Sec. vim-minimal-9.1.200-1.fc39.x86_64\n";
static const char dnf5_advisories[] =
	"Name                   Type     Severity  Package                             Issued\n"
	"FEDORA-2024-0a1b2c3d4e security Important vim-minimal-9.1.200-1.fc39.x86_64 2024-03-01 01:02:03\n";

static const char apk_text[] =
	"musl-1.2.4-r2 x86_64 {musl} (MIT) [installed]\n"
	"py3-3to2-1.1.1-r5 x86_64 {py3-3to2} (Apache-2.0) [installed]\n"
	"busybox-1.36.1-r2 x86_64 {busybox} (GPL-2.0-only) [upgradable from: busybox-1.36.1-r1]\n"
	"WARNING: opening /var/cache/apk: No such file\n";

static const char verify_text[] = "missing   c /etc/debuginfod/elfutils.urls\n"
				  "missing     /usr/lib/node_modules/npm/.npmrc\n"
				  "??5?????? c /etc/ssh/sshd_config\n"
				  "S.5....T.    /usr/bin/true\n"
				  "Unsatisfied dependencies for foo\n";

struct fixture {
	struct package_list list;
	struct package_history history;
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	setenv("TZ", "UTC", 1);
	tzset();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	package_list_done(&f->list);
	package_history_done(&f->history);
	free(f);
	return 0;
}

#define PARSE(fn, text) assert_int_equal(fn(text, sizeof(text) - 1, &f->list), 0)

static void lists_what_dpkg_has_installed(void **state)
{
	struct fixture *f = *state;

	PARSE(dpkg_list_parse, dpkg_text);
	assert_int_equal(f->list.count, 6);
	assert_string_equal(f->list.rows[1].name, "bash");
	assert_string_equal(f->list.rows[1].version, "5.2.15-2+b8");
	assert_string_equal(f->list.rows[1].summary, "GNU Bourne Again SHell");
	assert_int_equal(f->list.rows[1].installed_kb, 7164);
	assert_int_equal(f->list.rows[1].installed_s, 1747699200);
	assert_true(f->list.rows[1].installed);
	for (size_t i = 0; i < f->list.count; i++) {
		const struct package *row = &f->list.rows[i];

		assert_int_equal(row->held, strcmp(row->name, "held") == 0);
		assert_int_equal(row->reinstall, strcmp(row->name, "broken") == 0);
		assert_int_equal(row->installed, strcmp(row->name, "half") != 0 && strcmp(row->name, "broken") != 0);
	}
	assert_string_equal(f->list.rows[3].state, "half-configured");
	assert_string_equal(f->list.rows[5].state, "triggers-awaited");
}

static void reads_a_simulation_of_apt(void **state)
{
	struct fixture *f = *state;

	PARSE(apt_simulation_parse, apt_text);
	assert_int_equal(f->list.count, 8);
	assert_string_equal(f->list.rows[0].version, "5.2.15-2+b8");
	assert_string_equal(f->list.rows[0].candidate, "5.2.15-2+b13");
	assert_string_equal(f->list.rows[0].repository, "Debian:12.15/oldstable");
	assert_string_equal(f->list.rows[0].architecture, "amd64");
	assert_false(f->list.rows[0].security);
	assert_true(f->list.rows[1].security);
	assert_string_equal(f->list.rows[2].candidate, "1.5.2-6+deb12u2");
	assert_null(f->list.rows[3].version);
	assert_string_equal(f->list.rows[4].name, "libc6");
	assert_true(f->list.rows[4].security);
	assert_string_equal(f->list.rows[5].repository, "localhost");
	assert_null(f->list.rows[6].repository);
	assert_string_equal(f->list.rows[6].architecture, "all");
}

static void reads_records_of_apt_cache(void **state)
{
	struct fixture *f = *state;

	PARSE(apt_records_parse, records_text);
	assert_int_equal(f->list.count, 2);
	assert_int_equal(f->list.rows[0].download_bytes, 1490652);
	assert_string_equal(f->list.rows[0].homepage, "http://tiswww.case.edu/");
	assert_string_equal(f->list.rows[0].publisher, "Matthias Klose <doko@debian.org>");
	assert_int_equal(f->list.rows[1].download_bytes, -1);
	assert_string_equal(f->list.rows[1].candidate, "5.02-1");
	assert_string_equal(f->list.rows[1].summary, "Correct you if you type");
	assert_false(f->list.rows[1].installed);
}

static void reads_the_log_of_dpkg_from_a_day_on(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(dpkg_log_parse(log_text, sizeof(log_text) - 1, 1750809600, &f->history),
			 0); /* 2025-06-25 00:00 UTC */
	assert_int_equal(f->history.count, 2);
	assert_string_equal(f->history.events[0].action, "install");
	assert_null(f->history.events[0].before);
	assert_string_equal(f->history.events[0].after, "5.02-1");
	assert_string_equal(f->history.events[0].name, "sl");
	assert_string_equal(f->history.events[0].architecture, "amd64");
	assert_int_equal(f->history.events[0].time_s, 1750862185);
	assert_string_equal(f->history.events[1].action, "remove");
	assert_true(f->history.known);
	assert_int_equal(f->history.oldest_s, 1750775785); /* of the first line, an event or not */
	assert_true(f->history.events[0].done);
	assert_false(f->history.events[1].done);
}

static void the_log_tells_of_the_end_of_what_was_begun(void **state)
{
	static const struct {
		const char *action, *end;
		bool done;
	} cases[] = {
		{ "install", "installed", true },	  { "install", "unpacked", false },
		{ "install", "half-installed", false },	  { "upgrade", "installed", true },
		{ "upgrade", "triggers-pending", false }, { "remove", "config-files", true },
		{ "remove", "not-installed", true },	  { "remove", "installed", false },
		{ "purge", "config-files", false },	  { "purge", "not-installed", true },
	};
	struct fixture *f = *state;
	char text[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int len = snprintf(text, sizeof(text),
				   "2025-06-26 14:36:25 %s sl:amd64 1 2\n2025-06-26 14:36:26 status %s sl:amd64 2\n",
				   cases[i].action, cases[i].end);

		assert_int_equal(dpkg_log_parse(text, (size_t)len, 0, &f->history), 0);
		assert_int_equal(f->history.count, 1);
		assert_int_equal(f->history.events[0].done, cases[i].done);
		package_history_done(&f->history);
	}
}

static void lists_what_rpm_has_installed(void **state)
{
	struct fixture *f = *state;

	PARSE(rpm_list_parse, rpm_text);
	assert_int_equal(f->list.count, 2);
	assert_string_equal(f->list.rows[1].version, "2:9.1.113-1.fc39");
	assert_null(f->list.rows[1].publisher);
	assert_int_equal(f->list.rows[0].installed_kb, 8272);
}

static void marks_what_dnf_calls_a_security_update(void **state)
{
	struct fixture *f = *state;

	PARSE(dnf_query_parse, dnf_text);
	assert_int_equal(f->list.count, 2);
	assert_int_equal(f->list.rows[0].download_bytes, 1900000);
	assert_int_equal(dnf_security_parse(dnf4_advisories, sizeof(dnf4_advisories) - 1, &f->list), 0);
	assert_false(f->list.rows[0].security);
	assert_true(f->list.rows[1].security);
	f->list.rows[1].security = false;
	assert_int_equal(dnf_security_parse(dnf5_advisories, sizeof(dnf5_advisories) - 1, &f->list), 0);
	assert_true(f->list.rows[1].security);
}

/* As dnf 4.14 wrote it. */
static const char dnf_log[] = "2026-11-27T00:04:20+0000 INFO --- logging initialized ---\n"
			      "2026-11-27T00:04:24+0000 SUBDEBUG Installed: story-tiny-1.0-1.noarch\n"
			      "2026-11-27T01:04:34+0100 SUBDEBUG Installed: story-epoch-3:2.0-1.noarch\n"
			      "2026-11-27T00:05:02+0000 SUBDEBUG Upgrade: story-tiny-1.1-1.noarch\n"
			      "2026-11-27T00:05:02+0000 SUBDEBUG Upgrade: story-epoch-3:2.1-1.noarch\n"
			      "2026-11-27T00:05:02+0000 SUBDEBUG Upgraded: story-tiny-1.0-1.noarch\n"
			      "2026-11-27T00:05:02+0000 SUBDEBUG Upgraded: story-epoch-3:2.0-1.noarch\n"
			      "2026-11-27T00:05:06Z SUBDEBUG Erase: story-tiny-1.1-1.noarch\n"
			      "2026-11-27T00:05:06+0000 INFO warning: /opt/conf saved as /opt/conf.rpmsave\n\n"
			      "2026-11-27T00:05:07+0000 SUBDEBUG Upgraded: story-tiny-1.1-1.noarch\n"
			      "2026-11-27T00:05:07+0000 SUBDEBUG Installed: nonsense\n";

static void reads_the_log_of_dnf_from_a_time_on(void **state)
{
	struct fixture *f = *state;
	const int64_t since_s = 1795737865; /* behind the first installation */

	assert_int_equal(dnf_log_parse(dnf_log, sizeof(dnf_log) - 1, since_s, &f->history), 0);
	assert_int_equal(f->history.count, 4);
	assert_string_equal(f->history.events[0].name, "story-epoch");
	assert_string_equal(f->history.events[0].after, "3:2.0-1");
	assert_int_equal(f->history.events[0].time_s, 1795737874);
	assert_string_equal(f->history.events[1].before, "1.0-1");
	assert_string_equal(f->history.events[1].after, "1.1-1");
	assert_string_equal(f->history.events[2].action, "upgrade");
	assert_string_equal(f->history.events[2].before, "3:2.0-1");
	assert_string_equal(f->history.events[3].action, "remove");
	assert_string_equal(f->history.events[3].before, "1.1-1");
	assert_null(f->history.events[3].after);
}

static void marks_a_security_update_by_its_epoch_too(void **state)
{
	struct fixture *f = *state;
	static const char query[] = "bind\t32:9.18.21-1.fc39\tx86_64\tupdates\t1\t1\tu\ts\nbind\t32:9.18.21-1."
				    "fc39\ti686\tupdates\t1\t1\tu\ts\n";
	static const char with[] = "FEDORA-2024-1 Important/Sec. bind-32:9.18.21-1.fc39.x86_64\n";
	static const char without[] = "FEDORA-2024-1 security Important bind-9.18.21-1.fc39.i686 2024-02-01\n";

	PARSE(dnf_query_parse, query);
	assert_int_equal(dnf_security_parse(with, sizeof(with) - 1, &f->list), 0);
	assert_true(f->list.rows[0].security);
	assert_false(f->list.rows[1].security);
	assert_int_equal(dnf_security_parse(without, sizeof(without) - 1, &f->list), 0);
	assert_true(f->list.rows[1].security);
}

static void tells_name_from_version_in_apk(void **state)
{
	struct fixture *f = *state;

	PARSE(apk_list_parse, apk_text);
	assert_int_equal(f->list.count, 3);
	assert_string_equal(f->list.rows[0].name, "musl");
	assert_string_equal(f->list.rows[0].version, "1.2.4-r2");
	assert_string_equal(f->list.rows[1].name, "py3-3to2");
	assert_string_equal(f->list.rows[1].version, "1.1.1-r5");
	assert_string_equal(f->list.rows[2].version, "1.36.1-r1");
	assert_string_equal(f->list.rows[2].candidate, "1.36.1-r2");
	assert_true(f->list.rows[2].installed);
}

static void reads_a_search_of_apk(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "nginx-1.24.0-r7 - HTTP and reverse proxy server (stable version)\n\nnonsense\n";

	PARSE(apk_search_parse, text);
	assert_int_equal(f->list.count, 1);
	assert_string_equal(f->list.rows[0].summary, "HTTP and reverse proxy server (stable version)");
}

static void reads_what_verify_found(void **state)
{
	const char *text = verify_text;
	size_t len = sizeof(verify_text) - 1;
	struct verify_line line;

	(void)state;
	assert_true(verify_next(&text, &len, &line));
	assert_true(line.missing && line.config);
	assert_memory_equal(line.path, "/etc/debuginfod/elfutils.urls", line.path_len);
	assert_true(verify_next(&text, &len, &line));
	assert_true(line.missing && !line.config);
	assert_true(verify_next(&text, &len, &line));
	assert_true(!line.missing && line.config);
	assert_memory_equal(line.flags, "??5??????", 9);
	assert_true(verify_next(&text, &len, &line));
	assert_true(!line.missing && !line.config);
	assert_memory_equal(line.path, "/usr/bin/true", line.path_len);
	assert_false(verify_next(&text, &len, &line));
}

/* A buffer of exactly the bytes given: the sanitizers see what is read beyond it. */
static void cut_everywhere(const char *text, size_t len, int (*parse)(const char *, size_t, struct package_list *))
{
	for (size_t cut = 0; cut <= len; cut++) {
		struct package_list list = { .rows = NULL };
		char *copy = malloc(cut ? cut : 1);

		assert_non_null(copy);
		memcpy(copy, text, cut);
		assert_int_equal(parse(copy, cut, &list), 0);
		package_list_done(&list);
		free(copy);
	}
}

static int parse_log(const char *text, size_t len, struct package_list *list)
{
	struct package_history history = { .events = NULL };
	int r = dpkg_log_parse(text, len, 0, &history);

	(void)list;
	if (r == 0)
		r = dnf_log_parse(text, len, 0, &history);
	package_history_done(&history);
	return r;
}

static int parse_verify(const char *text, size_t len, struct package_list *list)
{
	struct verify_line line;

	(void)list;
	while (verify_next(&text, &len, &line))
		;
	(void)package_fault_of(text, len, 1);
	(void)stat_time(text, len, "/x");
	return 0;
}

static void takes_every_text_cut_anywhere(void **state)
{
	(void)state;
	cut_everywhere(dpkg_text, sizeof(dpkg_text) - 1, dpkg_list_parse);
	cut_everywhere(apt_text, sizeof(apt_text) - 1, apt_simulation_parse);
	cut_everywhere(records_text, sizeof(records_text) - 1, apt_records_parse);
	cut_everywhere(rpm_text, sizeof(rpm_text) - 1, rpm_list_parse);
	cut_everywhere(dnf_text, sizeof(dnf_text) - 1, dnf_query_parse);
	cut_everywhere(apk_text, sizeof(apk_text) - 1, apk_list_parse);
	cut_everywhere(apk_text, sizeof(apk_text) - 1, apk_search_parse);
	cut_everywhere(log_text, sizeof(log_text) - 1, parse_log);
	cut_everywhere(dnf_log, sizeof(dnf_log) - 1, parse_log);
	cut_everywhere(verify_text, sizeof(verify_text) - 1, parse_verify);
}

static void takes_bytes_that_are_no_text(void **state)
{
	static const char hostile[] = "\0\0\t\t\t\t\t\t\t\t\t\t\t\n\xff\xfe -[](){}:\n---1-r--\n -1 x\n-1 x\nInst \0 "
				      "[\xff] (\t)\nPackage:\nPackage: \n: x\n";
	static int (*const parsers[])(const char *, size_t, struct package_list *) = {
		dpkg_list_parse, apt_simulation_parse, apt_records_parse, rpm_list_parse, dnf_query_parse,
		apk_list_parse,	 apk_search_parse,     parse_log,	  parse_verify,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parsers); i++)
		cut_everywhere(hostile, sizeof(hostile) - 1, parsers[i]);
}

static void knows_why_a_package_manager_failed(void **state)
{
	static const struct {
		const char *text;
		int exit_code;
		enum package_fault want;
	} cases[] = {
		{ "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt-get)\nE: Unable to "
		  "acquire the dpkg "
		  "frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n",
		  100, PACKAGE_FAULT_LOCKED },
		{ "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\nE: Unable "
		  "to acquire the dpkg "
		  "frontend lock (/var/lib/dpkg/lock-frontend), are you root?\n",
		  100, PACKAGE_FAULT_PERMISSION },
		{ "E: Unable to locate package nosuch\n", 100, PACKAGE_FAULT_NOT_FOUND },
		{ "ERROR: Unable to lock database: Resource temporarily unavailable\n", 99, PACKAGE_FAULT_LOCKED },
		{ "ERROR: Unable to lock database: Permission denied\n", 99, PACKAGE_FAULT_PERMISSION },
		{ "Error: Unable to find a match: nosuch\nNo match for argument: nosuch\n", 1,
		  PACKAGE_FAULT_NOT_FOUND },
		{ "", 200, PACKAGE_FAULT_LOCKED },
		{ "E: You don't have enough free space in /var/cache/apt/archives/.\n", 100, PACKAGE_FAULT_SPACE },
		{ "E: Failed to fetch http://deb/x.deb  404  Not Found\n", 100, PACKAGE_FAULT_NETWORK },
		{ "dpkg: error processing package broken\n", 100, PACKAGE_FAULT_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(package_fault_of(cases[i].text, strlen(cases[i].text), cases[i].exit_code),
				 cases[i].want);
}

static void finds_the_time_of_a_file(void **state)
{
	static const char text[] = "1795205609 /var/lib/apt/lists\n1795205700 /run/reboot-required\n";

	(void)state;
	assert_int_equal(stat_time(text, sizeof(text) - 1, "/var/lib/apt/lists"), 1795205609);
	assert_int_equal(stat_time(text, sizeof(text) - 1, "/run/reboot"), -1);
	assert_int_equal(stat_time(text, 0, "/var/lib/apt/lists"), -1);
}

static void takes_names_of_packages_and_nothing_else(void **state)
{
	static const char *const good[] = {
		"bash", "g++", "libstdc++6", "0ad", "linux-image-6.1.0-49-amd64", "libc6:i386", "NetworkManager"
	};
	static const char *const bad[] = {
		"",   "-y",  "--help", "../etc", "a/b", "a b", "a\nb", "a;b",  "$(id)",	  "a`id`", "bash-", "a*",
		"a?", "a=1", "@core",  "a\x7f",	 "a|b", "a&b", "a'b",  "a\"b", ".hidden", "+x",	   "_x",    "\xc3\xa4"
	};
	char longest[130];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(package_name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(package_name_valid(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[128] = '\0';
	assert_true(package_name_valid(longest));
	longest[128] = 'a';
	longest[129] = '\0';
	assert_false(package_name_valid(longest));
}

static void apt_takes_no_capitals(void **state)
{
	(void)state;
	assert_string_equal(package_manager_at(0)->name, "apt");
	assert_false(package_manager_takes(package_manager_at(0), "NetworkManager"));
	assert_true(package_manager_takes(package_manager_at(1), "NetworkManager"));
	assert_false(package_manager_takes(package_manager_at(1), "-y"));
}

static void cuts_a_query_into_words(void **state)
{
	const char *words[PACKAGE_WORDS_MAX];
	char buffer[64], escaped[8];

	(void)state;
	assert_int_equal(package_words("  web  server ", buffer, sizeof(buffer), words), 2);
	assert_string_equal(words[1], "server");
	assert_int_equal(package_words("a -b", buffer, sizeof(buffer), words), 0);
	assert_int_equal(package_words("", buffer, sizeof(buffer), words), 0);
	assert_int_equal(package_words("a b c d e f g h i", buffer, sizeof(buffer), words), 0);
	assert_int_equal(package_words("a; rm", buffer, sizeof(buffer), words), 0);
	assert_int_equal(package_word_form(PACKAGE_FORM_REGEX, "g++", escaped, sizeof(escaped)), 0);
	assert_string_equal(escaped, "g\\+\\+");
	assert_int_equal(package_word_form(PACKAGE_FORM_GLOB, "g++", escaped, sizeof(escaped)), 0);
	assert_string_equal(escaped, "*g++*");
	assert_true(package_word_form(PACKAGE_FORM_GLOB, "longword", escaped, sizeof(escaped)) < 0);
	assert_true(package_word_form(PACKAGE_FORM_REGEX, "+++++++", escaped, sizeof(escaped)) < 0);
}

static void puts_names_behind_the_fixed_arguments(void **state)
{
	const struct package_manager *apt = package_manager_at(0);
	const char *argv[PACKAGE_ARGS_MAX], *names[] = { "g++", "sl" };
	size_t count = 0;

	(void)state;
	assert_int_equal(package_argv(&apt->steps[PACKAGE_INSTALL], "/usr/bin/apt-get", names, 2, argv), 0);
	while (argv[count])
		count++;
	assert_string_equal(argv[0], "/usr/bin/apt-get");
	assert_string_equal(argv[count - 3], "--");
	assert_string_equal(argv[count - 1], "sl");
	assert_true(package_argv(&apt->steps[PACKAGE_INSTALL], "x", names, PACKAGE_ARGS_MAX, argv) < 0);
}

/* Every step that takes names ends with "--" in every manager's table. */
static void names_can_never_be_options(void **state)
{
	static const enum package_step with_names[] = { PACKAGE_LIST,	 PACKAGE_SEARCH, PACKAGE_COUNT, PACKAGE_SHOW,
							PACKAGE_INSTALL, PACKAGE_REMOVE, PACKAGE_UPDATE };
	const struct package_manager *manager;

	(void)state;
	for (size_t i = 0; (manager = package_manager_at(i)); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(with_names); k++) {
			const char *const *argv = manager->steps[with_names[k]].argv;
			const char *last = NULL;

			for (; argv && *argv; argv++)
				last = *argv;
			if (last)
				assert_string_equal(last, "--");
		}
	}
}

static void finds_by_name_and_architecture(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "libc6\t1\ti386\tinstalled\t\t\t\t\t\t\nbash\t1\tamd64\tinstalled\t\t\t\t\t\t\nlibc6"
				   "\t1\tamd64\tinstalled\t\t\t\t\t\t\n";

	PARSE(dpkg_list_parse, text);
	package_list_sort(&f->list);
	assert_string_equal(package_list_find(&f->list, "libc6", NULL)->architecture, "amd64");
	assert_string_equal(package_list_find(&f->list, "libc6", "i386")->architecture, "i386");
	assert_null(package_list_find(&f->list, "libc6", "arm64"));
	assert_null(package_list_find(&f->list, "zsh", NULL));
}

#if defined(__x86_64__)
#define OWN   "amd64"
#define OTHER "i386"
#else
#define OWN   "arm64"
#define OTHER "armhf"
#endif

/*
 * Rows as "name:architecture"; what becomes of them in their order: the architectures of their counterparts, "-" for
 * none.
 */
static void a_package_that_changes_its_architecture_is_found_once(void **state)
{
	static const struct {
		const char *of, *list, *found, *back;
	} cases[] = {
		{ "a:all", "a:" OWN, OWN, "all" },
		{ "a:" OWN, "a:all", "all", OWN },
		{ "a:noarch", "a:" OTHER, OTHER, "noarch" },
		{ "a:" OTHER " a:" OWN, "a:all", "all -", OWN },
		{ "a:all", "a:" OTHER " a:" OWN, OWN, "all -" },
		{ "a:" OTHER " a:" OWN, "a:" OTHER, "- " OTHER, OTHER },
		{ "a:" OWN, "a:" OTHER, "-", "-" },
		{ "a:all a:" OWN, "a:" OWN, "- " OWN, OWN },
		{ "a:all", "b:" OWN, "-", "-" },
		{ "a:all b:" OWN, "a:" OWN " b:all", OWN " all", "all " OWN },
		{ "a:", "a:" OWN, OWN, "-" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct package_list lists[2] = { { .rows = NULL }, { .rows = NULL } };

		for (size_t k = 0; k < 2; k++) {
			char text[64], *save = NULL;

			snprintf(text, sizeof(text), "%s", k ? cases[i].list : cases[i].of);
			for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
				struct package *row = package_list_add(&lists[k]);

				row->name = package_list_text(&lists[k], word, 1);
				row->architecture = package_list_text(&lists[k], word + 2, strlen(word + 2));
			}
			package_list_sort(&lists[k]);
		}
		for (size_t k = 0; k < 2; k++) {
			char found[64] = "";

			for (size_t n = 0; n < lists[k].count; n++) {
				const struct package *there =
					package_list_counterpart(&lists[!k], &lists[k], &lists[k].rows[n]);

				snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", n ? " " : "",
					 there ? there->architecture : "-");
			}
			if (strcmp(found, k ? cases[i].back : cases[i].found) != 0)
				fail_msg("%s in %s: \"%s\" (%zu)", cases[i].of, cases[i].list, found, k);
		}
		package_list_done(&lists[0]);
		package_list_done(&lists[1]);
	}
}

static void the_log_tells_of_the_end_of_what_has_changed_its_architecture(void **state)
{
	static const struct {
		const char *text;
		bool done[2];
	} cases[] = {
		{ "2025-06-26 14:36:25 upgrade a:all 1 2\n2025-06-26 14:36:26 status installed a:amd64 2\n", { true } },
		{ "2025-06-26 14:36:25 upgrade a:amd64 1 2\n2025-06-26 14:36:26 status installed a:all 2\n", { true } },
		{ "2025-06-26 14:36:25 upgrade a:amd64 1 2\n2025-06-26 14:36:26 status installed a:i386 2\n",
		  { false } },
		{ "2025-06-26 14:36:25 install a:i386 <none> 2\n2025-06-26 14:36:25 upgrade a:all 1 2\n"
		  "2025-06-26 14:36:26 status installed a:i386 2\n",
		  { true, false } },
		{ "2025-06-26 14:36:25 install a:amd64 <none> 1\n2025-06-26 14:36:25 status installed a:amd64 1\n"
		  "2025-06-26 14:36:26 upgrade a:amd64 1 2\n2025-06-26 14:36:26 status installed a:all 2\n",
		  { true, true } },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(dpkg_log_parse(cases[i].text, strlen(cases[i].text), 0, &f->history), 0);
		for (size_t k = 0; k < f->history.count; k++)
			if (f->history.events[k].done != cases[i].done[k])
				fail_msg("case %zu, event %zu", i, k);
		package_history_done(&f->history);
	}
}

static void what_was_not_to_be_there_is_no_damage(void **state)
{
	static const char rules[] =
		"/etc/dpkg/dpkg.cfg.d/docs:path-exclude=/usr/share/doc/*\n"
		"/etc/dpkg/dpkg.cfg.d/docs:path-include=/usr/share/doc/*/copyright\n"
		"/etc/dpkg/dpkg.cfg.d/docs.bak:path-exclude=/*\n"
		"/etc/dpkg/dpkg.cfg.d/odd:path-exclude\n/etc/dpkg/dpkg.cfg.d/odd:path-excluded=/[\n:\nnonsense\n"
		"/etc/dpkg/dpkg.cfg:path-exclude = \"/usr/share/man/*\" \n";
	static const struct {
		const char *line;
		enum verify_kind kind;
	} cases[] = {
		{ "missing     /usr/share/doc/bash/README", VERIFY_EXCLUDED },
		{ "missing     /usr/share/doc/bash/copyright", VERIFY_DAMAGE },
		{ "missing     /usr/share/man/man1/bash.1.gz", VERIFY_EXCLUDED },
		{ "missing     /usr/bin/bash", VERIFY_DAMAGE },
		{ "??5??????   /usr/share/doc/bash/README", VERIFY_DAMAGE },
		{ "missing   c /etc/bash.bashrc", VERIFY_CONFIG },
		{ "??5?????? c /etc/bash.bashrc", VERIFY_CONFIG },
		{ "missing   c /etc/shadowed (Permission denied)", VERIFY_UNREADABLE },
		{ "missing     /etc/ssl/private/x (Permission denied)", VERIFY_UNREADABLE },
		{ "missing   d /usr/share/info/x", VERIFY_DOCUMENTATION },
		{ "missing   l /usr/share/licenses/x", VERIFY_DOCUMENTATION },
		{ "S.5....T.  d /usr/share/info/x", VERIFY_DAMAGE },
		{ "missing   g /var/log/x", VERIFY_GHOST },
		{ ".M.......  g /run/x", VERIFY_GHOST },
		{ "missing   m /etc/x", VERIFY_GHOST },
		{ ".......T.    /usr/lib/python3/x.pyc", VERIFY_TIME },
		{ ".M.....T.    /usr/bin/x", VERIFY_DAMAGE },
		{ "S.5....T.    /usr/bin/x", VERIFY_DAMAGE },
	};

	struct verify_rules read;

	(void)state;
	assert_int_equal(verify_rules_read(rules, sizeof(rules) - 1, &read), 0);
	assert_int_equal(read.count, 4);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *text = cases[i].line;
		size_t len = strlen(text);
		struct verify_line line;

		assert_true(verify_next(&text, &len, &line));
		assert_string_equal(verify_kind_name(verify_judge(&line, &read)), verify_kind_name(cases[i].kind));
		assert_null(memchr(line.path, ' ', line.path_len));
	}
	verify_rules_done(&read);
}

/*
 * One that escapes a character, one that begins with a pattern, one of the path itself; and more than there is room
 * for.
 */
static void rules_for_files_are_held_against_them_from_the_last_on(void **state)
{
	static const char rules[] =
		"/a:path-exclude=/x/*\n/a:path-include=*/kept\n/a:path-exclude=/x/kept\\*\n/a:path-exclude=/y/one";
	static const struct {
		const char *path;
		bool excluded;
	} cases[] = {
		{ "/x/a", true },   { "/x/a/kept", false },  { "/x/kept*", true }, { "/x/kept", false },
		{ "/y/one", true }, { "/y/one/two", false }, { "/x", false },
	};
	struct verify_rules read;
	size_t len = 0, most = VERIFY_RULES_MAX + 1;
	char *many = malloc(most * 32);

	(void)state;
	assert_int_equal(verify_rules_read(rules, sizeof(rules) - 1, &read), 0);
	assert_int_equal(read.count, 4);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct verify_line line = {
			.path = cases[i].path, .path_len = strlen(cases[i].path), .mark = ' ', .missing = true
		};

		if ((verify_judge(&line, &read) == VERIFY_EXCLUDED) != cases[i].excluded)
			fail_msg("%s", cases[i].path);
	}
	verify_rules_done(&read);
	for (size_t i = 0; i < most; i++) {
		assert_int_equal(verify_rules_read(many, len, &read), 0);
		assert_int_equal(read.count, i);
		assert_false(read.truncated);
		verify_rules_done(&read);
		len += (size_t)sprintf(many + len, "/a:path-exclude=/x/%zu\n", i);
	}
	assert_int_equal(verify_rules_read(many, len, &read), 0);
	assert_true(read.truncated && read.count == VERIFY_RULES_MAX);
	verify_rules_done(&read);
	free(many);
}

static void packages_that_lack_what_they_need_are_counted(void **state)
{
	static const struct {
		const char *text;
		unsigned unmet;
		const char *first;
	} cases[] = {
		{ "", 0, "" },
		{ "Reading package lists...\nBuilding dependency tree...\n", 0, "" },
		{ "The following packages have unmet dependencies:\n needs : Depends: absent but it is not "
		  "installable\n two : Breaks: x\n",
		  2, "needs" },
		{ "story-1-1.noarch has missing requires of absent\nError: Check discovered 1 problem(s)\n", 1,
		  "story-1-1.noarch" },
		{ "a-2-1.noarch is a duplicate with a-1-1.noarch\n", 1, "a-2-1.noarch" },
	};
	char first[24];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(check_unmet_parse(cases[i].text, strlen(cases[i].text), first, sizeof(first)),
				 cases[i].unmet);
		assert_string_equal(first, cases[i].first);
	}
}

static void repositories_that_were_not_reached_are_named(void **state)
{
	static const struct {
		void (*parse)(const char *text, size_t len, struct package_sources *sources);
		const char *text;
		size_t count, missing;
		const char *names;
	} cases[] = {
		{ apt_refresh_parse,
		  "Hit:1 http://deb.debian.org/debian bookworm InRelease\nReading package lists...\n", 1, 0, "" },
		{ apt_refresh_parse,
		  "Ign:1 http://a/debian bookworm InRelease\nErr:1 http://a/debian bookworm InRelease\n  Could not "
		  "connect\n"
		  "Get:2 http://b/debian bookworm InRelease [1 kB]\nErr:3 http://b/debian bookworm/main amd64 "
		  "Packages\n  404  Not Found\n",
		  2, 2, "http://a/debian bookworm, http://b/debian bookworm" },
		{ apt_refresh_parse, "Get:1 file:/r ./ InRelease\nErr:2 file:/r ./ Release\n", 1, 1, "file:/r ./" },
		{ apt_refresh_parse, "Err:1 https://user:pass@host/x stable InRelease\n", 1, 1,
		  "https://host/x stable" },
		{ apt_refresh_parse, "E: The repository 'http://a/debian sid Release' does not have a Release file.\n",
		  1, 1, "http://a/debian sid" },
		{ apt_refresh_parse, "Reading package lists...\n", 0, 0, "" },
		/* The forms of a list that are not there, and then one that is, or that need not be. */
		{ apt_refresh_parse,
		  "Get:3 file:/r ./ Packages [127 B]\nGet:4 file:/r ./ Translation-en\nErr:4 file:/r ./ "
		  "Translation-en\n  File not found - /r/./en.gz\n"
		  "Get:4 file:/r ./ Translation-en\nErr:4 file:/r ./ Translation-en\nGet:4 file:/r ./ "
		  "Translation-en\nIgn:4 file:/r ./ Translation-en\n",
		  1, 0, "" },
		{ apt_refresh_parse,
		  "Err:1 copy:/r ./ Packages\nErr:2 copy:/r ./ Packages\nGet:2 copy:/r ./ Packages\n", 1, 1,
		  "copy:/r ./" },
		{ apt_refresh_parse, "Err:1 http://a/x ./ Packages\nGet:1 http://b/x ./ Packages\n", 2, 1,
		  "http://a/x ./" },
		{ apt_refresh_parse, "W: The repository 'file:/r ./ Release' does not have a Release file.\n", 0, 0,
		  "" },
		{ apt_refresh_parse, "Err:2 cdrom://Debian 12 bookworm Release\n", 1, 1, "cdrom://Debian 12" },
		{ apt_refresh_parse,
		  "Err:\nErr:1\nErr:1 x\nE: The repository '\nE: The repository 'x\nErr:1 \x1b[31m y InRelease\n", 1, 1,
		  "?[31m y" },
		{ apt_sources_parse,
		  "'http://a/debian/dists/sid/InRelease' a_debian_dists_sid_InRelease 0 \n'file:/r/./InRelease' "
		  "_r_._InRelease 0\n",
		  2, 2, "http://a/debian/dists/sid, file:/r/." },
		{ apt_sources_parse, "'\n'x'\n'InRelease' InRelease\n'http://x/InRelease'\n", 0, 0, "" },
		{ dnf_refresh_parse,
		  "Error: Failed to download metadata for repo 'bad': Cannot download\nIgnoring repositories: "
		  "bad\nMetadata cache created.\n",
		  1, 1, "bad" },
		{ dnf_refresh_parse, "Failed to download metadata (baseurl: \"http://x\") for repository \"five\"\n", 1,
		  1, "five" },
		{ dnf_refresh_parse, "Error: Cache-only enabled but no cache for 'bad'\n", 1, 1, "bad" },
		{ dnf_sources_parse, "repo id          repo name\nbad   Bad one\ngood  Good one\n", 2, 2, "bad, good" },
		{ apk_refresh_parse,
		  "fetch https://a/v3.20/main/x86_64/APKINDEX.tar.gz\nWARNING: fetching https://a/v3.20/main: network "
		  "error\n"
		  "WARNING: opening from cache /local/repo: No such file or directory\nWARNING: something else\n"
		  "2 unavailable, 0 stale; 0 distinct packages available\n",
		  2, 2, "https://a/v3.20/main, /local/repo" },
		{ apk_refresh_parse, "v3.20.0-1 [https://a/v3.20/main]\nOK: 24164 distinct packages available\n", 0, 0,
		  "" },
	};
	struct package_sources *sources = calloc(1, sizeof(*sources));
	char names[512];

	(void)state;
	assert_non_null(sources);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		memset(sources, 0, sizeof(*sources));
		cases[i].parse(cases[i].text, strlen(cases[i].text), sources);
		package_sources_name(sources, names, sizeof(names));
		assert_int_equal(sources->count, cases[i].count);
		assert_int_equal(package_sources_missing(sources), cases[i].missing);
		assert_string_equal(names, cases[i].names);
	}
	free(sources);
}

static void a_refresh_that_succeeded_by_its_own_words_has_reached_all(void **state)
{
	static const struct {
		void (*parse)(const char *text, size_t len, struct package_sources *sources);
		const char *out, *err;
		size_t missing;
	} cases[] = {
		{ apt_refresh_parse, "Get:3 file:/r ./ Packages\nErr:4 file:/r ./ Translation-en\n", "", 0 },
		{ apt_refresh_parse, "Err:4 file:/r ./ Translation-en\n",
		  "W: The repository 'file:/r ./ Release' is not signed.\n", 0 },
		{ apt_refresh_parse, "Err:2 copy:/r ./ Packages\nErr:3 cdrom://Debian 12 bookworm Release\n",
		  "W: GPG error\n", 0 },
		/* Versions that do not know of Error-Mode end with 0 all the same. */
		{ apt_refresh_parse, "Err:1 http://a/debian sid InRelease\n",
		  "W: Failed to fetch http://a/debian/dists/sid/InRelease  Could not connect\n", 1 },
		{ apt_refresh_parse, "Err:1 http://a/debian sid InRelease\n",
		  "W: Some index files failed to download. They have been ignored, or old ones used instead.\n", 1 },
		{ apt_refresh_parse, "", "E: The repository 'http://a/debian sid Release' is not signed.\n", 1 },
		{ dnf_refresh_parse, "", "Failed to download metadata for repo 'bad': x\n", 1 },
		{ apk_refresh_parse, "", "WARNING: fetching https://a/v3.20/main: network error\n", 1 },
	};
	struct package_sources *sources = calloc(1, sizeof(*sources));

	(void)state;
	assert_non_null(sources);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		memset(sources, 0, sizeof(*sources));
		cases[i].parse(cases[i].out, strlen(cases[i].out), sources);
		cases[i].parse(cases[i].err, strlen(cases[i].err), sources);
		package_sources_succeeded(sources);
		assert_int_equal(package_sources_missing(sources), cases[i].missing);
	}
	free(sources);
}

static void what_there_are_lists_of_is_not_missing_and_more_names_than_fit_are_counted(void **state)
{
	static const char configured[] = "'http://a/d/dists/sid/InRelease' a_d_dists_sid_InRelease 0\n"
					 "'http://a/d/dists/sid-updates/InRelease' a_d_dists_sid-updates_InRelease 0\n";
	static const char lists[] =
		"lock\na_d_dists_sid-updates_InRelease\na_d_dists_sid-updates_main_binary-amd64_Packages\n";
	static const char enabled[] = "repo id repo name\ngood g\nbad b\nfive f\n";
	static const char repos[] = "Repo-id            : good\nRepo ID : five\nRepo-name          : bad\n";
	struct package_sources *sources = calloc(1, sizeof(*sources));
	char names[64], line[64];

	(void)state;
	assert_non_null(sources);
	apt_sources_parse(configured, sizeof(configured) - 1, sources);
	apt_lists_parse(lists, sizeof(lists) - 1, sources);
	package_sources_name(sources, names, sizeof(names));
	assert_string_equal(names, "http://a/d/dists/sid");
	memset(sources, 0, sizeof(*sources));
	dnf_sources_parse(enabled, sizeof(enabled) - 1, sources);
	dnf_lists_parse(repos, sizeof(repos) - 1, sources);
	package_sources_name(sources, names, sizeof(names));
	assert_string_equal(names, "bad");
	memset(sources, 0, sizeof(*sources));
	for (int i = 0; i < PACKAGE_SOURCES_MAX + 6; i++) {
		int len = snprintf(line, sizeof(line), "Err:1 http://host%d/debian sid InRelease\n", i);

		apt_refresh_parse(line, (size_t)len, sources);
	}
	assert_int_equal(package_sources_missing(sources), PACKAGE_SOURCES_MAX);
	assert_int_equal(sources->left_out, 6);
	package_sources_name(sources, names, sizeof(names));
	assert_string_equal(names, "http://host0/debian sid and 69 more");
	free(sources);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lists_what_dpkg_has_installed),
		TEST(reads_a_simulation_of_apt),
		TEST(reads_records_of_apt_cache),
		TEST(reads_the_log_of_dpkg_from_a_day_on),
		TEST(the_log_tells_of_the_end_of_what_was_begun),
		TEST(repositories_that_were_not_reached_are_named),
		TEST(a_refresh_that_succeeded_by_its_own_words_has_reached_all),
		TEST(packages_that_lack_what_they_need_are_counted),
		TEST(what_was_not_to_be_there_is_no_damage),
		TEST(rules_for_files_are_held_against_them_from_the_last_on),
		TEST(what_there_are_lists_of_is_not_missing_and_more_names_than_fit_are_counted),
		TEST(lists_what_rpm_has_installed),
		TEST(marks_what_dnf_calls_a_security_update),
		TEST(marks_a_security_update_by_its_epoch_too),
		TEST(reads_the_log_of_dnf_from_a_time_on),
		TEST(tells_name_from_version_in_apk),
		TEST(reads_a_search_of_apk),
		TEST(reads_what_verify_found),
		TEST(takes_every_text_cut_anywhere),
		TEST(takes_bytes_that_are_no_text),
		TEST(knows_why_a_package_manager_failed),
		TEST(finds_the_time_of_a_file),
		TEST(takes_names_of_packages_and_nothing_else),
		TEST(apt_takes_no_capitals),
		TEST(cuts_a_query_into_words),
		TEST(puts_names_behind_the_fixed_arguments),
		TEST(names_can_never_be_options),
		TEST(finds_by_name_and_architecture),
		TEST(a_package_that_changes_its_architecture_is_found_once),
		TEST(the_log_tells_of_the_end_of_what_has_changed_its_architecture),
	};

	return cmocka_run_group_tests_name("packages", tests, NULL, NULL);
}
