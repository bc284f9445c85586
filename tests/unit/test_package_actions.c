/* SPDX-License-Identifier: MIT */
/* The package actions as a host asks for them, with apt, dnf and apk played. */
#include "tests/actions_fixture.h"

/* The programs of the guest: ";apt-get;dpkg-query;". */
static const char *installed;

int access(const char *path, int mode)
{
	const char *name = strrchr(path, '/');
	char word[64];

	if (strncmp(path, "/usr/bin/", 9) != 0)
		return strncmp(path, "/usr/", 5) == 0 || strncmp(path, "/bin/", 5) == 0 ||
				       strncmp(path, "/sbin/", 6) == 0
			       ? -1
			       : faccessat(AT_FDCWD, path, mode, 0);
	snprintf(word, sizeof(word), ";%s;", name + 1);
	return strstr(installed, word) ? 0 : -1;
}

#define LIST_BASH  "bash\t5.2-1\tamd64\tinstalled install ok\t7000\t1699990000\tshells\tbash\tThe Makers\tThe shell\n"
#define LIST_HELLO "hello\t2.10-3\tamd64\tinstalled hold ok\t280\t\tdevel\thello\tSomebody\tgreets\n"
#define LIST_HALF  "zsh\t5.9\tamd64\thalf-configured install ok\t100\t\tshells\tzsh\tSomebody\tanother shell\n"
#define PENDING                                                                                                        \
	"Inst bash [5.2-1] (5.2-2 Debian-Security:12/stable-security [amd64])\n"                                       \
	"Inst hello [2.10-3] (2.10-4 Debian:12/stable [amd64])\n"                                                      \
	"Inst libnew (1.0 Debian:12/stable [amd64])\n"
#define RECORDS                                                                                                        \
	"Package: bash\nVersion: 5.2-2\nSize: 1500000\nHomepage: http://bash\nDepends: libc6\nDescription: The "       \
	"shell\n\n"                                                                                                    \
	"Package: hello\nVersion: 2.10-4\nSize: 700\nDescription: greets\n\n"
#define SOURCE                                                                                                         \
	"'http://deb.example.org/debian/dists/stable/InRelease' deb.example.org_debian_dists_stable_InRelease 0 \n"
#define SOURCE_2                                                                                                       \
	"'http://two.example.org/debian/dists/stable/InRelease' two.example.org_debian_dists_stable_InRelease 0 \n"
#define LISTED                                                                                                         \
	"deb.example.org_debian_dists_stable_InRelease\ndeb.example.org_debian_dists_stable_main_binary-amd64_"        \
	"Packages\n"
#define FACTS "1699990000 /var/lib/apt/lists\n1699990001 /run/reboot-required\n"
#define LOG                                                                                                            \
	"2023-11-10 10:00:00 startup archives unpack\n2023-11-10 10:00:00 upgrade bash:amd64 5.1-1 5.2-1\n"            \
	"2023-11-10 10:00:02 status installed bash:amd64 5.2-1\n2023-11-12 09:00:00 install zsh:amd64 <none> 5.9\n"    \
	"2023-11-13 09:00:00 remove vi:amd64 1.0 <none>\n2023-11-13 09:00:02 status not-installed vi:amd64 <none>\n"

/* A guest with apt, its lists whole, and two updates. */
static int begin(void **state)
{
	int r = actions_begin(state);

	installed = ";apt-get;apt-cache;dpkg-query;stat;tail;find;";
	play("*dpkg-query -W*", 0, LIST_BASH LIST_HELLO LIST_HALF);
	play("*dpkg-query -W*-- bash", 0, LIST_BASH);
	play("*dpkg-query -W*-- nothing", 1, "");
	play("*apt-cache show*", 0, RECORDS);
	play("*apt-get -s*dist-upgrade", 0, PENDING);
	play("*--print-uris update", 0, SOURCE);
	play("*find /var/lib/apt/lists*", 0, LISTED);
	play("*stat -c*", 0, FACTS);
	play("*tail -q*", 0, LOG);
	return r;
}

/* ----------------------------------------------------------------------------------------------- lists and searches */

