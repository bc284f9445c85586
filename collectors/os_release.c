/* SPDX-License-Identifier: MIT */
/*
 * os-release(5) and passwd(5), parsed: small text files that an administrator may have written by hand.
 */
#include "host.h"

#include <stdlib.h>

#include <infiniservice/cleanup.h>

#include "procfs.h"

/* What a backslash between double quotes escapes: os-release(5), "shell-compatible variable assignments". */
static bool escapable(char c)
{
	return c == '"' || c == '\\' || c == '$' || c == '`';
}

/* Undoes the quoting of a value; unfinished quotes end with the line. NULs are left out: they would end the copy. */
static void value_unquote(const struct scan *value, char out[HOST_TEXT_MAX])
{
	char quote = '\0';
	size_t len = 0;

	for (const char *at = value->at; at < value->end && len + 1 < HOST_TEXT_MAX; at++) {
		if (*at == '\0')
			continue;
		if (!quote && (*at == '"' || *at == '\'')) {
			quote = *at;
			continue;
		}
		if (quote && *at == quote) {
			quote = '\0';
			continue;
		}
		if (*at == '\\' && quote != '\'' && at + 1 < value->end && (!quote || escapable(at[1])))
			at++;
		else if (!quote && (*at == ' ' || *at == '\t' || *at == '\r'))
			break;
		if (*at != '\0')
			out[len++] = *at;
	}
	out[len] = '\0';
}

bool os_release_parse(const char *text, size_t len, struct os_release *out)
{
	char build_id[HOST_TEXT_MAX] = "";
	const struct {
		const char *name;
		char *value;
	} keys[] = {
		{ "ID", out->id },
		{ "NAME", out->name },
		{ "PRETTY_NAME", out->pretty_name },
		{ "VERSION", out->version },
		{ "VERSION_ID", out->version_id },
		{ "VARIANT", out->variant },
		{ "VARIANT_ID", out->variant_id },
		{ "IMAGE_ID", out->image_id },
		{ "IMAGE_VERSION", out->image_version },
		{ "BUILD_ID", build_id },
	};
	struct scan rest = scan_text(text, len), line, name;

	*out = (struct os_release){ .id = "" };
	scan_key(&rest, "\xef\xbb\xbf");
	while (scan_line(&rest, &line)) {
		scan_blanks(&line);
		if (!scan_until(&line, '=', &name))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (scan_equals(&name, keys[i].name))
				value_unquote(&line, keys[i].value);
	}
	if (!out->version_id[0])
		memcpy(out->version_id, build_id, sizeof(build_id));
	return out->name[0] || out->pretty_name[0] || out->id[0];
}

/*	root:x:0:0:root:/root:/bin/bash; without a shell it is /bin/sh, passwd(5). */
bool passwd_root_shell(const char *text, size_t len, char *out, size_t size)
{
	struct scan rest = scan_text(text, len), line, field;

	while (scan_line(&rest, &line)) {
		bool whole = true;

		if (!scan_key(&line, "root:"))
			continue;
		for (int i = 0; i < 5; i++)
			whole = whole && scan_until(&line, ':', &field);
		if (whole && scan_len(&line) == 0)
			line = scan_text("/bin/sh", sizeof("/bin/sh") - 1);
		if (!whole || scan_len(&line) == 0 || scan_len(&line) >= size || line.at[0] != '/' ||
		    memchr(line.at, '\0', scan_len(&line)))
			return false;
		memcpy(out, line.at, scan_len(&line));
		out[scan_len(&line)] = '\0';
		return true;
	}
	return false;
}
