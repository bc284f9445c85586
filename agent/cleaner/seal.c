/* SPDX-License-Identifier: MIT */
/* Revokes what one machine was granted; see cleaner.h. Files are replaced by rename within their directory. */
#include "agent/cleaner/cleaner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/config/secret.h"

#define CONFIG_DIR    "etc/infiniservice"
#define UNIT_DIR      "etc/systemd/system"
#define SEAL_FILE_MAX (1u << 20)
#define MARK	      "# Written by install-linux.sh"
#define TEMPORARY     ".infiniservice-seal.new"
#define PATH_SIZE     1024
#define LIST(...)     ((const char *const[]){ __VA_ARGS__, NULL })

static void tell(const struct cleaner *cleaner, const char *path, const char *what)
{
	char shown[PATH_SIZE + 1];

	snprintf(shown, sizeof(shown), "/%s", path);
	if (cleaner->revoked)
		cleaner->revoked(cleaner->data, shown, what);
}

/* -------------------------------------------------------------------------------------------------------- the rules */

/*
 * Keys that grant something to the host or identify this machine. Restrictions (deny, limits, require_signature = yes)
 * stay.
 */
static const struct {
	const char *section, *key, *name;
	const char *unless; /* a value that grants nothing, besides the empty one; NULL: every other value grants */
	const char *only;   /* the only value that grants; NULL: see `unless` */
} grants[] = {
	{ "agent", "vm_id", "agent.vm_id", NULL, NULL },
	{ "commands", "allow", "commands.allow", "observe", NULL },
	{ "commands", "allow_unsafe", "commands.allow_unsafe", "no", NULL },
	{ "commands", "run_as", "commands.run_as", NULL, "root" },
	{ "auth", "secret_file", "auth.secret_file", NULL, NULL },
	{ "auth", "require_signature", "auth.require_signature", NULL, "no" },
};

/*
 * Directives of a drop-in that limit or order the unit, or open a place that its user owns; any other may grant
 * something.
 */
static const char *const *const harmless =
	LIST("MemoryMax", "MemoryHigh", "MemoryLow", "MemoryMin", "MemorySwapMax", "TasksMax", "CPUQuota", "CPUWeight",
	     "CPUAffinity", "IOWeight", "Nice", "OOMScoreAdjust", "OOMPolicy", "Restart", "RestartSec", "LimitNOFILE",
	     "LimitCORE", "LogRateLimitIntervalSec", "LogRateLimitBurst", "LogLevelMax", "TimeoutStartSec",
	     "TimeoutStopSec", "WatchdogSec", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "After", "Before",
	     "Wants", "Description", "Documentation", "SyslogIdentifier", "Slice");

static bool is_value(const char *value, const char *wanted)
{
	size_t len = strlen(wanted), rest;

	if (strncasecmp(value, wanted, len) != 0)
		return false;
	rest = len + strspn(value + len, " \t\r\n,");
	/* As in libinih: ';' behind a blank begins a comment. */
	return value[rest] == '\0' || (value[rest] == ';' && (rest == 0 || strchr(" \t", value[rest - 1])));
}

static bool gives(int row, const char *value)
{
	if (row == 0 || is_value(value, ""))
		return false;
	row--;
	return !(grants[row].unless && is_value(value, grants[row].unless)) &&
	       !(grants[row].only && !is_value(value, grants[row].only));
}

/* Whether the line sets `key` of `wanted_section`; then *ret_value is its value. */
static bool is_pair(const char *line, const char *section, const char *wanted_section, const char *key,
		    const char **ret_value)
{
	size_t len = strcspn(line, "=:\r\n");
	const char *value = line + len + (line[len] == '=' || line[len] == ':');

	while (len > 0 && isspace((unsigned char)line[len - 1]))
		len--;
	if (strcmp(section, wanted_section) != 0 || strlen(key) != len || strncmp(line, key, len) != 0)
		return false;
	*ret_value = value + strspn(value, " \t");
	return true;
}

/* State carried from line to line of a configuration file; zeroed at its beginning. */
struct reader {
	char section[64];
	int row; /* grant (counted from 1) of the last key, which an indented line continues; 0: the key grants nothing
		  */
	bool gave;	   /* the last line granted something */
	const char *value; /* value in the current line, points into it */
};

