/* SPDX-License-Identifier: MIT */
/*
 * From the text of mountinfo to the short list of file systems. The list follows the ids of mounts and parents, not the
 * paths alone: a path tells neither what is hidden under a later mount nor what has to be crossed to reach it.
 */
#include "mountinfo.h"

#include <errno.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>

/* Steps towards the root; the kernel allows no cycles, a made-up text might have them. */
#define DEPTH_MAX 64

/* ------------------------------------------------------------------------------------------------------ parsing */

static bool device_parse(const struct scan *field, uint64_t *ret)
{
	struct scan at = *field;
	uint64_t major, minor;

	if (!scan_digits(&at, &major) || !scan_byte(&at, ':') || !scan_digits(&at, &minor) || at.at != at.end)
		return false;
	if (major > UINT32_MAX || minor > UINT32_MAX)
		return false;
	*ret = major << 32 | minor;
	return true;
}

/*
 *	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 *	 1  2  3    4     5     6          7       8  9    10        11
 * Field 7 is there zero or more times; 8, a single hyphen, ends it. The source (10) may be empty: then two blanks
 * follow the type, as with mount -t tmpfs "" /mnt.
 */
/* True if "ro" is one of the options, which commas part. */
static bool options_read_only(struct scan options)
{
	struct scan option;

	while (scan_until(&options, ',', &option))
		if (scan_equals(&option, "ro"))
			return true;
	return scan_equals(&options, "ro");
}

int mountinfo_parse_line(const char *text, size_t len, struct mountinfo_line *out)
{
	struct scan line = scan_text(text, len), field;
	struct mountinfo_line mount;

	if (!scan_u64(&line, &mount.id) || !scan_u64(&line, &mount.parent))
		return -EBADMSG;
	if (!scan_field(&line, &field) || !device_parse(&field, &mount.device))
		return -EBADMSG;
	if (!scan_field(&line, &mount.root) || !scan_field(&line, &mount.mount_point) || !scan_field(&line, &field))
		return -EBADMSG;
	mount.read_only = options_read_only(field);
	do {
		if (!scan_field(&line, &field))
			return -EBADMSG;
	} while (!scan_equals(&field, "-"));
	if (!scan_field(&line, &mount.type) || !scan_byte(&line, ' '))
		return -EBADMSG;
	if (!scan_until(&line, ' ', &mount.source))
		return -EBADMSG;
	mount.options = scan_text(line.end, 0);
	scan_field(&line, &mount.options);
	mount.super_read_only = options_read_only(mount.options);
	mount.read_only |= mount.super_read_only;
	*out = mount;
	return 0;
}

uint64_t mountinfo_autofs_timeout_s(const struct scan *options)
{
	struct scan rest = *options, option;
	uint64_t seconds;
	bool more = true;

	while (more) {
		more = scan_until(&rest, ',', &option);
		if (!more)
			option = rest;
		if (scan_key(&option, "timeout=") && scan_digits(&option, &seconds) && option.at == option.end)
			return seconds < UINT32_MAX ? seconds : UINT32_MAX;
	}
	return 0;
}

static bool octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The escaped byte at `at` ("\040"), or 0 when there is none. mangle() in fs/seq_file.c writes three digits. */
static unsigned escape_at(const char *at, const char *end)
{
	unsigned byte;

	if (end - at < 4 || at[0] != '\\' || !octal(at[1]) || !octal(at[2]) || !octal(at[3]))
		return 0;
	byte = (unsigned)(at[1] - '0') << 6 | (unsigned)(at[2] - '0') << 3 | (unsigned)(at[3] - '0');
	return byte <= 0xff ? byte : 0;
}

ssize_t mountinfo_unescape(const struct scan *field, char *out, size_t size)
{
	size_t len = 0;

	for (const char *at = field->at; at < field->end;) {
		unsigned byte = escape_at(at, field->end);

		if (len + 1 >= size)
			return -ENAMETOOLONG;
		out[len++] = byte ? (char)byte : *at;
		at += byte ? 4 : 1;
	}
	if (len >= size)
		return -ENAMETOOLONG;
	out[len] = '\0';
	return (ssize_t)len;
}

/* --------------------------------------------------------------------------------------------------------- table */

/* From a 64-bit key to a line, by open addressing. */
struct index {
	struct index_slot {
		uint64_t key;
		struct entry *entry;
	} * slots;
	size_t mask;
};

