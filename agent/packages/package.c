/* SPDX-License-Identifier: MIT */
#include "agent/packages/package.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#define CHUNK_SIZE 32768

/* Names of the guest's own architecture in dpkg, rpm and apk: that of this program. */
static const char *const own_architectures[] = {
#if defined(__x86_64__)
	"amd64",
	"x86_64",
#elif defined(__i386__)
	"i386", "i486", "i586", "i686", "x86",
#elif defined(__aarch64__)
	"arm64",
	"aarch64",
#elif defined(__arm__)
	"armhf", "armel", "armv7hl", "armv7hnl", "armv7l", "armv7", "armhfp",
#elif defined(__powerpc64__)
	"ppc64el",
	"ppc64le",
	"ppc64",
#elif defined(__s390x__)
	"s390x",
#elif defined(__riscv)
	"riscv64",
#endif
	NULL,
};

struct package_chunk {
	struct package_chunk *next;
	size_t used, size;
	char text[];
};

void package_list_done(struct package_list *list)
{
	while (list->chunks) {
		struct package_chunk *chunk = list->chunks;

		list->chunks = chunk->next;
		free(chunk);
	}
	free(list->rows);
	*list = (struct package_list){ .rows = NULL };
}

struct package *package_list_add(struct package_list *list)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 256;
		struct package *rows =
			list->count < PACKAGES_MAX ? reallocarray(list->rows, room, sizeof(*rows)) : NULL;

		if (!rows) {
			list->truncated = true;
			return NULL;
		}
		list->rows = rows;
		list->room = room;
	}
	list->rows[list->count] = (struct package){ .installed_kb = -1, .download_bytes = -1, .installed_s = -1 };
	return &list->rows[list->count++];
}

const char *package_list_text(struct package_list *list, const char *bytes, size_t len)
{
	struct package_chunk *chunk = list->chunks;
	char *copy;

	if (len == 0)
		return NULL;
	if (!chunk || chunk->size - chunk->used < len + 1) {
		size_t size = len + 1 > CHUNK_SIZE ? len + 1 : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + size);
		if (!chunk) {
			list->truncated = true;
			return NULL;
		}
		*chunk = (struct package_chunk){ .next = list->chunks, .size = size };
		list->chunks = chunk;
	}
	copy = chunk->text + chunk->used;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	chunk->used += len + 1;
	return copy;
}

static int compare_texts(const char *a, const char *b)
{
	return !a || !b ? !!a - !!b : strcmp(a, b);
}

static int compare(const void *left, const void *right)
{
	const struct package *a = left, *b = right;
	int order = compare_texts(a->name, b->name);

	return order ? order : compare_texts(a->architecture, b->architecture);
}

void package_list_sort(struct package_list *list)
{
	if (list->count)
		qsort(list->rows, list->count, sizeof(*list->rows), compare);
}

/* The index of the first row whose name is not less than `name`. */
static size_t lower_bound(const struct package_list *list, const char *name)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_texts(list->rows[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct package *package_list_find(const struct package_list *list, const char *name, const char *architecture)
{
	for (size_t i = lower_bound(list, name); i < list->count && compare_texts(list->rows[i].name, name) == 0; i++)
		if (!architecture || compare_texts(list->rows[i].architecture, architecture) == 0)
			return &list->rows[i];
	return NULL;
}

/* ------------------------------------------------------------------------------------- across architectures */

static bool is_for_all(const struct package *row)
{
	return row->architecture && (strcmp(row->architecture, "all") == 0 || strcmp(row->architecture, "noarch") == 0);
}

static bool is_own(const struct package *row)
{
	for (const char *const *own = own_architectures; *own; own++)
		if (row->architecture && strcmp(row->architecture, *own) == 0)
			return true;
	return false;
}

/*
 * The row that represents a name in such a change: the one for all architectures, or else the one for the guest's own.
 */
static struct package *representative(const struct package_list *list, const char *name, bool for_all)
{
	struct package *found = NULL;

	for (size_t i = lower_bound(list, name); i < list->count && compare_texts(list->rows[i].name, name) == 0; i++)
		if (is_for_all(&list->rows[i]) == for_all && (!found || (!is_own(found) && is_own(&list->rows[i]))))
			found = &list->rows[i];
	return found;
}

struct package *package_list_counterpart(const struct package_list *list, const struct package_list *of,
					 const struct package *row)
{
	struct package *found = package_list_find(list, row->name, row->architecture);
	bool for_all = is_for_all(row);

	if (found || !row->name || representative(of, row->name, for_all) != row)
		return found;
	found = representative(list, row->name, !for_all);
	return found && !package_list_find(of, found->name, found->architecture) ? found : NULL;
}

void package_history_done(struct package_history *history)
{
	package_list_done(&history->texts);
	free(history->events);
	*history = (struct package_history){ .events = NULL };
}

struct package_event *package_history_add(struct package_history *history)
{
	if (history->count == history->room) {
		size_t room = history->room ? history->room * 2 : 64;
		struct package_event *events =
			history->count < PACKAGES_MAX ? reallocarray(history->events, room, sizeof(*events)) : NULL;

		if (!events)
			return NULL;
		history->events = events;
		history->room = room;
	}
	history->events[history->count] = (struct package_event){ .time_s = -1 };
	return &history->events[history->count++];
}

void package_history_reaches(struct package_history *history, int64_t time_s)
{
	if (time_s < 0 || (history->known && history->oldest_s <= time_s))
		return;
	history->known = true;
	history->oldest_s = time_s;
}

static bool alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool package_name_valid(const char *name)
{
	size_t len = strnlen(name, 129);

	if (len == 0 || len > 128 || !alphanumeric(name[0]) || name[len - 1] == '-')
		return false;
	for (size_t i = 1; i < len; i++)
		if (!alphanumeric(name[i]) && !memchr("+.:~_-", name[i], 6))
			return false;
	return true;
}

size_t package_words(const char *query, char *buffer, size_t size, const char *words[PACKAGE_WORDS_MAX])
{
	size_t count = 0, len = strnlen(query, size);
	char *save = NULL;

	if (len == size)
		return 0;
	memcpy(buffer, query, len + 1);
	for (char *word = strtok_r(buffer, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (count == PACKAGE_WORDS_MAX || !package_name_valid(word))
			return 0;
		words[count++] = word;
	}
	return count;
}

/* --------------------------------------------------------------------------------------------------------- managers */

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