/* The grant in a line of a configuration file, as "section.key", or NULL: none. `line` has no newline. */
static const char *judge_config(struct reader *reader, const char *line)
{
	bool indented;

	if (strncmp(line, "\xef\xbb\xbf", 3) == 0)
		line += 3;
	indented = isspace((unsigned char)*line);
	line += strspn(line, " \t\r\n\v\f");
	reader->value = line;
	if (*line == '\0' || *line == '#' || *line == ';')
		return NULL;
	if (*line == '[') {
		size_t len;

		line += 1 + strspn(line + 1, " \t\v\f");
		len = strcspn(line, "]\r\n");
		while (len > 0 && isspace((unsigned char)line[len - 1]))
			len--;
		snprintf(reader->section, sizeof(reader->section), "%.*s", (int)len, line);
		reader->row = 0;
		return NULL;
	}
	/*
	 * As in the configuration's parser: an indented line that is no pair continues the value above, and goes with
	 * it.
	 */
	if (indented && !strchr(line, '='))
		return reader->row && (reader->gave || gives(reader->row, line)) ? grants[reader->row - 1].name : NULL;
	reader->row = 0;
	for (int i = 0; i < (int)ARRAY_SIZE(grants); i++)
		if (is_pair(line, reader->section, grants[i].section, grants[i].key, &reader->value))
			reader->row = i + 1;
	reader->gave = gives(reader->row, reader->value);
	return reader->gave ? grants[reader->row - 1].name : NULL;
}

/* Whether a line of a unit's drop-in grants nothing: a comment, a section, a limit. */
static bool unit_line_gives_nothing(const char *line)
{
	size_t len;

	line += strspn(line, " \t\r\n");
	if (*line == '\0' || *line == '#' || *line == ';' || *line == '[')
		return true;
	/* Continuation lines are not parsed: such a line may grant something. What is wanted is started. */
	if (strchr(line, '\\') || (strncmp(line, "Wants", strlen("Wants")) == 0 && strstr(line, "infiniservice-exec")))
		return false;
	len = strcspn(line, " \t=");
	for (const char *const *name = harmless; *name; name++)
		if (strlen(*name) == len && strncmp(line, *name, len) == 0)
			return true;
	return false;
}

/*
 * ------------------------------------------------------------------------------------------------------------- files
 */

/*
 * Reports a possible grant that stays: the seal goes on, so that all such places are reported, and fails in the end. A
 * link to /dev/null disables the file (systemd.unit(5)) and grants nothing.
 */
static void leave(struct cleaner *cleaner, const char *path, int error)
{
	char target[sizeof("/dev/null")];

	if (error == -ELOOP &&
	    readlinkat(cleaner->root_fd, path, target, sizeof(target)) == (ssize_t)strlen("/dev/null") &&
	    memcmp(target, "/dev/null", strlen("/dev/null")) == 0)
		return;
	fprintf(stderr, "golden: /%s: %s: what it may grant would stay in the image\n", path, strerror(-error));
	cleaner->errors++;
	cleaner->left++;
}

/* Reads a whole regular file, with a NUL behind it; NULL with *ret_error 0 when there is none. The caller frees it. */
static char *read_file(const struct cleaner *cleaner, const char *path, struct stat *ret_st, int *ret_error)
{
	_cleanup_(closep) int fd = cleaner_open(cleaner->root_fd, path, O_RDONLY, 0);
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	ssize_t n = 1;

	*ret_error = fd < 0 && fd != -ENOENT && fd != -ENOTDIR ? fd : 0;
	if (fd < 0 || fstat(fd, ret_st) < 0 || !S_ISREG(ret_st->st_mode))
		return NULL;
	*ret_error = -EFBIG;
	if (ret_st->st_size > SEAL_FILE_MAX)
		return NULL;
	text = malloc(SEAL_FILE_MAX + 1);
	while (text && n > 0 && len < SEAL_FILE_MAX) {
		n = read(fd, text + len, SEAL_FILE_MAX - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (!text || n < 0 || memchr(text, '\0', len)) {
		*ret_error = !text ? -ENOMEM : n < 0 ? -EIO : -EINVAL;
		return NULL;
	}
	text[len] = '\0';
	*ret_error = 0;
	return TAKE_PTR(text);
}

/* Like read_file; a file that cannot be read stays and is reported. */
static char *read_or_leave(struct cleaner *cleaner, const char *path, struct stat *ret_st)
{
	int error;
	char *text = read_file(cleaner, path, ret_st, &error);

	if (error)
		leave(cleaner, path, error);
	return text;
}

static int replace(const struct cleaner *cleaner, const char *path, const char *text, size_t len, const struct stat *st)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(closep) int dir_fd = -1;
	_cleanup_(closep) int fd = -1;
	char folder[PATH_SIZE];

	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	dir_fd = cleaner_open(cleaner->root_fd, folder, O_RDONLY | O_DIRECTORY, 0);
	if (dir_fd < 0)
		return dir_fd;
	errno = 0;
	unlinkat(dir_fd, TEMPORARY, 0);
	fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, text, len) == (ssize_t)len && fchown(fd, st->st_uid, st->st_gid) == 0 &&
	    fchmod(fd, st->st_mode & 07777) == 0 && fsync(fd) == 0 &&
	    renameat(dir_fd, TEMPORARY, dir_fd, slash + 1) == 0)
		return 0;
	unlinkat(dir_fd, TEMPORARY, 0);
	return errno ? -errno : -EIO;
}

