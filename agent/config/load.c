/* SPDX-License-Identifier: MIT */
/*
 * Reads files into a config with libinih. It is fed line by line from memory, so that the number of the current line is
 * known, and lines that libinih would silently cut are refused first.
 */
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/secret.h"

#define CONFIG_FILE_MAX (1u << 20)
#define DROP_INS_MAX	1000

/* A load stops at the first error; an inspection (`tell`) goes on and reports all. */
struct telling {
	config_warn_fn warn;
	config_tell_fn tell;
	void *data;
	unsigned count; /* of warnings, or of all findings of an inspection */
	int first;	/* first error of an inspection */
	struct config_origins *origins;
};

struct load {
	struct config *config;
	const char *path;
	const char *at, *end; /* text not passed to libinih yet */
	unsigned line;
	bool continued; /* the line is indented and continues the value of the line above */
	bool lost;	/* below a section header that could not be parsed */
	int rc;
	unsigned failed_line;		  /* the last line with an error */
	unsigned set_at[CONFIG_KEYS_MAX]; /* number of the line that set each key */
	struct telling *telling;
	struct err *err;
};

static void tell(struct telling *t, enum config_finding finding, const char *text)
{
	t->count++;
	if (t->tell && t->count <= CONFIG_FINDINGS_MAX)
		t->tell(t->data, finding, text);
	else if (!t->tell && t->warn && t->count <= CONFIG_WARNINGS_MAX)
		t->warn(t->data, text);
}

static void telling_finish(const struct telling *t)
{
	const unsigned max = t->tell ? CONFIG_FINDINGS_MAX : CONFIG_WARNINGS_MAX;
	char text[64];

	if (t->count <= max)
		return;
	snprintf(text, sizeof(text), "%u more %s", t->count - max, t->tell ? "of the kind" : "warnings");
	if (t->tell)
		t->tell(t->data, CONFIG_WARNING, text);
	else if (t->warn)
		t->warn(t->data, text);
}

/* Reports a finding that does not stop a load; `likely_mistake`: an inspection counts it as an error. */
__attribute__((format(printf, 3, 4))) static void remark(struct load *load, bool likely_mistake, const char *format,
							 ...)
{
	struct telling *t = load->telling;
	char text[1024];
	va_list args;
	int len = snprintf(text, sizeof(text), "%.500s:%u: ", load->path, load->line);

	va_start(args, format);
	vsnprintf(text + len, sizeof(text) - (size_t)len, format, args);
	va_end(args);
	if (likely_mistake && t->tell && !t->first)
		t->first = -EINVAL;
	tell(t, likely_mistake ? CONFIG_MISTAKE : CONFIG_WARNING, text);
}

/* Handles an error: a load ends with it, an inspection reports it and goes on. */
static int fail(struct telling *t, int rc, struct err *err)
{
	if (!t->tell || rc == -ENOMEM)
		return rc;
	if (!t->first)
		t->first = rc;
	tell(t, CONFIG_ERROR, err->text);
	return 0;
}

static int load_fail(struct load *load, const char *reason)
{
	load->failed_line = load->line;
	load->rc = fail(load->telling, err_set(load->err, -EINVAL, "%s:%u: %s", load->path, load->line, reason),
			load->err);
	return load->rc;
}

/* Checks that the section is known and only a comment follows its header. */
static void judge_section(struct load *load, const char *line, size_t len)
{
	const char *close = memchr(line, ']', len), *rest = close ? close + 1 : NULL;
	const char *likely, *name;
	unsigned name_len;
	char section[64];
	bool good;

	load->lost = !close;
	if (!close) {
		load_fail(load, "expected [section] or key = value");
		return;
	}
	snprintf(section, sizeof(section), "%.*s", (int)(close - line - 1), line + 1);
	if (config_alert_section(section, &good, &name, &name_len)) {
		if (!good)
			load_fail(load, "an alert's section is [alert \"NAME\"], with a NAME of 1 to 32 letters, "
					"digits, - and _");
		load->lost = !good;
		return;
	}
	likely = likely_section(section);
	if (likely && strcmp(likely, section) != 0)
		remark(load, true, "there is no section [%s], perhaps [%s]; its keys are ignored", section, likely);
	else if (!likely)
		remark(load, false, "there is no section [%s], its keys are ignored", section);
	while (rest < line + len && strchr(" \t\r", *rest))
		rest++;
	if (rest < line + len && *rest != ';' && *rest != '#')
		remark(load, true, "what follows [%s] on its line is ignored", section);
}

