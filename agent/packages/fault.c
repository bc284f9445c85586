/* SPDX-License-Identifier: MIT */
/*
 * Parsers of a package manager's other output: why it failed, what its check found, when a file was changed, and what
 * it tells of its repositories.
 */
#include "agent/packages/package.h"

#include <stdio.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

/* Exit code of dnf for "a problem with acquiring or releasing of locks", dnf(8). */
#define DNF_LOCKED 200

/*
 * The order matters: apt without root reports a failed lock too. The texts are stable under LC_ALL=C.UTF-8; they are
 * those of apt 2.6, dpkg 1.21, dnf 4 and 5 and apk-tools 2.14.
 */
static const struct {
	const char *words;
	enum package_fault fault;
} signs[] = {
	{ "dpkg was interrupted", PACKAGE_FAULT_INTERRUPTED },
	{ "are you root?", PACKAGE_FAULT_PERMISSION },
	{ "requires superuser privilege", PACKAGE_FAULT_PERMISSION },
	{ "has to be run with superuser privileges", PACKAGE_FAULT_PERMISSION },
	{ "Unable to lock database: Permission denied", PACKAGE_FAULT_PERMISSION },
	{ "Could not get lock", PACKAGE_FAULT_LOCKED },
	{ "Unable to acquire the dpkg frontend lock", PACKAGE_FAULT_LOCKED },
	{ "lock was locked by another process", PACKAGE_FAULT_LOCKED },
	{ "is locked by another process", PACKAGE_FAULT_LOCKED },
	{ "Unable to lock database", PACKAGE_FAULT_LOCKED },
	{ "Unable to locate package", PACKAGE_FAULT_NOT_FOUND },
	{ "has no installation candidate", PACKAGE_FAULT_NOT_FOUND },
	{ "No match for argument", PACKAGE_FAULT_NOT_FOUND },
	{ "Unable to find a match", PACKAGE_FAULT_NOT_FOUND },
	{ "(no such package)", PACKAGE_FAULT_NOT_FOUND },
	{ "unable to select packages", PACKAGE_FAULT_DEPENDENCIES },
	{ "don't have enough free space", PACKAGE_FAULT_SPACE },
	{ "No space left on device", PACKAGE_FAULT_SPACE },
	{ "more space needed on the", PACKAGE_FAULT_SPACE },
	{ "more space on the", PACKAGE_FAULT_SPACE },
	{ "Disk quota exceeded", PACKAGE_FAULT_SPACE },
	{ "Read-only file system", PACKAGE_FAULT_READ_ONLY },
	{ "Unable to parse package file", PACKAGE_FAULT_DATABASE },
	{ "The package cache file is corrupted", PACKAGE_FAULT_DATABASE },
	{ "error: parsing file '/var/lib/dpkg/", PACKAGE_FAULT_DATABASE },
	{ "database disk image is malformed", PACKAGE_FAULT_DATABASE },
	{ "cannot open Packages database", PACKAGE_FAULT_DATABASE },
	{ "error: rpmdb", PACKAGE_FAULT_DATABASE },
	{ "Unable to read database", PACKAGE_FAULT_DATABASE },
	{ "script subprocess returned error", PACKAGE_FAULT_SCRIPT },
	{ "script subprocess was killed", PACKAGE_FAULT_SCRIPT },
	{ "scriptlet failed", PACKAGE_FAULT_SCRIPT },
	{ "script exited with error", PACKAGE_FAULT_SCRIPT },
	{ "unmet dependencies", PACKAGE_FAULT_DEPENDENCIES },
	{ "Unmet dependencies", PACKAGE_FAULT_DEPENDENCIES },
	{ "dependency problems", PACKAGE_FAULT_DEPENDENCIES },
	{ "you have held broken packages", PACKAGE_FAULT_DEPENDENCIES },
	{ "Depsolve Error", PACKAGE_FAULT_DEPENDENCIES },
	{ "nothing provides", PACKAGE_FAULT_DEPENDENCIES },
	{ "conflicting requests", PACKAGE_FAULT_DEPENDENCIES },
	{ "Held packages were changed", PACKAGE_FAULT_PROTECTED },
	{ "Essential packages were removed", PACKAGE_FAULT_PROTECTED },
	{ "the following protected packages", PACKAGE_FAULT_PROTECTED },
	{ "packages cannot be authenticated", PACKAGE_FAULT_UNTRUSTED },
	{ "unauthenticated packages", PACKAGE_FAULT_UNTRUSTED },
	{ "GPG check FAILED", PACKAGE_FAULT_UNTRUSTED },
	{ "is not signed", PACKAGE_FAULT_UNTRUSTED },
	{ "UNTRUSTED signature", PACKAGE_FAULT_UNTRUSTED },
	{ "Failed to fetch", PACKAGE_FAULT_NETWORK },
	{ "Temporary failure resolving", PACKAGE_FAULT_NETWORK },
	{ "Failed to download metadata", PACKAGE_FAULT_NETWORK },
	{ "Failed to synchronize cache", PACKAGE_FAULT_NETWORK },
	{ "Cache-only enabled but no cache", PACKAGE_FAULT_NETWORK },
	{ "Could not resolve", PACKAGE_FAULT_NETWORK },
	{ "Unable to connect to", PACKAGE_FAULT_NETWORK },
	{ "Unable to fetch some archives", PACKAGE_FAULT_NETWORK },
	{ "Error downloading packages", PACKAGE_FAULT_NETWORK },
	{ "Cannot download", PACKAGE_FAULT_NETWORK },
	{ "There are no enabled repositories", PACKAGE_FAULT_NETWORK },
	{ "does not have a Release file", PACKAGE_FAULT_NETWORK },
	{ "no longer has a Release file", PACKAGE_FAULT_NETWORK },
	{ "network error (check Internet connection", PACKAGE_FAULT_NETWORK },
};

