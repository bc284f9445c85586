/* SPDX-License-Identifier: MIT */
/*
 * The facts behind the security checks, from files, and the parsers of these files; see security.h. They are used when
 * the programs cannot be asked. A file that may not be read, a folder with too many files, or a pattern that is not
 * followed is noted, and then the check does not pass.
 */
#include "agent/actions/security.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
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

/* ---------------------------------------------------------------------------------------------------------- parsers */

/* The next line without its comment ('#') and without leading blanks. */
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
	snprintf(to, size, "%.*s", (int)scan_len(word), word->at);
}

/*
 * What may be quoted by either quote, in whole or in part; before a quote, a backslash and a blank a backslash takes
 * their meaning away; a '#' that begins an argument begins a comment: argv_split() of OpenSSH. 1, 0 at the end of the
 * line, -1: a quote that does not end.
 */
static int sshd_argument(struct scan *line, char *argument, size_t size)
{
	char quote = '\0';
	size_t len = 0;

	scan_blanks(line);
	if (line->at == line->end || *line->at == '#')
		return 0;
	for (; line->at < line->end && (quote || (*line->at != ' ' && *line->at != '\t')); line->at++) {
		char byte = *line->at, next = line->at + 1 < line->end ? line->at[1] : '\0';

		if (quote ? byte == quote : byte == '"' || byte == '\'') {
			quote = quote ? '\0' : byte;
			continue;
		}
		if (byte == '\\' && next && (strchr("\"'\\", next) || (!quote && next == ' ')))
			byte = *++line->at;
		if (len + 1 < size)
			argument[len++] = byte;
	}
	argument[len] = '\0';
	return quote ? -1 : 1;
}

void sshd_settings_parse(struct sshd_settings *settings, const char *text, size_t len,
			 void (*include)(void *data, const char *pattern), void *data)
{
	const struct {
		const char *key;
		char *to;
		bool lets_in; /* "yes" in a Match block permits passwords to its users */
	} wanted[] = {
		{ "PermitRootLogin", settings->permit_root_login, false },
		{ "PasswordAuthentication", settings->password_authentication, true },
		{ "PermitEmptyPasswords", settings->permit_empty_passwords, true },
		{ "X11Forwarding", settings->x11_forwarding, false },
		{ "KbdInteractiveAuthentication", settings->kbd_interactive, true },
		{ "ChallengeResponseAuthentication", settings->kbd_interactive, true },
		{ "UsePAM", settings->use_pam, false },
	};
	struct scan all = scan_text(text, len), line, word;
	char key[64], value[512];
	int more = 1;

	while (scan_line(&all, &line)) {
		while (line.end > line.at && strchr(" \t\r\f", line.end[-1]))
			line.end--;
		scan_blanks(&line);
		/* The keyword, which a blank, a '=' or both part from its arguments. */
		word = line;
		while (line.at < line.end && !strchr(" \t=\"", *line.at))
			line.at++;
		word.end = line.at;
		if (scan_len(&word) == 0 || *word.at == '#')
			continue;
		copy_word(key, sizeof(key), &word);
		scan_blanks(&line);
		scan_byte(&line, '=');
		if (sshd_argument(&line, value, sizeof(value)) <= 0) {
			settings->malformed = true;
			continue;
		}
		if (strcasecmp(key, "Match") == 0) {
			settings->in_match = strcasecmp(value, "all") != 0;
			settings->match_blocks += settings->in_match;
		} else if (strcasecmp(key, "Include") == 0) {
			for (more = 1; include && more > 0; more = sshd_argument(&line, value, sizeof(value)))
				include(data, value);
			settings->malformed = settings->malformed || more < 0;
		}
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
			if (strcasecmp(wanted[i].key, key) != 0)
				continue;
			if (settings->in_match)
				settings->match_passwords = settings->match_passwords ||
							    (wanted[i].lets_in && strcasecmp(value, "yes") == 0);
			else if (!*wanted[i].to)
				snprintf(wanted[i].to, sizeof(settings->permit_root_login), "%.31s", value);
		}
	}
}

