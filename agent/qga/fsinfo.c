/* SPDX-License-Identifier: MIT */
/*
 * get-fsinfo: the mounts of block devices as PID 1 sees them, with their place in the machine. How full each is says
 * the prober, since statvfs(2) may hang; what has not answered in time is shown without it.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/disk_address.h"
#include "agent/qga/table.h"
#include "agent/qga/texts.h"
#include "collectors/mountinfo.h"

#define MOUNTS_MAX 512
/* Hosts give up after a second. */
#define ANSWER_NS (700 * NS_PER_MS)

struct mounted {
	char name[QGA_NAME_MAX];
	unsigned major, minor;
	char *mount_point, *type; /* own */
	size_t asked;		  /* the row whose answer is this one's too: the first of the same device */
	bool known;
	struct probe_statvfs room;
};

struct fsinfo {
	struct qga_call *call;
	struct mounted *rows;
	size_t count, outstanding;
	struct prober *prober;
	struct deadline late;
};

static void emit_room(struct sink *out, const struct probe_statvfs *room)
{
	uint64_t used = room->blocks - room->bfree;

	/* As df counts it: what only root may use is part of neither. */
	sink_uint(out, "used-bytes", used * room->block_size);
	sink_uint(out, "total-bytes", (used + room->bavail) * room->block_size);
	sink_uint(out, "total-bytes-privileged", room->blocks * room->block_size);
}

static void emit_mounted(struct sink *out, const struct fsinfo *info, const struct mounted *mounted,
			 struct qga_disk_addresses *addresses)
{
	const struct qga_env *env = info->call->env;
	const struct mounted *asked = &info->rows[mounted->asked];

	qga_disk_addresses_find(env->sys_fd, env->root_fd, mounted->major, mounted->minor, addresses);
	sink_object_begin(out, NULL);
	sink_str(out, "name", mounted->name);
	sink_text(out, "mountpoint", mounted->mount_point, strlen(mounted->mount_point), SINK_CMDLINE_MAX);
	sink_str(out, "type", mounted->type);
	if (asked->known)
		emit_room(out, &asked->room);
	sink_array_begin(out, "disk");
	for (size_t i = 0; i < addresses->count; i++)
		qga_disk_address_emit(out, NULL, &addresses->rows[i]);
	sink_array_end(out);
	sink_object_end(out);
}

static void emit_fsinfo(struct sink *out, const char *key, const void *arg)
{
	const struct fsinfo *info = arg;
	struct qga_disk_addresses *addresses = malloc(sizeof(*addresses));

	sink_array_begin(out, key);
	for (size_t i = 0; addresses && i < info->count; i++)
		emit_mounted(out, info, &info->rows[i], addresses);
	sink_array_end(out);
	free(addresses);
}

static void answer(struct fsinfo *info)
{
	qga_return(info->call, emit_fsinfo, info);
}

static void on_late(void *data)
{
	answer(data);
}

static void on_probed(void *state, const struct probe_result *result)
{
	struct fsinfo *info = state;
	struct mounted *mounted = result->key < info->count ? &info->rows[result->key] : NULL;

	if (!mounted || info->outstanding == 0)
		return;
	if (result->error == 0 && result->data_len == sizeof(mounted->room)) {
		memcpy(&mounted->room, result->data, sizeof(mounted->room));
		mounted->known = true;
	}
	if (--info->outstanding == 0)
		answer(info);
}

/*
 * The device of a mount: the one it names, or for btrfs, whose mounts have numbers of their own, that of its source.
 * False: of no block device.
 */
