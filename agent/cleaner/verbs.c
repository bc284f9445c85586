/* SPDX-License-Identifier: MIT */
/*
 * The verbs of infiniservice-exec that clean, and what they clean; see cleaner.h:
 *
 *	clean [--dry-run] [--age-days N] -- TARGET…
 *	golden [--dry-run] [--deep] [--users]: removes from the guest what clones must not share: identity (machine-id,
 *host keys, the agent's secret and state), grants to its host, logs, and accumulated files. Irreversible: it runs right
 *	before the machine is switched off.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/cleaner/cleaner.h"

#define AGE_DAYS_MAX 3650

#define LIST(...)   ((const char *const[]){ __VA_ARGS__, NULL })
#define PLACES(...) ((const struct cleaner_place[]){ __VA_ARGS__, { .path = NULL } })

/* ------------------------------------------------------------------------------------------------------- the report */

static void print_escaped(const char *before, const char *text)
{
	fputs(before, stdout);
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f || *text == '\\')
			printf("\\x%02x", (unsigned char)*text);
		else
			putchar(*text);
	}
}

/* "item<TAB>bytes<TAB>path", control characters and '\' as \xHH. */
static void print_item(void *data, const char *path, uint64_t bytes)
{
	(void)data;
	printf("item\t%llu", (unsigned long long)bytes);
	print_escaped("\t", path);
	putchar('\n');
}

/* "grant<TAB>path<TAB>what", likewise. */
static void print_grant(void *data, const char *path, const char *what)
{
	(void)data;
	print_escaped("grant\t", path);
	print_escaped("\t", what);
	putchar('\n');
}

/* "directories<TAB>count", then "end<TAB>freed<TAB>items<TAB>kept<TAB>errors"; returns the verb's exit status. */
static int print_end(const struct cleaner *cleaner)
{
	printf("directories\t%llu\n", (unsigned long long)cleaner->directories);
	printf("end\t%llu\t%llu\t%llu\t%llu\n", (unsigned long long)cleaner->freed_bytes,
	       (unsigned long long)cleaner->items, (unsigned long long)cleaner->kept,
	       (unsigned long long)cleaner->errors);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ------------------------------------------------------------------------------------------------------ the targets */

#define OLD_LOGS                                                                                                       \
	{                                                                                                              \
		.path = "var/log", .globs = LIST("*.gz", "*.xz", "*.[0-9]", "*.[0-9][0-9]", "*.old"),                  \
		.keep = LIST("journal", "infiniservice"), .depth = 4                                                   \
	}

/* Dot names with capitals at the top of /tmp belong to running servers, as in tmpfiles.d/x11.conf. */
static const char *const tmp_keep[] = { ".X11-unix",  ".ICE-unix",  ".font-unix",	 ".XIM-unix",
					".Test-unix", "lost+found", "systemd-private-*", "snap-private-tmp",
					".X*-lock",   NULL };

static const struct target {
	const char *name;
	int64_t age_s;			    /* younger files are not removed */
	bool temporary;			    /* the caller may set the age */
	const struct cleaner_place *places; /* ends with a NULL path */
} targets[] = {
	{ .name = "tmp",
	  .age_s = 10 * CLEANER_DAY_S,
	  .temporary = true,
	  .places = PLACES({ .path = "tmp", .keep = tmp_keep, .depth = 32 }) },
	{ .name = "var_tmp",
	  .age_s = 30 * CLEANER_DAY_S,
	  .temporary = true,
	  .places = PLACES({ .path = "var/tmp", .keep = tmp_keep, .depth = 32 }) },
	/* One hour, so that a running package manager does not lose what it has just fetched. */
	{ .name = "package_cache",
	  .age_s = 3600,
	  .places = PLACES({ .path = "var/cache/apt/archives", .globs = LIST("*.deb"), .depth = 2 },
			   { .path = "var/cache/dnf", .globs = LIST("*.rpm"), .depth = 4 },
			   { .path = "var/cache/apk", .globs = LIST("*.apk"), .depth = 2 }) },
	{ .name = "crash",
	  .age_s = 3 * CLEANER_DAY_S,
	  .places = PLACES({ .path = "var/crash", .globs = LIST("*"), .depth = 3 },
			   { .path = "var/lib/systemd/coredump", .globs = LIST("core.*"), .depth = 1 }) },
	/* Only files that journald has closed: names of open ones have no '@', see journald's journal-file.c. */
	{ .name = "journal",
	  .age_s = 14 * CLEANER_DAY_S,
	  .places = PLACES({ .path = "var/log/journal", .globs = LIST("*@*.journal", "*.journal~"), .depth = 2 }) },
	{ .name = "old_logs", .age_s = 14 * CLEANER_DAY_S, .places = PLACES(OLD_LOGS) },
};

static const struct target *target_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			return &targets[i];
	return NULL;
}