/* Reports what libinih would silently skip, or report only once. False: the line is invalid as a whole. */
static bool judge_line(struct load *load, const char *line, size_t len)
{
	size_t at = 0;

	if (memchr(line, '\0', len)) {
		load_fail(load, "a NUL byte (the file has to be plain text, in UTF-8)");
		return false;
	}
	if (len > CONFIG_LINE_MAX) {
		char words[64];

		snprintf(words, sizeof(words), "line longer than %d bytes", CONFIG_LINE_MAX);
		load_fail(load, words);
		return false;
	}
	while (len > 0 && strchr(" \t\r", line[len - 1]))
		len--;
	if (len == 0 || load->continued)
		return true;
	if (line[0] == '[') {
		judge_section(load, line, len);
		return load->failed_line != load->line;
	}
	/* An assignment has a '=' or ':' before any comment; as in libinih, a ';' behind a blank begins one. */
	while (at < len && line[at] != '=' && line[at] != ':' &&
	       !(line[at] == ';' && at > 0 && strchr(" \t", line[at - 1])))
		at++;
	if (at < len && line[at] != ';')
		return true;
	load_fail(load, "expected [section] or key = value");
	return false;
}

/* Reader for ini_parse_stream: one line with its newline, like fgets(3). */
static char *load_line(char *out, int size, void *stream)
{
	static const char mark[] =
		"\xef\xbb\xbf"; /* byte order mark in UTF-8, which some editors put at the beginning of a file */
	struct load *load = stream;
	const char *start = load->at, *newline;
	size_t len, skip = 0;

	if (load->rc || load->at == load->end)
		return NULL;
	newline = memchr(start, '\n', (size_t)(load->end - start));
	len = (size_t)((newline ? newline : load->end) - start);
	load->at = newline ? newline + 1 : load->end;
	load->line++;
	if (load->line == 1 && len >= 3 && !memcmp(start, mark, 3)) {
		start += 3;
		len -= 3;
	}
	/*
	 * libinih reads any indented line as a continuation. The indent of comments, sections and assignments is
	 * removed, so that they are read as such.
	 */
	while (skip < len && (start[skip] == ' ' || start[skip] == '\t'))
		skip++;
	load->continued = skip > 0 && skip < len && !strchr("[;#\r\n", start[skip]) && !memchr(start, '=', len);
	if (load->continued)
		skip = 0;
	if (skip < len && (start[skip] == '#' || start[skip] == ';'))
		skip = len; /* a comment may be of any length */
	len -= skip;
	/* An invalid line is passed on as an empty one, so that an inspection can go on. */
	if (!judge_line(load, start + skip, len))
		len = 0;
	if (load->rc || len + 2 > (size_t)size)
		return NULL;
	memcpy(out, start + skip, len);
	memcpy(out + len, "\n", 2);
	return out;
}

static void remark_unknown(struct load *load, const char *section, const char *name)
{
	const struct telling *t = load->telling;
	/*
	 * No suggestion is searched for a warning that will not be reported: a file full of unknown keys must not hold
	 * up the loop.
	 */
	bool told = t->tell || t->count < CONFIG_WARNINGS_MAX;
	const struct config_key *likely = told ? likely_key(section, name) : NULL, *of = config_keys;

	while (of->section && strcmp(of->section, section) != 0)
		of++;
	if (!section[0])
		remark(load, true, "\"%s\" stands before any [section]%s%s%s, ignored", name,
		       likely ? ", perhaps it belongs into [" : "", likely ? likely->section : "", likely ? "]" : "");
	else if (!of->section && (!likely || likely_section(section)))
		return; /* reported at the section's header */
	else if (likely)
		remark(load, true, "there is no key %s.%s, ignored; perhaps %s.%s", section, name, likely->section,
		       likely->name);
	else
		remark(load, false, "there is no key %s.%s, ignored", section, name);
}

/*
 * Checks the words of commands.allow and deny, each a group or an action. Which actions exist is not known here, but
 * their names begin with a capital; any other word that is no group has no effect.
 */