enum package_fault package_fault_of(const char *text, size_t len, int exit_code)
{
	struct piece all = { text, len };

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (piece_has(all, signs[i].words))
			return signs[i].fault;
	return exit_code == DNF_LOCKED ? PACKAGE_FAULT_LOCKED : PACKAGE_FAULT_OTHER;
}

unsigned check_unmet_parse(const char *text, size_t len, char *first, size_t size)
{
	static const char *const signs_of_one[] = { " : Depends:",
						    " : PreDepends:",
						    " : Conflicts:",
						    " : Breaks:",
						    " has missing requires of ",
						    " is a duplicate with ",
						    " has installed conflict " };
	struct piece rest = { text, len }, line, word;
	unsigned unmet = 0;

	*first = '\0';
	while (line_cut(&rest, &line)) {
		bool found = false;

		for (size_t i = 0; i < ARRAY_SIZE(signs_of_one) && !found; i++)
			found = piece_has(line, signs_of_one[i]);
		if (!found || !word_cut(&line, &word))
			continue;
		if (unmet++ == 0)
			snprintf(first, size, "%.*s", (int)(word.len < size ? word.len : size), word.at);
	}
	return unmet;
}

int64_t stat_time(const char *text, size_t len, const char *path)
{
	struct piece rest = { text, len }, line, word;

	while (line_cut(&rest, &line))
		if (word_cut(&line, &word) && line.len && piece_is((struct piece){ line.at + 1, line.len - 1 }, path))
			return piece_number(word);
	return -1;
}

/* ----------------------------------------------------------------------------------------------------- repositories */

size_t package_sources_missing(const struct package_sources *sources)
{
	size_t missing = 0;

	for (size_t i = 0; i < sources->count; i++)
		missing += sources->list[i].missing;
	return missing;
}

void package_sources_name(const struct package_sources *sources, char *out, size_t size)
{
	size_t missing = package_sources_missing(sources), told = 0, len = 0;
	size_t all = missing ? missing + sources->left_out : 0;
	char rest[32];

	*out = '\0';
	for (size_t i = 0; i < sources->count; i++) {
		size_t more = strlen(sources->list[i].name);

		if (!sources->list[i].missing)
			continue;
		if (len + more + sizeof(rest) + 2 > size)
			break;
		len += (size_t)snprintf(out + len, size - len, "%s%s", told ? ", " : "", sources->list[i].name);
		told++;
	}
	if (told < all)
		snprintf(out + len, size - len, "%s%zu%s", told ? " and " : "", all - told,
			 told ? " more" : " of them");
}

void package_sources_succeeded(struct package_sources *sources)
{
	for (size_t i = 0; i < sources->count && !sources->incomplete; i++)
		sources->list[i].missing = false;
}

/*
 * Adds the source, or finds it, by its name without the user and password of "http://user:password@host/path": the name
 * is reported and logged. NULL when the list is full.
 */
static struct package_source *take(struct package_sources *sources, struct piece name, bool missing)
{
	const char *scheme = name.len ? memmem(name.at, name.len, "://", 3) : NULL, *slash, *sign;
	struct piece rest = name;
	char text[PACKAGE_SOURCE_SIZE];
	struct package_source *source;

