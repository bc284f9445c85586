/* SPDX-License-Identifier: MIT */
/*
 * rpm and dnf. The formats asked for are our own (parse.h), so versions 4 and 5 of dnf say the same; version 4 ends each record
 * with a newline of its own, which leaves empty lines behind.
 */
#include "agent/packages/parse.h"

#include <errno.h>
#include <stdio.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

/* rpm says "(none)" for what a package does not have. */
static const char *text_of(struct package_list *list, struct piece field)
{
	return piece_is(field, "(none)") ? NULL : package_list_text(list, field.at, field.len);
}

static int64_t kib_of(struct piece bytes)
{
	int64_t value = piece_number(bytes);

	return value < 0 ? -1 : (value + 1023) / 1024;
}

/* NAME, EPOCH:VERSION-RELEASE, ARCH, SIZE (bytes), INSTALLTIME, GROUP, SOURCERPM, VENDOR, SUMMARY. */
int rpm_list_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, field[9];

	while (line_cut(&rest, &line)) {
		struct package *package;

		/* keys that signed packages, not packages */
		if (!fields_cut(line, field, ARRAY_SIZE(field)) || !field[0].len || piece_is(field[0], "gpg-pubkey"))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = text_of(list, field[0]);
		package->version = text_of(list, field[1]);
		package->architecture = text_of(list, field[2]);
		package->installed = true;
		package->installed_kb = kib_of(field[3]);
		package->installed_s = piece_number(field[4]);
		package->section = text_of(list, field[5]);
		package->source = text_of(list, field[6]);
		package->publisher = text_of(list, field[7]);
		package->summary = text_of(list, field[8]);
	}
	return list->truncated ? -ENOMEM : 0;
}

/* name, evr, arch, repoid, downloadsize, installsize, url, summary. */
int dnf_query_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, field[8];

	while (line_cut(&rest, &line)) {
		struct package *package;

		if (!fields_cut(line, field, ARRAY_SIZE(field)) || !field[0].len)
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = text_of(list, field[0]);
		package->candidate = text_of(list, field[1]);
		package->architecture = text_of(list, field[2]);
		package->repository = text_of(list, field[3]);
		package->download_bytes = piece_number(field[4]);
		package->installed_kb = kib_of(field[5]);
		package->homepage = text_of(list, field[6]);
		package->summary = text_of(list, field[7]);
	}
	return list->truncated ? -ENOMEM : 0;
}

/* "bash-5.2.26-1.fc39.x86_64": the epoch, "0:" or another, is not part of it. */
static bool names(struct piece word, const struct package *package)
{
	const char *version = package->candidate, *colon;
	char full[512];
	int length;

	if (!package->name || !version || !package->architecture)
		return false;
	colon = strchr(version, ':');
	length = snprintf(full, sizeof(full), "%s-%s.%s", package->name, colon ? colon + 1 : version, package->architecture);
	return length > 0 && (size_t)length == word.len && memcmp(full, word.at, word.len) == 0;
}

/*
 * FEDORA-2024-0a1b2c3d4e Important/Sec. bash-5.2.26-1.fc39.x86_64        (dnf 4)
 * FEDORA-2024-0a1b2c3d4e security Important bash-5.2.26-1.fc39.x86_64 2024-02-01 …        (dnf 5)
 */
int dnf_security_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, word;

	while (line_cut(&rest, &line))
		while (word_cut(&line, &word))
			for (size_t i = 0; i < list->count; i++)
				if (!list->rows[i].security && names(word, &list->rows[i]))
					list->rows[i].security = true;
	return 0;
}