static void the_list_tells_each_package_with_its_state(void **state)
{
	(void)state;
	expect("PackageList", "",
	       "{\"name\":\"bash\",\"version\":\"5.2-1\",\"description\":\"The shell\",\"installed\":true,\"status\":"
	       "\"installed\",\"held\":false,\"publisher\":\"The "
	       "Makers\",\"source\":\"apt\",\"architecture\":\"amd64\"}");
	answer_has("\"name\":\"hello\"");
	answer_has("\"held\":true");
	answer_has("\"installed\":false,\"status\":\"half-configured\"");
	assert_null(strstr(answer(), "total_count"));
	assert_ptr_equal(jobs[0].exec, &runner);
	assert_string_equal(jobs[0].unit, "");
}

static void a_list_that_is_cut_ends_with_a_whole_line_and_says_so(void **state)
{
	struct exec_outcome *outcome = play("*dpkg-query -W*", 0, LIST_BASH "hel");

	(void)state;
	outcome->out.total = 9u << 20;
	expect("PackageList", "", "\"name\":\"bash\"");
	answer_has("\"truncated\":true,\"total_count\":null");
	assert_null(strstr(answer(), "\"name\":\"hel"));
}

static void a_search_tells_what_is_installed_beside_what_could_be(void **state)
{
	(void)state;
	play("*apt-cache search --full*", 0, RECORDS);
	expect("PackageSearch", "\"query\":\"c++ shell\"", "\"version\":\"5.2-2\"");
	answer_has("\"installed_version\":\"5.2-1\"");
	assert_non_null(job_of("*apt-cache search --full -- c\\\\+\\\\+ shell"));
	assert_null(strstr(answer(), "total_count"));
}

static void the_matches_of_a_search_that_is_too_large_are_counted_while_there_is_time(void **state)
{
	struct exec_outcome *outcome = play("*apt-cache search --full*", 0, RECORDS), full;

	(void)state;
	outcome->out.total = 5u << 20;
	full = *outcome;
	play("*apt-cache search -- *", 0, "a - b\nc - d\ne - f\n");
	expect("PackageSearch", "\"query\":\"shell\"", "\"truncated\":true,\"total_count\":3");
	/* Not when the search itself has taken more than a third of it. */
	play_count = 0;
	play("*dpkg-query -W*", 0, LIST_BASH);
	ask("PackageSearch", "\"query\":\"shell\"");
	later(30 * NS_PER_S);
	job_of("*--full*")->outcome = full;
	job_end(job_of("*--full*"));
	turns();
	answer_has("\"total_count\":null");
}

static void a_query_is_words_that_cannot_be_taken_for_options(void **state)
{
	static const char *const bad[] = { "\"\"", "\"-f\"", "\"a b c d e f g h i\"", "\"a;b\"", "\"$(x)\"" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char parameters[64];

		snprintf(parameters, sizeof(parameters), "\"query\":%s", bad[i]);
		expect("PackageSearch", parameters, "\"reason\":\"bad_value\"");
	}
	expect("PackageSearch", "", "query is missing");
	expect("PackageSearch", "\"query\":5", "INVALID_PARAMETERS");
	assert_int_equal(job_count, 0);
}

/* --------------------------------------------------------------------------------------------------------- changes */

static void an_install_looks_for_the_package_and_runs_detached_by_the_executor(void **state)
{
	struct exec_job *job;

	(void)state;
	assert_null(ask("PackageInstall", "\"package\":\"hello\""));
	job = job_of("*install -- hello");
	assert_non_null(job);
	assert_ptr_equal(job->exec, &executor);
	assert_true(job->unit[0]);
	assert_string_equal(job->action, "PackageInstall");
	job->outcome.out = (struct exec_output){ .bytes = (char *)(uintptr_t) "Setting up\n", .len = 11, .total = 11 };
	job_end(job);
	turns();
	answer_has("\"success\":true,\"exit_code\":0");
	answer_has("\"stdout\":\"Setting up\\n\"");
	assert_non_null(strstr(seen.forgotten, job->unit));
	assert_non_null(strstr(answer(), "\"data\":null"));
}