	if (scheme)
		piece_skip(&rest, (size_t)(scheme + 3 - name.at));
	slash = rest.len ? memchr(rest.at, '/', rest.len) : NULL;
	sign = scheme && rest.len ? memrchr(rest.at, '@', slash ? (size_t)(slash - rest.at) : rest.len) : NULL;
	if (sign)
		piece_skip(&rest, (size_t)(sign + 1 - rest.at));
	snprintf(text, sizeof(text), "%.*s%.*s", scheme ? (int)(scheme + 3 - name.at) : 0, name.at,
		 (int)(rest.len < sizeof(text) ? rest.len : sizeof(text)), rest.at);
	/* It comes from a file of the guest and may be shown on a terminal: control characters are replaced. */
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	for (size_t i = 0; i < sources->count; i++) {
		if (strcmp(sources->list[i].name, text) != 0)
			continue;
		sources->list[i].missing = sources->list[i].missing || missing;
		return &sources->list[i];
	}
	if (sources->count == PACKAGE_SOURCES_MAX) {
		sources->left_out++;
		return NULL;
	}
	source = &sources->list[sources->count++];
	*source = (struct package_source){ .missing = missing };
	memcpy(source->name, text, sizeof(text));
	return source;
}

/* The text between two quotes that follows `words`; false if the line has none. */
static bool quoted_behind(struct piece line, const char *words, char quote, struct piece *ret)
{
	const char *at = line.len ? memmem(line.at, line.len, words, strlen(words)) : NULL;
	struct piece rest;

	if (!at)
		return false;
	rest.at = at + strlen(words);
	rest.len = line.len - (size_t)(rest.at - line.at);
	return rest.len > 1 && *rest.at == quote && memchr(rest.at + 1, quote, rest.len - 1) &&
	       piece_cut(&rest, quote, ret) && piece_cut(&rest, quote, ret);
}

/* The source "http://deb.debian.org/debian bookworm" in the words of the line. */
static bool source_of(struct piece line, struct piece *ret)
{
	struct piece url, suite;
	const char *slash;

	if (!word_cut(&line, &url) || !word_cut(&line, &suite))
		return false;
	slash = memchr(suite.at, '/', suite.len);
	/* "bookworm/main" is a component of "bookworm"; "./" is a source without components. */
	if (slash && slash > suite.at && *suite.at != '.' && suite.at[suite.len - 1] != '/')
		suite.len = (size_t)(slash - suite.at);
	*ret = (struct piece){ url.at, (size_t)(suite.at + suite.len - url.at) };
	return true;
}

/*
 * Parses the beginning of an item's line such as "Err:3 http://…": whether the attempt failed, and the item's number.
 */
static bool item_of(struct piece word, bool *ret_failed, uint64_t *ret_number)
{
	static const char *const words[] = { "Err:", "Hit:", "Get:", "Ign:" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!piece_starts(word, words[i]))
			continue;
		*ret_failed = i == 0;
		*ret_number = 0;
		for (size_t at = 4; at < word.len && at < 20 && word.at[at] >= '0' && word.at[at] <= '9'; at++)
			*ret_number = *ret_number * 10 + (uint64_t)(word.at[at] - '0');
		return true;
	}
	return false;
}

/*
 * Hit:1 http://deb.debian.org/debian bookworm InRelease
 * Err:3 http://127.0.0.1:9/debian bookworm InRelease
 * E: The repository 'file:/srv/x ./ Release' is not signed.
 *
 * For a file: repository each possible form of a list is tried, and missing ones are "Err:", followed by "Get:" of the
 * next form or "Ign:" of the last: only the last attempt for an item counts. `items` are those whose last one failed;
 * an item is the number behind "Err:" and belongs to one source.
 */
void apt_refresh_parse(const char *text, size_t len, struct package_sources *sources)
{
	struct piece all = { text, len }, line, word, name;
	struct {
		struct {
			uint64_t number;
			struct package_source *source;
		} list[64];
		size_t count;
	} items = { .count = 0 };
	struct package_source *source;
	uint64_t number;
	size_t kept;
	bool failed;

	while (line_cut(&all, &line)) {
		struct piece rest = line;

		/* "W: The repository … is not signed" says no such thing: it is permitted, and its lists were fetched.
		 */
		if (piece_starts(line, "E: ") || piece_starts(line, "W: Failed to fetch ") ||
		    piece_starts(line, "W: Some index files failed to download"))
			sources->incomplete = true;
		if (piece_starts(line, "E: ") && quoted_behind(line, "The repository ", '\'', &word) &&
		    source_of(word, &name)) {
			take(sources, name, true);
			continue;
		}
		if (!word_cut(&rest, &word) || !item_of(word, &failed, &number) || !source_of(rest, &name))
			continue;
		source = take(sources, name, false);
		for (size_t i = kept = 0; i < items.count; i++)
			if (items.list[i].number != number || items.list[i].source != source)
				items.list[kept++] = items.list[i];
		items.count = kept;
		if (!failed || !source)
			continue;
		if (items.count == ARRAY_SIZE(items.list)) {
			source->missing = true; /* beyond the size of the list an item counts as failed at once */
			continue;
		}
		items.list[items.count].number = number;
		items.list[items.count++].source = source;
	}
	for (size_t i = 0; i < items.count; i++)
		items.list[i].source->missing = true;
}

