/* SPDX-License-Identifier: MIT */
/*
 * system: the identity of this guest, its uptime and its load. The host name may change at any time and is read at
 * every collect; the distribution changes with an upgrade and is checked once a minute.
 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"
#include "table.h"

#define RELEASE_CHECK_NS   (60 * NS_PER_S)
#define BOOT_TIME_SLACK_MS 2000
#define RELEASE_MAX	   (64U << 10)
#define PASSWD_MAX	   (1U << 20)

/* ------------------------------------------------------------------------------------------------------ parsing */

/*	0.20 0.18 0.12 1/80 11206 */
unsigned loadavg_scan(const char *text, size_t len, struct host_load *out)
{
	double *const averages[] = { &out->load_1min, &out->load_5min, &out->load_15min };
	struct scan rest = scan_text(text, len), line;

	*out = (struct host_load){ 0 };
	if (!scan_line(&rest, &line))
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(averages); i++)
		if (!scan_decimal(&line, averages[i]))
			return i;
	scan_blanks(&line);
	if (!scan_digits(&line, &out->running) || !scan_byte(&line, '/'))
		return 3;
	return scan_u64(&line, &out->threads) ? 5 : 4;
}

int loadavg_parse(const char *text, size_t len, struct host_load *out)
{
	struct host_load load;

	if (loadavg_scan(text, len, &load) < 5)
		return -EBADMSG;
	*out = load;
	return 0;
}

/* No machine's; in milliseconds it is a whole number still. */
#define UPTIME_MAX 9e12

