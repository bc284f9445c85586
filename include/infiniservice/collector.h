/* SPDX-License-Identifier: MIT */
/*
 * A collector measures one subject of the guest. Life-cycle, driven by agent/metrics/sampling.c:
 *
 *	open ─► collect ─► (probed …) ─► emit ─► collect ─► … ─► close
 *	           │
 *	           └─ wake_fd readable ─► wake ─► an extra collect soon
 *
 * collect reads and parses into the collector's own state, relative to the directory fds of the context, in slices if
 * there may be much to read, and never blocks: calls that may hang (statvfs of a network mount, a command line, a scan
 * of all fds) are made by the prober; its answers arrive through `probed`, before emit or, when late, before the next
 * emit. emit only writes the state; it may be called more than once for one collect.
 */
#ifndef INFINISERVICE_COLLECTOR_H
#define INFINISERVICE_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/moment.h>
#include <infiniservice/sink.h>

enum probe_kind {
	PROBE_STATVFS, /* key: device number; arg: path. data: struct probe_statvfs */
	PROBE_PROCESS, /* key: (pid, start time) packed by the asker; arg: "PID". data: struct probe_process */
	PROBE_SOCKETS, /* arg: `count` u64 inodes. data: array of struct probe_socket found in /proc/PID/fd */
	PROBE_USER,    /* key: uid; arg: it as u32. data: its name, without a NUL; -ENOENT: no such user */
	PROBE_NET,     /* key: IPPROTO_TCP or IPPROTO_UDP; arg: it as u8. data: see collectors/procnet.h */
	PROBE_RTC,     /* data: struct probe_rtc. Not the business of collectors */
	PROBE_UNITS,   /* data: struct probe_units, then its rows */
	PROBE_KINDS,
};

struct probe_statvfs {
	uint64_t block_size; /* f_frsize */
	uint64_t blocks, bfree, bavail, files, ffree;
	uint64_t flags;
};

/* Followed by cmdline_len bytes of cmdline (NULs between arguments as the kernel has them) and exe_len bytes of exe. */
struct probe_process {
	uint64_t start_ticks; /* field 22 of /proc/PID/stat, read after the rest: differs if the pid was reused */
	uint32_t cmdline_len; /* at most SINK_CMDLINE_MAX */
	uint32_t exe_len;     /* at most SINK_PATH_MAX; 0 when not permitted */
};

struct probe_socket {
	uint64_t inode;
	int32_t pid;
};

/*
 * The real-time clock of the machine, which runs while the guest does not, and the guest's own clocks at that moment.
 */
struct probe_rtc {
	int64_t rtc_s; /* /sys/class/rtc/rtc0/since_epoch: as if it kept UTC, which it need not */
	uint64_t boot_ns;
	int64_t wall_ms;
};

/* The units that have failed, and those that PID 1 is about to start again; `count` rows follow. */
struct probe_units {
	uint32_t failed, restarting, count; /* count: at most PROBE_UNITS_MAX of both together */
};

struct probe_unit {
	char name[119]; /* with a NUL; a longer one is cut */
	bool failed;	/* else it restarts */
};

#define PROBE_UNITS_MAX 32

struct probe_request {
	enum probe_kind kind;
	uint64_t key;	 /* one probe per (collector, kind, key) is outstanding; a second is refused with -EALREADY */
	const void *arg; /* copied */
	size_t arg_len;	 /* at most PROBE_ARG_MAX */
};

#define PROBE_ARG_MAX  8192
#define PROBE_DATA_MAX 49152

struct probe_result {
	enum probe_kind kind;
	uint64_t key;
	int error; /* 0, or -errno of the system call; -ETIMEDOUT when the deadline passed (it may answer later) */
	const void *data; /* valid during the call */
	size_t data_len;
};

/*
 * The prober as a collector sees it; agent/metrics/prober.c behind it, a direct one in tests and --once.
 * Returns 0 (an answer will come through `probed`), -EALREADY, -ENOBUFS (too many at once: ask again at the next
 * collect) or -ENOSYS (no prober).
 */
