/* SPDX-License-Identifier: MIT */
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/secret.h"
#include "tools/hub/parse.h"

#define FILE_MAX_BYTES (16U << 20)

struct kept_vm {
	char name[VMNAME_SIZE];
	char generation[VM_GENERATION_SIZE], boot_id[VM_GENERATION_SIZE];
	uint64_t seq;
	bool taken;
	struct gaps gaps;
};

static void take_line(struct keep *keep, const char *line, size_t len)
{
	struct json_object *object = line_parse(line, len), *gaps = json_at(object, "gaps"),
			   *seq = json_at(object, "seq");
	const char *name = json_text_at(object, "vm");
	struct kept_vm *all, vm = { 0 };

	all = *name && strlen(name) < VMNAME_SIZE && keep->read_len < REGISTRY_MAX
		      ? reallocarray(keep->read, keep->read_len + 1, sizeof(*all))
		      : NULL;
	if (all) {
		keep->read = all;
		snprintf(vm.name, sizeof(vm.name), "%s", name);
		snprintf(vm.generation, sizeof(vm.generation), "%s", json_text_at(object, "generation"));
		snprintf(vm.boot_id, sizeof(vm.boot_id), "%s", json_text_at(object, "boot_id"));
		vm.taken = json_object_is_type(seq, json_type_int);
		vm.seq = json_object_get_uint64(seq);
		vm.gaps.last_ms = json_object_get_int64(json_at(object, "time_ms"));
		for (size_t i = 0; json_object_is_type(gaps, json_type_array) && i < json_object_array_length(gaps) &&
				   vm.gaps.len < GAPS_MAX;
		     i++) {
			struct json_object *gap = json_object_array_get_idx(gaps, i);

			vm.gaps.open[vm.gaps.len++] = (struct gap){ json_object_get_int64(json_at(gap, "from_ms")),
								    json_object_get_int64(json_at(gap, "to_ms")) };
		}
		keep->read[keep->read_len++] = vm;
	}
	json_object_put(object);
}

int keep_open(struct keep *keep, const char *folder, struct err *e)
{
	_cleanup_(freep) char *text = NULL;
	size_t len;
	int r;

	*keep = (struct keep){ 0 };
	if ((size_t)snprintf(keep->path, sizeof(keep->path), "%s/" KEEP_FILE, folder) >= sizeof(keep->path)) {
		keep->path[0] = '\0';
		return err_set(e, -ENAMETOOLONG, "%s: too long", folder);
	}
	r = safe_file_read(keep->path, FILE_MAX_BYTES, &text, &len, NULL, e);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		keep->path[0] = '\0';
		return r;
	}
	for (size_t at = 0; at < len;) {
		const char *newline = memchr(text + at, '\n', len - at);

		if (!newline)
			break; /* half a line */
		take_line(keep, text + at, (size_t)(newline - text) - at);
		at = (size_t)(newline - text) + 1;
	}
	return 0;
}

void keep_restore(struct keep *keep, struct vm *vm)
{
	for (size_t i = 0; i < keep->read_len; i++) {
		const struct kept_vm *kept = &keep->read[i];

		if (strcmp(kept->name, vm->name) != 0)
			continue;
		vm->taken = kept->taken;
		vm->taken_seq = kept->seq;
		vm->gaps = kept->gaps;
		memcpy(vm->generation, kept->generation, sizeof(vm->generation));
		memcpy(vm->boot_id, kept->boot_id, sizeof(vm->boot_id));
	}
}

static struct json_object *object_of(const struct vm *vm)
{
	struct json_object *object = json_object_new_object(), *gaps = json_object_new_array();

	json_object_object_add(object, "vm", json_object_new_string(vm->name));
	json_object_object_add(object, "seq", vm->taken ? json_object_new_uint64(vm->taken_seq) : NULL);
	json_object_object_add(object, "time_ms", json_object_new_int64(vm->gaps.last_ms));
	json_object_object_add(object, "boot_id", json_object_new_string(vm->boot_id));
	json_object_object_add(object, "generation", json_object_new_string(vm->generation));
	for (size_t i = 0; i < vm->gaps.len; i++) {
		struct json_object *gap = json_object_new_object();

		json_object_object_add(gap, "from_ms", json_object_new_int64(vm->gaps.open[i].from_ms));
		json_object_object_add(gap, "to_ms", json_object_new_int64(vm->gaps.open[i].to_ms));
		json_object_array_add(gaps, gap);
	}
	json_object_object_add(object, "gaps", gaps);
	return object;
}

static int replace_file(const char *path, const char *text, size_t len)
{
	char temporary[520];
	_cleanup_(closep) int fd = -1;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len || rename(temporary, path) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

int keep_write(struct keep *keep, const struct registry *registry)
{
	_cleanup_(freep) char *text = NULL;
	uint64_t hash = 0xCBF29CE484222325ULL;
	size_t len = 0;
	FILE *file;
	int r;

	if (!*keep->path)
		return 0;
	file = open_memstream(&text, &len);
	if (!file)
		return -ENOMEM;
	for (size_t i = 0; i < registry->len; i++) {
		struct json_object *object = object_of(registry->vms[i]);

		fprintf(file, "%s\n",
			json_object_to_json_string_ext(object,
						       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(object);
	}
	if (fclose(file) != 0)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3ULL;
	if (len == keep->last_len && hash == keep->last_hash)
		return 0;
	r = replace_file(keep->path, text, len);
	if (r == 0) {
		keep->last_len = len;
		keep->last_hash = hash;
	}
	return r;
}

void keep_close(struct keep *keep)
{
	free(keep->read);
	*keep = (struct keep){ 0 };
}
