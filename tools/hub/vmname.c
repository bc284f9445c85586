/* SPDX-License-Identifier: MIT */
#include "vmname.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "transport/printable.h"

#define CHANNEL "org.infinibay.agent"

static size_t without(const char *name, size_t len, const char *suffix)
{
	size_t cut = strlen(suffix);

	return len > cut && !memcmp(name + len - cut, suffix, cut) ? len - cut : len;
}

/* The part of libvirt's "domain-ID-NAME" that is NAME, which may hold any dash itself. */
static void libvirt_name(const char **name, size_t *len)
{
	static const char prefix[] = "domain-";
	size_t at = sizeof(prefix) - 1, digits = 0;

	if (*len <= at || memcmp(*name, prefix, at) != 0)
		return;
	while (at < *len && isdigit((unsigned char)(*name)[at])) {
		at++;
		digits++;
	}
	if (digits == 0 || at + 1 >= *len || (*name)[at] != '-')
		return;
	*name += at + 1;
	*len -= at + 1;
}

int vmname_of_path(const char *path, char out[VMNAME_SIZE])
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = strlen(name);

	if (!strcmp(name, CHANNEL) && slash) {
		const char *start = slash;

		while (start > path && start[-1] != '/')
			start--;
		name = start;
		len = (size_t)(slash - start);
		libvirt_name(&name, &len);
	} else {
		len = without(name, without(name, len, ".sock"), ".socket");
	}
	if (len == 0)
		return -EINVAL;
	if (len >= VMNAME_SIZE)
		return -ENAMETOOLONG;
	memcpy(out, name, len);
	out[printable_clean(out, len)] = '\0';
	return 0;
}

void vmname_uuid(const char *name, char out[UUID_SIZE])
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	out[0] = '\0';
	if (strlen(name) != sizeof(shape) - 1)
		return;
	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == '-' ? name[i] != '-' : !isxdigit((unsigned char)name[i]))
			return;
	for (size_t i = 0; i < sizeof(shape); i++)
		out[i] = (char)tolower((unsigned char)name[i]);
}
