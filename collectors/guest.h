/* SPDX-License-Identifier: MIT */
/* What machine this guest is: by which hypervisor, in which cloud, from which image. */
#ifndef COLLECTORS_GUEST_H
#define COLLECTORS_GUEST_H

#include <stdbool.h>
#include <stddef.h>

#define GUEST_TEXT_MAX 128

/* /sys/class/dmi/id, what everybody may read of it; "" where there is none. */
struct guest_dmi {
	char vendor[GUEST_TEXT_MAX];  /* sys_vendor */
	char product[GUEST_TEXT_MAX]; /* product_name */
	char version[GUEST_TEXT_MAX]; /* product_version */
	char bios_vendor[GUEST_TEXT_MAX], bios_version[GUEST_TEXT_MAX];
	char chassis_tag[GUEST_TEXT_MAX]; /* chassis_asset_tag */
};

/* The hypervisor of a signature of CPUID leaf 0x40000000 (12 bytes), or NULL. "kvm", "qemu" (without KVM), … */
const char *hypervisor_of_cpuid(const char signature[12]);

/* The same by the machine's DMI, or NULL. */
const char *hypervisor_of_dmi(const struct guest_dmi *dmi);

/* The cloud by the machine's DMI, by the names of cloud-init: "ec2", "gce", "azure", …; NULL: none that is known. */
const char *cloud_of_dmi(const struct guest_dmi *dmi);

/*
 * True when the text of cloud-init's result.json names an error: "errors" with anything in its list, or no such list at
 * all.
 */
bool cloud_init_failed(const char *text, size_t len);

/* The value of "KEY: value" in the text of /etc/cloud/build.info, NUL-terminated into `out`; false and "": none. */
bool build_info_get(const char *text, size_t len, const char *key, char *out, size_t size);

#endif
