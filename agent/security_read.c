/* SPDX-License-Identifier: MIT */
/* The facts behind the security checks, from files; see security.h. */
#include "agent/security.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "collectors/procfs.h"

#define TEXT_MAX  (1U << 20)
#define FILES_MAX 64

/* The next line without what is behind a '#', and without blanks before it. */
static bool next_line(struct scan *text, struct scan *line)
{
	const char *hash;

	if (!scan_line(text, line))
		return false;
	hash = memchr(line->at, '#', scan_len(line));
	if (hash)
		line->end = hash;
	scan_blanks(line);
	return true;
}

static void copy_word(char *to, size_t size, const struct scan *word)
{
	size_t len = scan_len(word) < size ? scan_len(word) : size - 1;

	memcpy(to, word->at, len);
	to[len] = '\0';
}

/* ------------------------------------------------------------------------------------------------------------ parsers */

/* "Keyword value", "Keyword=value", "Keyword "value"". */
static bool sshd_line(struct scan line, char key[64], char value[256])
{
	struct scan word = line;

	while (line.at < line.end && *line.at != ' ' && *line.at != '\t' && *line.at != '=')
		line.at++;
	word.end = line.at;
	if (scan_len(&word) == 0)
		return false;
	copy_word(key, 64, &word);
	while (line.at < line.end && strchr(" \t=\"", *line.at))
		line.at++;
	word = line;
	while (line.at < line.end && !strchr(" \t\"\r", *line.at))
		line.at++;
	word.end = line.at;
	copy_word(value, 256, &word);
	return true;
}

static void sshd_set(struct sshd_settings *settings, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
	} wanted[] = {
		{ "PermitRootLogin", settings->permit_root_login },
		{ "PasswordAuthentication", settings->password_authentication },
		{ "PermitEmptyPasswords", settings->permit_empty_passwords },
		{ "X11Forwarding", settings->x11_forwarding },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (strcasecmp(wanted[i].key, key) == 0 && !*wanted[i].to)
			snprintf(wanted[i].to, sizeof(settings->permit_root_login), "%.31s", value);
}

void sshd_settings_parse(struct sshd_settings *settings, const char *text, size_t len, void (*include)(void *data, const char *pattern),
			 void *data)
{
	struct scan all = scan_text(text, len), line;
	char key[64], value[256];

	while (next_line(&all, &line)) {
		if (!sshd_line(line, key, value))
			continue;
		if (strcasecmp(key, "Match") == 0) {
			settings->in_match = strcasecmp(value, "all") != 0;
			settings->match_blocks += settings->in_match;
		} else if (!settings->in_match && strcasecmp(key, "Include") == 0) {
			if (include)
				include(data, value);
		} else if (!settings->in_match) {
			sshd_set(settings, key, value);
		}
	}
}

bool apt_setting_parse(const char *text, size_t len, const char *name, bool *ret)
{
	struct scan all = scan_text(text, len), line, value;
	bool found = false;

	while (next_line(&all, &line)) {
		if (!scan_key(&line, "APT::Periodic::") || !scan_key(&line, name) || !scan_field(&line, &value))
			continue;
		while (value.at < value.end && *value.at == '"')
			value.at++;
		*ret = value.at < value.end && ((*value.at >= '1' && *value.at <= '9') || *value.at == 'a');
		found = true;
	}
	return found;
}

static bool contains(const struct scan *line, const char *word)
{
	return memmem(line->at, scan_len(line), word, strlen(word)) != NULL;
}

bool nft_filters_input(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line;
	bool input = false, refuses = false;

	while (next_line(&all, &line)) {
		input = input || contains(&line, "hook input");
		refuses = refuses || contains(&line, "drop") || contains(&line, "reject");
	}
	return input && refuses;
}

bool ufw_enabled(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line;
	bool enabled = false;

	while (next_line(&all, &line))
		if (scan_key(&line, "ENABLED="))
			enabled = scan_key(&line, "yes") || scan_key(&line, "\"yes");
	return enabled;
}

void apparmor_count(const char *text, size_t len, unsigned *ret_enforce, unsigned *ret_complain)
{
	struct scan all = scan_text(text, len), line;
	unsigned enforce = 0, complain = 0;

	while (scan_line(&all, &line)) {
		/* A profile's name may hold anything: the mode is what the line ends with. */
		enforce += scan_len(&line) >= 9 && memcmp(line.end - 9, "(enforce)", 9) == 0;
		complain += scan_len(&line) >= 10 && memcmp(line.end - 10, "(complain)", 10) == 0;
	}
	*ret_enforce = enforce;
	*ret_complain = complain;
}

/* ------------------------------------------------------------------------------------------------------------ reading */

