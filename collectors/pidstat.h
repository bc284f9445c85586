/* SPDX-License-Identifier: MIT */
/*
 * The texts of one process: /proc/PID/stat and /proc/PID/io, as pure parsers over bytes, see proc(5). The name in
 * `stat` is raw: it may hold blanks, newlines, ESC, ')' and bytes that are no UTF-8, so it ends at the LAST ')'.
 */
#ifndef COLLECTORS_PIDSTAT_H
#define COLLECTORS_PIDSTAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * 15 bytes for a program; the kernel shows its workers as "kworker/u8:2-events_unbound" (fs/proc/array.c,
 * proc_task_name).
 */
#define PIDSTAT_COMM_MAX 64

/* 52 fields of at most 20 digits, the name and some room for fields to come. */
#define PIDSTAT_TEXT_MAX 2048

struct pidstat {
	pid_t pid, ppid;
	char state; /* the letter, see pidstat_state_name */
	uint8_t comm_len;
	char comm[PIDSTAT_COMM_MAX]; /* comm_len bytes, no final NUL */
	uint32_t flags;		     /* PF_* of linux/sched.h */
	uint32_t threads;
	uint64_t cpu_ticks;   /* utime + stime, in clock ticks */
	uint64_t start_ticks; /* since boot */
	uint64_t rss_pages;
};

/* 0 or -EBADMSG (*out untouched). Fields after rss are not looked at. */
int pidstat_parse(const char *text, size_t len, struct pidstat *out);

/* Reads and parses PID/stat below proc_fd. 0, -ENOENT or -ESRCH (it has gone), another -errno. */
int pidstat_read(int proc_fd, pid_t pid, struct pidstat *out);

/* "Running", "Sleeping", … as the host knows them; a letter that is not known reads as "Sleeping". */
const char *pidstat_state_name(char state);

/* True for kernel threads (PF_KTHREAD of linux/sched.h), which have no command line and no executable. */
static inline bool pidstat_is_kernel(const struct pidstat *stat)
{
	return stat->flags & 0x00200000;
}

struct pidio {
	uint64_t read_bytes, write_bytes; /* that went to or came from storage */
};

/* The text of /proc/PID/io. 0 or -EBADMSG. */
int pidio_parse(const char *text, size_t len, struct pidio *out);

/* The times that the main thread gave up its processor itself, and had to. From PID/status. */
struct pidswitches {
	uint64_t voluntary, involuntary;
};

/* The text of /proc/PID/status. 0 or -EBADMSG. */
int pidswitches_parse(const char *text, size_t len, struct pidswitches *out);

/* The first 12 digits of the id of a container, as its engine shows it, and NUL. */
#define PIDSTAT_CONTAINER_SIZE 13

/*
 * The text of /proc/PID/cgroup: writes the id of the container that the process is in and returns true. Container
 * engines name the group of a container by its id of 64 hexadecimal digits, alone ("docker/ID") or in a unit
 * ("docker-ID.scope", "cri-containerd-ID.scope", "libpod-ID.scope").
 */
bool pidcontainer_parse(const char *text, size_t len, char out[PIDSTAT_CONTAINER_SIZE]);

/*
 * The key of a PROBE_PROCESS: 22 bits of pid (PID_MAX_LIMIT is 2^22) and 42 bits of start time (1,394 years of ticks).
 */
static inline uint64_t pidstat_key(pid_t pid, uint64_t start_ticks)
{
	return (uint64_t)pid << 42 | (start_ticks & ((1ULL << 42) - 1));
}

static inline pid_t pidstat_key_pid(uint64_t key)
{
	return (pid_t)(key >> 42);
}

static inline uint64_t pidstat_key_start(uint64_t key)
{
	return key & ((1ULL << 42) - 1);
}

#endif
