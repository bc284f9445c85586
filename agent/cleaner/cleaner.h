/* SPDX-License-Identifier: MIT */
/*
 * Removes old files from fixed places, and nothing else: every directory is opened beneath its parent, without symbolic
 * links and without crossing a mount (openat2), so that nothing placed in /tmp can redirect a removal out of it. Runs
 * as `infiniservice-exec clean`; a host never passes a path, only names of the targets in verbs.c.
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

struct cleaner {
	int root_fd;   /* "/" */
	int64_t now_s; /* wall time */
	int64_t age_s; /* for temporary targets; -1: each target's own */
	bool dry_run;  /* report only, remove nothing */
	/*
	 * Called for each removed entry (with dry_run: each that would be), with its path from the root. Bytes are 0
	 * for a file with another hard link. May be NULL.
	 */
	void (*removed)(void *data, const char *path, uint64_t bytes);
	/* Called for each grant that a seal revokes, such as "commands.allow", with its file's path. May be NULL. */
	void (*revoked)(void *data, const char *path, const char *what);
	void *data;

	uint64_t freed_bytes, items, kept, errors;
	uint64_t directories; /* directories among the items */
	unsigned left;	      /* possible grants that could not be read or revoked */
};

/*
 * Cleans the target of this name. Entries that cannot be removed are counted in `errors` and skipped; a missing place
 * is no error. 0, -ENOENT: there is no such target, or -ENOSYS: the kernel has no openat2 (before 5.6), and nothing was
 * touched.
 */
int cleaner_run(struct cleaner *cleaner, const char *target);

/*
 * Cleans one place: every entry older than age_s (0: every entry). `leave_files`: files are emptied, not removed. 0 or
 * -ENOSYS.
 */
int cleaner_place(struct cleaner *cleaner, const struct cleaner_place *place, int64_t age_s, bool leave_files);

/*
 * Removes (or empties) one file, given its path from the root, under the same rules. 0 or -errno; a missing file is no
 * error.
 */
int cleaner_file(struct cleaner *cleaner, const char *path, bool leave_file);

/*
 * Opens a path beneath a directory without following any symbolic link. `resolve`: 0, or RESOLVE_NO_XDEV. A descriptor
 * or -errno.
 */
int cleaner_open(int dir_fd, const char *path, int flags, uint64_t resolve);

/* True if one of the globs, which end with NULL, matches the name. */
bool cleaner_matches(const char *const *globs, const char *name);

/*
 * The sealing part of making a golden image, of the tree at cleaner->root_fd: a clone has no name, no secret and no
 * permission but to be observed, until its own owner or host grants more. Files that a host's installer wrote are
 * removed. From files of the owner the lines that grant something or identify this machine are removed; the rest stays,
 * since intervals and limits are meant for the clones. Failures are counted in cleaner->errors. 0, -EPERM: grants are
 * left, or -ENOSYS.
 */
int cleaner_seal(struct cleaner *cleaner);

/* Verbs of infiniservice-exec. `argv` begins with the verb. Return the exit status. */
int cleaner_main(int argc, char *argv[]);
int golden_main(int argc, char *argv[]);

#endif
