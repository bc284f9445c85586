/* SPDX-License-Identifier: MIT */
/*
 * Removes old files from fixed places, and nothing else: every directory is opened beneath its parent, without symbolic
 * links and without crossing a mount (openat2), so that nothing placed in /tmp can redirect a removal out of it. Runs
 * as `infiniservice-exec clean`; a host never passes a path, only names of the targets below.
 */
#ifndef AGENT_CLEANER_CLEANER_H
#define AGENT_CLEANER_CLEANER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLEANER_DAY_S 86400

struct cleaner_place {
	const char *path;	  /* relative to the root, without a leading '/' */
	const char *const *globs; /* NULL: all files; else only those whose names match a glob (fnmatch) */
	const char *const *keep;  /* names at the top level that are never touched; may be NULL */
	unsigned depth;		  /* levels to descend; 1: the directory itself only */
};

struct cleaner_target {
	const char *name;
	int64_t age_s;			    /* younger files are not removed */
	bool temporary;			    /* the caller may set the age */
	const struct cleaner_place *places; /* ends with a NULL path */
};

/* The target of this name, or NULL. */
const struct cleaner_target *cleaner_target_find(const char *name);
/* The target number `index`; NULL after the last. */
const struct cleaner_target *cleaner_target_at(size_t index);

struct cleaner {
	int root_fd;   /* "/" */
	int64_t now_s; /* wall time */
	int64_t age_s; /* for temporary targets; -1: each target's own */
	bool dry_run;  /* report only, remove nothing */
	/*
	 * Called for each removed entry (with dry_run: each that would be), with its path from the root. Bytes are 0
	 * for a file with another hard link.
	 */
	void (*removed)(void *data, const char *path, uint64_t bytes);
	void *data;

	uint64_t freed_bytes, items, kept, errors;
	uint64_t directories; /* directories among the items */
};

/*
 * Cleans one target. Entries that cannot be removed are counted in `errors` and skipped; a missing place is no error.
 * 0, or -ENOSYS: the kernel has no openat2 (before 5.6), and nothing was touched.
 */
int cleaner_run(struct cleaner *cleaner, const struct cleaner_target *target);

/*
 * Cleans one place: every entry older than age_s (0: every entry). `leave_files`: files are emptied, not removed. For
 * golden.c and seal.c. Returns as cleaner_run.
 */
int cleaner_place(struct cleaner *cleaner, const struct cleaner_place *place, int64_t age_s, bool leave_files);

/*
 * Removes (or empties) one file, given its path from the root, under the same rules. 0 or -errno; a missing file is no
 * error.
 */
int cleaner_file(struct cleaner *cleaner, const char *path, bool leave_file);

/* Opens a path beneath a directory without following any symbolic link. A descriptor or -errno. */
int cleaner_open(int dir_fd, const char *path, int flags);

/* Verbs of infiniservice-exec. `argv` begins with the verb. Return the exit status. */
int cleaner_main(int argc, char *argv[]);
int golden_main(int argc, char *argv[]);

/* Writes an item of a verb's report, "item<TAB>bytes<TAB>path", control characters and '\' as \xHH. */
void cleaner_print(void *data, const char *path, uint64_t bytes);
/* Writes a revoked grant, "grant<TAB>path<TAB>what", likewise. */
void cleaner_print_grant(void *data, const char *path, const char *what);
/* Writes "directories<TAB>count", then "end<TAB>freed<TAB>items<TAB>kept<TAB>errors". */
void cleaner_print_end(const struct cleaner *cleaner);

#endif
