/* SPDX-License-Identifier: MIT */
#include "agent/qga/disk_address.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/texts.h"

/* Devices made of devices made of devices. */
#define STACK_MAX  8
#define PLACES_MAX 64

/* The path of the device below /sys, "devices/…"; false when it is gone. */
static bool device_path(int sys_fd, unsigned major, unsigned minor, char out[QGA_SYS_PATH_MAX])
{
	char link[64], target[QGA_SYS_PATH_MAX];
	const char *at;
	ssize_t n;

	snprintf(link, sizeof(link), "dev/block/%u:%u", major, minor);
	n = readlinkat(sys_fd, link, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	at = strstr(target, "devices/");
	snprintf(out, QGA_SYS_PATH_MAX, "%s", at ? at : "");
	return at != NULL;
}

bool qga_disk_name(int sys_fd, unsigned major, unsigned minor, char out[QGA_NAME_MAX])
{
	char path[QGA_SYS_PATH_MAX];
	const char *slash;

	if (!device_path(sys_fd, major, minor, path) || !(slash = strrchr(path, '/')) ||
	    strlen(slash + 1) >= QGA_NAME_MAX)
		return false;
	strcpy(out, slash + 1);
	return true;
}

/* ID_SERIAL of udev's data; else the one that a virtio disk tells. Cut where a line or the room ends. */
static void find_serial(int sys_fd, int root_fd, unsigned major, unsigned minor, char *out, size_t size)
{
	static const char key[] = "\nE:ID_SERIAL=";
	char path[64], text[8192];
	const char *at;

	*out = '\0';
	snprintf(path, sizeof(path), "run/udev/data/b%u:%u", major, minor);
	if (qga_read(root_fd, path, text, sizeof(text)) > 0 && (at = strstr(text, key))) {
		at += sizeof(key) - 1;
		snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
		return;
	}
	snprintf(path, sizeof(path), "dev/block/%u:%u/serial", major, minor);
	if (qga_read(sys_fd, path, text, sizeof(text)) > 0)
		snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
}

static int by_value(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Adds N of each entry "hostN", and goes one level down, into each "ataN". */
static size_t hosts_below(int dir_fd, const char *path, bool deeper, unsigned *hosts, size_t count)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	unsigned number;

	if (!dir) {
		closep(&fd);
		return count;
	}
	while (count < PLACES_MAX && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, "host%u", &number) == 1)
			hosts[count++] = number;
		else if (deeper && sscanf(entry->d_name, "ata%u", &number) == 1)
			count = hosts_below(dirfd(dir), entry->d_name, false, hosts, count);
	}
	closedir(dir);
	return count;
}

/* Which host of its controller the disk is at: what QEMU calls a unit of AHCI, or a bus of IDE. -1: not known. */
static int host_index(int sys_fd, const char *pci_path, unsigned host)
{
	unsigned hosts[PLACES_MAX];
	size_t count = hosts_below(sys_fd, pci_path, true, hosts, 0);

	qsort(hosts, count, sizeof(*hosts), by_value);
	for (size_t i = 0; i < count; i++)
		if (hosts[i] == host)
			return (int)i;
	return -1;
}