static bool device_of(const struct mountinfo_line *line, struct mounted *out)
{
	char source[PATH_MAX];
	struct stat st;

	out->major = (unsigned)(line->device >> 32);
	out->minor = (unsigned)line->device;
	if (scan_len(&line->source) == 0 || *line->source.at != '/')
		return false;
	if (out->major != 0)
		return true;
	if (!scan_equals(&line->type, "btrfs") || mountinfo_unescape(&line->source, source, sizeof(source)) < 0 ||
	    stat(source, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	out->major = major(st.st_rdev);
	out->minor = minor(st.st_rdev);
	return true;
}

static char *text_of(const struct scan *field)
{
	char text[PATH_MAX];
	ssize_t n = mountinfo_unescape(field, text, sizeof(text));

	return n < 0 ? NULL : strdup(text);
}

static void take_mount(struct fsinfo *info, const struct mountinfo_line *line)
{
	struct mounted mounted = { .asked = info->count };

	if (!device_of(line, &mounted) ||
	    !qga_disk_name(info->call->env->sys_fd, mounted.major, mounted.minor, mounted.name))
		return;
	mounted.mount_point = text_of(&line->mount_point);
	mounted.type = text_of(&line->type);
	if (!mounted.mount_point || !mounted.type) {
		free(mounted.mount_point);
		free(mounted.type);
		return;
	}
	for (size_t i = 0; i < info->count; i++) {
		if (info->rows[i].major == mounted.major && info->rows[i].minor == mounted.minor) {
			mounted.asked = i;
			break;
		}
	}
	info->rows[info->count++] = mounted;
}

static int mounts_read(struct fsinfo *info)
{
	struct procfs_buffer buffer = { .max = 4u << 20 };
	struct procfs_file file = PROCFS_FILE;
	struct mountinfo_line parsed;
	struct scan text, line;
	int r = procfs_read(&file, info->call->env->proc_fd, "1/mountinfo", &buffer);

	/* What PID 1 sees is hidden where it belongs to another name space of users. */
	if (r < 0) {
		procfs_close(&file);
		file = PROCFS_FILE;
		r = procfs_read(&file, info->call->env->proc_fd, "self/mountinfo", &buffer);
	}
	text = scan_text(buffer.text, r < 0 ? 0 : buffer.len);
	while (info->count < MOUNTS_MAX && scan_line(&text, &line))
		if (mountinfo_parse_line(line.at, scan_len(&line), &parsed) == 0)
			take_mount(info, &parsed);
	procfs_close(&file);
	procfs_buffer_free(&buffer);
	return r;
}

static void ask(struct fsinfo *info)
{
	for (size_t i = 0; info->prober && i < info->count; i++) {
		struct probe_request request = { .kind = PROBE_STATVFS,
						 .key = i,
						 .arg = info->rows[i].mount_point,
						 .arg_len = strlen(info->rows[i].mount_point) };

		if (info->rows[i].asked == i && info->prober->request(info->prober, &request) == 0)
			info->outstanding++;
	}
}

static void run_get_fsinfo(struct qga_call *call)
{
	struct fsinfo *info = calloc(1, sizeof(*info));
	int r = -ENOMEM;

	call->work = info;
	if (info) {
		info->call = call;
		info->rows = calloc(MOUNTS_MAX, sizeof(*info->rows));
		deadline_init(&info->late, call->env->loop, on_late, info);
	}
	if (info && info->rows)
		r = mounts_read(info);
	if (r < 0) {
		qga_fail(call, "the mounts cannot be read: %s", strerror(-r));
		return;
	}
	info->prober = prober_for(call->env->probers, on_probed, info);
	ask(info);
	if (info->outstanding == 0)
		answer(info);
	else
		deadline_after(&info->late, ANSWER_NS);
}

static void drop_fsinfo(struct qga_call *call)
{
	struct fsinfo *info = call->work;

	if (!info)
		return;
	deadline_stop(&info->late);
	prober_drop(call->env->probers, info->prober);
	for (size_t i = 0; info->rows && i < info->count; i++) {
		free(info->rows[i].mount_point);
		free(info->rows[i].type);
	}
	free(info->rows);
	free(info);
}

const struct qga_command qga_command_get_fsinfo = { .name = "guest-get-fsinfo",
						    .run = run_get_fsinfo,
						    .drop = drop_fsinfo };
