/* SPDX-License-Identifier: MIT */
/*
 * A bump allocator: memory is reused only when its last block is freed. That is enough: libev never frees an array
 * before the loop ends and doubles those that grow, so its total demand is twice its largest size. Pages are touched
 * only when used.
 */
#include "agent/base/loop.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

/* About 300 descriptors and as many timers, times two. */
#define RESERVE_BYTES (128 * 1024)
#define ALIGNMENT     _Alignof(max_align_t)
/* libev opens an epoll and an eventfd or, where that is missing, a pipe. */
#define LOOP_FDS 3

struct block {
	_Alignas(max_align_t) size_t size;
	char bytes[];
};

static struct {
	_Alignas(max_align_t) char area[RESERVE_BYTES];
	size_t used;
	unsigned live;
} reserve;

static bool is_ours(const void *p)
{
	return (uintptr_t)p - (uintptr_t)reserve.area < sizeof(reserve.area);
}

static void *take(size_t size)
{
	size_t room = (sizeof(struct block) + size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	struct block *block;

	if (size > RESERVE_BYTES || room > RESERVE_BYTES - reserve.used)
		return NULL;
	block = (struct block *)(void *)(reserve.area + reserve.used);
	block->size = size;
	reserve.used += room;
	reserve.live++;
	return block->bytes;
}

static void give(void *p)
{
	if (!is_ours(p))
		free(p);
	else if (--reserve.live == 0)
		reserve.used = 0;
}

void *reserve_realloc(void *old, long size)
{
	size_t wanted = (size_t)size, kept = 0;
	void *fresh;

	if (size <= 0) {
		give(old);
		return NULL;
	}
	if (is_ours(old)) {
		kept = container_of(old, struct block, bytes)->size;
		fresh = malloc(wanted);
	} else {
		fresh = realloc(old, wanted);
		if (fresh)
			return fresh;
		kept = malloc_usable_size(old);
	}
	if (!fresh)
		fresh = take(wanted);
	if (!fresh)
		return kept >= wanted ? old : NULL;
	if (old)
		memcpy(fresh, old, kept < wanted ? kept : wanted);
	give(old);
	return fresh;
}

size_t reserve_used(void)
{
	return reserve.used;
}

struct ev_loop *reserve_loop(struct err *e)
{
	int fds[LOOP_FDS], count = 0, error = 0;
	struct ev_loop *loop;

	while (count < LOOP_FDS && error == 0) {
		fds[count] = epoll_create1(EPOLL_CLOEXEC);
		if (fds[count] < 0)
			error = errno;
		else
			count++;
	}
	while (count > 0)
		close(fds[--count]);
	if (error) {
		err_set(e, -error, "the event loop: %s", strerror(error));
		return NULL;
	}
	ev_set_allocator(reserve_realloc);
	loop = ev_default_loop(EVFLAG_AUTO);
	if (!loop)
		err_set(e, -ENOMEM, "the event loop could not be made");
	return loop;
}
