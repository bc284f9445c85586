/* SPDX-License-Identifier: MIT */
/*
 * Removes old files from fixed places, and from nowhere else: every directory is opened beneath the one before it,
 * without symbolic links and without crossing a mount (openat2), so that whatever is planted in /tmp leads out of it
 * only as itself. Runs as `infiniservice-exec clean`; paths never come from a host, only the names of the targets
 * below.
 */
#ifndef AGENT_CLEANER_CLEANER_H
#define AGENT_CLEANER_CLEANER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLEANER_DAY_S 86400

struct cleaner_place {
	const char *path;	  /* from the root, without a leading '/' */
	const char *const *globs; /* NULL: all names; else those of files that match one (fnmatch) */
	const char *const *keep;  /* names at the top that are never touched; may be NULL */
	unsigned depth;		  /* how far down; 1: the directory itself alone */
};

struct cleaner_target {
	const char *name;
	int64_t age_s;			    /* younger things stay */
	bool temporary;			    /* the age may be set by who asks */
	const struct cleaner_place *places; /* ends with a NULL path */
};

/* NULL when there is none of that name. */
const struct cleaner_target *cleaner_target_find(const char *name);
/* NULL after the last. */
const struct cleaner_target *cleaner_target_at(size_t index);

struct cleaner {
	int root_fd;   /* "/" */
	int64_t now_s; /* wall time */
	int64_t age_s; /* for temporary targets; -1: their own */
	bool dry_run;  /* only says what it would do */
	/*
	 * Called for each thing removed (or that would be), its path from the root. Bytes are 0 where another name
	 * keeps them.
	 */
	void (*removed)(void *data, const char *path, uint64_t bytes);
	void *data;

	uint64_t freed_bytes, items, kept, errors;
	uint64_t directories; /* of the items */
};

/*
 * Cleans one target. What cannot be removed is counted in `errors` and passed over; a place that does not exist is
 * nothing. 0, or -ENOSYS: the kernel has no openat2 (before 5.6), and nothing was touched.
 */
int cleaner_run(struct cleaner *cleaner, const struct cleaner_target *target);

/*
 * Cleans one place, everything older than age_s (0: everything). `leave_files`: files are emptied, not removed. For
 * golden.c.
 */
int cleaner_place(struct cleaner *cleaner, const struct cleaner_place *place, int64_t age_s, bool leave_files);

/*
 * Removes (or empties) one file by its path from the root, under the same rules. 0 or -errno; one that is not there is
 * no error.
 */
int cleaner_file(struct cleaner *cleaner, const char *path, bool leave_file);

/* Opens what lies beneath a directory, as all of this does: no symbolic link on the way. A descriptor or -errno. */
int cleaner_open(int dir_fd, const char *path, int flags);

/* The verbs of infiniservice-exec. `argv` begins with the verb; the exit status is returned. */
int cleaner_main(int argc, char *argv[]);
int golden_main(int argc, char *argv[]);

/* Writes the report of a verb: "item<TAB>bytes<TAB>path" as it goes, with bytes of control and '\' as \xHH. */
void cleaner_print(void *data, const char *path, uint64_t bytes);
/* "grant<TAB>path<TAB>what": a right that was taken away, written likewise. */
void cleaner_print_grant(void *data, const char *path, const char *what);
/* "directories<TAB>count", then "end<TAB>freed<TAB>items<TAB>kept<TAB>errors" */
void cleaner_print_end(const struct cleaner *cleaner);

#endif
