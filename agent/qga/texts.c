/* SPDX-License-Identifier: MIT */
#include "agent/qga/texts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utmp.h>

#include <infiniservice/cleanup.h>

ssize_t qga_read(int dir_fd, const char *path, char *text, size_t size)
{
	ssize_t n = procfs_read_once(dir_fd, path, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	return n;
}

bool qga_read_number(int dir_fd, const char *path, unsigned base, uint64_t *ret)
{
	char text[32], *end;

	if (qga_read(dir_fd, path, text, sizeof(text)) <= 0)
		return false;
	errno = 0;
	*ret = strtoull(text, &end, (int)base);
	return end != text && errno == 0 && (*end == '\0' || *end == '\n');
}

/* ----------------------------------------------------------------------------------------------------------- users */

static struct qga_user *user_find(struct qga_user *users, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(users[i].name, name) == 0)
			return &users[i];
	return NULL;
}

size_t qga_users_parse(const char *text, size_t len, struct qga_user *out, size_t max)
{
	size_t count = 0;

	for (; len >= sizeof(struct utmp); text += sizeof(struct utmp), len -= sizeof(struct utmp)) {
		struct qga_user user = { .name = "" }, *known;
		struct utmp record;

		memcpy(&record, text, sizeof(record));
		if (record.ut_type != USER_PROCESS || record.ut_user[0] == '\0')
			continue;
		memcpy(user.name, record.ut_user, sizeof(record.ut_user));
		user.login_us = (int64_t)record.ut_tv.tv_sec * 1000000 + record.ut_tv.tv_usec;
		known = user_find(out, count, user.name);
		if (known && user.login_us < known->login_us)
			known->login_us = user.login_us;
		if (!known && count < max)
			out[count++] = user;
	}
	return count;
}

/* ---------------------------------------------------------------------------------------------------------- routes */

static bool hex_u64(struct scan *line, uint64_t *ret)
{
	struct scan field;
	uint64_t value = 0;

	if (!scan_field(line, &field) || scan_len(&field) > 16)
		return false;
	for (; field.at < field.end; field.at++) {
		unsigned char c = (unsigned char)*field.at | 0x20;

		if (*field.at >= '0' && *field.at <= '9')
			value = value << 4 | (unsigned)(*field.at - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (unsigned)(c - 'a' + 10);
		else
			return false;
	}
	*ret = value;
	return true;
}

/* An address of IPv4 as the kernel prints it: the number that its bytes are on this machine. */
static bool address4(struct scan *line, uint8_t out[4])
{
	uint64_t value;
	uint32_t word;

	if (!hex_u64(line, &value) || value > UINT32_MAX)
		return false;
	word = (uint32_t)value;
	memcpy(out, &word, sizeof(word));
	return true;
}

/* An address of IPv6: 32 digits in the order of its bytes. */
static bool address6(struct scan *line, uint8_t out[16])
{
	struct scan field;

	if (!scan_field(line, &field) || scan_len(&field) != 32)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		struct scan digits = { field.at + 2 * (size_t)i, field.at + 2 * (size_t)i + 2 };
		uint64_t value;

		if (!hex_u64(&digits, &value))
			return false;
		out[i] = (uint8_t)value;
	}
	return true;
}

static bool name_take(struct scan *line, char *out, size_t size)
{
	struct scan field;

	if (!scan_field(line, &field) || scan_len(&field) >= size)
		return false;
	memcpy(out, field.at, scan_len(&field));
	out[scan_len(&field)] = '\0';
	return true;
}

/*	Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT */
int qga_route_parse(struct scan line, struct qga_route *out)
{
	struct qga_route route = { .ipv6 = false };

	if (!name_take(&line, route.iface, sizeof(route.iface)) || !address4(&line, route.destination) ||
	    !address4(&line, route.gateway) || !hex_u64(&line, &route.flags) || !scan_u64(&line, &route.refcnt) ||
	    !scan_u64(&line, &route.use) || !scan_u64(&line, &route.metric) || !address4(&line, route.mask) ||
	    !scan_u64(&line, &route.mtu) || !scan_u64(&line, &route.window) || !scan_u64(&line, &route.irtt))
		return -EBADMSG;
	*out = route;
	return 0;
}