struct prober {
	int (*request)(struct prober *prober, const struct probe_request *request);
};

/* collect has not read everything yet: the state is as before, or partly newer. */
#define COLLECT_MORE 1

struct collect_limits {
	unsigned processes_top; /* rows of data.processes */
	unsigned ports_max;	/* rows of data.ports */
	unsigned cgroups_top;	/* rows of data.cgroup */
};

struct collect_ctx {
	int proc_fd; /* O_PATH or O_RDONLY directory: /proc, or a fixture */
	int sys_fd;  /* /sys, or a fixture */
	int root_fd; /* /, for etc/os-release and the like, or a fixture */
	bool live;   /* the fds are the running kernel's, so netlink, uname and statvfs describe the same machine */
	struct moment now;
	bool gap; /* the clock stepped or the guest slept since the last collect: rates are over the time really passed,
		   * and their state says `gap` */
	bool fresh;	/* somebody asks for this sample: what is otherwise read from time to time is read now */
	unsigned slice; /* items (processes, …) that one call of collect may read; 0: all of them */
	struct collect_limits limits;
	struct prober *prober; /* this collector's own; may be NULL: then what needs it stays null */
};

struct collector {
	const char *name; /* the key in [collectors] */
	/*
	 * The object below `data` into which emit writes its keys, as a dotted path: "system.cpu", "system", or "" for
	 * data itself. Two collectors may share an object (disk and filesystem both write into "system.disk"); they
	 * stand together in the table.
	 */
	const char *path;
	bool required; /* the host stores no sample without this part */
	/*
	 * The share of a sample (collectors.sample_max_bytes) that those before it leave for this one, in bytes that
	 * are reckoned in proportion to those of all; 0: 1024. It may use what nobody needs besides. What does not fit
	 * then is cut (ranked.h), or all that emit has written is left out.
	 */
	unsigned reserve_bytes;
	/*
	 * What hardly ever changes and no host needs every time stands in whole samples alone (PROTOCOL.md): either
	 * all of the collector's object, if `whole` is set and `path` is its own, or the keys that emit writes between
	 * sink_whole_begin and sink_whole_end, named here with blanks between them. A sample that differs from the
	 * last whole one in any of it is a whole one, so nothing that moves belongs there. Those who read the past put
	 * them back by these names, in objects of a list by their `name` or `mount_point`.
	 */
	bool whole;
	const char *whole_keys; /* NULL: none */
	/*
	 * How long what was read stands for what there is, in seconds; 0: it is read for every sample. In between the
	 * sample holds what was last read, with its `age_s` beside it, so `path` is an object of this collector alone
	 * (or "": then with NAME_age_s).
	 * Read again before that time is over: for the first sample, for one that is asked for, and after a clock step
	 * or a sleep of the guest.
	 */
	unsigned period_s;

	/* Allocates the state. 0 or -errno (*ret_state untouched). Missing kernel features are no error: null later. */
	int (*open)(const struct collect_ctx *ctx, void **ret_state);
	/* Accepts NULL and half-built state. */
	void (*close)(void *state);
	/*
	 * 0, or -errno: nothing usable was read (-EBADMSG: the kernel's text was invalid). State keeps its last
	 * values. COLLECT_MORE: it is called again, with the same ctx, before anything else of this collector but
	 * `probed`, emit and its accessors.
	 */
	int (*collect)(void *state, const struct collect_ctx *ctx);
	/* Optional: a probe's answer. */
	void (*probed)(void *state, const struct probe_result *result);
	/* Writes the keys of `path`. Called only after a collect that returned 0. */
	void (*emit)(const void *state, struct sink *out);

	/*
	 * Optional: an fd to watch for reading (-1 if none) and what to do then; wake returns true when a sample should
	 * be taken at once (an address or link changed). It drains the fd.
	 */
	int (*wake_fd)(const void *state);
	bool (*wake)(void *state);
};

/* All collectors in the order of the message (collectors/table.c), ended by NULL. */
extern const struct collector *const collectors[];

#endif