bool dnf_applies_parse(const char *text, size_t len, bool *ret)
{
	/* A boolean as dnf reads it, libdnf's OptionBool. */
	static const char *const words[][2] = { { "0", "1" }, { "no", "yes" }, { "false", "true" }, { "off", "on" } };
	struct scan all = scan_text(text, len), line;
	bool commands = false, known = true;

	*ret = false;
	while (scan_line(&all, &line)) {
		char value[16];

		while (line.end > line.at && strchr(" \t\r", line.end[-1]))
			line.end--;
		if (line.at < line.end && *line.at == '[')
			commands = scan_equals(&line, "[commands]");
		if (!commands || !scan_key(&line, "apply_updates"))
			continue;
		scan_blanks(&line);
		if (!scan_byte(&line, '='))
			continue;
		scan_blanks(&line);
		copy_word(value, sizeof(value), &line);
		known = false;
		for (size_t i = 0; i < 2 * ARRAY_SIZE(words) && !known; i++) {
			known = strcasecmp(words[i / 2][i % 2], value) == 0;
			if (known)
				*ret = i % 2;
		}
	}
	return known;
}

/* The word itself, not a part of another, and not in quotes. */
static bool has_word(const struct scan *line, const char *word)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t len = strlen(word);
	bool quoted = false;

	for (const char *at = line->at; at < line->end; at++) {
		quoted = quoted != (*at == '"');
		if (!quoted && (size_t)(line->end - at) >= len && memcmp(at, word, len) == 0 &&
		    (at == line->at || !at[-1] || !strchr(letters, at[-1])) &&
		    (at + len == line->end || !at[len] || !strchr(letters, at[len])))
			return true;
	}
	return false;
}

bool nft_filters_input(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line;
	bool input = false, dormant = false, found = false;

	while (next_line(&all, &line)) {
		const char *sender = memmem(line.at, scan_len(&line), "saddr ", 6);
		struct scan head = line;

		/* Chains without a hook do not count: it is not known which chains jump to them. */
		if (scan_key(&head, "table ")) {
			/* These are of the link layer. */
			dormant = scan_key(&head, "arp ") || scan_key(&head, "bridge ") || scan_key(&head, "netdev ");
			input = false;
		}
		if (scan_key(&head, "chain "))
			input = false;
		dormant = dormant || (has_word(&line, "flags") && has_word(&line, "dormant"));
		if (has_word(&line, "hook"))
			input = has_word(&line, "filter") && has_word(&line, "input");
		/* Rules that no stranger meets: of no new connections, of listed senders, of limited rates. */
		if ((has_word(&line, "state") && !has_word(&line, "new")) ||
		    (sender && line.end - sender > 6 && sender[6] != '!') || has_word(&line, "over"))
			continue;
		found = found || (input && !dormant && (has_word(&line, "drop") || has_word(&line, "reject")));
	}
	return found;
}

void ufw_setting(const char *text, size_t len, const char *key, char *value, size_t size)
{
	struct scan all = scan_text(text, len), line;

	*value = '\0';
	while (next_line(&all, &line)) {
		struct scan word;

		if (!scan_key(&line, key) || !scan_byte(&line, '='))
			continue;
		while (line.at < line.end && (*line.at == '"' || *line.at == '\''))
			line.at++;
		word = (struct scan){ line.at, line.at };
		while (word.end < line.end && !strchr(" \t\"'\r;", *word.end))
			word.end++;
		copy_word(value, size, &word);
	}
}

bool inet6_addressed(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line, name;

	while (scan_line(&all, &line))
		if (scan_skip(&line, 5) && scan_field(&line, &name) && !scan_equals(&name, "lo"))
			return true;
	return false;
}

enum security_tables iptables_names(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line;

	while (scan_line(&all, &line))
		if (scan_len(&line) && !scan_equals(&line, "nat"))
			return TABLES_THERE;
	return TABLES_NONE;
}

bool lsm_has(const char *lsm, const char *name)
{
	struct scan all = scan_text(lsm, strlen(lsm)), module;

	while (scan_until(&all, ',', &module))
		if (scan_equals(&module, name))
			return true;
	return scan_equals(&all, name);
}