static void a_change_of_what_is_not_there_is_not_tried(void **state)
{
	(void)state;
	expect("PackageInstall", "\"package\":\"hell\"", "\"reason\":\"no_such_package\"");
	expect("PackageRemove", "\"package\":\"nothing\"", "there is no such package installed");
	expect("PackageUpdate", "\"package\":\"nothing\"", "NOT_FOUND");
	assert_null(job_of("*apt-get -y*"));
	ask("PackageRemove", "\"package\":\"bash\"");
	assert_non_null(job_of("*apt-get -y*remove -- bash"));
	job_end(job_of("*remove -- bash"));
	turns();
	ask("PackageUpdate", "\"package\":\"bash\"");
	assert_non_null(job_of("*--only-upgrade install -- bash"));
}

static void a_name_is_one_of_a_package_and_nothing_else(void **state)
{
	static const char *const bad[] = { "-y", "a b", "bash-", "../x", "lib*", "" };
	char parameters[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(parameters, sizeof(parameters), "\"package\":\"%s\"", bad[i]);
		expect("PackageInstall", parameters, "package is no name of a package\"");
	}
	expect("PackageInstall", "\"package\":\"Bash\"", "package is no name of a package of apt");
	expect("PackageInstall", "", "package is missing");
	expect("GetApplicationDetails", "\"app_id\":\"-x\"", "app_id is no name of a package");
	expect("PackageInstall", "\"package\":7", "INVALID_PARAMETERS");
	assert_int_equal(job_count, 0);
}

static void without_rights_nothing_is_looked_for(void **state)
{
	(void)state;
	executor.state = EXEC_STATE_OFF;
	expect("PackageInstall", "\"package\":\"hello\"", "\"reason\":\"no_executor\"");
	expect("UpdateSystemSoftware", "", "PERMISSION_DENIED");
	executor.state = EXEC_STATE_FAULT;
	executor.fault = "it has another version";
	expect("PackageRemove", "\"package\":\"hello\"", "it has another version");
	assert_int_equal(job_count, 0);
	/* An agent that is root needs none: its runner does it. */
	seen.uid = 0;
	ask("PackageInstall", "\"package\":\"hello\"");
	assert_ptr_equal(job_of("*install -- hello")->exec, &runner);
}

