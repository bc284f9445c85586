/* SPDX-License-Identifier: MIT */
/*
 * data.users: who is logged in, as loginctl(1) or, where there is no logind, who(1) say; both only read files, so
 * nobody is asked and nothing is waited for.
 */
#include "users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <utmp.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "procfs.h"
#include "table.h"

/* Rows of the list, and sessions that are looked at at all. */
#define LOGINS_MAX   8
#define SESSIONS_MAX 1024
#define UTMP_MAX     1024 /* records */

/* No time of a login is later, and it cannot be written. */
#define YEAR_10000_MS 253402300800000

/* ------------------------------------------------------------------------------------------------------ parsing */

/* Shell quoting, as far as logind writes it (env_file_fputs_assignment): none, or "…" around the whole. */
static void value_take(struct scan value, char out[USERS_TEXT_MAX])
{
	size_t len;

	if (scan_len(&value) >= 2 && value.at[0] == '"' && value.end[-1] == '"') {
		value.at++;
		value.end--;
	}
	len = strnlen(value.at, scan_len(&value));
	if (len >= USERS_TEXT_MAX)
		len = USERS_TEXT_MAX - 1;
	memcpy(out, value.at, len);
	out[len] = '\0';
}

bool login_parse(const char *text, size_t len, struct login *out)
{
	struct login login = { .user = "" };
	char state[USERS_TEXT_MAX] = "";
	const struct {
		const char *key;
		char *to;
	} keys[] = {
		{ "USER=", login.user },       { "TTY=", login.tty },	  { "REMOTE_HOST=", login.host },
		{ "SERVICE=", login.service }, { "CLASS=", login.class }, { "STATE=", state },
	};
	struct scan rest = scan_text(text, len), line;

	while (scan_line(&rest, &line)) {
		uint64_t us;

		if (scan_key(&line, "REALTIME=")) {
			if (scan_u64(&line, &us) && us / 1000 < YEAR_10000_MS)
				login.since_ms = (int64_t)(us / 1000);
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			struct scan value = line;

			if (scan_key(&value, keys[i].key))
				value_take(value, keys[i].to);
		}
	}
	login.closing = strcmp(state, "closing") == 0;
	if (!login.user[0])
		return false;
	*out = login;
	return true;
}

bool utmp_login(const void *record, struct login *out)
{
	struct login login = { .user = "" };
	struct utmp entry;

	memcpy(&entry, record, sizeof(entry));
	if (entry.ut_type != USER_PROCESS || !entry.ut_user[0])
		return false;
	value_take(scan_text(entry.ut_user, sizeof(entry.ut_user)), login.user);
	value_take(scan_text(entry.ut_line, sizeof(entry.ut_line)), login.tty);
	value_take(scan_text(entry.ut_host, sizeof(entry.ut_host)), login.host);
	login.since_ms = (int64_t)entry.ut_tv.tv_sec * 1000 + entry.ut_tv.tv_usec / 1000;
	*out = login;
	return true;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct users {
	const char *source; /* NULL: neither */
	int error;
	struct login logins[LOGINS_MAX]; /* the last ones to log in first */
	unsigned count;
	uint64_t total;
};

static int users_open(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	*ret_state = calloc(1, sizeof(struct users));
	return *ret_state ? 0 : -ENOMEM;
}

static void users_close(void *state)
{
	free(state);
}

/* Keeps the latest LOGINS_MAX, in falling order of time. */
static void login_take(struct users *users, const struct login *login)
{
	unsigned at;

	users->total++;
	if (users->count == LOGINS_MAX && login->since_ms <= users->logins[LOGINS_MAX - 1].since_ms)
		return;
	users->count += users->count < LOGINS_MAX;
	for (at = users->count - 1; at > 0 && users->logins[at - 1].since_ms < login->since_ms; at--)
		users->logins[at] = users->logins[at - 1];
	users->logins[at] = *login;
}

/* Managers of a user's services, greeters and the screens of locked sessions are nobody's login. */
static bool is_person(const struct login *login)
{
	return strncmp(login->class, "user", 4) == 0 || !login->class[0];
}

static int sessions_read(struct users *users, int root_fd)
{
	int fd = openat(root_fd, "run/systemd/sessions", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		int error = -errno;

		close_fd(&fd);
		return error;
	}
	for (unsigned seen = 0; seen < SESSIONS_MAX && (entry = readdir(dir));) {
		struct login login;
		char text[4096];
		struct stat st;
		ssize_t n;

		/* ID.ref is a pipe. */
		if (strchr(entry->d_name, '.') || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		seen++;
		n = procfs_read_once(dirfd(dir), entry->d_name, text, sizeof(text));
		if (n > 0 && login_parse(text, (size_t)n, &login) && is_person(&login))
			login_take(users, &login);
	}
	closedir(dir);
	return 0;
}

static int utmp_read(struct users *users, int root_fd)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (fstatat(root_fd, "run/utmp", &st, 0) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	fd = openat(root_fd, "run/utmp", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	for (unsigned i = 0; i < UTMP_MAX; i++) {
		unsigned char record[sizeof(struct utmp)];
		struct login login;

		if (pread(fd, record, sizeof(record), (off_t)(i * sizeof(record))) != (ssize_t)sizeof(record))
			break;
		if (utmp_login(record, &login))
			login_take(users, &login);
	}
	return 0;
}

static int users_collect(void *state, const struct collect_ctx *ctx)
{
	struct users *users = state;

	users->count = 0;
	users->total = 0;
	users->source = "logind";
	users->error = sessions_read(users, ctx->root_fd);
	if (users->error == 0 && users->total > 0)
		return 0;
	/* The directory may be there without logind. */
	if (utmp_read(users, ctx->root_fd) == 0 && (users->error < 0 || users->total > 0)) {
		users->source = "utmp";
		users->error = 0;
	}
	if (users->error < 0)
		users->source = NULL;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void login_emit(struct sink *out, const struct login *login)
{
	char since[RFC3339_SIZE];

	sink_object_begin(out, NULL);
	sink_str(out, "user", login->user);
	attr_emit_text(out, "tty", login->tty);
	attr_emit_text(out, "remote_host", login->host);
	attr_emit_text(out, "service", login->service);
	sink_bool(out, "closing", login->closing);
	if (login->since_ms > 0) {
		rfc3339_format(login->since_ms, since);
		sink_str(out, "since", since);
	} else {
		sink_null(out, "since");
	}
	sink_object_end(out);
}

static void users_emit(const void *state, struct sink *out)
{
	const struct users *users = state;

	sink_str(out, "source", users->source);
	if (!users->source) {
		sink_null(out, "sessions_total");
		sink_null(out, "sessions");
		sink_str(out, "reason", attr_reason(users->error));
		return;
	}
	sink_uint(out, "sessions_total", users->total);
	sink_array_begin(out, "sessions");
	for (unsigned i = 0; i < users->count; i++)
		login_emit(out, &users->logins[i]);
	sink_array_end(out);
	if (users->total > users->count) {
		sink_uint(out, "sessions_left_out", users->total - users->count);
		sink_str(out, "sessions_rank", "since");
	}
}

const struct collector collector_users = {
	.name = "users",
	.path = "users",
	.period_s = 30,
	.open = users_open,
	.close = users_close,
	.collect = users_collect,
	.emit = users_emit,
};
