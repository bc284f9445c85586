/* SPDX-License-Identifier: MIT */
/*
 * apk of Alpine prints "name-version" as one word; the version begins at the last "-" before a digit ("-r1" is part of
 * it).
 */
#include "agent/packages/package.h"

#include <errno.h>

#include "agent/packages/lines.h"

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Splits "py3-foo-1.2.3-r0" into "py3-foo" and "1.2.3-r0". False if there is no version in it. */
static bool split(struct piece word, struct piece *name, struct piece *version)
{
	size_t end = word.len;

	/* the release, "-r" and digits at the end */
	while (end && digit(word.at[end - 1]))
		end--;
	if (end < 2 || word.at[end - 1] != 'r' || word.at[end - 2] != '-')
		end = word.len;
	else
		end -= 2;
	for (size_t i = end; i-- > 1;) {
		if (word.at[i] != '-' || i + 1 >= word.len || !digit(word.at[i + 1]))
			continue;
		*name = (struct piece){ word.at, i };
		*version = (struct piece){ word.at + i + 1, word.len - i - 1 };
		return true;
	}
	return false;
}

/* "[upgradable from: busybox-1.36.1-r1]": the installed version. */
static bool upgrade_from(struct piece rest, struct piece *ret)
{
	static const char mark[] = "[upgradable from: ";
	const char *at = rest.len ? memmem(rest.at, rest.len, mark, sizeof(mark) - 1) : NULL;
	struct piece word, name;

	if (!at)
		return false;
	rest.len -= (size_t)(at + sizeof(mark) - 1 - rest.at);
	rest.at = at + sizeof(mark) - 1;
	return piece_cut(&rest, ']', &word) && split(word, &name, ret);
}

/*
 * musl-1.2.4-r2 x86_64 {musl} (MIT) [installed]
 * busybox-1.36.1-r2 x86_64 {busybox} (GPL-2.0-only) [upgradable from: busybox-1.36.1-r1]
 */
int apk_list_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, word, name, version, before;

	while (line_cut(&rest, &line)) {
		struct package *package;

		if (!word_cut(&line, &word) || !split(word, &name, &version) || !word_cut(&line, &word))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = package_list_text(list, name.at, name.len);
		package->architecture = package_list_text(list, word.at, word.len);
		if (piece_has(line, "[installed]")) {
			package->installed = true;
			package->state = "installed";
			package->version = package_list_text(list, version.at, version.len);
			continue;
		}
		package->candidate = package_list_text(list, version.at, version.len);
		package->installed = upgrade_from(line, &before);
		if (package->installed)
			package->version = package_list_text(list, before.at, before.len);
	}
	return list->truncated ? -ENOMEM : 0;
}

/* nginx-1.24.0-r7 - HTTP and reverse proxy server (stable version) */
int apk_search_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, word, name, version;

	while (line_cut(&rest, &line)) {
		struct package *package;

		if (!word_cut(&line, &word) || !split(word, &name, &version))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = package_list_text(list, name.at, name.len);
		package->candidate = package_list_text(list, version.at, version.len);
		if (piece_starts(line, " - "))
			package->summary = package_list_text(list, line.at + 3, line.len - 3);
	}
	return list->truncated ? -ENOMEM : 0;
}
