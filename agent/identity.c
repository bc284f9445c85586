/* SPDX-License-Identifier: MIT */
/* The VM's identity; see identity.h. */
#include "agent/identity.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

/* Ours alone: the id shown is a hash of machine-id and this, never the machine-id itself (sd_id128_get_machine_app_specific(3)). */
#define APP_ID SD_ID128_MAKE(4d, 1c, 3a, 77, 8e, 5b, 4f, 0c, 9a, 26, d3, 51, 60, be, 17, f8)

/* A line of visible ASCII, lower case, trimmed: UUIDs differ in case between firmware tables and tools. */
static bool take_word(char out[IDENTITY_SIZE], const char *text)
{
	size_t len = 0;

	text += strspn(text, " \t\r\n");
	for (; isgraph((unsigned char)*text) && len < IDENTITY_SIZE - 1; text++)
		out[len++] = (char)tolower((unsigned char)*text);
	out[len] = '\0';
	return len > 0;
}

static bool take_file(char out[IDENTITY_SIZE], const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char text[IDENTITY_SIZE];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return take_word(out, text);
}

/* Firmware without a UUID gives all zeros or all ones: every such VM would be the same one. */
static bool is_placeholder(const char *uuid)
{
	return uuid[strspn(uuid, "0-")] == '\0' || uuid[strspn(uuid, "f-")] == '\0';
}

static bool from_dmi(struct identity *id, const char *runtime_dir)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s/%s", runtime_dir, IDENTITY_COPY);
	return (take_file(id->vm_id, "/sys/class/dmi/id/product_uuid") || take_file(id->vm_id, copy)) &&
	       !is_placeholder(id->vm_id);
}

static bool from_machine_id(struct identity *id)
{
	sd_id128_t hash;

	if (sd_id128_get_machine_app_specific(APP_ID, &hash) < 0)
		return false;
	sd_id128_to_string(hash, id->vm_id);
	return true;
}

static const char *find_vm_id(struct identity *id, const char *configured, const char *runtime_dir)
{
	const char *env = getenv("INFINIBAY_VM_ID");

	if (configured && *configured) {
		snprintf(id->vm_id, sizeof(id->vm_id), "%s", configured);
		return "config";
	}
	if (env && take_word(id->vm_id, env))
		return "environment";
	if (from_dmi(id, runtime_dir))
		return "dmi";
	if (from_machine_id(id))
		return "machine-id";
	id->vm_id[0] = '\0';
	return "none";
}

void identity_find(struct identity *id, const char *configured, const char *runtime_dir)
{
	sd_id128_t boot;

	*id = (struct identity){ 0 };
	id->source = find_vm_id(id, configured, runtime_dir);
	if (sd_id128_get_boot(&boot) == 0)
		sd_id128_to_string(boot, id->boot_id);
}
