/* SPDX-License-Identifier: MIT */
/*
 * Memory that fails on demand, for a test linked with --wrap of the functions below: in one process (not in the helpers
 * it forks) the n-th allocation fails, or all from the n-th on until it is said that memory is back. Every allocation
 * made there is entered in a table until it is freed, so that a leak is seen without a sanitizer too.
 *
 * Time runs SPEED times as fast, for the clocks and for the timers of the loop alike: waits of seconds cost nothing.
 */
#ifndef TESTS_FAILING_MEMORY_H
#define TESTS_FAILING_MEMORY_H

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <ev.h>

#define SPEED	    20
#define TRACKED_MAX 65536u

struct failing_memory {
	pid_t process;		   /* whose allocations count; 0: nobody's */
	unsigned long count;	   /* allocations since it was armed */
	unsigned long first, last; /* of those that fail; memory is back when last is 0 */
	unsigned long failed;
	struct timespec base[8]; /* of each clock, when armed */
	char complaint[512];
};

static struct failing_memory *memory; /* shared with all forked processes */

static struct {
	void *pointer;
	unsigned long number;
} tracked[TRACKED_MAX];

static void memory_share(void)
{
	memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		abort();
}

static void memory_back(void)
{
	memory->last = 0;
}

static bool counts_here(void)
{
	return memory && memory->process && memory->process == getpid();
}

static bool refused(void)
{
	unsigned long number;

	if (!counts_here())
		return false;
	number = ++memory->count;
	if (number < memory->first || number > memory->last)
		return false;
	memory->failed++;
	errno = ENOMEM;
	return true;
}

static unsigned slot_of(const void *pointer)
{
	unsigned slot = (unsigned)(((uintptr_t)pointer >> 4) * 2654435761u) % TRACKED_MAX;

	while (tracked[slot].pointer && tracked[slot].pointer != pointer)
		slot = (slot + 1) % TRACKED_MAX;
	return slot;
}

static void *track(void *pointer)
{
	if (pointer && counts_here()) {
		unsigned slot = slot_of(pointer);

		tracked[slot].pointer = pointer;
		tracked[slot].number = memory->count;
	}
	return pointer;
}

/* Linear probing without tombstones: what stood behind the gap is entered anew. */
static void untrack(const void *pointer)
{
	unsigned slot = slot_of(pointer);

	if (!pointer || !tracked[slot].pointer)
		return;
	tracked[slot].pointer = NULL;
	for (slot = (slot + 1) % TRACKED_MAX; tracked[slot].pointer; slot = (slot + 1) % TRACKED_MAX) {
		void *moved = tracked[slot].pointer;
		unsigned long number = tracked[slot].number;

		tracked[slot].pointer = NULL;
		tracked[slot_of(moved)].number = number;
		tracked[slot_of(moved)].pointer = moved;
	}
}

/* How many allocations were not freed; the number of the first in *ret_number. */
static unsigned outstanding(unsigned long *ret_number)
{
	unsigned found = 0;

	for (unsigned i = 0; i < TRACKED_MAX; i++) {
		if (!tracked[i].pointer)
			continue;
		if (found == 0 || tracked[i].number < *ret_number)
			*ret_number = tracked[i].number;
		found++;
	}
	return found;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__real_strndup(const char *text, size_t max);
char *__wrap_strndup(const char *text, size_t max);
__attribute__((format(printf, 2, 3))) int __wrap_asprintf(char **ret, const char *format, ...);
__attribute__((format(printf, 3, 4))) int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
int __real_scandir(const char *path, struct dirent ***list, int (*pick)(const struct dirent *),
		   int (*order)(const struct dirent **, const struct dirent **));
int __wrap_scandir(const char *path, struct dirent ***list, int (*pick)(const struct dirent *),
		   int (*order)(const struct dirent **, const struct dirent **));
void __real_free(void *pointer);
void __wrap_free(void *pointer);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
void __real_ev_timer_start(struct ev_loop *loop, ev_timer *timer);
void __wrap_ev_timer_start(struct ev_loop *loop, ev_timer *timer);
void __real_ev_timer_again(struct ev_loop *loop, ev_timer *timer);
void __wrap_ev_timer_again(struct ev_loop *loop, ev_timer *timer);

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : track(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refused() ? NULL : track(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
	void *fresh;

	if (refused())
		return NULL;
	fresh = __real_realloc(old, size);
	if (fresh || size == 0)
		untrack(old);
	return track(fresh);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	void *fresh;

	if (refused())
		return NULL;
	fresh = __real_reallocarray(old, count, size);
	if (fresh)
		untrack(old);
	return track(fresh);
}

char *__wrap_strdup(const char *text)
{
	return refused() ? NULL : track(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t max)
{
	return refused() ? NULL : track(__real_strndup(text, max));
}

__attribute__((format(printf, 2, 0))) static int print_new(char **ret, const char *format, va_list args)
{
	int len = refused() ? -1 : vasprintf(ret, format, args);

	if (len >= 0)
		track(*ret);
	return len;
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = print_new(ret, format, args);
	va_end(args);
	return len;
}

int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
{
	va_list args;
	int len;

	(void)flag;
	va_start(args, format);
	len = print_new(ret, format, args);
	va_end(args);
	return len;
}

DIR *__wrap_opendir(const char *path)
{
	return refused() ? NULL : __real_opendir(path);
}

DIR *__wrap_fdopendir(int fd)
{
	return refused() ? NULL : __real_fdopendir(fd);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return refused() ? NULL : __real_fopen(path, mode);
}

int __wrap_scandir(const char *path, struct dirent ***list, int (*pick)(const struct dirent *),
		   int (*order)(const struct dirent **, const struct dirent **))
{
	return refused() ? -1 : __real_scandir(path, list, pick, order);
}

void __wrap_free(void *pointer)
{
	if (counts_here())
		untrack(pointer);
	__real_free(pointer);
}

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int result = __real_clock_gettime(clock, ret);
	int64_t base, fast;

	if (!memory || clock < 0 || clock >= 8 || memory->base[clock].tv_sec == 0)
		return result;
	base = nanoseconds(memory->base[clock]);
	fast = base + (nanoseconds(*ret) - base) * SPEED;
	*ret = (struct timespec){ .tv_sec = fast / 1000000000, .tv_nsec = fast % 1000000000 };
	return result;
}

/* Started, a timer's `at` is an absolute time of the loop: only before is it a delay. */
void __wrap_ev_timer_start(struct ev_loop *loop, ev_timer *timer)
{
	if (!ev_is_active(timer)) {
		timer->at /= SPEED;
		timer->repeat /= SPEED;
	}
	__real_ev_timer_start(loop, timer);
}

void __wrap_ev_timer_again(struct ev_loop *loop, ev_timer *timer)
{
	double repeat = timer->repeat;

	timer->repeat /= SPEED;
	__real_ev_timer_again(loop, timer);
	timer->repeat = repeat;
}

/* From now on the allocations number `first` to `last` of this process fail. */
static void memory_arm(unsigned long first, unsigned long last)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };

	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++)
		__real_clock_gettime(clocks[i], &memory->base[clocks[i]]);
	memory->count = memory->failed = 0;
	memory->first = first;
	memory->last = last;
	memory->process = getpid();
}

static void memory_disarm(void)
{
	memory->process = 0;
}

/* The first complaint of a run is kept. */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list args;

	if (*memory->complaint)
		return;
	va_start(args, format);
	vsnprintf(memory->complaint, sizeof(memory->complaint), format, args);
	va_end(args);
}

#endif
