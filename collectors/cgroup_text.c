/* SPDX-License-Identifier: MIT */
/* The parsers of cgroup.h. */
#include "cgroup.h"

#include <errno.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "procfs.h"

/* ---------------------------------------------------------------------------------------------------------- texts */

uint64_t cgroup_key_parse(const char *text, size_t len, const char *key)
{
	struct scan rest = scan_text(text, len), line, name;
	uint64_t value;

	while (scan_line(&rest, &line))
		if (scan_until(&line, ' ', &name) && scan_equals(&name, key))
			return scan_u64(&line, &value) ? value : CGROUP_ABSENT;
	return CGROUP_ABSENT;
}

int cgroup_cpu_parse(const char *text, size_t len, struct cgroup_cpu *out)
{
	uint64_t usage = cgroup_key_parse(text, len, "usage_usec");

	if (usage == CGROUP_ABSENT)
		return -EBADMSG;
	*out = (struct cgroup_cpu){ usage, cgroup_key_parse(text, len, "throttled_usec") };
	return 0;
}

/* False at an overflow, which no device's count comes near. */
static bool add(uint64_t *sum, uint64_t value)
{
	return !__builtin_add_overflow(*sum, value, sum) && *sum != CGROUP_ABSENT;
}

/*	253:0 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0; a device may stand there alone. */
int cgroup_io_parse(const char *text, size_t len, struct cgroup_io *out)
{
	struct scan rest = scan_text(text, len), line, field;
	struct cgroup_io io = { 0 };

	while (scan_line(&rest, &line)) {
		while (scan_field(&line, &field)) {
			uint64_t *sum = scan_key(&field, "rbytes=")   ? &io.read_bytes
					: scan_key(&field, "wbytes=") ? &io.write_bytes
								      : NULL;
			uint64_t value;

			if (sum && (!scan_u64(&field, &value) || !add(sum, value)))
				return -EBADMSG;
		}
	}
	*out = io;
	return 0;
}

/*
 *	8:0 Read 4096
 *	8:0 Write 8192
 *	…
 *	Total 12288
 */
int cgroup_blkio_parse(const char *text, size_t len, struct cgroup_io *out)
{
	struct scan rest = scan_text(text, len), line, device, kind;
	struct cgroup_io io = { 0 };

	while (scan_line(&rest, &line)) {
		uint64_t *sum, value;

		if (!scan_field(&line, &device) || !scan_field(&line, &kind))
			continue;
		sum = scan_equals(&kind, "Read")    ? &io.read_bytes
		      : scan_equals(&kind, "Write") ? &io.write_bytes
						    : NULL;
		if (sum && (!scan_u64(&line, &value) || !add(sum, value)))
			return -EBADMSG;
	}
	*out = io;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------- names */

const char *cgroup_kind_name(enum cgroup_kind kind)
{
	static const char *const names[] = { [CGROUP_SLICE] = "slice",
					     [CGROUP_SERVICE] = "service",
					     [CGROUP_SCOPE] = "scope",
					     [CGROUP_CONTAINER] = "container",
					     [CGROUP_OTHER] = "other" };

	return names[kind];
}

static bool ends(const struct scan *name, const char *with)
{
	size_t len = strlen(with);

	return scan_len(name) > len && memcmp(name->end - len, with, len) == 0;
}

bool cgroup_is_parent(const char *text)
{
	static const char *const leaves[] = { ".service", ".scope", ".mount", ".socket", ".swap", ".automount" };
	struct scan name = scan_text(text, strlen(text));

	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		if (ends(&name, leaves[i]))
			return false;
	return true;
}

/* 64 hexadecimal digits, as the runtimes number their containers. */
static bool is_number(const struct scan *name)
{
	if (scan_len(name) != 64)
		return false;
	for (const char *at = name->at; at < name->end; at++)
		if (!((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f')))
			return false;
	return true;
}

static void container_set(struct cgroup_owner *out, const char *runtime, const struct scan *id)
{
	size_t len = scan_len(id) < CGROUP_ID_MAX ? scan_len(id) : CGROUP_ID_MAX - 1;

	out->kind = CGROUP_CONTAINER;
	out->runtime = runtime;
	memcpy(out->id, id->at, len);
	out->id[len] = '\0';
}

/* A unit or a directory that the runtime named after itself and the container. */
static bool named_after_runtime(struct scan name, struct cgroup_owner *out)
{
	static const struct {
		const char *prefix, *suffix, *runtime;
		bool number; /* else what is left is a name */
	} known[] = {
		{ "docker-", ".scope", "docker", true },
		{ "libpod-", ".scope", "podman", true },
		{ "cri-containerd-", ".scope", "containerd", true },
		{ "nerdctl-", ".scope", "containerd", true },
		{ "crio-", ".scope", "cri-o", true },
		{ "crio-", "", "cri-o", true },
		{ "libpod-", "", "podman", true },
		{ "lxc.payload.", "", "lxc", false },
		{ "systemd-nspawn@", ".service", "nspawn", false },
		{ "machine-", ".scope", "nspawn", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct scan id = name;

		if (!scan_key(&id, known[i].prefix) || (known[i].suffix[0] && !ends(&id, known[i].suffix)))
			continue;
		id.end -= strlen(known[i].suffix);
		/* Virtual machines of libvirt are machines too, and no containers. */
		if (known[i].number ? !is_number(&id) : scan_len(&id) == 0 || scan_key(&id, "qemu"))
			continue;
		container_set(out, known[i].runtime, &id);
		return true;
	}
	return false;
}

/* A bare number below the runtime's own directory, or below that of a pod. */
static bool numbered_below_runtime(const struct scan *name, const struct scan *parent, struct cgroup_owner *out)
{
	struct scan pod = *parent;

	if (scan_equals(parent, "lxc") && scan_len(name) > 0) {
		container_set(out, "lxc", name);
		return true;
	}
	if (!is_number(name))
		return false;
	if (scan_equals(parent, "docker"))
		container_set(out, "docker", name);
	else if (scan_key(&pod, "pod") || ends(parent, ".slice"))
		container_set(out, "kubernetes", name);
	else
		return false;
	return true;
}

void cgroup_owner_get(const char *path, struct cgroup_owner *out)
{
	struct scan rest = scan_text(path, strlen(path)), name = { path, path }, parent = { path, path }, part;

	*out = (struct cgroup_owner){ .kind = CGROUP_OTHER };
	while (scan_until(&rest, '/', &part)) {
		if (scan_len(&part) == 0)
			continue;
		parent = name;
		name = part;
	}
	if (scan_len(&rest) > 0) {
		parent = name;
		name = rest;
	}
	if (named_after_runtime(name, out) || numbered_below_runtime(&name, &parent, out))
		return;
	out->kind = ends(&name, ".slice")     ? CGROUP_SLICE
		    : ends(&name, ".service") ? CGROUP_SERVICE
		    : ends(&name, ".scope")   ? CGROUP_SCOPE
					      : CGROUP_OTHER;
}
