/* SPDX-License-Identifier: MIT */
/*
 * infiniservice-exec golden [--dry-run] [--deep] [--users]: removes from the guest what clones must not share: identity
 * (machine-id, host keys, the agent's secret and state), grants to its host (seal.h), logs, and accumulated files.
 * Irreversible: it runs right before the machine is switched off.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/cleaner/cleaner.h"
#include "agent/cleaner/seal.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

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
	{ { .path = "var/log",
	    .globs = LIST("*.gz", "*.xz", "*.[0-9]", "*.[0-9][0-9]", "*.old"),
	    .keep = LIST("journal", "infiniservice"),
	    .depth = 4 },
	  REMOVE,
	  false },
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

static int clean_all(struct cleaner *cleaner, bool deep, bool users)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int r = places[i].deep && !deep ? 0
						: cleaner_place(cleaner, &places[i].place, 0, places[i].how == EMPTY);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (cleaner_file(cleaner, files[i].path, files[i].how == EMPTY) < 0)
			cleaner->errors++;
	return users ? clean_users(cleaner) : 0;
}

int golden_main(int argc, char *argv[])
{
	static const struct option options[] = { { "dry-run", no_argument, NULL, 'n' },
						 { "deep", no_argument, NULL, 'd' },
						 { "users", no_argument, NULL, 'u' },
						 { NULL, 0, NULL, 0 } };
	_cleanup_(closep) int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cleaner cleaner = { .root_fd = root, .now_s = time(NULL), .age_s = -1, .removed = cleaner_print };
	struct cleaner look = { .root_fd = root, .now_s = cleaner.now_s, .age_s = -1, .dry_run = true };
	bool deep = false, users = false;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		cleaner.dry_run = cleaner.dry_run || option == 'n';
		deep = deep || option == 'd';
		users = users || option == 'u';
		if (option == '?')
			break;
	}
	if (option != -1 || optind < argc) {
		fputs("usage: infiniservice-exec golden [--dry-run] [--deep] [--users]\n", stderr);
		return 2;
	}
	/* A dry run first: half a seal leaves the image open, and its host without the permission to try again. */
	r = seal(&look, NULL, NULL);
	if (r == 0)
		r = seal(&cleaner, cleaner_print_grant, NULL);
	if (r == 0)
		r = clean_all(&cleaner, deep, users);
	if (r < 0) {
		fprintf(stderr, "golden: %s\n", strerror(-r));
		return 1;
	}
	cleaner_print_end(&cleaner);
	return fflush(stdout) == 0 ? 0 : 1;
}