static void what_the_package_manager_failed_for_has_a_reason(void **state)
{
	static const struct {
		const char *err, *reason;
	} cases[] = {
		{ "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt)\n", "lock_busy" },
		{ "E: Unable to lock the administration directory, are you root?\n", "no_privilege" },
		{ "E: Unable to locate package hello\n", "no_such_package" },
		{ "E: You don't have enough free space in /var/cache/apt/archives/.\n", "no_space" },
		{ "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n",
		  "dpkg_interrupted" },
		{ "E: Unmet dependencies. Try 'apt --fix-broken install'\n", "broken_dependencies" },
		{ "installed hello package post-installation script subprocess returned error exit status 1\n",
		  "script_failed" },
		{ "E: Unable to parse package file /var/lib/dpkg/status (1)\n", "database_broken" },
		{ "unable to create '/x': Read-only file system\n", "read_only" },
		{ "E: Some packages cannot be authenticated\n", "untrusted" },
		{ "E: Held packages were changed and -y was used\n", "protected" },
		{ "E: Failed to fetch http://deb.example.org/hello.deb\n", "network" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct exec_outcome *outcome = play("*install -- hello", 100, "");
		char reason[64];

		outcome->err =
			(struct exec_output){ .bytes = (char *)(uintptr_t)cases[i].err, .len = strlen(cases[i].err) };
		snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", cases[i].reason);
		expect("PackageInstall", "\"package\":\"hello\"", reason);
		answer_has("\"exit_code\":100");
	}
	play("*install -- hello", 7, "something of its own\n");
	expect("PackageInstall", "\"package\":\"hello\"", "exit code 7");
	answer_has("something of its own");
	play("*dpkg-query -W*", 2, "half an answer");
	ask("PackageList", "");
	assert_null(strstr(answer(), "half an answer"));
	play("*install -- hello", 100, "E: Unable to locate package hello\n")->timed_out = true;
	expect("PackageInstall", "\"package\":\"hello\"", "COMMAND_TIMEOUT");
}

static void a_guest_without_what_is_needed_says_so(void **state)
{
	(void)state;
	installed = ";apt-get;";
	expect("PackageList", "", "this guest has no dpkg-query");
	installed = "";
	expect("PackageList", "", "\"reason\":\"no_package_manager\"");
	expect("PackageInstall", "\"package\":\"hello\"", "UNSUPPORTED_PLATFORM");
}

/* --------------------------------------------------------------------------------------------------------- updates */

static void updates_are_told_under_all_their_names(void **state)
{
	static const char *const names[] = { "CheckLinuxUpdates", "GetPendingLinuxUpdates", "GetAvailableUpdates",
					     "GetPendingUpdates" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		expect(names[i], "",
		       "\"security_updates_count\":1,\"total_pending_count\":2,\"last_check\":\"2023-11-14T19:26:40");
		answer_has("{\"package_name\":\"bash\",\"current_version\":\"5.2-1\",\"available_version\":\"5.2-2\"");
		answer_has("\"is_security\":true,\"size_kb\":1465,\"architecture\":\"amd64\"}");
		answer_has("\"reboot_required\":true");
		assert_null(strstr(answer(), "libnew"));
		answer_has("\"warnings\":[]");
	}
	answer_has("\"summary\":{\"total_applications\":3,\"updates_available\":2,\"security_updates\":1");
	answer_has("\"can_update\":true");
	expect("GetSecurityUpdates", "", "\"total_pending_count\":1");
	assert_null(strstr(answer(), "2.10-4"));
	expect("GetLinuxSecurityUpdates", "", "\"total_pending_count\":1");
}

static void the_history_is_told_newest_first(void **state)
{
	(void)state;
	expect("GetUpdateHistory", "\"days\":30",
	       "\"updates\":[{\"title\":\"Remove vi 1.0\",\"install_date\":\"2023-11-13T09:00:00.000Z\",\"status\":"
	       "\"Succeeded\"");
	answer_has("\"title\":\"Install zsh "
		   "5.9\",\"install_date\":\"2023-11-12T09:00:00.000Z\",\"status\":\"Incomplete\"");
	answer_has("\"title\":\"Upgrade bash 5.1-1 to 5.2-1\"");
	answer_has("\"days\":30,\"history_count\":3,\"history_available\":true,\"history_since\":\"2023-11-10");
	expect("GetLinuxUpdateHistory", "\"days\":3", "\"history_count\":2");
	answer_has("\"previous_version\":\"1.0\",\"version\":null");
	answer_has("\"history_truncated\":false");
	expect("GetUpdateHistory", "\"days\":0", "INVALID_PARAMETERS");
	play("*tail -q*", 1, "");
	expect("GetUpdateHistory", "", "\"history_available\":false,\"history_since\":null");
}

static void a_long_history_is_cut_at_its_old_end(void **state)
{
	static char log[32768];

	(void)state;
	*log = '\0';
	for (unsigned i = 0; i < 300; i++)
		append(log, sizeof(log), "2023-11-10 10:%02u:00 install p%u:amd64 <none> 1.0\n", i / 60, i);
	play("*tail -q*", 0, log);
	expect("GetUpdateHistory", "", "\"updates\":[{\"title\":\"Install p299 1.0\"");
	answer_has("\"truncated\":true,\"total_count\":300");
	assert_null(strstr(answer(), "Install p49 "));
}

static void applications_are_the_installed_packages_with_their_updates(void **state)
{
	(void)state;
	expect("GetInstalledApplicationsWMI", "",
	       "\"name\":\"bash\",\"version\":\"5.2-1\",\"publisher\":\"The "
	       "Makers\",\"status\":\"installed\",\"held\":false,"
	       "\"install_date\":\"2023-11-14T19:26:40.000Z\",\"size_mb\":6.84");
	answer_has("\"install_date\":null");
	answer_has("\"name\":\"zsh\"");
	expect("CheckApplicationUpdates", "",
	       "\"stdout\":\"2 of 3 installed packages have an update (1 of them for security)\\n\"");
	assert_null(strstr(answer(), "\"name\":\"zsh\""));
	expect("GetApplicationDetails", "\"app_id\":\"bash\"",
	       "\"metadata\":{\"description\":\"The shell\",\"section\":\"shells\"");
	answer_has("\"homepage\":\"http://bash\",\"depends\":\"libc6\"");
	expect("CheckSpecificAppUpdates", "\"app_id\":\"hello\"", "\"new_version\":\"2.10-4\"");
	answer_has("\"update_size_bytes\":700");
	expect("CheckSpecificAppUpdates", "\"app_id\":\"absent\"", "\"data\":null");
}

static void the_size_of_an_update_is_told_for_people_too(void **state)
{
	(void)state;
	expect("EstimateUpdateSize", "\"app_id\":\"bash\"",
	       "\"app_id\":\"bash\",\"size_bytes\":1500000,\"size_mb\":1.43,\"formatted_size\":\"1.4 MB\"");
	expect("EstimateUpdateSize", "\"app_id\":\"hello\"", "\"formatted_size\":\"700 B\"");
	expect("EstimateUpdateSize", "\"app_id\":\"zsh\"", "\"size_bytes\":0");
	expect("EstimateUpdateSize", "\"app_id\":\"absent\"", "\"data\":null");
	play("*apt-cache show*", 0, "");
	expect("EstimateUpdateSize", "\"app_id\":\"bash\"",
	       "\"size_bytes\":null,\"size_mb\":null,\"formatted_size\":null");
}

/* ---------------------------------------------------------------------------------------------------- repositories */

/* "" of an error or a warning: there is none. */
static void what_is_known_of_the_repositories_is_a_warning_or_an_error(void **state)
{
	static const struct {
		const char *sources, *lists, *action, *words;
		int exit_code;
		bool fails;
	} cases[] = {
		{ SOURCE SOURCE_2, LISTED, "CheckLinuxUpdates",
		  "no list of these repositories was ever fetched, so nothing is known of updates there: http://two", 0,
		  false },
		{ SOURCE, "", "CheckLinuxUpdates",
		  "no list of these repositories was ever fetched, so nothing is known of updates: http://deb", 0,
		  true },
		{ SOURCE, "", "GetInstalledApplicationsWMI",
		  "no list of these repositories was ever fetched, so nothing is known of updates: http://deb", 0,
		  false },
		{ "", LISTED, "CheckLinuxUpdates", "no repository is configured that has any package", 0, true },
		{ "", LISTED, "GetInstalledApplicationsWMI", "no repository is configured that has any package", 0,
		  false },
		{ "", LISTED, "CheckLinuxUpdates", "which repositories are configured could not be read", 100, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		play("*--print-uris update", cases[i].exit_code, cases[i].sources);
		play("*find /var/lib/apt/lists*", 0, cases[i].lists);
		expect(cases[i].action, "", cases[i].words);
		answer_has(cases[i].fails ? "\"reason\":\"network\"" : "\"warnings\":[\"");
	}
}

static void an_update_tells_what_it_has_changed(void **state)
{
	struct exec_job *job;

	(void)state;
	play("*-q*update", 0, "Hit:1 http://deb.example.org/debian stable InRelease\n");
	play("*--print-uris update", 0, SOURCE);
	assert_null(ask("UpdateSystemSoftware", ""));
	job = job_of("*apt-get -y*dist-upgrade");
	assert_non_null(job);
	play("*dpkg-query -W*", 0,
	     "bash\t5.2-2\tamd64\tinstalled install ok\t7000\t\tshells\tbash\tX\tThe shell\n" LIST_HELLO);
	job_end(job);
	turns();
	answer_has("{\"reboot_required\":true,\"warnings\":[],\"updated\":[\"bash\"]}");
	play("*dpkg-query -W*-- bash", 0, LIST_BASH);
	ask("UpdateSystemSoftware", "\"package\":\"bash\"");
	assert_non_null(job_of("*--only-upgrade install -- bash"));
	assert_true(job_of("*--only-upgrade*")->unit[0]);
}

static void a_refresh_that_reaches_nothing_ends_the_update_and_is_remembered(void **state)
{
	static const char failed[] = "Err:1 http://deb.example.org/debian stable InRelease\n  Could not resolve host\n";

	(void)state;
	play("*-q*update", 100, failed);
	play("*--print-uris update", 0, SOURCE);
	expect("UpdateSystemSoftware", "", "its repositories are out of reach: ");
	answer_has("\"reason\":\"network\"");
	assert_null(job_of("*dist-upgrade"));
	expect("CheckLinuxUpdates", "", "at the last refresh these repositories were out of reach");
	answer_has("\"last_check\":null");
	/* One of two: the update goes on, with a warning. */
	play("*--print-uris update", 0, SOURCE SOURCE_2);
	play("*apt-get -y*dist-upgrade", 0, "");
	expect("UpdateSystemSoftware", "", "so nothing is known of newer versions there");
	answer_has("\"success\":true");
	/* A failure that says nothing of repositories is one. */
	play("*-q*update", 100, "E: something else\n");
	play("*--print-uris update", 0, SOURCE);
	ask("UpdateSystemSoftware", "");
	answer_has("\"success\":false");
}

/* -------------------------------------------------------------------------------------------------- other managers */

static void dnf_asks_its_cache_and_marks_what_is_for_security(void **state)
{
	(void)state;
	installed = ";dnf;rpm;stat;tail;find;grep;";
	play("*rpm -qa*", 0, "bash\t5.2-1\tx86_64\t7000000\t1699990000\tshells\tbash.src\tFedora\tThe shell\n");
	play("*repoquery*", 0,
	     "bash\t5.2-2\tx86_64\tupdates\t1500\t7000\thttp://bash\tThe shell\n"
	     "Other\t1.0\tx86_64\tupdates\t10\t20\t\tnothing alike\n");
	play("*updateinfo*", 0, "FEDORA-1 Important/Sec. bash-5.2-2.x86_64\n");
	play("*repolist*", 0, "repo id   repo name\nupdates   Updates\n");
	play("*repoinfo*", 0, "Repo-id            : updates\nRepo-pkgs          : 10\n");
	expect("GetSecurityUpdates", "", "\"package_manager\":\"dnf\"");
	expect("PackageSearch", "\"query\":\"SHELL\"", "\"name\":\"bash\"");
	assert_null(strstr(answer(), "Other"));
	expect("PackageInstall", "\"package\":\"bash:amd64\"", "INVALID_PARAMETERS");
}

static void apk_goes_without_what_it_cannot_tell(void **state)
{
	(void)state;
	installed = ";apk;stat;";
	play("*apk*", 0, "bash-5.2-r0 x86_64 {bash} (GPL) [installed]\n");
	expect("PackageList", "", "\"source\":\"apk\"");
	expect("GetUpdateHistory", "", "\"history_available\":false");
	expect("CheckLinuxUpdates", "", "\"reboot_required\":null");
}

#define T(function) cmocka_unit_test_setup_teardown(function, begin, actions_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_list_tells_each_package_with_its_state),
		T(a_list_that_is_cut_ends_with_a_whole_line_and_says_so),
		T(a_search_tells_what_is_installed_beside_what_could_be),
		T(the_matches_of_a_search_that_is_too_large_are_counted_while_there_is_time),
		T(a_query_is_words_that_cannot_be_taken_for_options),
		T(an_install_looks_for_the_package_and_runs_detached_by_the_executor),
		T(a_change_of_what_is_not_there_is_not_tried),
		T(a_name_is_one_of_a_package_and_nothing_else),
		T(without_rights_nothing_is_looked_for),
		T(what_the_package_manager_failed_for_has_a_reason),
		T(a_guest_without_what_is_needed_says_so),
		T(updates_are_told_under_all_their_names),
		T(the_history_is_told_newest_first),
		T(a_long_history_is_cut_at_its_old_end),
		T(applications_are_the_installed_packages_with_their_updates),
		T(the_size_of_an_update_is_told_for_people_too),
		T(what_is_known_of_the_repositories_is_a_warning_or_an_error),
		T(an_update_tells_what_it_has_changed),
		T(a_refresh_that_reaches_nothing_ends_the_update_and_is_remembered),
		T(dnf_asks_its_cache_and_marks_what_is_for_security),
		T(apk_goes_without_what_it_cannot_tell),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests_name("package_actions", tests, NULL, NULL);
}
