/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/stat, numbered as in proc_pid_stat(5):
 *	1 pid  2 (comm)  3 state  4 ppid  … 9 flags  … 14 utime  15 stime  … 20 num_threads
 *	21 itrealvalue  22 starttime  23 vsize  24 rss  …
 */
#include "pidstat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "procfs.h"

/* From the state letter on: fields 3 to 24. */
static bool fields_parse(struct scan line, struct pidstat *out)
{
	uint64_t flags, utime, stime, threads;
	struct scan state;
	int64_t ppid, rss;

	if (!scan_field(&line, &state) || scan_len(&state) != 1 || !scan_i64(&line, &ppid) || ppid < 0 ||
	    ppid > INT32_MAX)
		return false;
	if (!scan_skip(&line, 4) || !scan_u64(&line, &flags) || !scan_skip(&line, 4) || !scan_u64(&line, &utime) ||
	    !scan_u64(&line, &stime) || !scan_skip(&line, 4) || !scan_u64(&line, &threads) || !scan_skip(&line, 1) ||
	    !scan_u64(&line, &out->start_ticks) || !scan_skip(&line, 1) || !scan_i64(&line, &rss))
		return false;
	out->state = *state.at;
	out->ppid = (pid_t)ppid;
	out->flags = (uint32_t)flags;
	out->threads = (uint32_t)threads;
	out->cpu_ticks = utime + stime;
	out->rss_pages = rss < 0 ? 0 : (uint64_t)rss;
	return true;
}

int pidstat_parse(const char *text, size_t len, struct pidstat *out)
{
	struct scan line = scan_text(text, len), name;
	struct pidstat stat = { 0 };
	const char *close;
	uint64_t pid;

	if (!scan_digits(&line, &pid) || pid > INT32_MAX || !scan_byte(&line, ' ') || !scan_byte(&line, '('))
		return -EBADMSG;
	close = memrchr(line.at, ')', scan_len(&line));
	if (!close)
		return -EBADMSG;
	name = (struct scan){ line.at, close };
	line.at = close + 1;
	while (line.end > line.at && line.end[-1] == '\n')
		line.end--;
	if (!fields_parse(line, &stat))
		return -EBADMSG;
	stat.pid = (pid_t)pid;
	stat.comm_len = (uint8_t)(scan_len(&name) < sizeof(stat.comm) ? scan_len(&name) : sizeof(stat.comm));
	memcpy(stat.comm, name.at, stat.comm_len);
	*out = stat;
	return 0;
}

int pidstat_read(int proc_fd, pid_t pid, struct pidstat *out)
{
	char path[24], text[PIDSTAT_TEXT_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/stat", pid);
	n = procfs_read_once(proc_fd, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return pidstat_parse(text, (size_t)n, out);
}

/*
 * The letters of task_state_array in fs/proc/array.c (K, W and x: of old kernels). P, a parked kernel thread, sleeps.
 */
const char *pidstat_state_name(char state)
{
	switch (state) {
	case 'R':
	case 'W':
		return "Running";
	case 'D':
	case 'K':
		return "Disk Sleep";
	case 'Z':
		return "Zombie";
	case 'T':
		return "Stopped";
	case 't':
		return "Tracing Stop";
	case 'X':
	case 'x':
		return "Dead";
	case 'I':
		return "Idle";
	default:
		return "Sleeping";
	}
}

int pidio_parse(const char *text, size_t len, struct pidio *out)
{
	struct scan all = scan_text(text, len), line;
	bool has_read = false, has_write = false;
	struct pidio io = { 0 };

	while (scan_line(&all, &line))
		if (scan_key(&line, "read_bytes:"))
			has_read = scan_u64(&line, &io.read_bytes);
		else if (scan_key(&line, "write_bytes:"))
			has_write = scan_u64(&line, &io.write_bytes);
	if (!has_read || !has_write)
		return -EBADMSG;
	*out = io;
	return 0;
}

/*
 *	voluntary_ctxt_switches:	150
 *	nonvoluntary_ctxt_switches:	545
 */
int pidswitches_parse(const char *text, size_t len, struct pidswitches *out)
{
	struct scan rest = scan_text(text, len), line;
	struct pidswitches found;
	unsigned seen = 0;

	while (scan_line(&rest, &line)) {
		if (scan_key(&line, "voluntary_ctxt_switches:"))
			seen |= scan_u64(&line, &found.voluntary) ? 1 : 0;
		else if (scan_key(&line, "nonvoluntary_ctxt_switches:"))
			seen |= scan_u64(&line, &found.involuntary) ? 2 : 0;
	}
	if (seen != 3)
		return -EBADMSG;
	*out = found;
	return 0;
}

#define CONTAINER_DIGITS 64

static bool is_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool pidcontainer_parse(const char *text, size_t len, char out[PIDSTAT_CONTAINER_SIZE])
{
	size_t run = 0;

	for (size_t i = 0; i <= len; i++) {
		bool digit = i < len && is_digit(text[i]);

		if (!digit && run == CONTAINER_DIGITS) {
			memcpy(out, text + i - run, PIDSTAT_CONTAINER_SIZE - 1);
			out[PIDSTAT_CONTAINER_SIZE - 1] = '\0';
			return true;
		}
		run = digit ? run + 1 : 0;
	}
	return false;
}
