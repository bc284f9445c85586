/* SPDX-License-Identifier: MIT */
/* All VMs of the hub, in the order in which they were found. */
#ifndef HUB_REGISTRY_H
#define HUB_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/hub/vm.h"

#define REGISTRY_MAX 10000

struct registry {
	struct vm **vms; /* by serial */
	size_t len, size;
	uint64_t last_serial;
};

/* Takes the VM over, whose serial is registry_serial's. 0, -ENOMEM or -ENOSPC: it is still the caller's. */
int registry_add(struct registry *registry, struct vm *vm);
uint64_t registry_serial(struct registry *registry);
/* Frees it. */
void registry_remove(struct registry *registry, struct vm *vm);
void registry_free(struct registry *registry);

/* NULL: there is none. */
struct vm *registry_by_name(const struct registry *registry, const char *name);
struct vm *registry_by_path(const struct registry *registry, const char *path);
struct vm *registry_by_serial(const struct registry *registry, uint64_t serial);
/* The one with the lowest serial above `after`. */
struct vm *registry_next(const struct registry *registry, uint64_t after);

#endif
