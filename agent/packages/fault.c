/* SPDX-License-Identifier: MIT */
/* What a package manager's output says beside packages: why it failed, what it found changed, when a file was written. */
#include "agent/packages/parse.h"

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

/* Exit code of dnf for "a problem with acquiring or releasing of locks", dnf(8). */
#define DNF_LOCKED 200

/*
 * In this order: apt without root says that it could not lock, too. All under LC_ALL=C.UTF-8, so the words hold; they are those of
 * apt 2.6, dpkg 1.21, dnf 4 and 5 and apk-tools 2.14.
 */
static const struct {
	const char *words;
	enum package_fault fault;
} signs[] = {
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
	{ "don't have enough free space", PACKAGE_FAULT_SPACE },
	{ "No space left on device", PACKAGE_FAULT_SPACE },
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

int64_t stat_time(const char *text, size_t len, const char *path)
{
	struct piece rest = { text, len }, line, word;

	while (line_cut(&rest, &line))
		if (word_cut(&line, &word) && line.len && piece_is((struct piece){ line.at + 1, line.len - 1 }, path))
			return piece_number(word);
	return -1;
}

/*
 * ??5?????? c /etc/debuginfod/elfutils.urls        (dpkg: "c" for a configuration file)
 * S.5....T.  c /etc/ssh/sshd_config                (rpm: also d, g, l, n, r)
 * missing     /usr/lib/node_modules/npm/.npmrc
 */
bool verify_next(const char **text, size_t *len, struct verify_line *ret)
{
	struct piece rest = { *text, *len }, line, flags, word;

	while (line_cut(&rest, &line)) {
		*text = rest.at;
		*len = rest.len;
		if (!word_cut(&line, &flags) || (flags.len != 9 && !piece_is(flags, "missing")))
			continue;
		while (line.len && *line.at == ' ') {
			line.at++;
			line.len--;
		}
		ret->config = false;
		if (line.len > 2 && line.at[1] == ' ' && word_cut(&line, &word)) {
			ret->config = piece_is(word, "c");
			while (line.len && *line.at == ' ') {
				line.at++;
				line.len--;
			}
		}
		if (line.len == 0 || *line.at != '/')
			continue;
		ret->flags = flags.at;
		ret->flags_len = flags.len;
		ret->path = line.at;
		ret->path_len = line.len;
		ret->missing = flags.len == 7;
		return true;
	}
	return false;
}
