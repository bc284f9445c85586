/* SPDX-License-Identifier: MIT */
#include "agent/executor/own_unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define CGROUPS_MAX 8192

static bool ends_with(const char *text, size_t len, const char *end)
{
	return len > strlen(end) && memcmp(text + len - strlen(end), end, strlen(end)) == 0;
}

/* The unit in "/a.slice/a-b.slice/NAME.service/rest": the component behind the last slice. */
static bool unit_of(const char *path, size_t len, char *unit, size_t size)
{
	const char *end = path + len, *part = path;
	size_t part_len = 0;

	for (; part < end; part += part_len) {
		part += *part == '/';
		for (part_len = 0; part + part_len < end && part[part_len] != '/';)
			part_len++;
		if (!ends_with(part, part_len, ".slice"))
			break;
	}
	if (part_len > 0 && *part == '_') { /* systemd's escape of a name that looks like a kernel file */
		part++;
		part_len--;
	}
	if (!ends_with(part, part_len, ".service") || part_len >= size)
		return false;
	memcpy(unit, part, part_len);
	unit[part_len] = '\0';
	return true;
}

/* The unified hierarchy has the line "0::PATH"; systemd's own hierarchy in cgroup v1 has "N:name=systemd:PATH". */
bool own_unit_parse(const char *cgroups, char *unit, size_t size)
{
	static const char named[] = ":name=systemd:";

	for (const char *line = cgroups, *next; *line; line = next) {
		size_t len = strcspn(line, "\n");
		const char *mark = memmem(line, len, named, sizeof(named) - 1);
		const char *path = mark ? mark + sizeof(named) - 1 : strncmp(line, "0::", 3) == 0 ? line + 3 : NULL;

		next = line + len + (line[len] == '\n');
		if (path && unit_of(path, (size_t)(line + len - path), unit, size))
			return true;
	}
	return false;
}

bool own_unit_find(char *unit, size_t size)
{
	_cleanup_(closep) int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	char text[CGROUPS_MAX];
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (len < 0)
		return false;
	text[len] = '\0';
	return own_unit_parse(text, unit, size);
}
