/* SPDX-License-Identifier: MIT */
/* What the system is: get-time, get-osinfo, get-host-name, get-timezone, get-users, get-load. */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/table.h"
#include "agent/qga/texts.h"
#include "collectors/host.h"

static void emit_time(struct sink *out, const char *key, const void *arg)
{
	sink_int(out, key, *(const int64_t *)arg);
}

static void run_get_time(struct qga_call *call)
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (int64_t)now.tv_sec * (int64_t)NS_PER_S + now.tv_nsec;
	qga_return(call, emit_time, &ns);
}

/* What is not known is left out: all members are optional. */
static void member(struct sink *out, const char *key, const char *text)
{
	if (*text)
		sink_str(out, key, text);
}

static void emit_osinfo(struct sink *out, const char *key, const void *arg)
{
	const struct os_release *os = arg;
	struct utsname kernel;

	sink_object_begin(out, key);
	if (uname(&kernel) == 0) {
		sink_str(out, "kernel-release", kernel.release);
		sink_str(out, "kernel-version", kernel.version);
		sink_str(out, "machine", kernel.machine);
	}
	member(out, "id", os->id);
	member(out, "name", os->name);
	member(out, "pretty-name", os->pretty_name);
	member(out, "version", os->version);
	member(out, "version-id", os->version_id);
	member(out, "variant", os->variant);
	member(out, "variant-id", os->variant_id);
	sink_object_end(out);
}

static void run_get_osinfo(struct qga_call *call)
{
	struct os_release os = { .id = "" };
	char text[8192];
	ssize_t n = qga_read(call->env->root_fd, "etc/os-release", text, sizeof(text));

	if (n < 0)
		n = qga_read(call->env->root_fd, "usr/lib/os-release", text, sizeof(text));
	if (n > 0)
		os_release_parse(text, (size_t)n, &os);
	qga_return(call, emit_osinfo, &os);
}

static void emit_host_name(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	sink_str(out, "host-name", arg);
	sink_object_end(out);
}

static void run_get_host_name(struct qga_call *call)
{
	struct utsname kernel;

	if (uname(&kernel) < 0)
		qga_fail(call, "the host name is not known");
	else
		qga_return(call, emit_host_name, kernel.nodename);
}

static void emit_timezone(struct sink *out, const char *key, const void *arg)
{
	const struct tm *tm = arg;

	sink_object_begin(out, key);
	if (tm->tm_zone)
		sink_str(out, "zone", tm->tm_zone);
	sink_int(out, "offset", tm->tm_gmtoff);
	sink_object_end(out);
}

static void run_get_timezone(struct qga_call *call)
{
	time_t now = (time_t)(call->env->loop->now.wall_ms / 1000);
	struct tm tm;

	tzset(); /* the owner may have changed it since the start */
	if (!localtime_r(&now, &tm))
		qga_fail(call, "the time zone is not known");
	else
		qga_return(call, emit_timezone, &tm);
}

#define USERS_MAX  256
#define UTMP_BYTES (512u << 10)

struct users {
	struct qga_user rows[USERS_MAX];
	size_t count;
};

static void emit_users(struct sink *out, const char *key, const void *arg)
{
	const struct users *users = arg;

	sink_array_begin(out, key);
	for (size_t i = 0; users && i < users->count; i++) {
		sink_object_begin(out, NULL);
		sink_str(out, "user", users->rows[i].name);
		sink_real(out, "login-time", (double)users->rows[i].login_us / 1e6, 6);
		sink_object_end(out);
	}
	sink_array_end(out);
}

static void run_get_users(struct qga_call *call)
{
	_cleanup_(freep) struct users *users = calloc(1, sizeof(*users));
	_cleanup_(freep) char *text = malloc(UTMP_BYTES);
	ssize_t n;

	if (!users || !text) {
		qga_fail(call, "out of memory");
		return;
	}
	n = qga_read(call->env->root_fd, "run/utmp", text, UTMP_BYTES);
	if (n > 0)
		users->count = qga_users_parse(text, (size_t)n, users->rows, USERS_MAX);
	qga_return(call, emit_users, users);
}

static void emit_load(struct sink *out, const char *key, const void *arg)
{
	const struct host_load *load = arg;

	sink_object_begin(out, key);
	sink_real(out, "load1m", load->load_1min, 2);
	sink_real(out, "load5m", load->load_5min, 2);
	sink_real(out, "load15m", load->load_15min, 2);
	sink_object_end(out);
}

static void run_get_load(struct qga_call *call)
{
	struct host_load load;
	char text[128];
	ssize_t n = qga_read(call->env->proc_fd, "loadavg", text, sizeof(text));

	if (n <= 0 || loadavg_scan(text, (size_t)n, &load) < 3)
		qga_fail(call, "/proc/loadavg cannot be read");
	else
		qga_return(call, emit_load, &load);
}

const struct qga_command qga_command_get_time = { .name = "guest-get-time", .run = run_get_time };
const struct qga_command qga_command_get_osinfo = { .name = "guest-get-osinfo", .run = run_get_osinfo };
const struct qga_command qga_command_get_host_name = { .name = "guest-get-host-name", .run = run_get_host_name };
const struct qga_command qga_command_get_timezone = { .name = "guest-get-timezone", .run = run_get_timezone };
const struct qga_command qga_command_get_users = { .name = "guest-get-users", .run = run_get_users };
const struct qga_command qga_command_get_load = { .name = "guest-get-load", .run = run_get_load };
