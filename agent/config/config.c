/* SPDX-License-Identifier: MIT */
/*
 * A configuration as a whole: made from the defaults, copied, checked across keys, printed. Files are read by load.c.
 */
#include "agent/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <infiniservice/cleanup.h>

#include "agent/config/keys.h"

/* systemd separates several directories with ':' (systemd.exec(5), RuntimeDirectory=); the first is the agent's. */
static int directory_from_environment(char **dir, const char *variable)
{
	const char *value = getenv(variable);
	char *copy;

	if (!value || value[0] != '/')
		return 0;
	copy = strndup(value, strcspn(value, ":"));
	if (!copy)
		return -ENOMEM;
	free(*dir);
	*dir = copy;
	return 0;
}

int config_init(struct config *config)
{
	int rc = 0;

	memset(config, 0, sizeof(*config));
	for (const struct config_key *key = config_keys; key->section && !rc; key++)
		rc = config_key_parse(config, key, key->fallback, false, NULL);
	if (!rc)
		rc = directory_from_environment(&config->agent.state_dir, "STATE_DIRECTORY");
	if (!rc)
		rc = directory_from_environment(&config->agent.runtime_dir, "RUNTIME_DIRECTORY");
	if (rc)
		config_free(config);
	return rc;
}

void config_free(struct config *config)
{
	for (const struct config_key *key = config_keys; key->section; key++)
		config_key_clear(config, key);
	config_alerts_free(&config->alerts);
}

static char **list_copy(char *const *list)
{
	char **copy = calloc(CONFIG_LIST_MAX + 1, sizeof(*copy));

	for (size_t i = 0; copy && list && list[i]; i++) {
		copy[i] = strdup(list[i]);
		if (copy[i])
			continue;
		while (i > 0)
			free(copy[--i]);
		free(copy);
		return NULL;
	}
	return copy;
}

int config_copy(struct config *ret, const struct config *config)
{
	struct config copy = *config;
	int rc = 0;

	/*
	 * Every pointer gets its own value before anything can fail, so that config_free never frees the original's
	 * values.
	 */
	for (const struct config_key *key = config_keys; key->section; key++) {
		char *to = (char *)&copy + key->offset;
		const char *from = (const char *)config + key->offset;

		if (key->type == CONFIG_TEXT || key->type == CONFIG_PATH)
			rc |= !(*(char **)(void *)to = strdup(*(char *const *)(const void *)from));
		else if (key->type == CONFIG_LIST)
			rc |= !(*(char ***)(void *)to = list_copy(*(char *const *const *)(const void *)from));
	}
	rc |= config_alerts_copy(&copy.alerts, &config->alerts) != 0;
	if (rc) {
		config_free(&copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

int config_set(struct config *config, const char *assignment, struct err *err)
{
	const char *equals = strchr(assignment, '='), *dot = strchr(assignment, '.');
	const struct config_key *key;
	char section[32], name[64];

	if (!equals || !dot || dot > equals)
		return err_set(err, -EINVAL, "\"%.100s\": expected SECTION.KEY=VALUE", assignment);
	snprintf(section, sizeof(section), "%.*s", (int)(dot - assignment), assignment);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - dot - 1), dot + 1);
	key = config_key_find(section, name);
	if (!key && (key = likely_key(section, name)))
		return err_set(err, -EINVAL, "there is no key %s.%s; perhaps %s.%s", section, name, key->section,
			       key->name);
	if (!key)
		return err_set(err, -EINVAL, "there is no key %s.%s; `infinictl config show` lists them", section,
			       name);
	return config_key_parse(config, key, equals + 1, false, err);
}

uint64_t config_log_interval_ms(const struct config *config)
{
	return config->log.interval_ms ? config->log.interval_ms : config->timers.metrics_interval_ms;
}

static bool spec_has_shape(const char *spec)
{
	static const char *const prefixes[] = { "virtio:", "unix:", "listen:" };

	if (!strcmp(spec, "stdio") || !strcmp(spec, "none") || spec[0] == '/')
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(spec, prefixes[i], strlen(prefixes[i])))
			return spec[strlen(prefixes[i])] != '\0';
	return false;
}

