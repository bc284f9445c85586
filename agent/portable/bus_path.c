/* SPDX-License-Identifier: MIT */
/* The path of an object that is named after something, as systemd names its units'; see sd_bus_path_encode(3). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-bus.h>

static int is_plain(const char *id, const char *at)
{
	return (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (at > id && *at >= '0' && *at <= '9');
}

int sd_bus_path_encode(const char *prefix, const char *external_id, char **ret_path)
{
	char *path = malloc(strlen(prefix) + 3 * strlen(external_id) + 3), *out;

	if (!path)
		return -ENOMEM;
	out = stpcpy(stpcpy(path, prefix), "/");
	for (const char *at = external_id; *at; at++)
		if (is_plain(external_id, at))
			*out++ = *at;
		else
			out += sprintf(out, "_%02x", (unsigned char)*at);
	if (!*external_id)
		*out++ = '_';
	*out = '\0';
	*ret_path = path;
	return 0;
}
