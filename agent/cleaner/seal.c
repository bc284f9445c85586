/* SPDX-License-Identifier: MIT */
/* Revokes what one machine was granted; see seal.h. Files are replaced by rename within their directory. */
#include "agent/cleaner/seal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

struct seal {
	struct cleaner *cleaner;
	void (*taken)(void *data, const char *path, const char *what);
	void *data;
	unsigned *left; /* counts possible grants that could not be read or revoked */
};

static void tell(const struct seal *seal, const char *path, const char *what)
{
	char shown[PATH_SIZE + 1];

	snprintf(shown, sizeof(shown), "/%s", path);
	if (seal->taken)
		seal->taken(seal->data, shown, what);
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
static const char *const harmless[] = {
	"MemoryMax",
	"MemoryHigh",
	"MemoryLow",
	"MemoryMin",
	"MemorySwapMax",
	"TasksMax",
	"CPUQuota",
	"CPUWeight",
	"CPUAffinity",
	"IOWeight",
	"Nice",
	"OOMScoreAdjust",
	"OOMPolicy",
	"Restart",
	"RestartSec",
	"LimitNOFILE",
	"LimitCORE",
	"LogRateLimitIntervalSec",
	"LogRateLimitBurst",
	"LogLevelMax",
	"TimeoutStartSec",
	"TimeoutStopSec",
	"WatchdogSec",
	"ReadWritePaths",
	"ReadOnlyPaths",
	"InaccessiblePaths",
	"After",
	"Before",
	"Wants",
	"Description",
	"Documentation",
	"SyslogIdentifier",
	"Slice",
};

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

static void take_section(const char *line, char section[SEAL_SECTION_MAX])
{
	size_t len = strcspn(++line, "]\r\n");

	while (len > 0 && isspace((unsigned char)*line)) {
		line++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)line[len - 1]))
		len--;
	snprintf(section, SEAL_SECTION_MAX, "%.*s", (int)(len < SEAL_SECTION_MAX ? len : SEAL_SECTION_MAX - 1), line);
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

const char *seal_judge_config(struct seal_reader *reader, const char *line)
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
		take_section(line, reader->section);
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

bool seal_unit_line_gives_nothing(const char *line)
{
	size_t len;

	line += strspn(line, " \t\r\n");
	if (*line == '\0' || *line == '#' || *line == ';' || *line == '[')
		return true;
	/* Continuation lines are not parsed: such a line may grant something. */
	if (strchr(line, '\\'))
		return false;
	len = strcspn(line, " \t=");
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (strlen(harmless[i]) == len && strncmp(line, harmless[i], len) == 0)
			return true;
	return false;
}

/*
 * ------------------------------------------------------------------------------------------------------------- files
 */

/* Whether `path` is a link to /dev/null, which disables the file (systemd.unit(5)). */
static bool is_masked(const struct seal *seal, const char *path)
{
	char target[sizeof("/dev/null")];

	return readlinkat(seal->cleaner->root_fd, path, target, sizeof(target)) == sizeof(target) - 1 &&
	       memcmp(target, "/dev/null", sizeof(target) - 1) == 0;
}

/* Reports a possible grant that stays: the seal goes on, so that all such places are reported, and fails in the end. */
static void leave(const struct seal *seal, const char *path, int error)
{
	if (error == -ELOOP && is_masked(seal, path))
		return;
	fprintf(stderr, "golden: /%s: %s: what it may grant would stay in the image\n", path, strerror(-error));
	seal->cleaner->errors++;
	(*seal->left)++;
}

/* Reads a whole regular file, with a NUL behind it; NULL with *ret_error 0 when there is none. The caller frees it. */
static char *read_file(const struct seal *seal, const char *path, size_t *ret_len, struct stat *ret_st, int *ret_error)
{
	_cleanup_(closep) int fd = cleaner_open(seal->cleaner->root_fd, path, O_RDONLY);
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
	*ret_len = len;
	*ret_error = 0;
	return TAKE_PTR(text);
}

