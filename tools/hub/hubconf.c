/* SPDX-License-Identifier: MIT */
/*
 * libinih is fed line by line, so that the line of an error is known; lines that it would silently cut are refused.
 */
#include "hubconf.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "agent/config/secret.h"
#include "tools/hub/vmname.h"

#define FILE_MAX_BYTES (1U << 20)

struct key {
	const char *section, *name, *fallback, *help;
	enum hubconf_type type;
	uint64_t min, max;
	size_t offset;
};

#define KEY(type_, section_, name_, min_, max_, fallback_, help_)                                                      \
	{ .section = #section_,                                                                                        \
	  .name = #name_,                                                                                              \
	  .fallback = (fallback_),                                                                                     \
	  .help = (help_),                                                                                             \
	  .type = HUBCONF_##type_,                                                                                     \
	  .min = (min_),                                                                                               \
	  .max = (max_),                                                                                               \
	  .offset = offsetof(struct hubconf, section_##_##name_) },

static const struct key keys[] = { HUBCONF_KEYS(KEY) };

static int bad_words(const char *value)
{
	unsigned count = 0;

	for (const char *at = value; *at; at += strcspn(at, " \t")) {
		at += strspn(at, " \t");
		if (*at && (*at != '/' || ++count > HUBCONF_WORDS_MAX))
			return -EINVAL;
	}
	return 0;
}

static int set_key(struct hubconf *conf, const struct key *key, const char *value, struct err *e)
{
	void *field = (char *)conf + key->offset;
	unsigned long long number;
	char *copy, *end;

	if (key->type == HUBCONF_NUMBER) {
		errno = 0;
		number = strtoull(value, &end, 10);
		if (end == value || *end || errno || *value == '-' || number < key->min || number > key->max)
			return err_set(e, -EINVAL, "%s.%s: \"%.40s\" is no number from %llu to %llu", key->section,
				       key->name, value, (unsigned long long)key->min, (unsigned long long)key->max);
		*(uint64_t *)field = number;
		return 0;
	}
	if (key->type == HUBCONF_PATH && *value && *value != '/')
		return err_set(e, -EINVAL, "%s.%s: \"%.100s\" is no absolute path", key->section, key->name, value);
	if (key->type == HUBCONF_WORDS && bad_words(value) < 0)
		return err_set(e, -EINVAL, "%s.%s: absolute paths, at most %d, with spaces between", key->section,
			       key->name, HUBCONF_WORDS_MAX);
	copy = strdup(value);
	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	free(*(char **)field);
	*(char **)field = copy;
	return 0;
}

int hubconf_init(struct hubconf *conf)
{
	*conf = (struct hubconf){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (set_key(conf, &keys[i], keys[i].fallback, NULL) < 0) {
			hubconf_free(conf);
			return -ENOMEM;
		}
	return 0;
}

void hubconf_free(struct hubconf *conf)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char **field = (void *)((char *)conf + keys[i].offset);

		if (keys[i].type == HUBCONF_NUMBER)
			continue;
		free(*field);
		*field = NULL;
	}
	for (size_t i = 0; i < conf->list_len; i++) {
		free(conf->list[i].name);
		free(conf->list[i].path);
	}
	free(conf->list);
	conf->list = NULL;
	conf->list_len = 0;
}

int hubconf_set(struct hubconf *conf, const char *section, const char *name, const char *value, struct err *e)
{
	bool section_known = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].section, section) != 0)
			continue;
		section_known = true;
		if (!strcmp(keys[i].name, name))
			return set_key(conf, &keys[i], value, e);
	}
	if (!section_known)
		return err_set(e, -EINVAL,
			       "there is no section [%.40s]; sections are vms, list, secrets, web, access, limits",
			       section);
	return err_set(e, -EINVAL, "there is no key \"%.40s\" in [%s]; `infinihost serve --example` shows all", name,
		       section);
}

