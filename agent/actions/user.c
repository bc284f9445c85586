/* SPDX-License-Identifier: MIT */
/* UserList: the accounts in etc/passwd. */
#include "agent/actions/table.h"

#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/base/users.h"
#include "collectors/host.h"
#include "collectors/procfs.h"
#include "collectors/table.h"

/* About half a million users; a larger file is not read whole. */
#define PASSWD_MAX (32U << 20)
#define TEXT_MAX   256

static void emit_text(struct sink *out, const char *key, const struct user_text *text)
{
	sink_text(out, key, text->at, text->len, TEXT_MAX);
}

static void emit_user(struct sink *out, const struct user *user)
{
	sink_object_begin(out, NULL);
	emit_text(out, "name", &user->name);
	sink_uint(out, "uid", user->uid);
	sink_uint(out, "gid", user->gid);
	emit_text(out, "full_name", &user->full_name);
	emit_text(out, "home", &user->home);
	emit_text(out, "shell", &user->shell);
	sink_bool(out, "can_login", user_can_login(user));
	sink_object_end(out);
}

/* Cut by size only; `count` is of those that are listed. */
static void emit_users(struct sink *out, const char *key, const void *arg)
{
	const struct procfs_buffer *passwd = arg;
	const char *text = passwd->text;
	size_t len = passwd->len, count = 0, total = 0;
	struct user user;
	bool cut = false;

	sink_object_begin(out, key);
	sink_array_begin(out, "users");
	for (; users_next(&text, &len, &user); total++) {
		struct sink_mark mark = sink_mark(out);

		if (cut)
			continue;
		emit_user(out, &user);
		cut = sink_full(out);
		if (cut)
			sink_rewind(out, mark);
		else
			count++;
	}
	sink_array_end(out);
	sink_uint(out, "count", count);
	/* Users of a directory service are left out: it may be far away. */
	sink_str(out, "source", "local");
	if (cut || passwd->truncated)
		sink_bool(out, "truncated", true);
	if (passwd->truncated)
		sink_null(out, "total_count");
	else
		sink_uint(out, "total_count", total);
	sink_object_end(out);
}

static void run_user_list(struct command *command)
{
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_host);
	_cleanup_(procfs_buffer_free) struct procfs_buffer passwd = { .max = PASSWD_MAX };
	_cleanup_(procfs_close) struct procfs_file file = PROCFS_FILE;
	int r = procfs_read(&file, ctx.root_fd, "etc/passwd", &passwd);

	if (r < 0)
		command_fail(command, CODE_COMMAND_FAILED, "not_readable", "/etc/passwd: %s", strerror(-r));
	else
		command_succeed(command, emit_users, &passwd);
}

const struct action action_user_list = { .name = "UserList", .group = GROUP_OBSERVE, .run = run_user_list };