struct entry {
	struct mountinfo_line line;
	struct entry *parent;
	enum mount_class class;
	bool may_hang; /* by its own type, listed or not: all of FUSE may */
	bool covered;  /* another mount stands on its root */
	bool autofs;
	uint64_t expires_s; /* if autofs */
	bool chosen;
};

struct selection {
	struct entry *entries;
	size_t count, noise, skipped;
	bool truncated;
	struct index ids, devices;
};

static struct index_slot *index_slot(const struct index *index, uint64_t key)
{
	/* Fibonacci hashing: Knuth, The Art of Computer Programming, 6.4. */
	size_t at = (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 17) & index->mask;

	while (index->slots[at].entry && index->slots[at].key != key)
		at = (at + 1) & index->mask;
	return &index->slots[at];
}

/* Never more than half full. */
static int index_init(struct index *index, size_t count)
{
	size_t size = 64;

	while (size < 2 * count)
		size *= 2;
	index->slots = calloc(size, sizeof(*index->slots));
	index->mask = size - 1;
	return index->slots ? 0 : -ENOMEM;
}

static void selection_done(struct selection *selection)
{
	free(selection->entries);
	free(selection->ids.slots);
	free(selection->devices.slots);
}

static size_t lines_count(const char *text, size_t len)
{
	struct scan rest = scan_text(text, len), line;
	size_t count = 0;

	while (count < MOUNTINFO_LINES_MAX && scan_line(&rest, &line))
		count++;
	return count;
}

static bool scan_same(const struct scan *a, const struct scan *b)
{
	return scan_len(a) == scan_len(b) && memcmp(a->at, b->at, scan_len(a)) == 0;
}

static void entry_init(struct entry *entry)
{
	struct scan type = entry->line.type;

	entry->class = mount_classify(&entry->line.type, entry->line.device);
	entry->may_hang = entry->class == MOUNT_PROBED || scan_key(&type, "fuse");
	if (entry->class != MOUNT_IGNORED && mount_is_noise(&entry->line))
		entry->class = MOUNT_NOISE;
	entry->autofs = scan_equals(&entry->line.type, "autofs");
	if (entry->autofs)
		entry->expires_s = mountinfo_autofs_timeout_s(&entry->line.options);
}

static int selection_init(struct selection *selection, const char *text, size_t len)
{
	struct scan rest = scan_text(text, len), line;
	size_t lines = lines_count(text, len);

	selection->entries = calloc(lines ? lines : 1, sizeof(*selection->entries));
	if (!selection->entries || index_init(&selection->ids, lines) < 0 || index_init(&selection->devices, lines) < 0)
		return -ENOMEM;
	while (lines-- > 0 && scan_line(&rest, &line)) {
		struct entry *entry = &selection->entries[selection->count];

		if (mountinfo_parse_line(line.at, scan_len(&line), &entry->line) < 0) {
			selection->skipped++;
			continue;
		}
		entry_init(entry);
		*index_slot(&selection->ids, entry->line.id) =
			(struct index_slot){ .key = entry->line.id, .entry = entry };
		selection->count++;
	}
	selection->truncated = scan_line(&rest, &line);
	return selection->count ? 0 : -EBADMSG;
}

/* A mount on the very mount point of its parent covers it, with all that is mounted further down. */
static void parents_link(struct selection *selection)
{
	for (size_t i = 0; i < selection->count; i++) {
		struct entry *entry = &selection->entries[i];
		struct entry *parent = index_slot(&selection->ids, entry->line.parent)->entry;

		if (!parent || parent == entry)
			continue;
		entry->parent = parent;
		if (scan_same(&entry->line.mount_point, &parent->line.mount_point))
			parent->covered = true;
	}
}

static bool hidden(const struct entry *entry)
{
	if (entry->covered)
		return true;
	for (int depth = 0; entry->parent && depth < DEPTH_MAX; depth++, entry = entry->parent)
		if (entry->parent->covered && !scan_same(&entry->line.mount_point, &entry->parent->line.mount_point))
			return true;
	return false;
}

/* Autofs too: when what it has mounted has just expired, the path has it mounted again, and waits for that. */
static bool behind_probed(const struct entry *entry)
{
	for (int depth = 0; entry->parent && depth < DEPTH_MAX; depth++, entry = entry->parent)
		if (entry->parent->may_hang || entry->parent->autofs)
			return true;
	return false;
}