int cleaner_run(struct cleaner *cleaner, const char *name)
{
	const struct target *target = target_find(name);
	int r = target ? 0 : -ENOENT;

	for (const struct cleaner_place *place = target ? target->places : NULL; r == 0 && place->path; place++)
		r = cleaner_place(cleaner, place,
				  target->temporary && cleaner->age_s >= 0 ? cleaner->age_s : target->age_s, false);
	return r;
}

int cleaner_main(int argc, char *argv[])
{
	static const struct option options[] = { { "dry-run", no_argument, NULL, 'n' },
						 { "age-days", required_argument, NULL, 'a' },
						 { NULL, 0, NULL, 0 } };
	_cleanup_(closep) int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cleaner cleaner = { .root_fd = root, .now_s = time(NULL), .age_s = -1, .removed = print_item };
	bool usage = false;
	int option;

	while (!usage && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		char *end = NULL;
		long days = option == 'a' ? strtol(optarg, &end, 10) : 0;

		usage = option == '?' || (option == 'a' && (end == optarg || *end || days < 0 || days > AGE_DAYS_MAX));
		if (option == 'a' && !usage)
			cleaner.age_s = days * CLEANER_DAY_S;
		cleaner.dry_run = cleaner.dry_run || option == 'n';
	}
	usage = usage || optind == argc;
	for (int i = optind; i < argc && !usage; i++)
		usage = !target_find(argv[i]);
	if (usage) {
		fputs("usage: infiniservice-exec clean [--dry-run] [--age-days 0…3650] -- TARGET…\n", stderr);
		return 2;
	}
	for (int i = optind; i < argc; i++) {
		int r = cleaner_run(&cleaner, argv[i]);

		if (r < 0) {
			fprintf(stderr, "clean %s: %s\n", argv[i], strerror(-r));
			return 1;
		}
	}
	return print_end(&cleaner);
}

/* ------------------------------------------------------------------------------------------------- the golden image */

enum how { REMOVE, EMPTY };

/* An empty machine-id, not a missing one, makes the next boot write a new one: machine-id(5). */
static const struct {
	const char *path;
	enum how how;
} files[] = {
	{ "etc/machine-id", EMPTY },
	{ "var/lib/dbus/machine-id", REMOVE },
	{ "var/lib/systemd/random-seed", REMOVE },
	{ "var/lib/systemd/credential.secret", REMOVE },
	{ "etc/udev/rules.d/70-persistent-net.rules", REMOVE },
	{ "etc/infiniservice/secret", REMOVE },
	{ "root/.bash_history", REMOVE },
	{ "root/.ssh/known_hosts", REMOVE },
};

