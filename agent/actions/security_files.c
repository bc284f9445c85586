/* SPDX-License-Identifier: MIT */
/*
 * The facts behind the security checks, from files; see security.h. They are used when the programs cannot be asked. A
 * file that may not be read, a folder with too many files, or a pattern that is not followed is noted, and then the
 * check does not pass.
 */
#include "agent/actions/security.h"

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

#include "collectors/procfs.h"

#define TEXT_MAX      (1U << 20)
#define FILES_MAX     256
#define INCLUDE_DEPTH 8

/* The path may be of a FIFO or a socket instead of a file. */
static const char *words_of(int error)
{
	return error == -EMEDIUMTYPE ? "it is not a regular file" : strerror(-error);
}

/*
 * The text is there until the next read into the same buffer. 0, or -errno: noted, unless there is no such file, or a
 * folder.
 */
static int read_text(int dir_fd, const char *path, struct procfs_buffer *buffer, struct security_unread *unread)
{
	struct procfs_file file = PROCFS_FILE;
	struct stat st;
	int r;

	buffer->max = TEXT_MAX;
	/* Another program made the file: it may be a FIFO. */
	file.fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file.fd < 0 || fstat(file.fd, &st) < 0)
		r = errno == ENXIO ? -EMEDIUMTYPE : -errno; /* a socket */
	else
		r = S_ISREG(st.st_mode)	  ? procfs_read(&file, dir_fd, path, buffer)
		    : S_ISDIR(st.st_mode) ? -EISDIR
					  : -EMEDIUMTYPE;
	procfs_close(&file);
	if (r == 0 && buffer->truncated)
		security_unread(unread, "/%.150s (longer than 1 MiB)", path);
	else if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -EISDIR)
		security_unread(unread, "/%.120s (%s)", path, words_of(r));
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory that fit the pattern, in their order; the caller frees them. */
static size_t list_names(int dir_fd, const char *path, const char *pattern, char *names[FILES_MAX],
			 struct security_unread *unread)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = errno;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t count = 0;

	if (!dir) {
		closep(&fd);
		if (error != ENOENT && error != ENOTDIR)
			security_unread(unread, "/%.120s (%s)", path, strerror(error));
		return 0;
	}
	while ((entry = readdir(dir))) {
		if (fnmatch(pattern, entry->d_name, FNM_PERIOD) != 0)
			continue;
		if (count == FILES_MAX || !(names[count] = strdup(entry->d_name))) {
			security_unread(unread, "/%.120s (more than %d files)", path, FILES_MAX);
			break;
		}
		count++;
	}
	closedir(dir);
	qsort(names, count, sizeof(*names), compare_names);
	return count;
}

struct reading {
	struct security_facts *facts;
	int root_fd;
	struct security_unread *unread;
	unsigned depth, files; /* files in all: many folders may include each other */
	struct apt_periodic *apt;
	bool (*reads)(const char *name); /* of the names that fit a pattern; NULL: all */
};

typedef void (*take_fn)(struct reading *reading, const char *text, size_t len);

/* Calls `take` with the text of each file that fits, in the order of their names. */
static void read_each(struct reading *reading, const char *path, const char *pattern, take_fn take)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { .max = TEXT_MAX };
	char *names[FILES_MAX], file[512];
	size_t count = list_names(reading->root_fd, path, pattern, names, reading->unread);

	for (size_t i = 0; i < count; i++) {
		if (reading->reads && !reading->reads(names[i]))
			;
		else if (snprintf(file, sizeof(file), "%s/%s", path, names[i]) >= (int)sizeof(file) ||
			 reading->files++ >= FILES_MAX)
			security_unread(reading->unread, "/%.120s (more than %d files)", path, FILES_MAX);
		else if (read_text(reading->root_fd, file, &buffer, reading->unread) == 0)
			take(reading, buffer.text, buffer.len);
		free(names[i]);
	}
}

/*
 * ---------------------------------------------------------------------------------------------------------------- ssh
 */

static void on_sshd_include(void *data, const char *pattern);

static void take_sshd(struct reading *reading, const char *text, size_t len)
{
	bool in_match = reading->facts->sshd.in_match;

	/* A Match block ends with its file; the Match block around an Include goes on after the included file. */
	sshd_settings_parse(&reading->facts->sshd, text, len, on_sshd_include, reading);
	reading->facts->sshd.in_match = in_match;
	if (reading->facts->sshd.malformed)
		security_unread(reading->unread, "a line in or below /etc/ssh/sshd_config that makes no sense");
}