void apparmor_count(const char *text, size_t len, unsigned *ret_enforce, unsigned *ret_complain)
{
	struct scan all = scan_text(text, len), line;

	*ret_enforce = *ret_complain = 0;
	while (scan_line(&all, &line)) {
		/* A profile's name may hold anything: the mode is what the line ends with. */
		*ret_enforce += scan_len(&line) >= 9 && memcmp(line.end - 9, "(enforce)", 9) == 0;
		*ret_complain += scan_len(&line) >= 10 && memcmp(line.end - 10, "(complain)", 10) == 0;
	}
}

/* ---------------------------------------------------------------------------------------------------------- reading */

void security_unread(security_note note, const char *format, ...)
{
	va_list args;

	if (*note)
		return;
	va_start(args, format);
	vsnprintf(note, sizeof(security_note), format, args);
	va_end(args);
}

/* A file system that is read: "" for /, or "/proc", "/sys". */
struct place {
	const char *name;
	int fd;
};

/*
 * The text is there until the next read into the same buffer. 0, or -errno: noted (if there is a `note`), unless there
 * is no such file, or a folder.
 */
static int read_text(const struct place *place, const char *path, struct procfs_buffer *buffer, char *note)
{
	struct procfs_file file = PROCFS_FILE;
	struct stat st;
	int r;

	buffer->max = TEXT_MAX;
	/* Another program made the file: it may be a FIFO. */
	file.fd = openat(place->fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file.fd < 0 || fstat(file.fd, &st) < 0)
		r = errno == ENXIO ? -EMEDIUMTYPE : -errno; /* a socket */
	else
		r = S_ISREG(st.st_mode)	  ? procfs_read(&file, place->fd, path, buffer)
		    : S_ISDIR(st.st_mode) ? -EISDIR
					  : -EMEDIUMTYPE;
	procfs_close(&file);
	if (note && r == 0 && buffer->truncated)
		security_unread(note, "%s/%.150s (longer than 1 MiB)", place->name, path);
	else if (note && r < 0 && r != -ENOENT && r != -ENOTDIR && r != -EISDIR)
		security_unread(note, "%s/%.120s (%s)", place->name, path,
				r == -EMEDIUMTYPE ? "it is not a regular file" : strerror(-r));
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Configuration in several files: of sshd, or (`apt` is not NULL) of apt. */
struct reading {
	const struct place *root;
	char *note;
	unsigned depth, files; /* files in all: many folders may include each other */
	struct sshd_settings *sshd;
	struct apt_periodic *apt;
};

static void take(struct reading *reading, const char *text, size_t len);

/* Takes the text of each file that fits the pattern, in the order of their names. */
static void read_each(struct reading *reading, const char *path, const char *pattern)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { .max = TEXT_MAX };
	int fd = openat(reading->root->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char *names[FILES_MAX], file[512];
	struct dirent *entry;
	size_t count = 0;

	if (!dir) {
		if (errno != ENOENT && errno != ENOTDIR)
			security_unread(reading->note, "/%.120s (%s)", path, strerror(errno));
		closep(&fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (fnmatch(pattern, entry->d_name, FNM_PERIOD) != 0)
			continue;
		if (count == FILES_MAX || !(names[count] = strdup(entry->d_name))) {
			security_unread(reading->note, "/%.120s (more than %d files)", path, FILES_MAX);
			break;
		}
		count++;
	}
	closedir(dir);
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++) {
		if (reading->apt && !apt_reads_name(names[i]))
			;
		else if (snprintf(file, sizeof(file), "%s/%s", path, names[i]) >= (int)sizeof(file) ||
			 reading->files++ >= FILES_MAX)
			security_unread(reading->note, "/%.120s (more than %d files)", path, FILES_MAX);
		else if (read_text(reading->root, file, &buffer, reading->note) == 0)
			take(reading, buffer.text, buffer.len);
		free(names[i]);
	}
}

/* Patterns in the last part of a path are followed; relative ones begin in /etc/ssh, sshd_config(5). */
static void on_sshd_include(void *data, const char *pattern)
{
	struct reading *reading = data;
	bool followed = false;
	char path[600];
	char *slash;

	snprintf(path, sizeof(path), "%s%.512s", *pattern == '/' ? "" : "etc/ssh/", pattern + (*pattern == '/'));
	slash = strrchr(path, '/');
	if (slash && !strpbrk(pattern, "~%") && reading->depth < INCLUDE_DEPTH) {
		*slash = '\0';
		followed = !strpbrk(path, "*?[");
	}
	if (!followed) {
		security_unread(reading->note, "%.150s (not followed)", pattern);
		return;
	}
	reading->depth++;
	read_each(reading, path, slash + 1);
	reading->depth--;
}

static void take(struct reading *reading, const char *text, size_t len)
{
	bool in_match;

	if (reading->apt) {
		apt_periodic_parse(reading->apt, text, len);
		return;
	}
	/* A Match block ends with its file; the Match block around an Include goes on after the included file. */
	in_match = reading->sshd->in_match;
	sshd_settings_parse(reading->sshd, text, len, on_sshd_include, reading);
	reading->sshd->in_match = in_match;
	if (reading->sshd->malformed)
		security_unread(reading->note, "a line in or below /etc/ssh/sshd_config that makes no sense");
}

static void read_sshd(struct security_facts *facts, const struct place *root, struct procfs_buffer *buffer)
{
	struct reading reading = { .root = root, .note = facts->sshd_unread, .sshd = &facts->sshd };
	int r = read_text(root, "etc/ssh/sshd_config", buffer, facts->sshd_unread);

	facts->sshd_program = faccessat(root->fd, "usr/sbin/sshd", F_OK, 0) == 0;
	facts->sshd_file = r != -ENOENT;
	facts->sshd_readable = r == 0;
	if (r == 0)
		take(&reading, buffer->text, buffer->len);
}

/* Of apt in apt's own order: first the folder, then the file. */
static void read_updates(struct security_facts *facts, const struct place *root, struct procfs_buffer *buffer)
{
	struct apt_periodic settings = { .unread = "" };
	struct reading reading = { .root = root, .note = facts->apt_unread, .apt = &settings };

	facts->upgrades_installed = faccessat(root->fd, "usr/bin/unattended-upgrade", F_OK, 0) == 0;
	read_each(&reading, "etc/apt/apt.conf.d", "*");
	if (read_text(root, "etc/apt/apt.conf", buffer, facts->apt_unread) == 0)
		take(&reading, buffer->text, buffer->len);
	apt_periodic_judge(facts, &settings);
	if (read_text(root, "etc/dnf/automatic.conf", buffer, facts->dnf_unread) == 0 &&
	    !dnf_applies_parse(buffer->text, buffer->len, &facts->dnf_applies))
		security_unread(facts->dnf_unread,
				"apply_updates in /etc/dnf/automatic.conf, which is neither yes nor no");
}

static void read_modules(struct security_facts *facts, const struct place *sys, struct procfs_buffer *buffer)
{
	struct scan text, lsm;
	int r;

	if (read_text(sys, "kernel/security/lsm", buffer, NULL) == 0) {
		text = scan_text(buffer->text, buffer->len);
		if (scan_line(&text, &lsm))
			copy_word(facts->lsm, sizeof(facts->lsm), &lsm);
	}
	facts->apparmor = read_text(sys, "module/apparmor/parameters/enabled", buffer, facts->apparmor_unread) == 0 &&
			  buffer->len && *buffer->text == 'Y';
	if (facts->apparmor &&
	    read_text(sys, "kernel/security/apparmor/profiles", buffer, facts->apparmor_unread) == 0) {
		facts->apparmor_counted = true;
		apparmor_count(buffer->text, buffer->len, &facts->apparmor_enforce, &facts->apparmor_complain);
	}
	/* The folders are there where the module is on; their files where its file system is mounted. */
	r = read_text(sys, "fs/selinux/enforce", buffer, facts->selinux_unread);
	if (r == 0 && buffer->len) {
		facts->selinux = *buffer->text == '1' ? SELINUX_ENFORCING : SELINUX_PERMISSIVE;
	} else if (r != -ENOENT || faccessat(sys->fd, "fs/selinux", F_OK, 0) == 0 || lsm_has(facts->lsm, "selinux")) {
		facts->selinux = SELINUX_UNKNOWN;
		security_unread(facts->selinux_unread, "/sys/fs/selinux/enforce");
	}
	r = read_text(sys, "fs/smackfs/load2", buffer, facts->smack_unread);
	if (r == 0) {
		facts->smack = buffer->len ? SMACK_RULES : SMACK_EMPTY;
	} else if (r != -ENOENT || faccessat(sys->fd, "fs/smackfs", F_OK, 0) == 0 || lsm_has(facts->lsm, "smack")) {
		facts->smack = SMACK_UNKNOWN;
		security_unread(facts->smack_unread, "/sys/fs/smackfs/load2");
	}
}

/* No such file: the kernel has no iptables of its own. */
static enum security_tables read_tables(const struct place *proc, const char *path, struct procfs_buffer *buffer)
{
	int r = read_text(proc, path, buffer, NULL);

	return r == 0 ? iptables_names(buffer->text, buffer->len) : r == -ENOENT ? TABLES_NONE : TABLES_UNKNOWN;
}

static void read_firewall(struct security_facts *facts, const struct place *root, const struct place *proc,
			  struct procfs_buffer *buffer)
{
	char enabled[8] = "";
	struct scan all, line;
	int r;

	if (read_text(root, "etc/ufw/ufw.conf", buffer, facts->ufw_unread) == 0)
		ufw_setting(buffer->text, buffer->len, "ENABLED", enabled, sizeof(enabled));
	facts->ufw_enabled = strcasecmp(enabled, "yes") == 0;
	if (read_text(root, "etc/default/ufw", buffer, facts->ufw_unread) == 0)
		ufw_setting(buffer->text, buffer->len, "DEFAULT_INPUT_POLICY", facts->ufw_policy,
			    sizeof(facts->ufw_policy));
	facts->has_ip6 =
		read_text(proc, "net/if_inet6", buffer, NULL) == 0 && inet6_addressed(buffer->text, buffer->len);
	facts->iptables = read_tables(proc, "net/ip_tables_names", buffer);
	facts->ip6tables = read_tables(proc, "net/ip6_tables_names", buffer);
	r = read_text(root, "etc/nftables.conf", buffer, facts->nft_unread);
	facts->nft_file = r != -ENOENT;
	if (r < 0)
		return;
	facts->nft_filters = nft_filters_input(buffer->text, buffer->len);
	/* A rule set that another file belongs to is not whole without it. */
	all = scan_text(buffer->text, buffer->len);
	while (scan_line(&all, &line)) {
		scan_blanks(&line);
		if (scan_key(&line, "include") && line.at < line.end && strchr(" \t\"", *line.at))
			security_unread(facts->nft_unread, "/etc/nftables.conf includes%.*s (not followed)",
					(int)(scan_len(&line) < 120 ? scan_len(&line) : 120), line.at);
	}
}

void security_read(struct security_facts *facts, int root_fd, int proc_fd, int sys_fd)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { .max = TEXT_MAX };
	const struct place root = { "", root_fd }, proc = { "/proc", proc_fd }, sys = { "/sys", sys_fd };

	read_modules(facts, &sys, &buffer);
	read_firewall(facts, &root, &proc, &buffer);
	read_updates(facts, &root, &buffer);
	read_sshd(facts, &root, &buffer);
}

void security_take_sshd(struct security_facts *facts, const char *text, size_t len)
{
	struct sshd_settings settings = { .match_blocks = facts->sshd.match_blocks,
					  .match_passwords = facts->sshd.match_passwords };
	bool whole = facts->sshd_readable && !*facts->sshd_unread;

	sshd_settings_parse(&settings, text, len, NULL, NULL);
	if (!*settings.permit_root_login || !*settings.password_authentication)
		return;
	facts->sshd = settings;
	facts->sshd_asked = facts->sshd_readable = true;
	/* Outside of Match blocks all settings are known now; those inside are not. */
	if (!whole)
		security_unread(facts->sshd_unread, "/etc/ssh/sshd_config");
}