static void remark_groups(struct load *load, const struct config_key *key, const char *value)
{
	static const char *const groups[] = { "observe", "control", "packages", "power", "exec", NULL };

	for (size_t len; *(value += strspn(value, " ,\t")); value += len) {
		char word[64];
		const char *likely;

		len = strcspn(value, " ,\t");
		snprintf(word, sizeof(word), "%.*s", (int)len, value);
		likely = likely_name(groups, word);
		if ((*word >= 'A' && *word <= 'Z' && !likely) || (likely && !strcmp(likely, word)))
			continue;
		if (likely)
			remark(load, true, "%s.%s: there is no group %s, perhaps %s", key->section, key->name, word,
			       likely);
		else
			remark(load, true,
			       "%s.%s: %s is neither a group (observe, control, packages, power, exec) nor the name of "
			       "an action",
			       key->section, key->name, word);
	}
}

/* Reports a valid value that is probably a mistake. */
static void remark_value(struct load *load, const struct config_key *key, const char *value)
{
	unsigned *set_at = &load->set_at[key - config_keys];

	if (key->offset == offsetof(struct config, commands.allow) ||
	    key->offset == offsetof(struct config, commands.deny))
		remark_groups(load, key, value);
	if (load->continued)
		return;
	if (*set_at)
		remark(load, true, "%s.%s is set in line %u already; this one holds", key->section, key->name, *set_at);
	*set_at = load->line;
	if (key->type >= CONFIG_TEXT && (value[0] == '#' || strstr(value, " #") || strstr(value, "\t#")))
		remark(load, true, "%s.%s: a comment begins at the beginning of a line; the # is part of the value",
		       key->section, key->name);
}

/* A key of [alert "NAME"]. True when the section is one. */
static bool load_alert(struct load *load, const char *section, const char *key, const char *value)
{
	struct err reason = { 0 };
	const char *name;
	unsigned len;
	bool good;
	int rc;

	if (!config_alert_section(section, &good, &name, &len) || !good)
		return false;
	if (load->continued)
		rc = err_set(&reason, -EINVAL,
			     "an indented line goes on with the value above, which only a list can have");
	else
		rc = config_alert_set(&load->config->alerts, name, len, key, value, &reason);
	if (rc == -ENOENT)
		remark(load, true, "there is no key %s of an alert, ignored; there are when, for and clear", key);
	else if (rc == -EINVAL)
		load_fail(load, reason.text);
	else
		load->rc = rc;
	return true;
}

