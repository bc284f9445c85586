/* SPDX-License-Identifier: MIT */
/*
 * The kernel's announcement of a new VM generation id: since Linux 6.10 a uevent of the device with NEW_VMGENID=1
 * (drivers/virt/vmgenid.c), where the machine has such a device. Older kernels only reseed their random numbers and
 * announce nothing.
 */
#ifndef AGENT_BASE_VMGENID_H
#define AGENT_BASE_VMGENID_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A socket that becomes readable on an event that may be this one: a filter in the kernel drops all events except
 * changes of platform devices, so that an idle agent is not woken. A descriptor or -errno.
 */
int vmgenid_open(void);

/* Reads pending events. True if one was a new generation id, sent by the kernel itself. */
bool vmgenid_read(int fd);

/* Whether a message (NUL-terminated parts) announces a new generation id. */
bool vmgenid_is_new(const char *event, size_t len);

#endif