/* 'http://deb.debian.org/debian/dists/bookworm/InRelease' deb.debian.org_debian_dists_bookworm_InRelease 0 */
void apt_sources_parse(const char *text, size_t len, struct package_sources *sources)
{
	static const char tail[] = "InRelease";
	struct piece all = { text, len }, line, name, file;

	while (line_cut(&all, &line)) {
		struct package_source *source;

		if (line.len == 0 || *line.at != '\'' || !piece_cut(&line, '\'', &name) ||
		    !piece_cut(&line, '\'', &name) || !word_cut(&line, &file) || file.len <= sizeof(tail) ||
		    name.len <= sizeof(tail) ||
		    memcmp(file.at + file.len - (sizeof(tail) - 1), tail, sizeof(tail) - 1) != 0)
			continue;
		name.len -= sizeof(tail); /* the slash, too */
		source = take(sources, name, true);
		if (source && file.len - (sizeof(tail) - 1) < sizeof(source->key))
			snprintf(source->key, sizeof(source->key), "%.*s", (int)(file.len - (sizeof(tail) - 1)),
				 file.at);
	}
}

/*
 * One file name a line, such as deb.debian.org_debian_dists_bookworm_InRelease. A source's key is the common beginning
 * of the names of its lists.
 */
void apt_lists_parse(const char *text, size_t len, struct package_sources *sources)
{
	struct piece all = { text, len }, line;

	while (line_cut(&all, &line)) {
		for (size_t i = 0; i < sources->count; i++)
			if (*sources->list[i].key && piece_starts(line, sources->list[i].key))
				sources->list[i].missing = false;
	}
}

/* Error: Failed to download metadata for repo 'bad': Cannot download repomd.xml (version 5: for repository "bad") */
void dnf_refresh_parse(const char *text, size_t len, struct package_sources *sources)
{
	struct piece all = { text, len }, line, name;

	while (line_cut(&all, &line))
		if (quoted_behind(line, "Failed to download metadata for repo ", '\'', &name) ||
		    quoted_behind(line, "Failed to synchronize cache for repo ", '\'', &name) ||
		    quoted_behind(line, "no cache for ", '\'', &name) ||
		    (piece_has(line, "Failed to download metadata") &&
		     quoted_behind(line, "repository ", '"', &name))) {
			sources->incomplete = true;
			take(sources, name, true);
		}
}

/* The first word of each line after the header "repo id   repo name". */
void dnf_sources_parse(const char *text, size_t len, struct package_sources *sources)
{
	struct piece all = { text, len }, line, name;
	bool begun = false;

	while (line_cut(&all, &line)) {
		if (begun && word_cut(&line, &name))
			take(sources, name, true);
		begun = begun || piece_starts(line, "repo id");
	}
}

/* "Repo-id            : good"; version 5 prints "Repo ID" */
void dnf_lists_parse(const char *text, size_t len, struct package_sources *sources)
{
	struct piece all = { text, len }, line, word;

	while (line_cut(&all, &line)) {
		const char *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
		struct piece rest;

		if (!colon || (!piece_starts(line, "Repo-id") && !piece_starts(line, "Repo ID")))
			continue;
		rest = (struct piece){ colon + 1, line.len - (size_t)(colon + 1 - line.at) };
		if (!word_cut(&rest, &word))
			continue;
		for (size_t i = 0; i < sources->count; i++)
			if (piece_is(word, sources->list[i].name))
				sources->list[i].missing = false;
	}
}

/*
 * For example:
 *
 *	WARNING: fetching https://dl-cdn.alpinelinux.org/alpine/v3.20/main: network error (check Internet …)
 *	WARNING: opening from cache https://dl-cdn.alpinelinux.org/alpine/v3.20/main: No such file or directory
 *	2 unavailable, 0 stale; 0 distinct packages available
 */
void apk_refresh_parse(const char *text, size_t len, struct package_sources *sources)
{
	struct piece all = { text, len }, line, word;

	while (line_cut(&all, &line)) {
		bool warning = piece_starts(line, "WARNING: ") || piece_starts(line, "ERROR: ");

		sources->none = sources->none || piece_starts(line, "0 distinct packages") ||
				piece_has(line, " 0 distinct packages");
		while (warning && word_cut(&line, &word)) {
			if (!piece_has(word, "://") && *word.at != '/')
				continue;
			while (word.len && (word.at[word.len - 1] == ':' || word.at[word.len - 1] == ','))
				word.len--;
			sources->incomplete = true;
			take(sources, word, true);
			break;
		}
	}
}