/* The name of the driver of the PCI device; "" for none. */
static void find_driver(int sys_fd, const char *pci_path, char *out, size_t size)
{
	char link[QGA_SYS_PATH_MAX], target[QGA_SYS_PATH_MAX];
	const char *slash;
	ssize_t n;

	*out = '\0';
	snprintf(link, sizeof(link), "%.*s/driver", QGA_SYS_PATH_MAX - 8, pci_path);
	n = readlinkat(sys_fd, link, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	slash = strrchr(target, '/');
	slash = slash ? slash + 1 : target;
	snprintf(out, size, "%.*s", (int)size - 1, slash);
}

/* The place on the bus behind a PCI device, by its driver. False: a bus of which hosts have no name. */
static bool place_behind(int sys_fd, const char *pci_path, const struct qga_disk_path *path,
			 struct qga_disk_address *out)
{
	char driver[64];
	int index = path->has_host ? host_index(sys_fd, pci_path, path->host) : -1;

	find_driver(sys_fd, pci_path, driver, sizeof(driver));
	if (strcmp(driver, "nvme") == 0) {
		out->bus_type = "nvme";
	} else if (strcmp(driver, "ahci") == 0 && index >= 0) {
		out->bus_type = "sata";
		out->unit = (unsigned)index;
	} else if (strcmp(driver, "ata_piix") == 0 && index >= 0 && path->has_target) {
		out->bus_type = "ide";
		out->bus = (unsigned)index;
		out->unit = path->target[1];
	} else if (path->virtio && !path->has_target) {
		out->bus_type = "virtio";
	} else if (path->virtio) {
		out->bus_type = "scsi";
		out->bus = path->target[0];
		out->target = path->target[1];
		out->unit = path->target[2];
	} else if (strcmp(driver, "sym53c8xx") == 0 && path->has_target) {
		out->bus_type = "scsi";
		out->unit = path->target[1];
	} else {
		return false;
	}
	return true;
}

static void add_real(int sys_fd, int root_fd, unsigned major, unsigned minor, const char *text,
		     struct qga_disk_addresses *out)
{
	struct qga_disk_address address = { .domain = -1, .pci_bus = -1, .slot = -1, .function = -1 };
	char pci_path[QGA_SYS_PATH_MAX];
	struct qga_disk_path path;

	qga_disk_path_parse(text, &path);
	snprintf(pci_path, sizeof(pci_path), "%.*s", (int)path.pci_len, text);
	if (path.pci && place_behind(sys_fd, pci_path, &path, &address)) {
		address.domain = path.domain;
		address.pci_bus = path.bus;
		address.slot = path.slot;
		address.function = path.function;
	} else if (!path.pci && path.virtio) {
		address.bus_type = "virtio";
	} else {
		return;
	}
	snprintf(address.dev, sizeof(address.dev), "/dev/%.*s", QGA_NAME_MAX - 1, strrchr(text, '/') + 1);
	find_serial(sys_fd, root_fd, major, minor, address.serial, sizeof(address.serial));
	out->rows[out->count++] = address;
}

static void add(int sys_fd, int root_fd, unsigned major, unsigned minor, unsigned depth,
		struct qga_disk_addresses *out);

/* The devices that a virtual one is made of. */
static void add_members(int sys_fd, int root_fd, const char *text, unsigned depth, struct qga_disk_addresses *out)
{
	char path[QGA_SYS_PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%.*s/slaves", QGA_SYS_PATH_MAX - 8, text);
	fd = openat(sys_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		closep(&fd);
		return;
	}
	while (out->count < QGA_ADDRESSES_MAX && (entry = readdir(dir))) {
		char member[NAME_MAX + 8], number[32];
		unsigned major, minor;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(member, sizeof(member), "%s/dev", entry->d_name);
		if (qga_read(dirfd(dir), member, number, sizeof(number)) > 0 &&
		    sscanf(number, "%u:%u", &major, &minor) == 2)
			add(sys_fd, root_fd, major, minor, depth + 1, out);
	}
	closedir(dir);
}

static void add(int sys_fd, int root_fd, unsigned major, unsigned minor, unsigned depth, struct qga_disk_addresses *out)
{
	char text[QGA_SYS_PATH_MAX];

	if (depth >= STACK_MAX || out->count >= QGA_ADDRESSES_MAX || !device_path(sys_fd, major, minor, text))
		return;
	if (strstr(text, "devices/virtual/block/"))
		add_members(sys_fd, root_fd, text, depth, out);
	else
		add_real(sys_fd, root_fd, major, minor, text, out);
}

void qga_disk_addresses_find(int sys_fd, int root_fd, unsigned major, unsigned minor, struct qga_disk_addresses *out)
{
	out->count = 0;
	add(sys_fd, root_fd, major, minor, 0, out);
}

void qga_disk_address_emit(struct sink *out, const char *key, const struct qga_disk_address *address)
{
	sink_object_begin(out, key);
	sink_str(out, "bus-type", address->bus_type);
	sink_uint(out, "bus", address->bus);
	sink_uint(out, "target", address->target);
	sink_uint(out, "unit", address->unit);
	sink_object_begin(out, "pci-controller");
	sink_int(out, "domain", address->domain);
	sink_int(out, "bus", address->pci_bus);
	sink_int(out, "slot", address->slot);
	sink_int(out, "function", address->function);
	sink_object_end(out);
	sink_str(out, "dev", address->dev);
	if (*address->serial)
		sink_str(out, "serial", address->serial);
	sink_object_end(out);
}
