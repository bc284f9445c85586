/* SPDX-License-Identifier: MIT */
/* The grammar of unit names; see unit_name.h and systemd.unit(5). */
#include "agent/base/unit_name.h"

#include <ctype.h>
#include <string.h>

#include <infiniservice/cleanup.h>

static const char *const suffixes[] = { ".service", ".socket", ".timer", ".path" };

/* Suffixes of other unit types: such names are complete, and refused. */
static const char *const others[] = { ".target", ".mount", ".automount", ".swap", ".slice", ".scope", ".device" };

const char *unit_name_suffix(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot : "";
}

static bool listed(const char *text, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, list[i]) == 0)
			return true;
	return false;
}

static bool alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* The length of the character at `at`: 4 for an escape, 0 if it is not allowed. */
static size_t character(const char *at)
{
	if (*at == '\\')
		return at[1] == 'x' && isxdigit((unsigned char)at[2]) && isxdigit((unsigned char)at[3]) ? 4 : 0;
	return alphanumeric(*at) || (*at && strchr(":_.@-", *at)) ? 1 : 0;
}

static bool well_formed(const char *name)
{
	if (!alphanumeric(*name) && *name != '_')
		return false;
	while (*name) {
		size_t len = character(name);

		if (!len)
			return false;
		name += len;
	}
	return true;
}

/* "getty@.service": a template without an instance cannot run. */
static bool is_template(const char *name)
{
	const char *at = strchr(name, '@');

	return at && at + 1 == unit_name_suffix(name);
}

bool unit_name_make(const char *name, char out[UNIT_NAME_SIZE])
{
	size_t len = strnlen(name, UNIT_NAME_SIZE);
	const char *add = "";

	if (len >= UNIT_NAME_SIZE || !well_formed(name) || listed(unit_name_suffix(name), others, ARRAY_SIZE(others)))
		return false;
	if (!listed(unit_name_suffix(name), suffixes, ARRAY_SIZE(suffixes)))
		add = ".service";
	if (len + strlen(add) > UNIT_NAME_MAX)
		return false;
	memcpy(out, name, len);
	memcpy(out + len, add, strlen(add) + 1);
	return !is_template(out);
}

bool unit_name_is_power(const char *name)
{
	static const char *const words[] = {
		"poweroff", "reboot",  "halt",	    "kexec",	    "soft-reboot",
		"exit",	    "suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate",
		"shutdown"
	};
	size_t len = strcspn(name, ".");

	if (strcmp(unit_name_suffix(name), ".service") != 0 && strcmp(unit_name_suffix(name), ".target") != 0)
		return false;
	if (strncmp(name, "systemd-", 8) == 0) {
		name += 8;
		len -= 8;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strlen(words[i]) == len && strncmp(words[i], name, len) == 0)
			return true;
	return false;
}