/* Handler for libinih: 1 to go on. Errors are stored in the load, because libinih stores only a line number. */
static int load_value(void *user, const char *section, const char *name, const char *value)
{
	struct load *load = user;
	const struct config_key *key = config_key_find(section, name);
	char **origin = key && load->telling->origins ? &load->telling->origins->of[key - config_keys] : NULL;
	struct err reason = { 0 };
	int rc;

	if (load->rc || load->lost || load_alert(load, section, name, value))
		return 1;
	if (!key) {
		if (!load->continued)
			remark_unknown(load, section, name);
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
	if (rc)
		return 1;
	if (origin && !load->continued) {
		free(*origin);
		if (asprintf(origin, "%s:%u", load->path, load->line) < 0) {
			*origin = NULL;
			load->rc = -ENOMEM;
		}
	}
	remark_value(load, key, value);
	return 1;
}

static int load_file(struct config *config, const char *path, struct telling *telling, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	struct load load = { .config = config, .path = path, .telling = telling };
	struct err unread = { 0 };
	size_t len;
	int rc;

	load.err = err ? err : &unread;
	rc = safe_file_read(path, CONFIG_FILE_MAX, &text, &len, NULL, load.err);
	if (rc)
		return rc;
	load.at = text;
	load.end = text + len;
	rc = ini_parse_stream(load_line, &load, load_value, &load);
	if (rc > 0 && !load.rc) {
		load.line = (unsigned)rc;
		load_fail(&load, "expected [section] or key = value");
	}
	rc = load.rc || rc >= 0 ? load.rc : -ENOMEM;
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

static int load_dir(struct config *config, const char *dir, struct telling *telling, struct err *err)
{
	struct dirent **entries = NULL;
	char path[4096 + 256], text[1024];
	int count, read = 0, rc;

	if (snprintf(path, sizeof(path), "%s/infiniservice.conf", dir) >= 4096)
		return err_set(err, -ENAMETOOLONG, "%.100s…: the path is too long", dir);
	rc = load_file(config, path, telling, err);
	if (rc && rc != -ENOENT && (rc = fail(telling, rc, err)))
		return rc;
	snprintf(path, sizeof(path), "%s/conf.d", dir);
	count = scandir(path, &entries, NULL, by_name);
	if (count < 0)
		return errno == ENOENT ? 0 : fail(telling, err_set(err, -errno, "%s: %s", path, strerror(errno)), err);
	/* An inspection reports the files that are not read. */
	for (int i = 0; i < count; i++) {
		read += is_drop_in(entries[i]);
		if (!telling->tell || is_drop_in(entries[i]) || entries[i]->d_name[0] == '.')
			continue;
		snprintf(text, sizeof(text), "%.600s/%.255s: not read, since its name does not end in .conf", path,
			 entries[i]->d_name);
		tell(telling, CONFIG_WARNING, text);
	}
	rc = read > DROP_INS_MAX
		     ? fail(telling, err_set(err, -EINVAL, "%s: more than %d files", path, DROP_INS_MAX), err)
		     : 0;
	for (int i = 0; i < count; i++) {
		if (!rc && is_drop_in(entries[i])) {
			snprintf(path, sizeof(path), "%s/conf.d/%s", dir, entries[i]->d_name);
			rc = load_file(config, path, telling, err);
			if (rc)
				rc = fail(telling, rc, err);
		}
		free(entries[i]);
	}
	free(entries);
	return rc;
}

/* Works on a copy, so that an invalid file changes nothing. */
static int load_into_copy(struct config *config, const char *path, bool is_dir, struct telling *telling,
			  struct err *err)
{
	struct config copy;
	int rc = config_copy(&copy, config);

	if (rc)
		return err_set(err, rc, "out of memory");
	rc = is_dir ? load_dir(&copy, path, telling, err) : load_file(&copy, path, telling, err);
	if (!is_dir && rc)
		rc = fail(telling, rc, err);
	if (rc) {
		telling_finish(telling);
		config_free(&copy);
		return rc;
	}
	config_free(config);
	*config = copy;
	return 0;
}

static int load(struct config *config, const char *path, bool is_dir, config_warn_fn warn, void *data, struct err *err)
{
	struct telling telling = { .warn = warn, .data = data };
	struct err unread = { 0 };
	int rc = load_into_copy(config, path, is_dir, &telling, err ? err : &unread);

	if (!rc)
		telling_finish(&telling);
	return rc;
}

int config_load(struct config *config, const char *path, config_warn_fn warn, void *data, struct err *err)
{
	return load(config, path ? path : SYSCONFDIR "/infiniservice", !path, warn, data, err);
}

int config_load_dir(struct config *config, const char *dir, config_warn_fn warn, void *data, struct err *err)
{
	return load(config, dir, true, warn, data, err);
}

static int inspect(struct config *config, const char *path, bool is_dir, struct telling *t)
{
	struct err err = { 0 };
	int rc = load_into_copy(config, path, is_dir, t, &err);

	if (rc) {
		tell(t, CONFIG_ERROR, err.text);
		return rc;
	}
	for (unsigned at = 0; (rc = config_check_each(config, &at, &err));)
		fail(t, rc, &err);
	telling_finish(t);
	return t->first;
}

int config_inspect(struct config *config, const char *path, config_tell_fn tell_fn, void *data,
		   struct config_origins *origins)
{
	struct telling t = { .tell = tell_fn, .data = data, .origins = origins };

	return inspect(config, path ? path : SYSCONFDIR "/infiniservice", !path, &t);
}

int config_inspect_dir(struct config *config, const char *dir, config_tell_fn tell_fn, void *data,
		       struct config_origins *origins)
{
	struct telling t = { .tell = tell_fn, .data = data, .origins = origins };

	return inspect(config, dir, true, &t);
}

void config_origins_free(struct config_origins *origins)
{
	for (unsigned i = 0; i < CONFIG_KEYS_MAX; i++)
		free(origins->of[i]);
}