/* Like read_file; a file that cannot be read stays and is reported. */
static char *read_or_leave(const struct seal *seal, const char *path, size_t *ret_len, struct stat *ret_st)
{
	int error;
	char *text = read_file(seal, path, ret_len, ret_st, &error);

	if (error)
		leave(seal, path, error);
	return text;
}

static int split(const struct seal *seal, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_SIZE];

	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	*ret_name = slash + 1;
	return cleaner_open(seal->cleaner->root_fd, folder, O_RDONLY | O_DIRECTORY);
}

static int replace(const struct seal *seal, const char *path, const char *text, size_t len, const struct stat *st)
{
	const char *name;
	_cleanup_(closep) int dir_fd = split(seal, path, &name);
	_cleanup_(closep) int fd = -1;

	if (dir_fd < 0)
		return dir_fd;
	errno = 0;
	unlinkat(dir_fd, TEMPORARY, 0);
	fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, text, len) == (ssize_t)len && fchown(fd, st->st_uid, st->st_gid) == 0 &&
	    fchmod(fd, st->st_mode & 07777) == 0 && fsync(fd) == 0 && renameat(dir_fd, TEMPORARY, dir_fd, name) == 0)
		return 0;
	unlinkat(dir_fd, TEMPORARY, 0);
	return errno ? -errno : -EIO;
}

static void remove_file(const struct seal *seal, const char *path)
{
	uint64_t before = seal->cleaner->errors;

	if (cleaner_file(seal->cleaner, path, false) < 0)
		seal->cleaner->errors++;
	*seal->left += seal->cleaner->errors != before;
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

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & S_IROTH))
		return false;
	len = read(fd, text, sizeof(text));
	if (len <= 0 || len == (ssize_t)sizeof(text))
		return false;
	newline = memchr(text, '\n', (size_t)len);
	for (const char *at = newline; at && at < text + len; at++)
		if (!isspace((unsigned char)*at))
			return false;
	explicit_bzero(text, sizeof(text));
	return true;
}

/*
 * Removes the secret file that the owner's configuration names. A file that cannot be a secret stays and counts as an
 * error.
 */
static void remove_secret(const struct seal *seal, const char *value)
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
		leave(seal, path, -ENAMETOOLONG);
		return;
	}
	fd = strstr(path, "..") ? -EINVAL : cleaner_open(seal->cleaner->root_fd, path, O_RDONLY);
	if (fd >= 0 && may_be_secret(fd))
		remove_file(seal, path);
	else if (fd != -ENOENT) {
		fprintf(stderr, "golden: /%s is named as the secret and does not look like one: it stays\n", path);
		seal->cleaner->errors++;
	}
}

/*
 * ----------------------------------------------------------------------------------------------------- configuration
 */

/*
 * Removes the agent's files in directories that the configuration names. Only the agent's own file names are removed:
 * the directory may hold other files.
 */
static void clean_elsewhere(const struct seal *seal, const char *section, const char *line)
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
		leave(seal, path, -ENAMETOOLONG);
	else if (*path && cleaner_place(seal->cleaner, &place, 0, false) < 0)
		seal->cleaner->errors++;
}

/* Copies the lines that stay into `out`; returns how many were dropped. */
static unsigned sift(const struct seal *seal, const char *path, char *text, char *out, size_t *ret_len)
{
	struct seal_reader reader = { .section = "" };
	const char *before = NULL;
	unsigned count = 0;
	size_t len = 0;

	for (char *line = text, *next; *line; line = next) {
		size_t size = strcspn(line, "\n");
		bool ends = line[size] == '\n';
		const char *what;

		next = line + size + ends;
		line[size] = '\0';
		what = seal_judge_config(&reader, line);
		if (!what) {
			clean_elsewhere(seal, reader.section, line + strspn(line, " \t"));
			memcpy(out + len, line, size);
			len += size;
			if (ends)
				out[len++] = '\n';
		} else if (what != before) {
			tell(seal, path, what);
		}
		if (what && strcmp(what, "auth.secret_file") == 0)
			remove_secret(seal, reader.value);
		before = what;
		count += what != NULL;
	}
	*ret_len = len;
	return count;
}