static void remove_file(struct cleaner *cleaner, const char *path)
{
	uint64_t before = cleaner->errors;

	if (cleaner_file(cleaner, path, false) < 0)
		cleaner->errors++;
	cleaner->left += cleaner->errors != before;
}

/*
 * Whether the file may be a secret: a single line, not readable by all. /etc/passwd and /etc/hostname are none, even if
 * the configuration names them.
 */
static bool may_be_secret(int fd)
{
	char text[SECRET_MAX + 257];
	const char *newline;
	struct stat st;
	ssize_t len;
	bool may;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & S_IROTH))
		return false;
	len = read(fd, text, sizeof(text));
	may = len > 0 && len < (ssize_t)sizeof(text);
	newline = may ? memchr(text, '\n', (size_t)len) : NULL;
	for (const char *at = newline; may && at && at < text + len; at++)
		may = isspace((unsigned char)*at);
	explicit_bzero(text, sizeof(text));
	return may;
}

/*
 * Removes the secret file that the owner's configuration names. A file that cannot be a secret stays and counts as an
 * error.
 */
static void remove_secret(struct cleaner *cleaner, const char *value)
{
	size_t len = strcspn(value, "\r\n \t");
	_cleanup_(closep) int fd = -1;
	char path[PATH_SIZE];

	while (len > 1 && *value == '/') {
		value++;
		len--;
	}
	if (len == 0)
		return;
	snprintf(path, sizeof(path), "%.*s", (int)len, value);
	if (len >= sizeof(path)) {
		leave(cleaner, path, -ENAMETOOLONG);
		return;
	}
	fd = strstr(path, "..") ? -EINVAL : cleaner_open(cleaner->root_fd, path, O_RDONLY, 0);
	if (fd >= 0 && may_be_secret(fd))
		remove_file(cleaner, path);
	else if (fd != -ENOENT) {
		fprintf(stderr, "golden: /%s is named as the secret and does not look like one: it stays\n", path);
		cleaner->errors++;
	}
}

/*
 * ----------------------------------------------------------------------------------------------------- configuration
 */

/*
 * Removes the agent's files in directories that the configuration names. Only the agent's own file names are removed:
 * the directory may hold other files.
 */
static void clean_elsewhere(struct cleaner *cleaner, const char *section, const char *line)
{
	static const char *const samples[] = { "metrics-*", NULL };
	static const char *const state[] = { "vm_id", "seq", ".seq", "lock", "nonces*", "audit.ndjson*", NULL };
	struct cleaner_place place = { .globs = samples, .depth = 2 };
	char path[PATH_SIZE];
	const char *value;

	if (!is_pair(line, section, "log", "dir", &value)) {
		if (!is_pair(line, section, "agent", "state_dir", &value))
			return;
		place = (struct cleaner_place){ .globs = state, .depth = 1 };
	}
	value += strspn(value, "/");
	place.path = path;
	if (snprintf(path, sizeof(path), "%.*s", (int)strcspn(value, " \t\r\n"), value) >= (int)sizeof(path))
		leave(cleaner, path, -ENAMETOOLONG);
	else if (*path && cleaner_place(cleaner, &place, 0, false) < 0)
		cleaner->errors++;
}

/* Takes the lines that grant something out of a file of configuration; a file of the installer goes whole. */
static void seal_config(struct cleaner *cleaner, const char *path, const char *name)
{
	struct stat st;
	_cleanup_(freep) char *text = read_or_leave(cleaner, path, &st);
	_cleanup_(freep) char *out = text ? malloc(strlen(text) + 1) : NULL;
	bool installers = text && strncmp(text, MARK, strlen(MARK)) == 0;
	struct reader reader = { .section = "" };
	const char *before = NULL;
	unsigned count = 0;
	size_t len = 0;

	(void)name;
	if (text && !out)
		leave(cleaner, path, -ENOMEM);
	if (!out)
		return;
	for (char *line = text, *next; *line; line = next) {
		size_t size = strcspn(line, "\n");
		bool ends = line[size] == '\n';
		const char *what;

		next = line + size + ends;
		line[size] = '\0';
		what = judge_config(&reader, line);
		if (!what) {
			clean_elsewhere(cleaner, reader.section, line + strspn(line, " \t"));
			memcpy(out + len, line, size);
			len += size;
			if (ends)
				out[len++] = '\n';
		} else if (what != before) {
			tell(cleaner, path, what);
		}
		if (what && strcmp(what, "auth.secret_file") == 0)
			remove_secret(cleaner, reader.value);
		before = what;
		count += what != NULL;
	}
	if (installers)
		remove_file(cleaner, path);
	else if (count > 0 && !cleaner->dry_run && replace(cleaner, path, out, len, &st) < 0)
		leave(cleaner, path, -EIO);
}

