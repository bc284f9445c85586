/* SPDX-License-Identifier: MIT */
#include "agent/packages/manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

/*
 * Queries use Debug::NoLocking, since a lock would need root and fail while another apt runs. Changes never wait for a
 * lock: they fail at once, and the host may try again. Pattern-Only: a name without a package must not be read as a
 * regular expression ("lib." would match half of the guest); patterns of apt-patterns(7) stay, and no valid name begins
 * like one.
 */
#define APT_ASK "apt-get", "-s", "-q", "-o", "Debug::NoLocking=1", "-o", "APT::Get::Show-User-Simulation-Note=false"
#define APT_DO                                                                                                         \
	"apt-get", "-y", "-q", "-o", "APT::Cmd::Pattern-Only=1", "-o", "DPkg::Lock::Timeout=0", "-o",                  \
		"Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"
#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

/*
 * dnf contacts its repositories only for changes; queries use the system's cache (-C), as dnf(8) describes for other
 * users.
 */
#define DNF_ASK "dnf", "-q", "-C"
#define DNF_DO	"dnf", "-y", "-q", "--setopt=exit_on_lock=True"

static const struct package_manager managers[] = {
	{
		.name = "apt",
		.probe = "apt-get",
		.lists_path = "/var/lib/apt/lists",
		.reboot_path = "/run/reboot-required",
		.history = dpkg_log_parse,
		.lower_case = true,
		.architectures = true,
		.steps = {
			[PACKAGE_LIST] = { .argv = ARGV("dpkg-query", "-W", "-f", DPKG_FORMAT, "--"), .parse = dpkg_list_parse, .also_ok = 1 },
			[PACKAGE_SEARCH] = { .argv = ARGV("apt-cache", "search", "--full", "--"), .parse = apt_records_parse, .form = PACKAGE_FORM_REGEX },
			[PACKAGE_COUNT] = { .argv = ARGV("apt-cache", "search", "--"), .form = PACKAGE_FORM_REGEX },
			[PACKAGE_SHOW] = { .argv = ARGV("apt-cache", "show", "--no-all-versions", "--"), .parse = apt_records_parse, .also_ok = 100 },
			[PACKAGE_PENDING] = { .argv = ARGV(APT_ASK, "dist-upgrade"), .parse = apt_simulation_parse },
			[PACKAGE_FACTS] = { .argv = ARGV("stat", "-c", "%Y %n", "--", "/var/lib/apt/lists", "/run/reboot-required"), .also_ok = 1 },
			[PACKAGE_HISTORY] = { .argv = ARGV("tail", "-q", "-c", "2097152", "--", "/var/log/dpkg.log.1", "/var/log/dpkg.log"), .also_ok = 1 },
			[PACKAGE_INTERRUPTED] = { .argv = ARGV("find", "/var/lib/dpkg/updates", "-maxdepth", "1", "-type", "f", "-name", "[0-9]*") },
			[PACKAGE_EXCLUDES] = { .argv = ARGV("grep", "-rHE", "^path-(exclude|include)", "/etc/dpkg/dpkg.cfg.d", "/etc/dpkg/dpkg.cfg"), .also_ok = 1 },
			[PACKAGE_CHECK] = { .argv = ARGV("apt-get", "-q", "-o", "Debug::NoLocking=1", "check") },
			[PACKAGE_SOURCES] = { .argv = ARGV("apt-get", "-q", "-o", "Debug::NoLocking=1", "--print-uris", "update"), .sources = apt_sources_parse },
			[PACKAGE_LISTS] = { .argv = ARGV("find", "/var/lib/apt/lists", "-maxdepth", "1", "-xtype", "f", "-printf", "%f\\n"), .sources = apt_lists_parse },
			/*
			 * Without Error-Mode the exit code is always 0; versions before 2.1.8 do not know it, and their
			 * output is parsed instead.
			 */
			[PACKAGE_REFRESH] = { .argv = ARGV("apt-get", "-q", "-o", "DPkg::Lock::Timeout=0", "-o", "APT::Update::Error-Mode=any", "update"),
					      .sources = apt_refresh_parse },
			[PACKAGE_INSTALL] = { .argv = ARGV(APT_DO, "install", "--") },
			[PACKAGE_REMOVE] = { .argv = ARGV(APT_DO, "remove", "--") },
			[PACKAGE_UPDATE] = { .argv = ARGV(APT_DO, "--only-upgrade", "install", "--") },
			[PACKAGE_UPDATE_ALL] = { .argv = ARGV(APT_DO, "dist-upgrade") },
			[PACKAGE_VERIFY] = { .argv = ARGV("dpkg", "--verify") },
		},
	},
	{
		.name = "dnf",
		.probe = "dnf",
		.lists_path = "/var/cache/dnf",
		.history = dnf_log_parse,
		.steps = {
			[PACKAGE_LIST] = { .argv = ARGV("rpm", "-qa", "--qf", RPM_FORMAT, "--"), .parse = rpm_list_parse },
			[PACKAGE_SEARCH] = { .argv = ARGV(DNF_ASK, "repoquery", "--latest-limit=1", "--qf", DNF_FORMAT, "--"), .parse = dnf_query_parse,
					     .form = PACKAGE_FORM_GLOB },
			[PACKAGE_SHOW] = { .argv = ARGV(DNF_ASK, "repoquery", "--latest-limit=1", "--qf", DNF_FORMAT, "--"), .parse = dnf_query_parse },
			[PACKAGE_PENDING] = { .argv = ARGV(DNF_ASK, "repoquery", "--upgrades", "--latest-limit=1", "--qf", DNF_FORMAT),
					      .parse = dnf_query_parse },
			[PACKAGE_ADVISORIES] = { .argv = ARGV(DNF_ASK, "updateinfo", "list", "--security"), .parse = dnf_security_parse },
			[PACKAGE_FACTS] = { .argv = ARGV("stat", "-c", "%Y %n", "--", "/var/cache/dnf"), .also_ok = 1 },
			[PACKAGE_HISTORY] = { .argv = ARGV("tail", "-q", "-c", "2097152", "--", "/var/log/dnf.rpm.log.1", "/var/log/dnf.rpm.log"),
					      .also_ok = 1 },
			[PACKAGE_CHECK] = { .argv = ARGV(DNF_ASK, "check") },
			[PACKAGE_SOURCES] = { .argv = ARGV(DNF_ASK, "repolist", "--enabled"), .sources = dnf_sources_parse },
			[PACKAGE_LISTS] = { .argv = ARGV(DNF_ASK, "--setopt=*.skip_if_unavailable=1", "repoinfo", "--enabled"), .sources = dnf_lists_parse },
			/* Not quiet: only then dnf reports that it skipped a repository. */
			[PACKAGE_REFRESH] = { .argv = ARGV("dnf", "-y", "--setopt=exit_on_lock=True", "makecache"), .sources = dnf_refresh_parse },
			[PACKAGE_INSTALL] = { .argv = ARGV(DNF_DO, "install", "--") },
			[PACKAGE_REMOVE] = { .argv = ARGV(DNF_DO, "remove", "--") },
			[PACKAGE_UPDATE] = { .argv = ARGV(DNF_DO, "upgrade", "--") },
			[PACKAGE_UPDATE_ALL] = { .argv = ARGV(DNF_DO, "upgrade") },
			[PACKAGE_VERIFY] = { .argv = ARGV("rpm", "-Va"), .also_ok = 1 },
		},
	},
	{
		.name = "apk",
		.probe = "apk",
		.lists_path = "/var/cache/apk",
		.steps = {
			[PACKAGE_LIST] = { .argv = ARGV("apk", "list", "--installed", "--"), .parse = apk_list_parse },
			[PACKAGE_SEARCH] = { .argv = ARGV("apk", "search", "-v", "-d", "--"), .parse = apk_search_parse },
			[PACKAGE_SHOW] = { .argv = ARGV("apk", "list", "--available", "--"), .parse = apk_list_parse },
			[PACKAGE_PENDING] = { .argv = ARGV("apk", "list", "--upgradable"), .parse = apk_list_parse, .sources = apk_refresh_parse },
			[PACKAGE_FACTS] = { .argv = ARGV("stat", "-c", "%Y %n", "--", "/var/cache/apk"), .also_ok = 1 },
			[PACKAGE_REFRESH] = { .argv = ARGV("apk", "update"), .sources = apk_refresh_parse },
			[PACKAGE_INSTALL] = { .argv = ARGV("apk", "add", "--") },
			[PACKAGE_REMOVE] = { .argv = ARGV("apk", "del", "--") },
			[PACKAGE_UPDATE] = { .argv = ARGV("apk", "add", "--upgrade", "--") },
			[PACKAGE_UPDATE_ALL] = { .argv = ARGV("apk", "upgrade") },
		},
	},
};