/*	destination prefix source prefix next_hop metric refcnt use flags iface; numbers are hexadecimal */
int qga_route6_parse(struct scan line, struct qga_route *out)
{
	struct qga_route route = { .ipv6 = true };
	uint64_t prefix, source_prefix;

	if (!address6(&line, route.destination) || !hex_u64(&line, &prefix) || !address6(&line, route.source) ||
	    !hex_u64(&line, &source_prefix) || !address6(&line, route.gateway) || !hex_u64(&line, &route.metric) ||
	    !hex_u64(&line, &route.refcnt) || !hex_u64(&line, &route.use) || !hex_u64(&line, &route.flags) ||
	    !name_take(&line, route.iface, sizeof(route.iface)) || prefix > 128 || source_prefix > 128)
		return -EBADMSG;
	route.prefix = (unsigned)prefix;
	route.source_prefix = (unsigned)source_prefix;
	*out = route;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- diskstats */

/* The numbers of the rest of a line; false where there is anything else. */
static bool numbers(struct scan line, uint64_t *out, unsigned max, unsigned *ret_count)
{
	unsigned count = 0;
	uint64_t value;

	while (scan_u64(&line, &value))
		if (count < max)
			out[count++] = value;
	scan_blanks(&line);
	*ret_count = count;
	return line.at == line.end;
}

int qga_diskstats_parse(struct scan line, struct qga_diskstats *out)
{
	struct qga_diskstats disk = { .count = 0 };
	struct scan field;

	if (!scan_u64(&line, &disk.major) || !scan_u64(&line, &disk.minor) || !scan_field(&line, &disk.name))
		return -EBADMSG;
	while (!numbers(line, disk.columns, QGA_DISK_COLUMNS, &disk.count) || disk.count < 11) {
		if (!scan_field(&line, &field))
			return -EBADMSG;
		disk.name.end = field.end;
	}
	*out = disk;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ processors */

int qga_cpustats_parse(struct scan line, struct qga_cpustats *out)
{
	struct qga_cpustats cpu = { .count = 0 };

	if (!scan_key(&line, "cpu") || line.at == line.end || *line.at == ' ')
		return -ENOENT;
	if (!scan_u64(&line, &cpu.cpu) || !numbers(line, cpu.ticks, QGA_CPU_TIMES, &cpu.count) || cpu.count < 4)
		return -EBADMSG;
	*out = cpu;
	return 0;
}

/* ----------------------------------------------------------------------------------------------------------- disks */

static bool has_host(const char *path, unsigned *ret)
{
	const char *at = strstr(path, "/host");

	return at && sscanf(at, "/host%u/", ret) == 1;
}

void qga_disk_path_parse(const char *path, struct qga_disk_path *out)
{
	const char *at = strstr(path, "devices/pci"), *target = strstr(path, "/target");
	unsigned ignored;

	*out = (struct qga_disk_path){ .virtual = strstr(path, "devices/virtual/block/") != NULL,
				       .virtio = strstr(path, "/virtio") != NULL };
	out->has_host = has_host(path, &out->host);
	out->has_target = target && sscanf(target, "/target%u:%u:%u/%u:%u:%u:%u", &ignored, &ignored, &ignored,
					   &ignored, &out->target[0], &out->target[1], &out->target[2]) == 7;
	/* The root of the bus, then a bridge or device after the other. */
	for (at = at ? strchr(at + strlen("devices/"), '/') : NULL; at; at = strchr(at + 1, '/')) {
		int len = 0;

		if (sscanf(at, "/%x:%x:%x.%x%n", &out->domain, &out->bus, &out->slot, &out->function, &len) != 4 ||
		    (at[len] != '/' && at[len] != '\0'))
			break;
		out->pci = true;
		out->pci_len = (size_t)(at - path) + (size_t)len;
	}
}