int hubconf_add_vm(struct hubconf *conf, const char *name, const char *path, struct err *e)
{
	struct hubconf_vm *list, vm = { 0 };

	if (*path != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(e, -EINVAL, "%.60s: \"%.120s\" is no absolute path of a socket, of at most 107 bytes",
			       name, path);
	if (!*name || strlen(name) >= VMNAME_SIZE)
		return err_set(e, -EINVAL, "\"%.40s\": a VM's name has 1 to %d bytes", name, VMNAME_SIZE - 1);
	for (size_t i = 0; i < conf->list_len; i++)
		if (!strcmp(conf->list[i].name, name) || !strcmp(conf->list[i].path, path))
			return err_set(e, -EEXIST, "%.60s = %.120s: name or socket is in the list already", name, path);
	if (conf->list_len >= HUBCONF_LIST_MAX)
		return err_set(e, -EINVAL, "more than %d VMs by name: use vms.sockets", HUBCONF_LIST_MAX);
	list = reallocarray(conf->list, conf->list_len + 1, sizeof(*list));
	if (list)
		conf->list = list;
	vm.name = strdup(name);
	vm.path = strdup(path);
	if (!list || !vm.name || !vm.path) {
		free(vm.name);
		free(vm.path);
		return err_set(e, -ENOMEM, "out of memory");
	}
	conf->list[conf->list_len++] = vm;
	return 0;
}

struct load {
	struct hubconf *conf;
	const char *at, *end;
	unsigned line;
	int rc;
	struct err *e;
};

static char *next_line(char *buffer, int size, void *stream)
{
	struct load *load = stream;
	const char *newline;
	size_t len;

	if (load->at >= load->end || load->rc < 0)
		return NULL;
	newline = memchr(load->at, '\n', (size_t)(load->end - load->at));
	len = (size_t)((newline ? newline : load->end) - load->at);
	load->line++;
	if (len > CONFIG_LINE_MAX || len + 2 > (size_t)size || memchr(load->at, '\0', len)) {
		load->rc =
			err_set(load->e, -EINVAL, "a line of more than %d bytes, or with a NUL in it", CONFIG_LINE_MAX);
		return NULL;
	}
	memcpy(buffer, load->at, len);
	memcpy(buffer + len, "\n", 2);
	load->at += len + (newline != NULL);
	return buffer;
}

static int take_value(void *user, const char *section, const char *name, const char *value)
{
	struct load *load = user;

	if (load->rc == 0)
		load->rc = strcmp(section, "list") ? hubconf_set(load->conf, section, name, value, load->e)
						   : hubconf_add_vm(load->conf, name, value, load->e);
	return load->rc == 0;
}

int hubconf_parse(struct hubconf *conf, const char *file, const char *text, size_t len, struct err *e)
{
	struct load load = { .conf = conf, .at = text, .end = text + len, .e = e };
	int r = ini_parse_stream(next_line, &load, take_value, &load);

	if (load.rc == 0 && r > 0) {
		load.line = (unsigned)r;
		load.rc = err_set(e, -EINVAL, "expected [section] or key = value");
	}
	if (load.rc < 0)
		err_context(e, "%s:%u", file, load.line);
	return load.rc;
}

int hubconf_load(struct hubconf *conf, const char *path, struct err *e)
{
	_cleanup_(freep) char *text = NULL;
	size_t len;
	int r = safe_file_read(path, FILE_MAX_BYTES, &text, &len, NULL, e);

	return r < 0 ? r : hubconf_parse(conf, path, text, len, e);
}

size_t hubconf_example(char *out, size_t size)
{
	const char *section = "";
	int len = snprintf(out, size,
			   "# Settings of `infinihost serve`, the hub of this host's VMs: infiniservice-host.conf(5).\n"
			   "# Every key is shown with its default.\n");

	for (size_t i = 0; i < ARRAY_SIZE(keys) && len >= 0 && (size_t)len < size; i++) {
		if (strcmp(section, keys[i].section) != 0)
			len += snprintf(out + len, size - (size_t)len, "\n[%s]\n", keys[i].section);
		section = keys[i].section;
		len += snprintf(out + len, (size_t)len < size ? size - (size_t)len : 0, "# %s\n#%s = %s\n",
				keys[i].help, keys[i].name, keys[i].fallback);
	}
	if (len >= 0 && (size_t)len < size)
		len += snprintf(
			out + len, size - (size_t)len,
			"\n# VMs by name, each with the socket of its channel.\n[list]\n#web1 = /run/vms/web1.sock\n");
	return len < 0 ? 0 : (size_t)len;
}