static void seal_config(const struct seal *seal, const char *path)
{
	_cleanup_(freep) char *text = NULL, *out = NULL;
	size_t len, left;
	struct stat st;

	text = read_or_leave(seal, path, &len, &st);
	if (!text)
		return;
	out = malloc(len + 1);
	if (!out) {
		leave(seal, path, -ENOMEM);
		return;
	}
	if (strncmp(text, MARK, strlen(MARK)) == 0) {
		sift(seal, path, text, out, &left);
		remove_file(seal, path);
	} else if (sift(seal, path, text, out, &left) > 0 && !seal->cleaner->dry_run &&
		   replace(seal, path, out, left, &st) < 0) {
		leave(seal, path, -EIO);
	}
}

/*
 * ------------------------------------------------------------------------------------------------------------- units
 */

/* Removes the file named by LoadCredential=secret:PATH and similar directives: it is the secret. */
static void take_credential(const struct seal *seal, const char *line)
{
	const char *value = strchr(line, '=');

	if (strncmp(line, "LoadCredential", strlen("LoadCredential")) != 0 || !value)
		return;
	value += 1 + strspn(value + 1, " \t");
	if (strncmp(value, "secret:", strlen("secret:")) == 0)
		remove_secret(seal, value + strlen("secret:"));
}

/*
 * A drop-in is removed as a whole when any of its lines may grant something: half of it would be a setting that its
 * author never made.
 */
static void seal_drop_in(const struct seal *seal, const char *path)
{
	size_t len;
	struct stat st;
	_cleanup_(freep) char *text = read_or_leave(seal, path, &len, &st);
	bool harmless_all = true;

	if (!text)
		return;
	for (char *line = text, *next; *line; line = next) {
		size_t size = strcspn(line, "\n"), name;

		next = line + size + (line[size] == '\n');
		line[size] = '\0';
		line += strspn(line, " \t");
		if (seal_unit_line_gives_nothing(line))
			continue;
		harmless_all = false;
		take_credential(seal, line);
		name = strcspn(line, " \t=");
		line[name] = '\0';
		tell(seal, path, line);
	}
	if (!harmless_all)
		remove_file(seal, path);
}

/* Whether a text that is not only about the agent holds a secret or an identity of the agent. */
static bool is_of_ours(const char *text)
{
	return strstr(text, "INFINIBAY_") || strstr(text, "INFINISERVICE_") || strstr(text, "Credential=secret:") ||
	       strstr(text, "CredentialEncrypted=secret:") || strstr(text, "infiniservice.secret");
}

static void take_credentials(const struct seal *seal, const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		take_credential(seal, line + strspn(line, " \t"));
}

/* Removes a file that is not only about the agent if it holds something of the agent. */
static void seal_if_ours(const struct seal *seal, const char *path, const char *what)
{
	size_t len;
	struct stat st;
	_cleanup_(freep) char *text = read_or_leave(seal, path, &len, &st);

	if (!text || !is_of_ours(text))
		return;
	take_credentials(seal, text);
	tell(seal, path, what);
	remove_file(seal, path);
}

/* The text of the package's unit of this name; NULL: no package has one. The caller frees it. */
static char *read_vendors(const struct seal *seal, const char *name)
{
	static const char *const folders[] = { "usr/lib/systemd/system", "lib/systemd/system" };
	char path[PATH_SIZE], *text = NULL;
	struct stat st;
	size_t len;
	int error;

	for (size_t i = 0; !text && i < ARRAY_SIZE(folders); i++)
		if (snprintf(path, sizeof(path), "%s/%s", folders[i], name) < (int)sizeof(path))
			text = read_file(seal, path, &len, &st, &error);
	return text;
}