/* Every look at the path is a use, for each autofs on it: the most patient of them counts. */
static uint64_t expires_s(const struct entry *entry)
{
	uint64_t longest = 0;

	for (int depth = 0; entry->parent && depth < DEPTH_MAX; depth++, entry = entry->parent)
		if (entry->parent->expires_s > longest)
			longest = entry->parent->expires_s;
	return longest;
}

static bool listed_as_root_only(const struct entry *entry)
{
	return entry->class == MOUNT_IGNORED || entry->class == MOUNT_NOISE;
}

static bool at_root(const struct entry *entry)
{
	return scan_equals(&entry->line.mount_point, "/");
}

static bool better(const struct entry *a, const struct entry *b)
{
	bool a_whole = scan_equals(&a->line.root, "/"), b_whole = scan_equals(&b->line.root, "/");

	if (at_root(a) != at_root(b))
		return at_root(a);
	if (a_whole != b_whole)
		return a_whole;
	if (a->line.read_only != b->line.read_only)
		return b->line.read_only;
	return scan_len(&a->line.mount_point) < scan_len(&b->line.mount_point);
}

static void entries_choose(struct selection *selection)
{
	for (size_t i = 0; i < selection->count; i++) {
		struct entry *entry = &selection->entries[i];
		struct index_slot *slot;

		if (listed_as_root_only(entry) && !at_root(entry)) {
			selection->noise += entry->class == MOUNT_NOISE;
			continue;
		}
		if (hidden(entry))
			continue;
		slot = index_slot(&selection->devices, entry->line.device);
		if (slot->entry && !better(entry, slot->entry))
			continue;
		if (slot->entry)
			slot->entry->chosen = false;
		*slot = (struct index_slot){ .key = entry->line.device, .entry = entry };
		entry->chosen = true;
	}
}

/* Unescaping never lengthens, so the raw lengths bound what the arena needs. */
static const char *arena_put(char **arena, const struct scan *field)
{
	char *start = *arena;
	ssize_t len = mountinfo_unescape(field, start, scan_len(field) + 1);

	*arena += len + 1;
	return start;
}

static void mount_fill(struct mount *mount, const struct entry *entry, char **arena)
{
	mount->device_number = entry->line.device;
	mount->id = entry->line.id;
	mount->class = behind_probed(entry) ? MOUNT_PROBED : listed_as_root_only(entry) ? MOUNT_LOCAL : entry->class;
	mount->expires_s = expires_s(entry);
	mount->mount_point = arena_put(arena, &entry->line.mount_point);
	mount->device = arena_put(arena, &entry->line.source);
	mount->type = arena_put(arena, &entry->line.type);
	mount->read_only = entry->line.read_only;
	mount->super_read_only = entry->line.super_read_only;
}

static size_t texts_len(const struct entry *entry)
{
	return scan_len(&entry->line.mount_point) + scan_len(&entry->line.source) + scan_len(&entry->line.type) + 3;
}

static int table_fill(struct mount_table *table, const struct selection *selection)
{
	size_t bytes = 1;
	char *arena;

	table->noise = selection->noise;
	table->skipped = selection->skipped;
	table->truncated = selection->truncated;
	for (size_t i = 0; i < selection->count; i++) {
		if (selection->entries[i].chosen) {
			table->total++;
			bytes += texts_len(&selection->entries[i]);
		}
	}
	table->mounts = calloc(table->total ? table->total : 1, sizeof(*table->mounts));
	arena = table->arena = malloc(bytes);
	if (!table->mounts || !table->arena)
		return -ENOMEM;
	for (int rest = 0; rest < 2; rest++)
		for (size_t i = 0; i < selection->count && table->count < MOUNT_TABLE_MAX; i++)
			if (selection->entries[i].chosen && at_root(&selection->entries[i]) == !rest)
				mount_fill(&table->mounts[table->count++], &selection->entries[i], &arena);
	return 0;
}

int mount_table_build(struct mount_table *out, const char *text, size_t len)
{
	_cleanup_(selection_done) struct selection selection = { 0 };
	struct mount_table table = { 0 };
	int r = selection_init(&selection, text, len);

	if (r < 0)
		return r;
	parents_link(&selection);
	entries_choose(&selection);
	r = table_fill(&table, &selection);
	if (r < 0) {
		mount_table_free(&table);
		return r;
	}
	mount_table_free(out);
	*out = table;
	return 0;
}

void mount_table_free(struct mount_table *table)
{
	free(table->mounts);
	free(table->arena);
	*table = (struct mount_table){ 0 };
}
