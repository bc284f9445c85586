/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t registry_serial(struct registry *registry)
{
	return ++registry->last_serial;
}

int registry_add(struct registry *registry, struct vm *vm)
{
	if (registry->len >= REGISTRY_MAX)
		return -ENOSPC;
	if (registry->len == registry->size) {
		size_t size = registry->size ? 2 * registry->size : 64;
		struct vm **vms = reallocarray(registry->vms, size, sizeof(struct vm *));

		if (!vms)
			return -ENOMEM;
		registry->vms = vms;
		registry->size = size;
	}
	registry->vms[registry->len++] = vm;
	return 0;
}

/* The index of the first VM whose serial is above `after`. */
static size_t index_after(const struct registry *registry, uint64_t after)
{
	size_t low = 0, high = registry->len;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (registry->vms[middle]->serial <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void registry_remove(struct registry *registry, struct vm *vm)
{
	size_t at = index_after(registry, vm->serial - 1);

	registry->len--;
	memmove(registry->vms + at, registry->vms + at + 1, (registry->len - at) * sizeof(struct vm *));
	vm_free(vm);
}

void registry_free(struct registry *registry)
{
	while (registry->len > 0)
		registry_remove(registry, registry->vms[registry->len - 1]);
	free(registry->vms);
	registry->vms = NULL;
	registry->size = 0;
}

struct vm *registry_by_name(const struct registry *registry, const char *name)
{
	for (size_t i = 0; i < registry->len; i++)
		if (!strcmp(registry->vms[i]->name, name))
			return registry->vms[i];
	return NULL;
}

struct vm *registry_by_path(const struct registry *registry, const char *path)
{
	for (size_t i = 0; i < registry->len; i++)
		if (!strcmp(registry->vms[i]->channel.path, path))
			return registry->vms[i];
	return NULL;
}

struct vm *registry_next(const struct registry *registry, uint64_t after)
{
	size_t at = index_after(registry, after);

	return at < registry->len ? registry->vms[at] : NULL;
}

struct vm *registry_by_serial(const struct registry *registry, uint64_t serial)
{
	struct vm *vm = serial ? registry_next(registry, serial - 1) : NULL;

	return vm && vm->serial == serial ? vm : NULL;
}