/* Patterns in the last part of a path are followed; relative ones begin in /etc/ssh, sshd_config(5). */
static void on_sshd_include(void *data, const char *pattern)
{
	struct reading *reading = data;
	char path[600];
	char *slash;

	snprintf(path, sizeof(path), "%s%.512s", *pattern == '/' ? "" : "etc/ssh/", pattern + (*pattern == '/'));
	slash = strrchr(path, '/');
	if (!slash || strpbrk(pattern, "~%") || reading->depth >= INCLUDE_DEPTH) {
		security_unread(reading->unread, "%.150s (not followed)", pattern);
		return;
	}
	*slash = '\0';
	if (strpbrk(path, "*?[")) {
		security_unread(reading->unread, "%.150s (not followed)", pattern);
		return;
	}
	reading->depth++;
	read_each(reading, path, slash + 1, take_sshd);
	reading->depth--;
}

static void read_sshd(struct security_facts *facts, int root_fd, struct procfs_buffer *buffer)
{
	struct reading reading = { .facts = facts, .root_fd = root_fd, .unread = &facts->sshd_unread };
	int r = read_text(root_fd, "etc/ssh/sshd_config", buffer, &facts->sshd_unread);

	facts->sshd_program = faccessat(root_fd, "usr/sbin/sshd", F_OK, 0) == 0;
	facts->sshd_file = r != -ENOENT;
	facts->sshd_readable = r == 0;
	if (r == 0)
		take_sshd(&reading, buffer->text, buffer->len);
}

/*
 * ---------------------------------------------------------------------------------------------------------- the others
 */

static void take_apt(struct reading *reading, const char *text, size_t len)
{
	apt_periodic_parse(reading->apt, text, len);
}

/* In apt's own order: first the folder, then the file. */
static void read_apt(struct security_facts *facts, int root_fd, struct procfs_buffer *buffer)
{
	struct apt_periodic settings = { .enable = "" };
	struct reading reading = { .facts = facts,
				   .root_fd = root_fd,
				   .unread = &facts->apt_unread,
				   .apt = &settings,
				   .reads = apt_reads_name };

	facts->upgrades_installed = faccessat(root_fd, "usr/bin/unattended-upgrade", F_OK, 0) == 0;
	read_each(&reading, "etc/apt/apt.conf.d", "*", take_apt);
	if (read_text(root_fd, "etc/apt/apt.conf", buffer, &facts->apt_unread) == 0)
		take_apt(&reading, buffer->text, buffer->len);
	apt_periodic_judge(facts, &settings);
}

static void read_dnf(struct security_facts *facts, int root_fd, struct procfs_buffer *buffer)
{
	if (read_text(root_fd, "etc/dnf/automatic.conf", buffer, &facts->dnf_unread) == 0 &&
	    !dnf_applies_parse(buffer->text, buffer->len, &facts->dnf_applies))
		security_unread(&facts->dnf_unread,
				"apply_updates in /etc/dnf/automatic.conf, which is neither yes nor no");
}

/* A rule set that another file belongs to is not whole without it. */
static void read_nft(struct security_facts *facts, int root_fd, struct procfs_buffer *buffer)
{
	int r = read_text(root_fd, "etc/nftables.conf", buffer, &facts->nft_unread);
	struct scan all, line;

	facts->nft_file = r != -ENOENT;
	if (r < 0)
		return;
	facts->nft_filters = nft_filters_input(buffer->text, buffer->len);
	all = scan_text(buffer->text, buffer->len);
	while (scan_line(&all, &line)) {
		scan_blanks(&line);
		if (scan_key(&line, "include") && line.at < line.end && strchr(" \t\"", *line.at))
			security_unread(&facts->nft_unread, "/etc/nftables.conf includes%.*s (not followed)",
					(int)(scan_len(&line) < 120 ? scan_len(&line) : 120), line.at);
	}
}

/* Reads a file below /sys; a note names it with "/sys". */
static int read_sys(int sys_fd, const char *path, struct procfs_buffer *buffer, struct security_unread *unread)
{
	struct security_unread noted = { .what = "" };
	int r = read_text(sys_fd, path, buffer, &noted);

	if (*noted.what)
		security_unread(unread, "/sys%.180s", noted.what);
	return r;
}

static void read_lsm(struct security_facts *facts, int sys_fd, struct procfs_buffer *buffer)
{
	struct security_unread ignored = { .what = "" };
	struct scan lsm;
	size_t len;

	if (read_sys(sys_fd, "kernel/security/lsm", buffer, &ignored) < 0)
		return;
	lsm = scan_text(buffer->text, buffer->len);
	if (lsm.end > lsm.at && lsm.end[-1] == '\n')
		lsm.end--;
	len = scan_len(&lsm) < sizeof(facts->lsm) ? scan_len(&lsm) : sizeof(facts->lsm) - 1;
	memcpy(facts->lsm, lsm.at, len);
	facts->lsm[len] = '\0';
}