const struct package_manager *package_manager_at(size_t index)
{
	return index < ARRAY_SIZE(managers) ? &managers[index] : NULL;
}

/* Whether `text` is an architecture as in ":amd64" behind a dpkg name; "any" and "all" are not. */
static bool is_architecture(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len > 0 && text[len] == '\0' && *text != '-' && text[len - 1] != '-' && strcmp(text, "any") != 0 &&
	       strcmp(text, "all") != 0;
}

/* "~" begins a version for apk and a pattern for apt, and ":" an epoch for rpm: no package has them in its name. */
bool package_manager_takes(const struct package_manager *manager, const char *name)
{
	size_t len = strcspn(name, ":~");

	if (!package_name_valid(name) || len == 0 || name[len - 1] == '-')
		return false;
	if (name[len] && !(manager->architectures && name[len] == ':' && is_architecture(name + len + 1)))
		return false;
	for (; manager->lower_case && *name; name++)
		if ((*name >= 'A' && *name <= 'Z') || *name == '_')
			return false;
	return true;
}

int package_argv(const struct package_command *step, const char *path, const char *const names[], size_t count,
		 const char *argv[PACKAGE_ARGS_MAX])
{
	size_t filled = 0;

	for (; step->argv[filled]; filled++)
		argv[filled] = filled ? step->argv[filled] : path;
	if (count >= PACKAGE_ARGS_MAX - filled)
		return -E2BIG;
	for (size_t i = 0; i < count; i++)
		argv[filled++] = names[i];
	argv[filled] = NULL;
	return 0;
}

int package_word_form(enum package_form form, const char *word, char *out, size_t size)
{
	if (form != PACKAGE_FORM_REGEX)
		return snprintf(out, size, form == PACKAGE_FORM_GLOB ? "*%s*" : "%s", word) < (int)size ? 0 : -E2BIG;
	for (; *word; word++) {
		if (size < 3)
			return -E2BIG;
		if (*word == '+' || *word == '.') {
			*out++ = '\\';
			size--;
		}
		*out++ = *word;
		size--;
	}
	*out = '\0';
	return 0;
}
