/* SPDX-License-Identifier: MIT */
/* A VM as JSON, for the verbs of infinihost and for the page. Times ending in _ns are CLOCK_MONOTONIC. */
#ifndef HUB_TELL_H
#define HUB_TELL_H

#include <stddef.h>

#include <json-c/json.h>

#include "tools/hub/registry.h"

/* Adds a text (NULL: null), or a number (NAN: null). */
void tell_text(struct json_object *object, const char *key, const char *text);
void tell_number(struct json_object *object, const char *key, double value);

/*
 * The value of a label of a series (`device="a\"b",fstype="ext4"`), without its escapes, cut to size. False: there is
 * no such label, and `out` is "".
 */
bool tell_label(const char *labels, size_t len, const char *name, char *out, size_t size);

/*
 * What is known of all VMs alike: `vm`, `uuid`, `state`, `reason`, `age_s`, `cpu_percent`, `steal_percent`,
 * `memory_percent`, `disk_percent` (the fullest, as df counts it), `pressure_percent` (the most of processors, memory
 * and disks that some task waited for in the last 10 s), `load`, `alerts` (how many of the owner's are on). Null: not
 * known. To be put.
 */
struct json_object *tell_row(const struct vm *vm, uint64_t now_ns);

/* The row and all that the page shows of one VM: its file systems, alerts, events and commands. To be put. */
struct json_object *tell_vm(const struct vm *vm, uint64_t now_ns);

#endif