/* The text is there until the next read into the same buffer. 0 or -errno. */
static int read_text(int dir_fd, const char *path, struct procfs_buffer *buffer)
{
	struct procfs_file file = PROCFS_FILE;
	int r;

	buffer->max = TEXT_MAX;
	r = procfs_read(&file, dir_fd, path, buffer);
	procfs_close(&file);
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_in_conf(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

/* The names in a directory in their order, at most FILES_MAX; the caller frees them. */
static size_t list_names(int dir_fd, const char *path, bool conf_only, char *names[FILES_MAX])
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t count = 0;

	if (!dir) {
		closep(&fd);
		return 0;
	}
	while (count < FILES_MAX && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && (!conf_only || ends_in_conf(entry->d_name)) && (names[count] = strdup(entry->d_name)))
			count++;
	closedir(dir);
	qsort(names, count, sizeof(*names), compare_names);
	return count;
}

/* Calls `take` with the text of each file of a directory, in the order of their names. */
static void read_each(int dir_fd, const char *path, bool conf_only,
		      void (*take)(struct security_facts *facts, const char *text, size_t len), struct security_facts *facts)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { .max = TEXT_MAX };
	char *names[FILES_MAX], file[512];
	size_t count = list_names(dir_fd, path, conf_only, names);

	for (size_t i = 0; i < count; i++) {
		if (snprintf(file, sizeof(file), "%s/%s", path, names[i]) < (int)sizeof(file) &&
		    read_text(dir_fd, file, &buffer) == 0)
			take(facts, buffer.text, buffer.len);
		free(names[i]);
	}
}

struct sshd_include {
	struct security_facts *facts;
	int root_fd;
};

static void take_sshd(struct security_facts *facts, const char *text, size_t len)
{
	/* A Match block ends with its file. */
	sshd_settings_parse(&facts->sshd, text, len, NULL, NULL);
	facts->sshd.in_match = false;
}

/* The one place that distributions use; others are not followed. */
static void on_sshd_include(void *data, const char *pattern)
{
	struct sshd_include *include = data;

	if (strstr(pattern, "sshd_config.d/*.conf"))
		read_each(include->root_fd, "etc/ssh/sshd_config.d", true, take_sshd, include->facts);
}

static void read_sshd(struct security_facts *facts, int root_fd, struct procfs_buffer *buffer)
{
	struct sshd_include include = { .facts = facts, .root_fd = root_fd };
	int r = read_text(root_fd, "etc/ssh/sshd_config", buffer);

	facts->sshd_file = r != -ENOENT;
	facts->sshd_readable = r == 0;
	if (r == 0)
		sshd_settings_parse(&facts->sshd, buffer->text, buffer->len, on_sshd_include, &include);
}

static void take_apt(struct security_facts *facts, const char *text, size_t len)
{
	apt_setting_parse(text, len, "Unattended-Upgrade", &facts->upgrades_on);
	apt_setting_parse(text, len, "Update-Package-Lists", &facts->lists_on);
}

static void read_modules(struct security_facts *facts, int sys_fd, struct procfs_buffer *buffer)
{
	struct scan lsm;

	if (read_text(sys_fd, "kernel/security/lsm", buffer) == 0) {
		lsm = scan_text(buffer->text, buffer->len);
		if (lsm.end > lsm.at && lsm.end[-1] == '\n')
			lsm.end--;
		copy_word(facts->lsm, sizeof(facts->lsm), &lsm);
	}
	facts->apparmor = read_text(sys_fd, "module/apparmor/parameters/enabled", buffer) == 0 && buffer->len && *buffer->text == 'Y';
	facts->apparmor_counted = read_text(sys_fd, "kernel/security/apparmor/profiles", buffer) == 0;
	if (facts->apparmor_counted)
		apparmor_count(buffer->text, buffer->len, &facts->apparmor_enforce, &facts->apparmor_complain);
	if (read_text(sys_fd, "fs/selinux/enforce", buffer) == 0 && buffer->len)
		facts->selinux = *buffer->text == '1' ? SELINUX_ENFORCING : SELINUX_PERMISSIVE;
}

void security_read(struct security_facts *facts, int root_fd, int sys_fd)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { .max = TEXT_MAX };

	read_modules(facts, sys_fd, &buffer);
	facts->ufw_enabled = read_text(root_fd, "etc/ufw/ufw.conf", &buffer) == 0 && ufw_enabled(buffer.text, buffer.len);
	facts->nft_file = read_text(root_fd, "etc/nftables.conf", &buffer) == 0;
	facts->nft_filters = facts->nft_file && nft_filters_input(buffer.text, buffer.len);
	facts->upgrades_installed = faccessat(root_fd, "usr/bin/unattended-upgrade", F_OK, 0) == 0;
	read_each(root_fd, "etc/apt/apt.conf.d", false, take_apt, facts);
	read_sshd(facts, root_fd, &buffer);
}