/*
 * ------------------------------------------------------------------------------------------------------------- units
 */

/* Removes the file named by LoadCredential=secret:PATH and similar directives: it is the secret. */
static void take_credential(struct cleaner *cleaner, const char *line)
{
	const char *value = strchr(line, '=');

	if (strncmp(line, "LoadCredential", strlen("LoadCredential")) != 0 || !value)
		return;
	value += 1 + strspn(value + 1, " \t");
	if (strncmp(value, "secret:", strlen("secret:")) == 0)
		remove_secret(cleaner, value + strlen("secret:"));
}

/*
 * A drop-in is removed as a whole when any of its lines may grant something: half of it would be a setting that its
 * author never made.
 */
static void seal_drop_in(struct cleaner *cleaner, const char *path, const char *name)
{
	struct stat st;
	_cleanup_(freep) char *text = read_or_leave(cleaner, path, &st);
	bool harmless_all = true;

	(void)name;
	for (char *line = text, *next; line && *line; line = next) {
		size_t size = strcspn(line, "\n");

		next = line + size + (line[size] == '\n');
		line[size] = '\0';
		line += strspn(line, " \t");
		if (unit_line_gives_nothing(line))
			continue;
		harmless_all = false;
		take_credential(cleaner, line);
		line[strcspn(line, " \t=")] = '\0';
		tell(cleaner, path, line);
	}
	if (!harmless_all)
		remove_file(cleaner, path);
}

/* Whether a text that is not only about the agent holds a secret or an identity of the agent. */
static bool is_of_ours(const char *text)
{
	for (const char *at = text; (at = strstr(at, "Credential"));) {
		at += strlen("Credential");
		if (strncmp(at, "Encrypted", strlen("Encrypted")) == 0)
			at += strlen("Encrypted");
		at += strspn(at, " \t=");
		if (strncmp(at, "secret:", strlen("secret:")) == 0)
			return true;
	}
	return strstr(text, "INFINIBAY_") || strstr(text, "INFINISERVICE_") || strstr(text, "infiniservice.secret");
}

static void take_credentials(struct cleaner *cleaner, const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		take_credential(cleaner, line + strspn(line, " \t"));
}

/* Removes a file that is not only about the agent if it holds something of the agent. */
static void seal_if_ours(struct cleaner *cleaner, const char *path, const char *what)
{
	struct stat st;
	_cleanup_(freep) char *text = read_or_leave(cleaner, path, &st);

	if (!text || !is_of_ours(text))
		return;
	take_credentials(cleaner, text);
	tell(cleaner, path, what);
	remove_file(cleaner, path);
}

/* Whether `path` is a link to a package's unit, and so only another name of it. */
static bool is_vendors_link(const struct cleaner *cleaner, const char *path)
{
	char target[PATH_SIZE];
	ssize_t len = readlinkat(cleaner->root_fd, path, target, sizeof(target) - 1);

	if (len < 0)
		return false;
	target[len] = '\0';
	return !strstr(target, "..") &&
	       (strncmp(target, "/lib/systemd/system/", strlen("/lib/systemd/system/")) == 0 ||
		strncmp(target, "/usr/lib/systemd/system/", strlen("/usr/lib/systemd/system/")) == 0);
}

/*
 * Removes a unit that was written in full in place of a package's unit: it may do anything, and root would run it at
 * the first boot of a clone. The package's unit is effective again then. Where no package has such a unit it belongs to
 * the installation itself or to the owner: it stays unless it holds something of the agent, and then it is reported for
 * the owner to remove.
 */
