/* SPDX-License-Identifier: MIT */
/* What the programs themselves say of what they have read; see security.h. */
#include "agent/security.h"

#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

/* A line for each setting, in lower case, as it is after all files. Match blocks are not in it: what the files said of
 * them stays. */
void security_take_sshd(struct security_facts *facts, const char *text, size_t len)
{
	struct sshd_settings settings = { .match_blocks = facts->sshd.match_blocks,
					  .match_passwords = facts->sshd.match_passwords };
	bool whole = facts->sshd_readable && !*facts->sshd_unread.what;

	sshd_settings_parse(&settings, text, len, NULL, NULL);
	if (!*settings.permit_root_login || !*settings.password_authentication)
		return;
	facts->sshd = settings;
	facts->sshd_asked = true;
	facts->sshd_readable = true;
	if (whole)
		return;
	/* Outside of Match blocks all is known now; what stands in them is not. */
	if (!*facts->sshd_unread.what)
		security_unread(&facts->sshd_unread, "/etc/ssh/sshd_config");
}

void security_take_apt(struct security_facts *facts, const char *text, size_t len)
{
	facts->apt_asked = true;
	if (facts->apt_braces)
		facts->apt_unread = (struct security_unread){ .what = "" };
	facts->upgrades_on = facts->lists_on = false;
	apt_setting_parse(text, len, "Unattended-Upgrade", &facts->upgrades_on);
	apt_setting_parse(text, len, "Update-Package-Lists", &facts->lists_on);
}

void security_take_apt_whole(struct security_facts *facts, const char *text, size_t len)
{
	facts->apt_unread = (struct security_unread){ .what = "" };
	security_take_apt(facts, text, len);
}

static bool is(struct json_object *object, const char *key, const char *text)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_string) &&
	       strcasecmp(json_object_get_string(value), text) == 0;
}

static bool same(struct json_object *a, struct json_object *b, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(b, key, &value) && json_object_is_type(value, json_type_string) &&
	       is(a, key, json_object_get_string(value));
}

/* One of its statements is to refuse. */
static bool refuses(struct json_object *rule)
{
	struct json_object *statements = NULL, *ignored;

	if (!json_object_object_get_ex(rule, "expr", &statements) || !json_object_is_type(statements, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(statements); i++) {
		struct json_object *statement = json_object_array_get_idx(statements, i);

		if (json_object_is_type(statement, json_type_object) &&
		    (json_object_object_get_ex(statement, "drop", &ignored) ||
		     json_object_object_get_ex(statement, "reject", &ignored)))
			return true;
	}
	return false;
}

static struct json_object *part(struct json_object *list, size_t index, const char *kind)
{
	struct json_object *item = json_object_array_get_idx(list, index), *found = NULL;

	return json_object_is_type(item, json_type_object) && json_object_object_get_ex(item, kind, &found) &&
			       json_object_is_type(found, json_type_object)
		       ? found
		       : NULL;
}

#define CHAINS_MAX 64

/* The chains of a table that what comes in can reach. */
struct reach {
	const char *names[CHAINS_MAX];
	size_t count;
};

static void reach_add(struct reach *reach, struct json_object *name)
{
	if (!json_object_is_type(name, json_type_string) || reach->count == CHAINS_MAX)
		return;
	for (size_t i = 0; i < reach->count; i++)
		if (strcmp(reach->names[i], json_object_get_string(name)) == 0)
			return;
	reach->names[reach->count++] = json_object_get_string(name);
}

static void reach_follow(struct reach *reach, struct json_object *rule)
{
	struct json_object *statements = NULL, *verdict, *target;

	if (!json_object_object_get_ex(rule, "expr", &statements) || !json_object_is_type(statements, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(statements); i++) {
		struct json_object *statement = json_object_array_get_idx(statements, i);

		if (json_object_is_type(statement, json_type_object) &&
		    (json_object_object_get_ex(statement, "jump", &verdict) || json_object_object_get_ex(statement, "goto", &verdict)) &&
		    json_object_is_type(verdict, json_type_object) && json_object_object_get_ex(verdict, "target", &target))
			reach_add(reach, target);
	}
}

/* What comes in passes this chain; a rule refuses, in the chain itself or in one that it jumps to. */
static bool chain_refuses(struct json_object *list, struct json_object *chain)
{
	struct reach reach = { .count = 0 };
	struct json_object *name = NULL;

	if (!is(chain, "hook", "input") || !is(chain, "type", "filter"))
		return false;
	if (is(chain, "policy", "drop"))
		return true;
	if (json_object_object_get_ex(chain, "name", &name))
		reach_add(&reach, name);
	for (size_t at = 0; at < reach.count; at++) {
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *rule = part(list, i, "rule");

			if (!rule || !same(rule, chain, "family") || !same(rule, chain, "table") || !is(rule, "chain", reach.names[at]))
				continue;
			if (refuses(rule))
				return true;
			reach_follow(&reach, rule);
		}
	}
	return false;
}

bool security_take_nft(struct security_facts *facts, const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(64);
	struct json_object *root = tokener && len < INT32_MAX ? json_tokener_parse_ex(tokener, text, (int)len) : NULL,
			   *list = NULL;
	bool known = root && json_object_is_type(root, json_type_object) &&
		     json_object_object_get_ex(root, "nftables", &list) && json_object_is_type(list, json_type_array);

	for (size_t i = 0; known && i < json_object_array_length(list) && !facts->nft_kernel_filters; i++) {
		struct json_object *chain = part(list, i, "chain");

		facts->nft_kernel_filters = chain && chain_refuses(list, chain);
	}
	facts->nft_asked = facts->nft_asked || known;
	if (known)
		facts->nft_unread = (struct security_unread){ .what = "" };
	json_object_put(root);
	if (tokener)
		json_tokener_free(tokener);
	return known;
}