static void read_apparmor(struct security_facts *facts, int sys_fd, struct procfs_buffer *buffer)
{
	facts->apparmor =
		read_sys(sys_fd, "module/apparmor/parameters/enabled", buffer, &facts->apparmor_unread) == 0 &&
		buffer->len && *buffer->text == 'Y';
	if (facts->apparmor)
		facts->apparmor_counted =
			read_sys(sys_fd, "kernel/security/apparmor/profiles", buffer, &facts->apparmor_unread) == 0;
	if (facts->apparmor_counted)
		apparmor_count(buffer->text, buffer->len, &facts->apparmor_enforce, &facts->apparmor_complain);
}

/* The folders are there where the module is on; their files where its file system is mounted. */
static void read_selinux(struct security_facts *facts, int sys_fd, struct procfs_buffer *buffer)
{
	int r = read_sys(sys_fd, "fs/selinux/enforce", buffer, &facts->selinux_unread);

	if (r == 0 && buffer->len) {
		facts->selinux = *buffer->text == '1' ? SELINUX_ENFORCING : SELINUX_PERMISSIVE;
	} else if (r != -ENOENT || faccessat(sys_fd, "fs/selinux", F_OK, 0) == 0 || lsm_has(facts->lsm, "selinux")) {
		facts->selinux = SELINUX_UNKNOWN;
		security_unread(&facts->selinux_unread, "/sys/fs/selinux/enforce");
	}
}

static void read_smack(struct security_facts *facts, int sys_fd, struct procfs_buffer *buffer)
{
	int r = read_sys(sys_fd, "fs/smackfs/load2", buffer, &facts->smack_unread);

	if (r == 0) {
		facts->smack = buffer->len ? SMACK_RULES : SMACK_EMPTY;
	} else if (r != -ENOENT || faccessat(sys_fd, "fs/smackfs", F_OK, 0) == 0 || lsm_has(facts->lsm, "smack")) {
		facts->smack = SMACK_UNKNOWN;
		security_unread(&facts->smack_unread, "/sys/fs/smackfs/load2");
	}
}

static void read_modules(struct security_facts *facts, int sys_fd, struct procfs_buffer *buffer)
{
	read_lsm(facts, sys_fd, buffer);
	read_apparmor(facts, sys_fd, buffer);
	read_selinux(facts, sys_fd, buffer);
	read_smack(facts, sys_fd, buffer);
}

/* No such file: the kernel has no iptables of its own. */
static enum security_tables read_tables(int proc_fd, const char *path, struct procfs_buffer *buffer)
{
	struct security_unread ignored = { .what = "" };
	int r = read_text(proc_fd, path, buffer, &ignored);

	return r == 0 ? iptables_names(buffer->text, buffer->len) : r == -ENOENT ? TABLES_NONE : TABLES_UNKNOWN;
}

static void read_firewall(struct security_facts *facts, int root_fd, int proc_fd, struct procfs_buffer *buffer)
{
	struct security_unread ignored = { .what = "" };
	char enabled[8] = "";

	if (read_text(root_fd, "etc/ufw/ufw.conf", buffer, &facts->ufw_unread) == 0)
		ufw_setting(buffer->text, buffer->len, "ENABLED", enabled, sizeof(enabled));
	facts->ufw_enabled = strcasecmp(enabled, "yes") == 0;
	if (read_text(root_fd, "etc/default/ufw", buffer, &facts->ufw_unread) == 0)
		ufw_setting(buffer->text, buffer->len, "DEFAULT_INPUT_POLICY", facts->ufw_policy,
			    sizeof(facts->ufw_policy));
	facts->has_ip6 =
		read_text(proc_fd, "net/if_inet6", buffer, &ignored) == 0 && inet6_addressed(buffer->text, buffer->len);
	facts->iptables = read_tables(proc_fd, "net/ip_tables_names", buffer);
	facts->ip6tables = read_tables(proc_fd, "net/ip6_tables_names", buffer);
	read_nft(facts, root_fd, buffer);
}

void security_read(struct security_facts *facts, int root_fd, int proc_fd, int sys_fd)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { .max = TEXT_MAX };

	read_modules(facts, sys_fd, &buffer);
	read_firewall(facts, root_fd, proc_fd, &buffer);
	read_apt(facts, root_fd, &buffer);
	read_dnf(facts, root_fd, &buffer);
	read_sshd(facts, root_fd, &buffer);
}
