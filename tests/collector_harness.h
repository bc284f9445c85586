/* SPDX-License-Identifier: MIT */
/*
 * For the tests of collectors: a fixture tree in a temporary directory, a context over it or over the running kernel,
 * and what emit writes as a json-c tree.
 */
#ifndef TESTS_COLLECTOR_HARNESS_H
#define TESTS_COLLECTOR_HARNESS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "transport/json_write.h"

struct harness {
	char root[64]; /* "" when live */
	struct collect_ctx ctx;
	const struct collector *collector;
	void *state;
	char text[1 << 20];
};

static inline int harness_unlink(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status, (void)type, (void)ftw;
	return remove(path);
}

/* Writes a file below the root, its directories first. */
static inline int harness_write(struct harness *h, const char *path, const void *text, size_t len)
{
	char full[512];
	FILE *file;
	int n = snprintf(full, sizeof(full), "%s/%s", h->root, path);

	if (n >= (int)sizeof(full))
		return -ENAMETOOLONG;
	for (char *slash = full + strlen(h->root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "we");
	if (!file)
		return -errno;
	fwrite(text, 1, len, file);
	return fclose(file) == 0 ? 0 : -errno;
}

__attribute__((format(printf, 3, 4))) static inline int harness_printf(struct harness *h, const char *path,
								       const char *format, ...)
{
	char text[8192];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return n < (int)sizeof(text) ? harness_write(h, path, text, (size_t)n) : -E2BIG;
}

/* Removes a file or a whole directory below the root. */
static inline void harness_remove(struct harness *h, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", h->root, path);
	nftw(full, harness_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int harness_fds(struct harness *h, const char *proc, const char *sys, const char *root)
{
	h->ctx.proc_fd = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	h->ctx.sys_fd = open(sys, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	h->ctx.root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return h->ctx.proc_fd < 0 || h->ctx.sys_fd < 0 || h->ctx.root_fd < 0 ? -errno : 0;
}

/* Over an empty fixture with proc/ and sys/, or over the running kernel. */
static inline struct harness *harness_new(const struct collector *collector, bool live)
{
	struct harness *h = calloc(1, sizeof(*h));
	char proc[80], sys[80];

	if (!h)
		return NULL;
	h->collector = collector;
	h->ctx.live = live;
	h->ctx.limits = (struct collect_limits){ .processes_top = 20, .ports_max = 1000, .cgroups_top = 8 };
	h->ctx.now = moment_now();
	if (live)
		return harness_fds(h, "/proc", "/sys", "/") == 0 ? h : NULL;
	strcpy(h->root, "/tmp/collector-XXXXXX");
	if (!mkdtemp(h->root))
		return NULL;
	snprintf(proc, sizeof(proc), "%s/proc", h->root);
	snprintf(sys, sizeof(sys), "%s/sys", h->root);
	if (mkdir(proc, 0755) < 0 || mkdir(sys, 0755) < 0 || harness_fds(h, proc, sys, h->root) < 0)
		return NULL;
	return h;
}

static inline void harness_free(struct harness *h)
{
	if (!h)
		return;
	h->collector->close(h->state);
	close_fd(&h->ctx.proc_fd);
	close_fd(&h->ctx.sys_fd);
	close_fd(&h->ctx.root_fd);
	if (h->root[0])
		nftw(h->root, harness_unlink, 16, FTW_DEPTH | FTW_PHYS);
	free(h);
}

/* Moves the three clocks of the context on. */
static inline void harness_pass(struct harness *h, uint64_t ms)
{
	h->ctx.now.mono_ns += ms * NS_PER_MS;
	h->ctx.now.boot_ns += ms * NS_PER_MS;
	h->ctx.now.wall_ms += (int64_t)ms;
}

/* What emit writes, wrapped in an object; the caller puts it. `cap` bounds the text. NULL when it is no JSON. */
static inline struct json_object *harness_emit_bounded(struct harness *h, size_t cap)
{
	struct json_writer writer;
	const char *text;
	size_t len;

	json_writer_init(&writer, h->text, cap);
	sink_object_begin(&writer.sink, NULL);
	h->collector->emit(h->state, &writer.sink);
	sink_object_end(&writer.sink);
	if (json_writer_finish(&writer, &text, &len) < 0)
		return NULL;
	h->text[len - 1] = '\0';
	return json_tokener_parse(h->text);
}

static inline struct json_object *harness_emit(struct harness *h)
{
	return harness_emit_bounded(h, sizeof(h->text));
}

/* The item of an array whose `key` is the string `value`; NULL when there is none. */
static inline struct json_object *harness_item(struct json_object *array, const char *key, const char *value)
{
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		const char *found = json_object_get_string(json_object_object_get(item, key));

		if (found && strcmp(found, value) == 0)
			return item;
	}
	return NULL;
}

static inline struct json_object *json_at(struct json_object *object, const char *key)
{
	return json_object_object_get(object, key);
}

/* A prober that does at once, in the caller, what the real one does in a child. */
struct direct_prober {
	struct prober prober;
	struct harness *h;
	unsigned processes, sockets; /* requests seen */
	bool denied;		     /* it answers -EACCES */
};

static inline void direct_process(struct direct_prober *direct, const struct probe_request *request)
{
	struct {
		struct probe_process head;
		char text[SINK_CMDLINE_MAX + SINK_PATH_MAX];
	} data = { 0 };
	char path[64], stat[1024] = "", *field;
	ssize_t n, exe;
	int fd;

	snprintf(path, sizeof(path), "%.*s/cmdline", (int)request->arg_len, (const char *)request->arg);
	fd = openat(direct->h->ctx.proc_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, data.text, SINK_CMDLINE_MAX);
	close_fd(&fd);
	snprintf(path, sizeof(path), "%.*s/exe", (int)request->arg_len, (const char *)request->arg);
	exe = readlinkat(direct->h->ctx.proc_fd, path, data.text + n, SINK_PATH_MAX);
	snprintf(path, sizeof(path), "%.*s/stat", (int)request->arg_len, (const char *)request->arg);
	fd = openat(direct->h->ctx.proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, stat, sizeof(stat) - 1) > 0 && (field = strrchr(stat, ')')))
		sscanf(field + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu",
		       &data.head.start_ticks);
	close_fd(&fd);
	data.head.cmdline_len = (uint32_t)n;
	data.head.exe_len = exe < 0 ? 0 : (uint32_t)exe;
	direct->h->collector->probed(direct->h->state,
				     &(struct probe_result){
					     .kind = request->kind,
					     .key = request->key,
					     .data = &data,
					     .data_len = sizeof(data.head) + data.head.cmdline_len + data.head.exe_len,
				     });
}

/* Looks at the fds of this process only. */
static inline void direct_sockets(struct direct_prober *direct, const struct probe_request *request)
{
	struct probe_socket found[64];
	size_t count = 0;
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");

	while (dir && (entry = readdir(dir)) && count < ARRAY_SIZE(found)) {
		char link[64] = "";
		uint64_t inode, wanted;

		if (readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1) < 0 ||
		    sscanf(link, "socket:[%lu]", &inode) != 1)
			continue;
		for (size_t i = 0; i < request->arg_len / sizeof(wanted); i++) {
			memcpy(&wanted, (const char *)request->arg + i * sizeof(wanted), sizeof(wanted));
			if (wanted == inode)
				found[count++] = (struct probe_socket){ .inode = inode, .pid = getpid() };
		}
	}
	if (dir)
		closedir(dir);
	direct->h->collector->probed(direct->h->state, &(struct probe_result){
							       .kind = request->kind,
							       .key = request->key,
							       .data = found,
							       .data_len = count * sizeof(found[0]),
						       });
}

static inline int direct_request(struct prober *prober, const struct probe_request *request)
{
	struct direct_prober *direct = container_of(prober, struct direct_prober, prober);

	if (request->kind == PROBE_SOCKETS)
		direct->sockets++;
	else
		direct->processes++;
	if (direct->denied)
		direct->h->collector->probed(
			direct->h->state,
			&(struct probe_result){ .kind = request->kind, .key = request->key, .error = -EACCES });
	else if (request->kind == PROBE_SOCKETS)
		direct_sockets(direct, request);
	else
		direct_process(direct, request);
	return 0;
}

static inline void direct_prober_attach(struct direct_prober *direct, struct harness *h)
{
	*direct = (struct direct_prober){ .prober = { .request = direct_request }, .h = h };
	h->ctx.prober = &direct->prober;
}

#endif