/* The rules, one after the other. A pattern that no unit name can match would be a protection without effect. */
int config_check_each(const struct config *config, unsigned *at, struct err *err)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.@\\-*?[]!^";
	const size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	for (;;)
		switch ((*at)++) {
		case 0:
			if (!spec_has_shape(config->port.spec))
				return err_set(err, -EINVAL,
					       "port.spec: \"%.100s\" is none of virtio:NAME, an absolute path, "
					       "unix:PATH, listen:PATH, stdio, none",
					       config->port.spec);
			break;
		case 1:
			if (config->log.max_total_bytes / 2 < config->log.segment_bytes)
				return err_set(err, -EINVAL,
					       "log.max_total_bytes has to be at least twice log.segment_bytes");
			break;
		case 2:
			if (config->port.queue_bytes < config->port.max_line_bytes)
				return err_set(err, -EINVAL, "port.queue_bytes has to be at least port.max_line_bytes");
			break;
		case 3:
			if (strlen(config->socket.path) > longest)
				return err_set(err, -EINVAL,
					       "socket.path: longer than %zu bytes, which is all a socket's address "
					       "holds",
					       longest);
			break;
		case 4:
			for (char *const *pattern = config->commands.deny_units; pattern && *pattern; pattern++)
				if (strspn(*pattern, good) != strlen(*pattern))
					return err_set(err, -EINVAL,
						       "commands.deny_units: \"%.100s\" can be no unit's name: "
						       "letters, digits, \":_.@\\-\" and the patterns *, ? and "
						       "[...]",
						       *pattern);
			break;
		case 5:
			if (!spec_has_shape(config->qga.spec) || !strcmp(config->qga.spec, "stdio"))
				return err_set(err, -EINVAL,
					       "qga.spec: \"%.100s\" is none of virtio:NAME, an absolute path, "
					       "unix:PATH, listen:PATH, none",
					       config->qga.spec);
			break;
		case 7:
			for (unsigned i = 0; i < config->alerts.count; i++)
				if (config_alert_check(&config->alerts.list[i], err))
					return -EINVAL;
			break;
		case 6:
			if (strcmp(config->qga.spec, "none") && !strcmp(config->qga.spec, config->port.spec))
				return err_set(err, -EINVAL, "qga.spec is port.spec: a port speaks one language");
			break;
		default:
			return 0;
		}
}

int config_check(const struct config *config, config_warn_fn warn, void *data, struct err *err)
{
	unsigned at = 0;
	int rc = config_check_each(config, &at, err);

	if (rc)
		return rc;
	if (warn && config->timers.collect_timeout_ms > config->timers.metrics_interval_ms)
		warn(data, "timers.collect_timeout_ms is longer than timers.metrics_interval_ms: a slow collector may "
			   "miss whole samples");
	return 0;
}

static void print_section(FILE *out, const struct config_key *key)
{
	if (key == config_keys || strcmp(key[-1].section, key->section) != 0)
		fprintf(out, "%s[%s]\n", key == config_keys ? "" : "\n", key->section);
}

void config_print(const struct config *config, const struct config_origins *origins, FILE *out)
{
	char value[CONFIG_VALUE_MAX];

	for (const struct config_key *key = config_keys; key->section; key++) {
		print_section(out, key);
		config_key_format(config, key, value);
		if (origins && origins->of[key - config_keys])
			fprintf(out, "# %s\n", origins->of[key - config_keys]);
		fprintf(out, value[0] ? "%s = %s\n" : "%s =%s\n", key->name, value);
	}
	for (unsigned i = 0; i < config->alerts.count; i++) {
		const struct config_alert *alert = &config->alerts.list[i];

		fprintf(out, "\n[alert \"%s\"]\nfor = %llus\n", alert->name,
			(unsigned long long)(alert->for_ms / 1000));
		if (alert->when[0])
			fprintf(out, "when = %s\n", alert->when);
		if (alert->clear[0])
			fprintf(out, "clear = %s\n", alert->clear);
	}
}

void config_print_example(FILE *out)
{
	fputs("# Configuration of InfiniService. Every key is shown with its default, commented out.\n"
	      "# Files in conf.d/ beside this one are read after it, in the order of their names.\n"
	      "# This file must belong to root and be writable by nobody else.\n\n",
	      out);
	for (const struct config_key *key = config_keys; key->section; key++) {
		char range[256];

		print_section(out, key);
		fputs("# ", out);
		for (const char *help = key->help; *help; help++)
			fputs(*help == '|' ? "\n# " : (char[]){ *help, '\0' }, out);
		fputc('\n', out);
		config_key_range(key, range, sizeof(range));
		fprintf(out, "# Allowed: %s.\n", range);
		fprintf(out, key->fallback[0] ? "#%s = %s\n" : "#%s =%s\n", key->name, key->fallback);
	}
}