/* Whether `path` is a link to a package's unit, and so only another name of it. */
static bool is_vendors_link(const struct seal *seal, const char *path)
{
	char target[PATH_SIZE];
	ssize_t len = readlinkat(seal->cleaner->root_fd, path, target, sizeof(target) - 1);

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
static void seal_unit(const struct seal *seal, const char *path, const char *name)
{
	size_t len;
	struct stat st;
	_cleanup_(freep) char *text = NULL, *vendors = NULL;

	if (is_vendors_link(seal, path))
		return;
	text = read_or_leave(seal, path, &len, &st);
	vendors = text ? read_vendors(seal, name) : NULL;
	if (!text || (vendors && strcmp(text, vendors) == 0))
		return;
	if (vendors) {
		take_credentials(seal, text);
		tell(seal, path, "unit");
		remove_file(seal, path);
	} else if (is_of_ours(text)) {
		leave(seal, path, -EPERM);
	}
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), more = strlen(end);

	return len >= more && strcmp(text + len - more, end) == 0;
}

/* Calls `each` with the path of every name in a directory. */
static void walk(const struct seal *seal, const char *folder,
		 void (*each)(const struct seal *seal, const char *path, const char *name))
{
	int fd = cleaner_open(seal->cleaner->root_fd, folder, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char path[PATH_SIZE];

	if (!dir) {
		if (fd >= 0)
			close(fd);
		if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
			leave(seal, folder, fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < (int)sizeof(path))
			each(seal, path, entry->d_name);
		else
			leave(seal, path, -ENAMETOOLONG);
	}
	closedir(dir);
}

static void each_config(const struct seal *seal, const char *path, const char *name)
{
	if (ends_with(name, ".conf"))
		seal_config(seal, path);
}

static void each_drop_in(const struct seal *seal, const char *path, const char *name)
{
	if (ends_with(name, ".conf"))
		seal_drop_in(seal, path);
}

/* Links of units that an installation enables by itself stay; the executor is enabled by the owner. */
static void each_wanted(const struct seal *seal, const char *path, const char *name)
{
	if (strncmp(name, "infiniservice-exec.", strlen("infiniservice-exec.")) != 0)
		return;
	tell(seal, path, "executor");
	remove_file(seal, path);
}

/* Drop-ins for all units of a type, which apply to the agent's units too. */
static void each_for_all(const struct seal *seal, const char *path, const char *name)
{
	if (ends_with(name, ".conf"))
		seal_if_ours(seal, path, "drop-in");
}

static bool is_for_all(const char *name)
{
	static const char *const folders[] = { "service.d", "socket.d", "unit.d" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (strcmp(name, folders[i]) == 0)
			return true;
	return false;
}

static bool is_unit(const char *name)
{
	static const char *const types[] = { ".service", ".socket", ".timer", ".path", ".target", ".mount" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (ends_with(name, types[i]))
			return true;
	return false;
}

static void each_of_units(const struct seal *seal, const char *path, const char *name)
{
	bool ours = strncmp(name, "infiniservice", strlen("infiniservice")) == 0;

	if (ours && ends_with(name, ".d"))
		walk(seal, path, each_drop_in);
	else if (ours && is_unit(name))
		seal_unit(seal, path, name);
	else if (is_for_all(name))
		walk(seal, path, each_for_all);
	else if (ends_with(name, ".wants") || ends_with(name, ".requires") || ends_with(name, ".upholds"))
		walk(seal, path, each_wanted);
}

int seal(struct cleaner *cleaner, void (*taken)(void *data, const char *path, const char *what), void *data)
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
	unsigned left = 0;
	struct seal s = { .cleaner = cleaner, .taken = taken, .data = data, .left = &left };
	int r = 0;

	seal_config(&s, CONFIG_DIR "/infiniservice.conf");
	walk(&s, CONFIG_DIR "/conf.d", each_config);
	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++)
		walk(&s, unit_dirs[i], each_of_units);
	for (size_t i = 0; i < ARRAY_SIZE(environments); i++)
		seal_if_ours(&s, environments[i], "environment");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++)
		r = cleaner_place(cleaner, &places[i], 0, false);
	return r == 0 && left > 0 ? -EPERM : r;
}
