/* SPDX-License-Identifier: MIT */
/*
 * What the kernel tells of the generation id of a virtual machine: since Linux 6.10 a uevent of its device with
 * NEW_VMGENID=1 (drivers/virt/ vmgenid.c), where the machine has such a device. Older kernels only reseed their random
 * numbers, which nobody is told.
 */
#ifndef AGENT_BASE_VMGENID_H
#define AGENT_BASE_VMGENID_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A socket that becomes readable when the kernel sends an event that may be this one: a filter in the kernel keeps back
 * what is no change of a platform device, so that an idle agent is not woken. -errno where there is none to be had.
 */
int vmgenid_open(void);

/* Reads what has come: was there the event, from the kernel itself? */
bool vmgenid_read(int fd);

/* Is this text of NUL-terminated parts that event? */
bool vmgenid_is_new(const char *event, size_t len);

#endif
