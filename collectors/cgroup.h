/* SPDX-License-Identifier: MIT */
/* Control groups: the texts of both versions, parsed, and what a group's path says of it. */
#ifndef COLLECTORS_CGROUP_H
#define COLLECTORS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_ABSENT UINT64_MAX
#define CGROUP_ID_MAX 72 /* of a container: 64 hexadecimal digits, or a name */

/* cpu.stat of version 2, lines "usage_usec 123"; throttled_us is CGROUP_ABSENT without the controller. */
struct cgroup_cpu {
	uint64_t usage_us, throttled_us;
};

/* 0, or -EBADMSG without a usage (*out untouched). */
int cgroup_cpu_parse(const char *text, size_t len, struct cgroup_cpu *out);

/* Bytes, summed over the devices. A group that has not read or written anything has an empty text, and zeros. */
struct cgroup_io {
	uint64_t read_bytes, write_bytes;
};

/* io.stat of version 2: "253:0 rbytes=1459200 wbytes=314773504 rios=192 …". 0, or -EBADMSG (*out untouched). */
int cgroup_io_parse(const char *text, size_t len, struct cgroup_io *out);

/* blkio.throttle.io_service_bytes of version 1: "8:0 Read 4096", …, "Total 4096". 0, or -EBADMSG (*out untouched). */
int cgroup_blkio_parse(const char *text, size_t len, struct cgroup_io *out);

/* The number behind `key` in a text of lines "KEY NUMBER" (memory.events, memory.oom_control); CGROUP_ABSENT: none. */
uint64_t cgroup_key_parse(const char *text, size_t len, const char *key);

enum cgroup_kind { CGROUP_SLICE, CGROUP_SERVICE, CGROUP_SCOPE, CGROUP_CONTAINER, CGROUP_OTHER };

/* "slice", "service", "scope", "container" or "other". */
const char *cgroup_kind_name(enum cgroup_kind kind);

struct cgroup_owner {
	enum cgroup_kind kind;
	const char
		*runtime; /* of a container: "docker", "podman", "containerd", "cri-o", "lxc", "nspawn", "kubernetes" */
	char id[CGROUP_ID_MAX]; /* of a container; else "" */
};

/* By the names that systemd and the runtimes give: `path` as in /proc/PID/cgroup, "/system.slice/docker-….scope". */
void cgroup_owner_get(const char *path, struct cgroup_owner *out);

/* Whether groups below this one are looked at: not those of a unit that is no slice, whose manager divides it. */
bool cgroup_is_parent(const char *name);

#endif
