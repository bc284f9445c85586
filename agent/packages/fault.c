/* SPDX-License-Identifier: MIT */
/* Parsers of a package manager's other output: why it failed, what its check found, when a file was changed. */
#include "agent/packages/parse.h"

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