/*	350735.47 234388.90 */
int uptime_parse(const char *text, size_t len, double *out)
{
	struct scan rest = scan_text(text, len), line;
	double seconds;

	if (!scan_line(&rest, &line) || !scan_decimal(&line, &seconds) || seconds >= UPTIME_MAX)
		return -EBADMSG;
	*out = seconds;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct host {
	struct procfs_file loadavg_file, uptime_file;
	struct procfs_buffer text;
	struct host_load load;
	unsigned load_known; /* how many of its numbers */
	unsigned skipped;    /* invalid lines */
	double uptime_seconds;
	int64_t boot_wall_ms;
	struct os_release release;
	struct stat release_file; /* as it was read */
	uint64_t release_due_ns;
	char hostname[HOST_TEXT_MAX], kernel[HOST_TEXT_MAX], machine[HOST_TEXT_MAX], shell[HOST_TEXT_MAX];
	const char *managers[HOST_MANAGERS_MAX];
	size_t managers_count;
};

static void managers_find(struct host *host, const struct collect_ctx *ctx)
{
	static const struct {
		const char *name, *path;
	} known[] = {
		{ "apt", "usr/bin/apt-get" },	    { "dpkg", "usr/bin/dpkg" }, { "dnf", "usr/bin/dnf" },
		{ "yum", "usr/bin/yum" },	    { "rpm", "usr/bin/rpm" },	{ "zypper", "usr/bin/zypper" },
		{ "pacman", "usr/bin/pacman" },	    { "apk", "sbin/apk" },	{ "portage", "usr/bin/emerge" },
		{ "xbps", "usr/bin/xbps-install" }, { "snap", "usr/bin/snap" }, { "flatpak", "usr/bin/flatpak" },
	};
	struct stat st;

	_Static_assert(ARRAY_SIZE(known) <= HOST_MANAGERS_MAX, "room for all of them");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		/* Not followed: alternatives are absolute links, which would leave a fixture. */
		if (fstatat(ctx->root_fd, known[i].path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			host->managers[host->managers_count++] = known[i].name;
}

/* Reads the whole of a file below the root, up to `max` bytes in whole lines. False when it is not to be had. */
static bool file_read(const struct collect_ctx *ctx, const char *path, size_t max, struct procfs_buffer *buffer)
{
	_cleanup_(procfs_close) struct procfs_file file = PROCFS_FILE;

	buffer->max = max;
	return procfs_read(&file, ctx->root_fd, path, buffer) == 0 && buffer->len > 0;
}

/* "" where it is not known. */
static void shell_find(struct host *host, const struct collect_ctx *ctx)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer text = { 0 };

	if (file_read(ctx, "etc/passwd", PASSWD_MAX, &text))
		passwd_root_shell(text.text, text.len, host->shell, sizeof(host->shell));
}

static int host_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct host *host = calloc(1, sizeof(*host));

	if (!host)
		return -ENOMEM;
	host->loadavg_file = PROCFS_FILE_SINGLE;
	host->uptime_file = PROCFS_FILE_SINGLE;
	host->text.max = 8192;
	managers_find(host, ctx);
	shell_find(host, ctx);
	*ret_state = host;
	return 0;
}

static void host_close(void *state)
{
	struct host *host = state;

	if (!host)
		return;
	procfs_close(&host->loadavg_file);
	procfs_close(&host->uptime_file);
	procfs_buffer_free(&host->text);
	free(host);
}

static bool release_is_that_of(const struct host *host, const struct stat *st)
{
	return st->st_ino == host->release_file.st_ino && st->st_dev == host->release_file.st_dev &&
	       st->st_size == host->release_file.st_size && st->st_mtim.tv_sec == host->release_file.st_mtim.tv_sec &&
	       st->st_mtim.tv_nsec == host->release_file.st_mtim.tv_nsec;
}

/* os-release(5): /etc first, then /usr/lib, also where the first says nothing. An unchanged file is not read again. */
static void release_update(struct host *host, const struct collect_ctx *ctx)
{
	static const char *const paths[] = { "etc/os-release", "usr/lib/os-release" };

	if (ctx->now.mono_ns < host->release_due_ns)
		return;
	host->release_due_ns = ctx->now.mono_ns + RELEASE_CHECK_NS;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_(procfs_buffer_free) struct procfs_buffer text = { 0 };
		struct os_release release;
		struct stat st;

		if (fstatat(ctx->root_fd, paths[i], &st, 0) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (release_is_that_of(host, &st))
			return;
		if (!file_read(ctx, paths[i], RELEASE_MAX, &text) || !os_release_parse(text.text, text.len, &release))
			continue;
		host->release = release;
		host->release_file = st;
		return;
	}
	host->release = (struct os_release){ .id = "" };
	host->release_file = (struct stat){ 0 };
}

/* The first line, or "" when there is none. */
static void line_read(const struct collect_ctx *ctx, const char *path, char out[HOST_TEXT_MAX])
{
	char text[HOST_TEXT_MAX - 1];
	ssize_t n = procfs_read_once(ctx->proc_fd, path, text, sizeof(text));
	struct scan rest = scan_text(text, n > 0 ? (size_t)n : 0), line;
	size_t len = 0;

	if (scan_line(&rest, &line)) {
		len = strnlen(line.at, scan_len(&line));
		memcpy(out, line.at, len);
	}
	out[len] = '\0';
}

/* The kernel's host name before one is set (UTS_NODENAME in include/linux/uts.h). */
static void hostname_check(char hostname[HOST_TEXT_MAX])
{
	if (strcmp(hostname, "(none)") == 0)
		hostname[0] = '\0';
}

static void names_update(struct host *host, const struct collect_ctx *ctx)
{
	struct utsname names;

	if (!ctx->live) {
		line_read(ctx, "sys/kernel/hostname", host->hostname);
		line_read(ctx, "sys/kernel/osrelease", host->kernel);
		hostname_check(host->hostname);
		return;
	}
	if (uname(&names) < 0)
		return;
	memcpy(host->hostname, names.nodename, sizeof(names.nodename));
	memcpy(host->kernel, names.release, sizeof(names.release));
	memcpy(host->machine, names.machine, sizeof(names.machine));
	hostname_check(host->hostname);
}

/*
 * Now minus uptime wobbles by what both are rounded to: the first answer stays until the clock has really been moved.
 */
static void boot_time_update(struct host *host, const struct collect_ctx *ctx)
{
	int64_t boot = ctx->now.wall_ms - (int64_t)(host->uptime_seconds * 1000);
	int64_t moved = boot > host->boot_wall_ms ? boot - host->boot_wall_ms : host->boot_wall_ms - boot;

	if (moved > BOOT_TIME_SLACK_MS)
		host->boot_wall_ms = boot;
}

/* The clock of boot time is the same figure, where the text is not to be had. False then. */
static bool uptime_update(struct host *host, const struct collect_ctx *ctx)
{
	bool good = procfs_read(&host->uptime_file, ctx->proc_fd, "uptime", &host->text) == 0 &&
		    uptime_parse(host->text.text, host->text.len, &host->uptime_seconds) == 0;

	if (!good)
		host->uptime_seconds = (double)ctx->now.boot_ns / (double)NS_PER_S;
	return good;
}

static bool load_update(struct host *host, const struct collect_ctx *ctx)
{
	host->load_known = 0;
	if (procfs_read(&host->loadavg_file, ctx->proc_fd, "loadavg", &host->text) == 0)
		host->load_known = loadavg_scan(host->text.text, host->text.len, &host->load);
	return host->load_known == 5;
}

static int host_collect(void *state, const struct collect_ctx *ctx)
{
	struct host *host = state;
	bool uptime = uptime_update(host, ctx), load = load_update(host, ctx);

	/* Neither text has a usable number: the directory is no /proc. */
	if (!uptime && host->load_known == 0)
		return -EBADMSG;
	host->skipped = (unsigned)!uptime + (unsigned)!load;
	boot_time_update(host, ctx);
	names_update(host, ctx);
	release_update(host, ctx);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ accessors */

void host_facts_get(const void *state, struct host_facts *ret)
{
	const struct host *host = state;
	const struct os_release *release = &host->release;
	const char *name = release->name[0] ? release->name : "Linux";

	*ret = (struct host_facts){
		.os_type = "Linux",
		.os_name = name,
		.version = release->version_id,
		.linux_distro = release->pretty_name[0] ? release->pretty_name : name,
		.architecture = host->machine,
		.kernel_version = host->kernel,
		.hostname = host->hostname,
		.default_shell = host->shell,
		.package_managers = host->managers,
		.package_managers_count = host->managers_count,
	};
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void text_emit(struct sink *out, const char *key, const char *text)
{
	if (text[0])
		sink_text(out, key, text, strlen(text), HOST_TEXT_MAX);
	else
		sink_null(out, key);
}

static void average_emit(struct sink *out, const char *key, bool known, double value)
{
	if (known)
		sink_real(out, key, value, 2);
	else
		sink_null(out, key);
}

static void count_emit(struct sink *out, const char *key, bool known, uint64_t value)
{
	if (known)
		sink_uint(out, key, value);
	else
		sink_null(out, key);
}

static void host_emit(const void *state, struct sink *out)
{
	const struct host *host = state;
	char boot_time[RFC3339_SIZE];
	struct host_facts facts;

	host_facts_get(state, &facts);

	sink_uint(out, "uptime_seconds", (uint64_t)host->uptime_seconds);
	sink_object_begin(out, "load_average");
	average_emit(out, "load_1min", host->load_known > 0, host->load.load_1min);
	average_emit(out, "load_5min", host->load_known > 1, host->load.load_5min);
	average_emit(out, "load_15min", host->load_known > 2, host->load.load_15min);
	sink_object_end(out);
	text_emit(out, "name", facts.os_name);
	text_emit(out, "os_version", facts.version);
	text_emit(out, "kernel_version", facts.kernel_version);
	text_emit(out, "hostname", facts.hostname);
	rfc3339_format(host->boot_wall_ms, boot_time);
	sink_whole_begin(out);
	sink_str(out, "boot_time", boot_time);
	sink_whole_end(out);
	count_emit(out, "procs_running", host->load_known > 3, host->load.running);
	count_emit(out, "threads", host->load_known > 4, host->load.threads);
	if (host->skipped > 0)
		sink_uint(out, "lines_skipped", host->skipped);
}

const struct collector collector_host = {
	.name = "host",
	.path = "system",
	.whole_keys = "boot_time",
	.open = host_open,
	.close = host_close,
	.collect = host_collect,
	.emit = host_emit,
};