static void seal_unit(struct cleaner *cleaner, const char *path, const char *name)
{
	static const char *const folders[] = { "usr/lib/systemd/system", "lib/systemd/system" };
	_cleanup_(freep) char *text = NULL, *vendors = NULL;
	char vendors_path[PATH_SIZE];
	struct stat st;
	int error;

	if (is_vendors_link(cleaner, path))
		return;
	text = read_or_leave(cleaner, path, &st);
	for (size_t i = 0; text && !vendors && i < ARRAY_SIZE(folders); i++)
		if (snprintf(vendors_path, sizeof(vendors_path), "%s/%s", folders[i], name) < PATH_SIZE)
			vendors = read_file(cleaner, vendors_path, &st, &error);
	if (!text || (vendors && strcmp(text, vendors) == 0))
		return;
	if (vendors) {
		take_credentials(cleaner, text);
		tell(cleaner, path, "unit");
		remove_file(cleaner, path);
	} else if (is_of_ours(text)) {
		leave(cleaner, path, -EPERM);
	}
}

typedef void (*each_fn)(struct cleaner *cleaner, const char *path, const char *name);

/* Calls `each` with the path of every name in a directory that matches. */
static void walk(struct cleaner *cleaner, const char *folder, const char *glob, each_fn each)
{
	int fd = cleaner_open(cleaner->root_fd, folder, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char path[PATH_SIZE];

	if (!dir) {
		if (fd >= 0)
			close(fd);
		/* A link to a folder is refused as no folder; systemd and the agent would follow it. */
		if (fd == -ENOTDIR && readlinkat(cleaner->root_fd, folder, path, sizeof(path)) >= 0)
			fd = -ELOOP;
		if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
			leave(cleaner, folder, fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || fnmatch(glob, entry->d_name, 0) != 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < PATH_SIZE)
			each(cleaner, path, entry->d_name);
		else
			leave(cleaner, path, -ENAMETOOLONG);
	}
	closedir(dir);
}

/* Links of units that an installation enables by itself stay; the executor is enabled by the owner. */
static void each_wanted(struct cleaner *cleaner, const char *path, const char *name)
{
	(void)name;
	tell(cleaner, path, "executor");
	remove_file(cleaner, path);
}

/* Drop-ins for all units of a type, which apply to the agent's units too. */
static void each_for_all(struct cleaner *cleaner, const char *path, const char *name)
{
	(void)name;
	seal_if_ours(cleaner, path, "drop-in");
}

static void each_of_units(struct cleaner *cleaner, const char *path, const char *name)
{
	if (fnmatch("infiniservice*.d", name, 0) == 0)
		walk(cleaner, path, "*.conf", seal_drop_in);
	else if (cleaner_matches(LIST("infiniservice*.service", "infiniservice*.socket", "infiniservice*.timer",
				      "infiniservice*.path", "infiniservice*.target", "infiniservice*.mount"),
				 name))
		seal_unit(cleaner, path, name);
	else if (cleaner_matches(LIST("service.d", "socket.d", "unit.d"), name))
		walk(cleaner, path, "*.conf", each_for_all);
	else if (cleaner_matches(LIST("*.wants", "*.requires", "*.upholds"), name))
		walk(cleaner, path, "infiniservice-exec.*", each_wanted);
}

int cleaner_seal(struct cleaner *cleaner)
{
	static const char *const unit_dirs[] = { UNIT_DIR, "etc/systemd/system.control",
						 "usr/local/lib/systemd/system" };
	/* Read by the scripts of other init systems: environment variables of the agent. */
	static const char *const environments[] = { "etc/default/infiniservice", "etc/conf.d/infiniservice" };
	static const char *const leftovers[] = { "secret*", "*.new", NULL };
	static const char *const credentials[] = { "infiniservice*", NULL };
	static const struct cleaner_place places[] = {
		{ .path = CONFIG_DIR, .globs = leftovers, .depth = 1 },
		{ .path = CONFIG_DIR "/conf.d", .globs = leftovers, .depth = 1 },
		{ .path = "etc/credstore", .globs = credentials, .depth = 1 },
		{ .path = "etc/credstore.encrypted", .globs = credentials, .depth = 1 },
		{ .path = "var/lib/systemd/linger", .globs = credentials, .depth = 1 },
	};
	int r = 0;

	seal_config(cleaner, CONFIG_DIR "/infiniservice.conf", NULL);
	walk(cleaner, CONFIG_DIR "/conf.d", "*.conf", seal_config);
	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++)
		walk(cleaner, unit_dirs[i], "*", each_of_units);
	for (size_t i = 0; i < ARRAY_SIZE(environments); i++)
		seal_if_ours(cleaner, environments[i], "environment");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++)
		r = cleaner_place(cleaner, &places[i], 0, false);
	return r == 0 && cleaner->left > 0 ? -EPERM : r;
}
