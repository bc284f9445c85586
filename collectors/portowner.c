/* SPDX-License-Identifier: MIT */
/* A dense array and a map over it, which is filled anew when an inode has gone. */
#include "portowner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

/* A process may close a socket that another one still holds, or die. */
#define CHECK_AGAIN_NS (30 * NS_PER_S)
#define EXE_RETRY_NS   (60 * NS_PER_S)
/* A request that was never answered is forgotten after this. */
#define ASK_LOST_NS    (60 * NS_PER_S)
#define ASK_INODES_MAX (PROBE_ARG_MAX / sizeof(uint64_t))

static struct portowner *find(const struct portowners *owners, uint64_t inode)
{
	const uint32_t *at = idmap_get(&owners->by_inode, inode);

	return at ? &owners->items[*at] : NULL;
}

const struct portowner *portowners_find(const struct portowners *owners, uint64_t inode)
{
	return find(owners, inode);
}

int portowners_see(struct portowners *owners, uint64_t inode, bool listens)
{
	struct portowner *owner = find(owners, inode), *bigger;
	size_t wanted = owners->size ? owners->size * 2 : 16;
	int r;

	if (owner) {
		owner->seen = true;
		owner->listens = owner->listens || listens;
		return 0;
	}
	if (owners->count == PORTOWNERS_MAX)
		return 0;
	if (owners->count == owners->size) {
		bigger = reallocarray(owners->items, wanted, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		owners->items = bigger;
		owners->size = wanted;
	}
	r = idmap_put(&owners->by_inode, inode, (uint32_t)owners->count);
	if (r < 0)
		return r;
	owners->items[owners->count++] = (struct portowner){ .inode = inode, .seen = true, .listens = listens };
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- processes */

static void forget_process(struct portowner *owner)
{
	free(owner->exe);
	*owner = (struct portowner){ .inode = owner->inode, .seen = owner->seen, .listens = owner->listens };
}

/* Name and start time; a process that is not the same any more has lost its sockets too. */
static void check_process(const struct portowners *owners, struct portowner *owner)
{
	struct pidstat stat;

	if (pidstat_read(owners->proc_fd, owner->pid, &stat) < 0 ||
	    (owner->named && stat.start_ticks != owner->start_ticks)) {
		forget_process(owner);
		return;
	}
	owner->start_ticks = stat.start_ticks;
	owner->comm_len = stat.comm_len;
	memcpy(owner->comm, stat.comm, sizeof(owner->comm));
	owner->named = true;
}

static void ask_exe(struct portowner *owner, const struct collect_ctx *ctx)
{
	struct probe_request request = { .kind = PROBE_PROCESS };
	char pid[16];

	if (!owner->listens || owner->exe || !owner->named || !ctx->prober ||
	    (owner->exe_asked_ns != 0 && ctx->now.mono_ns - owner->exe_asked_ns < EXE_RETRY_NS))
		return;
	request.key = pidstat_key(owner->pid, owner->start_ticks);
	request.arg = pid;
	request.arg_len = (size_t)snprintf(pid, sizeof(pid), "%d", owner->pid);
	owner->exe_asked_ns = ctx->now.mono_ns ? ctx->now.mono_ns : 1;
	ctx->prober->request(ctx->prober, &request);
}

static void take_exe(struct portowners *owners, const struct probe_result *result)
{
	struct probe_process answer;
	const char *exe;

	if (result->error != 0 || result->data_len < sizeof(answer))
		return;
	memcpy(&answer, result->data, sizeof(answer));
	if (answer.exe_len == 0 || answer.exe_len > SINK_PATH_MAX || answer.cmdline_len > SINK_CMDLINE_MAX ||
	    answer.cmdline_len + answer.exe_len > result->data_len - sizeof(answer))
		return;
	exe = (const char *)result->data + sizeof(answer) + answer.cmdline_len;
	for (size_t i = 0; i < owners->count; i++) {
		struct portowner *owner = &owners->items[i];

		if (!owner->named || owner->exe || pidstat_key(owner->pid, owner->start_ticks) != result->key ||
		    answer.start_ticks != owner->start_ticks)
			continue;
		owner->exe = malloc(answer.exe_len);
		if (owner->exe)
			memcpy(owner->exe, exe, owner->exe_len = answer.exe_len);
	}
}

/* --------------------------------------------------------------------------------------------------------- sockets */

/* One walk over all fds at a time; its key is of no use beyond that. */
static void ask_sockets(struct portowners *owners, const struct collect_ctx *ctx)
{
	uint64_t inodes[ASK_INODES_MAX], now = ctx->now.mono_ns;
	struct probe_request request = { .kind = PROBE_SOCKETS, .arg = inodes };
	size_t count = 0;

	if (!ctx->prober || (owners->asked_ns != 0 && now - owners->asked_ns < ASK_LOST_NS))
		return;
	for (size_t i = 0; i < owners->count && count < ASK_INODES_MAX; i++) {
		struct portowner *owner = &owners->items[i];

		/* Entries still ASKED belong to a request that was lost. */
		if (owner->state == PORTOWNER_KNOWN || now < owner->retry_ns)
			continue;
		owner->state = PORTOWNER_ASKED;
		inodes[count++] = owner->inode;
	}
	if (count == 0)
		return;
	request.arg_len = count * sizeof(*inodes);
	owners->asked_ns = now ? now : 1;
	if (ctx->prober->request(ctx->prober, &request) < 0)
		owners->asked_ns = 0;
}

/*
 * Several processes may hold one socket. Of a service and the systemd (pid 1) that opened it for the service, the
 * service is meant; of a parent and its workers the first.
 */
static bool is_better(pid_t pid, const struct portowner *owner)
{
	if (owner->state != PORTOWNER_KNOWN || owner->pid == 1)
		return true;
	return pid != 1 && pid < owner->pid;
}

/* A race (the walk came before the bind) is over by the next sample; missing rights seldom come back. */
static void not_found(struct portowner *owner, uint64_t asked_ns)
{
	static const uint64_t waits_ns[] = { 0, 60 * NS_PER_S, 600 * NS_PER_S };

	owner->state = PORTOWNER_UNKNOWN;
	owner->retry_ns = asked_ns + waits_ns[owner->tries];
	if (owner->tries < ARRAY_SIZE(waits_ns) - 1)
		owner->tries++;
}

static void take_sockets(struct portowners *owners, const struct probe_result *result)
{
	size_t count = result->error == 0 ? result->data_len / sizeof(struct probe_socket) : 0;
	uint64_t asked_ns = owners->asked_ns;

	owners->asked_ns = 0;
	for (size_t i = 0; i < count; i++) {
		struct probe_socket found;
		struct portowner *owner;

		memcpy(&found, (const char *)result->data + i * sizeof(found), sizeof(found));
		owner = find(owners, found.inode);
		if (!owner || found.pid <= 0 || !is_better(found.pid, owner))
			continue;
		forget_process(owner);
		owner->state = PORTOWNER_KNOWN;
		owner->pid = found.pid;
		check_process(owners, owner);
	}
	for (size_t i = 0; i < owners->count; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): without items the count is 0 */
		if (owners->items[i].state == PORTOWNER_ASKED)
			not_found(&owners->items[i], asked_ns);
}

void portowners_probed(struct portowners *owners, const struct probe_result *result)
{
	if (result->kind == PROBE_SOCKETS)
		take_sockets(owners, result);
	else if (result->kind == PROBE_PROCESS)
		take_exe(owners, result);
}

/* --------------------------------------------------------------------------------------------------------- update */

/* 0 or -ENOMEM: then nothing is known, and all is asked again. */
static int sweep(struct portowners *owners)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < owners->count; i++) {
		struct portowner *owner = &owners->items[i];

		if (!owner->seen) {
			free(owner->exe);
			continue;
		}
		owner->seen = false;
		if (kept != i)
			owners->items[kept] = *owner;
		kept++;
	}
	if (kept == owners->count)
		return 0;
	owners->count = kept;
	idmap_clear(&owners->by_inode);
	for (size_t i = 0; i < kept && r == 0; i++)
		r = idmap_put(&owners->by_inode, owners->items[i].inode, (uint32_t)i);
	return r;
}

int portowners_update(struct portowners *owners, const struct collect_ctx *ctx)
{
	int r = sweep(owners);

	if (r < 0) {
		portowners_free(owners);
		return r;
	}
	owners->proc_fd = ctx->proc_fd;
	for (size_t i = 0; i < owners->count; i++) {
		struct portowner *owner = &owners->items[i];

		if (owner->state != PORTOWNER_KNOWN)
			continue;
		if (owner->checked_ns == 0 || ctx->now.mono_ns - owner->checked_ns >= CHECK_AGAIN_NS) {
			check_process(owners, owner);
			owner->checked_ns = ctx->now.mono_ns;
		}
		if (owner->state == PORTOWNER_KNOWN)
			ask_exe(owner, ctx);
	}
	ask_sockets(owners, ctx);
	return 0;
}

void portowners_free(struct portowners *owners)
{
	for (size_t i = 0; i < owners->count; i++)
		free(owners->items[i].exe);
	free(owners->items);
	idmap_free(&owners->by_inode);
	*owners = (struct portowners){ 0 };
}