static const struct {
	struct cleaner_place place;
	enum how how;
	bool deep;
} places[] = {
	{ { .path = "etc/ssh", .globs = LIST("ssh_host_*_key", "ssh_host_*_key.pub"), .depth = 1 }, REMOVE, false },
	{ { .path = "var/log/journal", .globs = LIST("*.journal", "*.journal~"), .depth = 2 }, REMOVE, false },
	{ { .path = "var/log/infiniservice", .globs = LIST("metrics-*"), .depth = 2 }, REMOVE, false },
	{ OLD_LOGS, REMOVE, false },
	{ { .path = "var/log", .keep = LIST("journal", "infiniservice"), .depth = 4 }, EMPTY, false },
	{ { .path = "var/lib/infiniservice", .depth = 32 }, REMOVE, false },
	{ { .path = "var/lib/dhcp", .globs = LIST("*.leases", "*.lease"), .depth = 1 }, REMOVE, false },
	{ { .path = "var/lib/NetworkManager", .globs = LIST("*.lease", "secret_key"), .depth = 1 }, REMOVE, false },
	{ { .path = "var/lib/cloud", .depth = 16 }, REMOVE, false },
	{ { .path = "var/crash", .depth = 3 }, REMOVE, false },
	{ { .path = "var/lib/systemd/coredump", .depth = 1 }, REMOVE, false },
	{ { .path = "tmp", .keep = LIST(".X11-unix", ".ICE-unix", "systemd-private-*"), .depth = 32 }, REMOVE, false },
	{ { .path = "var/tmp", .keep = LIST("systemd-private-*"), .depth = 32 }, REMOVE, false },
	{ { .path = "var/cache/apt/archives", .globs = LIST("*.deb"), .depth = 2 }, REMOVE, false },
	{ { .path = "var/cache/dnf", .globs = LIST("*.rpm"), .depth = 4 }, REMOVE, false },
	{ { .path = "var/lib/apt/lists", .globs = LIST("*Packages*", "*Release*", "*Translation*"), .depth = 1 },
	  REMOVE,
	  true },
	{ { .path = "var/cache/apt", .globs = LIST("*.bin"), .depth = 1 }, REMOVE, true },
};

/* Files in each home directory. */
static const char *const user_files[] = { ".bash_history",    ".zsh_history",
					  ".python_history",  ".lesshst",
					  ".viminfo",	      ".wget-hsts",
					  ".ssh/known_hosts", ".local/share/recently-used.xbel" };
static const char *const user_places[] = { ".cache", ".local/share/Trash" };

static int clean_user(struct cleaner *cleaner, const char *home)
{
	char path[1024];

	for (size_t i = 0; i < ARRAY_SIZE(user_files); i++) {
		snprintf(path, sizeof(path), "%s/%s", home, user_files[i]);
		if (cleaner_file(cleaner, path, false) < 0)
			cleaner->errors++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(user_places); i++) {
		struct cleaner_place place = { .path = path, .depth = 32 };
		int r;

		snprintf(path, sizeof(path), "%s/%s", home, user_places[i]);
		r = cleaner_place(cleaner, &place, 0, false);
		if (r < 0)
			return r;
	}
	return 0;
}

static int clean_users(struct cleaner *cleaner)
{
	int fd = openat(cleaner->root_fd, "home", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
	    r = clean_user(cleaner, "root");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char home[512];

	if (!dir && fd >= 0)
		close(fd);
	while (r == 0 && dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(home, sizeof(home), "home/%s", entry->d_name);
		r = clean_user(cleaner, home);
	}
	if (dir)
		closedir(dir);
	return r;
}

int golden_main(int argc, char *argv[])
{
	static const struct option options[] = { { "dry-run", no_argument, NULL, 'n' },
						 { "deep", no_argument, NULL, 'd' },
						 { "users", no_argument, NULL, 'u' },
						 { NULL, 0, NULL, 0 } };
	_cleanup_(closep) int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cleaner look = { .root_fd = root, .now_s = time(NULL), .age_s = -1, .dry_run = true }, cleaner = look;
	bool deep = false, users = false;
	int option, r;

	cleaner.dry_run = false;
	cleaner.removed = print_item;
	cleaner.revoked = print_grant;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1 && option != '?') {
		cleaner.dry_run = cleaner.dry_run || option == 'n';
		deep = deep || option == 'd';
		users = users || option == 'u';
	}
	if (option != -1 || optind < argc) {
		fputs("usage: infiniservice-exec golden [--dry-run] [--deep] [--users]\n", stderr);
		return 2;
	}
	/* A dry run first: half a seal leaves the image open, and its host without the permission to try again. */
	r = cleaner_seal(&look);
	if (r == 0)
		r = cleaner_seal(&cleaner);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++)
		if (deep || !places[i].deep)
			r = cleaner_place(&cleaner, &places[i].place, 0, places[i].how == EMPTY);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		if (cleaner_file(&cleaner, files[i].path, files[i].how == EMPTY) < 0)
			cleaner.errors++;
	if (r == 0 && users)
		r = clean_users(&cleaner);
	if (r < 0) {
		fprintf(stderr, "golden: %s\n", strerror(-r));
		return 1;
	}
	return print_end(&cleaner);
}
