/* SPDX-License-Identifier: MIT */
/*
 * Files into a config, with libinih. It is fed line by line from memory, so that this file knows the number of the line
 * that is being handled, and lines it would quietly cut are refused before it sees them.
 */
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/safe_file.h"

#define CONFIG_FILE_MAX (1u << 20)
#define DROP_INS_MAX 1000

struct warnings {
	config_warn_fn warn;
	void *data;
	unsigned count;
};

struct load {
	struct config *config;
	const char *path;
	const char *at, *end; /* what has not been handed to libinih yet */
	unsigned line;
	bool continued; /* the line began with a blank and goes on with the value of the line above */
	int rc;
	struct warnings *warnings;
	struct err *err;
};

static void warn_at(struct load *load, const char *section, const char *name)
{
	struct warnings *w = load->warnings;
	char text[1024];

	if (w->count++ < CONFIG_WARNINGS_MAX && w->warn) {
		snprintf(text, sizeof(text), "%s:%u: there is no key %s.%s, ignored", load->path, load->line, section,
			 name);
		w->warn(w->data, text);
	}
}

static void warnings_finish(const struct warnings *w)
{
	char text[64];

	if (w->count <= CONFIG_WARNINGS_MAX || !w->warn)
		return;
	snprintf(text, sizeof(text), "%u more warnings", w->count - CONFIG_WARNINGS_MAX);
	w->warn(w->data, text);
}

static int load_fail(struct load *load, const char *reason)
{
	load->rc = err_set(load->err, -EINVAL, "%s:%u: %s", load->path, load->line, reason);
	return load->rc;
}

/* libinih takes any indented line for a continuation: those that are plainly something else lose their indent. */
static bool is_continuation(const char *line, size_t len)
{
	size_t indent = 0;

	while (indent < len && (line[indent] == ' ' || line[indent] == '\t'))
		indent++;
	return indent > 0 && indent < len && !strchr("[;#\r\n", line[indent]) && !memchr(line, '=', len);
}

/* The reader of ini_parse_stream: one line, its newline included, like fgets(3). */
static char *load_line(char *out, int size, void *stream)
{
	struct load *load = stream;
	const char *start = load->at, *newline;
	size_t len, skip = 0;

	if (load->rc || load->at == load->end)
		return NULL;
	newline = memchr(start, '\n', (size_t)(load->end - start));
	len = (size_t)((newline ? newline : load->end) - start);
	load->at = newline ? newline + 1 : load->end;
	load->line++;
	if (memchr(start, '\0', len))
		return load_fail(load, "a NUL byte"), NULL;
	load->continued = is_continuation(start, len);
	while (!load->continued && skip < len && (start[skip] == ' ' || start[skip] == '\t'))
		skip++;
	if (skip < len && (start[skip] == '#' || start[skip] == ';'))
		skip = len; /* a comment may be of any length */
	len -= skip;
	if (len > CONFIG_LINE_MAX || len + 2 > (size_t)size) {
		load->rc = err_set(load->err, -EINVAL, "%s:%u: line longer than %d bytes", load->path, load->line,
				   CONFIG_LINE_MAX);
		return NULL;
	}
	memcpy(out, start + skip, len);
	memcpy(out + len, "\n", 2);
	return out;
}

/* The handler of libinih: 1 to go on. Errors are kept in the load, because libinih keeps only a line number. */
static int load_value(void *user, const char *section, const char *name, const char *value)
{
	struct load *load = user;
	const struct config_key *key = config_key_find(section, name);
	struct err reason = { 0 };
	int rc;

	if (load->rc)
		return 1;
	if (!key) {
		warn_at(load, section[0] ? section : "(no section)", name);
		return 1;
	}
	if (load->continued && key->type != CONFIG_LIST) {
		load_fail(load, "an indented line goes on with the value above, which only a list can have");
		return 1;
	}
	rc = config_key_parse(load->config, key, value, load->continued, &reason);
	if (rc == -EINVAL)
		load_fail(load, reason.text);
	else
		load->rc = rc;
	return 1;
}

static int load_text(struct load *load)
{
	int rc = ini_parse_stream(load_line, load, load_value, load);

	if (load->rc)
		return load->rc;
	if (rc > 0) {
		load->line = (unsigned)rc;
		return load_fail(load, "expected [section] or key = value");
	}
	return rc < 0 ? -ENOMEM : 0;
}

static int load_file(struct config *config, const char *path, struct warnings *warnings, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	struct load load = { .config = config, .path = path, .warnings = warnings };
	struct err unread = { 0 };
	size_t len;
	int rc;

	load.err = err ? err : &unread;
	rc = safe_file_read(path, CONFIG_FILE_MAX, &text, &len, load.err);
	if (rc)
		return rc;
	load.at = text;
	load.end = text + len;
	rc = load_text(&load);
	if (rc == -ENOMEM)
		err_set(load.err, rc, "%s: out of memory", path);
	return rc;
}

static int is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && !strcmp(entry->d_name + len - 5, ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_drop_ins(struct config *config, const char *dir, struct warnings *warnings, struct err *err)
{
	struct dirent **entries = NULL;
	char path[4096 + 256];
	int count, rc = 0;

	snprintf(path, sizeof(path), "%s/conf.d", dir);
	count = scandir(path, &entries, is_drop_in, by_name);
	if (count < 0)
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (count > DROP_INS_MAX)
		rc = err_set(err, -EINVAL, "%s: more than %d files", path, DROP_INS_MAX);
	for (int i = 0; i < count; i++) {
		if (!rc) {
			snprintf(path, sizeof(path), "%s/conf.d/%s", dir, entries[i]->d_name);
			rc = load_file(config, path, warnings, err);
		}
		free(entries[i]);
	}
	free(entries);
	return rc;
}

static int load_dir(struct config *config, const char *dir, struct warnings *warnings, struct err *err)
{
	char path[4096];
	int rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/infiniservice.conf", dir) >= sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%.100s…: the path is too long", dir);
	rc = load_file(config, path, warnings, err);
	if (rc && rc != -ENOENT)
		return rc;
	return load_drop_ins(config, dir, warnings, err);
}

/* Works on a copy, so that a bad file changes nothing. */
static int load_into_copy(struct config *config, const char *path, bool is_dir, config_warn_fn warn, void *data,
			  struct err *err)
{
	struct warnings warnings = { .warn = warn, .data = data };
	struct config copy;
	int rc = config_copy(&copy, config);

	if (rc)
		return err_set(err, rc, "out of memory");
	rc = is_dir ? load_dir(&copy, path, &warnings, err) : load_file(&copy, path, &warnings, err);
	warnings_finish(&warnings);
	if (rc) {
		config_free(&copy);
		return rc;
	}
	config_free(config);
	*config = copy;
	return 0;
}

int config_load(struct config *config, const char *path, config_warn_fn warn, void *data, struct err *err)
{
	if (!path)
		return config_load_dir(config, SYSCONFDIR "/infiniservice", warn, data, err);
	return load_into_copy(config, path, false, warn, data, err);
}

int config_load_dir(struct config *config, const char *dir, config_warn_fn warn, void *data, struct err *err)
{
	return load_into_copy(config, dir, true, warn, data, err);
}
