/* SPDX-License-Identifier: MIT */
/*
 * Where a block device sits in the machine, as hosts look for it in their own description of the VM: its bus, its place
 * there, and the PCI device that leads to it. A device made of others (device-mapper, md) has the addresses of all of
 * them. Read from sysfs, relative to its descriptor; the serial also from udev's data below the root's.
 */
#ifndef AGENT_QGA_DISK_ADDRESS_H
#define AGENT_QGA_DISK_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

#define QGA_NAME_MAX	  64
#define QGA_SYS_PATH_MAX  1024 /* of a path below /sys; a longer one is not found */
#define QGA_ADDRESSES_MAX 16   /* of one device: a larger array names its first ones */

struct qga_disk_address {
	const char *bus_type; /* "virtio", "scsi", "sata", "ide", "nvme" */
	unsigned bus, target, unit;
	int64_t domain, pci_bus, slot, function; /* -1: not behind PCI */
	char dev[QGA_NAME_MAX + 5];		 /* "/dev/vda1" */
	char serial[128];			 /* "": none is known */
};

struct qga_disk_addresses {
	struct qga_disk_address rows[QGA_ADDRESSES_MAX];
	size_t count;
};

/* Finds the addresses of the device `major`:`minor`; none where the machine's buses do not tell. */
void qga_disk_addresses_find(int sys_fd, int root_fd, unsigned major, unsigned minor, struct qga_disk_addresses *out);

/* The kernel's name of a block device ("vda1"). False: it is gone. */
bool qga_disk_name(int sys_fd, unsigned major, unsigned minor, char out[QGA_NAME_MAX]);

/* Writes one, as an item or under `key`. */
void qga_disk_address_emit(struct sink *out, const char *key, const struct qga_disk_address *address);

#endif
