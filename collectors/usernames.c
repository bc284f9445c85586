/* SPDX-License-Identifier: MIT */
/* A sorted array: a guest has few users at a time, and the same ones at every sample. */
#include "usernames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#define ASK_AGAIN_NS (600 * NS_PER_S)
#define PAUSE_NS     (60 * NS_PER_S)

/* Where the uid is, or belongs. */
static size_t place_of(const struct usernames *users, uint32_t uid)
{
	size_t low = 0, high = users->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (users->items[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct username *find(const struct usernames *users, uint32_t uid)
{
	size_t at = place_of(users, uid);

	return at < users->count && users->items[at].uid == uid ? &users->items[at] : NULL;
}

const char *usernames_find(const struct usernames *users, uint32_t uid)
{
	const struct username *user = find(users, uid);

	return user ? user->name : NULL;
}

static void forget_all(struct usernames *users)
{
	for (size_t i = 0; i < users->count; i++)
		free(users->items[i].name);
	users->count = 0;
}

/* NULL without memory. */
static struct username *add(struct usernames *users, uint32_t uid)
{
	size_t wanted = users->size ? users->size * 2 : 16, at;
	struct username *bigger;

	if (users->count == USERNAMES_MAX)
		forget_all(users);
	if (users->count == users->size) {
		bigger = reallocarray(users->items, wanted, sizeof(*bigger));
		if (!bigger)
			return NULL;
		users->items = bigger;
		users->size = wanted;
	}
	at = place_of(users, uid);
	memmove(&users->items[at + 1], &users->items[at], (users->count - at) * sizeof(*users->items));
	users->items[at] = (struct username){ .uid = uid, .state = USERNAME_WANTED };
	users->count++;
	return &users->items[at];
}

/* Asks for the first that is wanted, unless a question is on its way or none is to be asked now. */
static void ask_next(struct usernames *users)
{
	struct probe_request request = { .kind = PROBE_USER, .arg_len = sizeof(uint32_t) };

	if (users->asking || !users->prober || users->now_ns < users->pause_until_ns)
		return;
	for (size_t i = 0; i < users->count; i++) {
		uint32_t uid = users->items[i].uid;
		struct username *user;
		int r;

		if (users->items[i].state != USERNAME_WANTED)
			continue;
		request.key = uid;
		request.arg = &uid;
		users->items[i].state = USERNAME_ASKED;
		users->asking = true;
		r = users->prober->request(users->prober, &request);
		if (r == 0)
			return;
		users->asking = false;
		/* That very question hangs already: its answer may still come, but is not waited for. */
		user = find(users, uid);
		if (user)
			user->state = r == -EALREADY ? USERNAME_NONE : USERNAME_WANTED;
		if (user && r == -EALREADY)
			user->answered_ns = users->now_ns;
		if (r != -EALREADY)
			return;
	}
}

int usernames_want(struct usernames *users, const struct collect_ctx *ctx, uint32_t uid)
{
	struct username *user = find(users, uid);
	bool settled = user && (user->state == USERNAME_KNOWN || user->state == USERNAME_NONE);

	/* The users of a fixture are not those of this machine. */
	if (!ctx->live || !ctx->prober)
		return 0;
	users->prober = ctx->prober;
	users->now_ns = ctx->now.mono_ns;
	if (settled && users->now_ns - user->answered_ns < ASK_AGAIN_NS)
		return 0;
	if (!user)
		user = add(users, uid);
	if (!user)
		return 0;
	if (settled)
		user->state = USERNAME_WANTED;
	ask_next(users);
	user = find(users, uid);
	return user && users->asking && (user->state == USERNAME_ASKED || user->state == USERNAME_WANTED);
}

static void take(struct username *user, const struct probe_result *result, uint64_t now_ns)
{
	char *name = NULL;

	user->answered_ns = now_ns;
	if (result->error == 0 && result->data_len > 0 && result->data_len < USERNAMES_NAME_MAX &&
	    !memchr(result->data, '\0', result->data_len))
		name = strndup(result->data, result->data_len);
	/* A directory that cannot be asked now does not take a name away. */
	if (!name && user->name && result->error != -ENOENT) {
		user->state = USERNAME_KNOWN;
		return;
	}
	free(user->name);
	user->name = name;
	user->state = name ? USERNAME_KNOWN : USERNAME_NONE;
}

void usernames_probed(struct usernames *users, const struct probe_result *result)
{
	struct username *user = find(users, (uint32_t)result->key);

	if (result->kind != PROBE_USER)
		return;
	users->asking = false;
	if (result->error == -ETIMEDOUT)
		users->pause_until_ns = users->now_ns + PAUSE_NS;
	if (user)
		take(user, result, users->now_ns);
	ask_next(users);
}

void usernames_free(struct usernames *users)
{
	forget_all(users);
	free(users->items);
	*users = (struct usernames){ 0 };
}
