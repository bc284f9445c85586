/* SPDX-License-Identifier: MIT */
/*
 * The effect of the kernel's rules on a stranger's new connection; see security.h. The path of such a packet through
 * the chains is followed: rules that cannot match it (established connections, the loopback device, listed senders,
 * limited rates, malformed packets) are skipped, and an accept without a condition ends the path. What is then refused
 * anywhere is a refusal; where a rule is none that nft can tell, there may be one.
 */
#include "agent/actions/security.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

/* The kernel itself follows 16 jumps, NFT_JUMP_STACK_SIZE. */
#define DEPTH_MAX 32

/* A rule of a chain, in its order. */
struct rule {
	struct json_object *statements;
	struct rule *next;
};

/* A chain, or a map: what has a name in a table. */
struct named {
	const char *family, *table, *name;
	struct json_object *self;
	struct rule *first, *last;
	enum { FRESH, OPEN, DONE } state;
	enum security_refusal refuses;
	bool falls; /* a packet can come to the end of it */
	bool doubt; /* none may: something before it may have taken all */
};

struct named_list {
	struct named *rows; /* sorted, when complete */
	size_t count;
};

struct ruleset {
	struct named_list chains, maps, dormant;
	struct rule *rules;
	size_t rule_count;
};

/* The condition under which a rule's verdict is reached. */
enum condition {
	COND_NONE,
	COND_SOME,
	COND_OPAQUE, /* a match of iptables: nft does not say of what */
	COND_BLIND,  /* the same, and it may hold for all there is */
	COND_NEVER,  /* holds for no new connection of a stranger */
};

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : "";
}

static struct json_object *object_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, key, &value) &&
			       json_object_is_type(value, json_type_object)
		       ? value
		       : NULL;
}

static bool has(struct json_object *object, const char *key)
{
	return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, key, NULL);
}

/*
 * ---------------------------------------------------------------------------------------------------- the names of it
 */

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int r = strcmp(x->family, y->family);

	r = r ? r : strcmp(x->table, y->table);
	return r ? r : strcmp(x->name, y->name);
}

static struct named *find(const struct named_list *list, const char *family, const char *table, const char *name)
{
	const struct named key = { .family = family, .table = table, .name = name };

	return list->count ? bsearch(&key, list->rows, list->count, sizeof(key), compare_named) : NULL;
}

static void note(struct named_list *list, struct json_object *self, const char *table_key)
{
	list->rows[list->count++] =
		(struct named){ .family = text_of(self, "family"),
				.table = text_of(self, table_key),
				.name = strcmp(table_key, "table") == 0 ? text_of(self, "name") : "",
				.self = self };
}

/* nft 1.0.6 says "d". */
static bool names_dormant(const char *flag)
{
	return flag && *flag && strncmp("dormant", flag, strlen(flag)) == 0;
}

/* "flags": "dormant", or a list of flags. */
static bool is_dormant(struct json_object *table)
{
	struct json_object *flags = NULL;

	if (names_dormant(text_of(table, "flags")))
		return true;
	if (!json_object_object_get_ex(table, "flags", &flags) || !json_object_is_type(flags, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(flags); i++)
		if (names_dormant(json_object_get_string(json_object_array_get_idx(flags, i))))
			return true;
	return false;
}

static void add_rule(struct ruleset *set, struct json_object *self)
{
	struct named *chain =
		find(&set->chains, text_of(self, "family"), text_of(self, "table"), text_of(self, "chain"));
	struct json_object *statements = NULL;
	struct rule *rule;

	if (!chain || !json_object_object_get_ex(self, "expr", &statements) ||
	    !json_object_is_type(statements, json_type_array))
		return;
	rule = &set->rules[set->rule_count++];
	*rule = (struct rule){ .statements = statements };
	if (chain->last)
		chain->last->next = rule;
	else
		chain->first = rule;
	chain->last = rule;
}

static void ruleset_free(struct ruleset *set)
{
	free(set->chains.rows);
	free(set->maps.rows);
	free(set->dormant.rows);
	free(set->rules);
}

static bool ruleset_read(struct ruleset *set, struct json_object *list)
{
	size_t count = json_object_array_length(list);
	struct named_list *lists[] = { &set->chains, &set->maps, &set->dormant };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		lists[i]->rows = calloc(count + 1, sizeof(*lists[i]->rows));
	set->rules = calloc(count + 1, sizeof(*set->rules));
	if (!set->chains.rows || !set->maps.rows || !set->dormant.rows || !set->rules)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i), *self;

		if ((self = object_of(item, "chain")))
			note(&set->chains, self, "table");
		else if ((self = object_of(item, "map")))
			note(&set->maps, self, "table");
		else if ((self = object_of(item, "table")) && is_dormant(self))
			note(&set->dormant, self, "name");
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		qsort(lists[i]->rows, lists[i]->count, sizeof(*lists[i]->rows), compare_named);
	for (size_t i = 0; i < count; i++) {
		struct json_object *self = object_of(json_object_array_get_idx(list, i), "rule");

		if (self)
			add_rule(set, self);
	}
	return true;
}

/*
 * --------------------------------------------------------------------------------------------------------- conditions
 */

/* `word`, or a list or a set with it. */
static bool holds(struct json_object *right, const char *word)
{
	struct json_object *members = right;

	if (json_object_is_type(right, json_type_string))
		return strcasecmp(json_object_get_string(right), word) == 0;
	if (json_object_is_type(right, json_type_object) && !json_object_object_get_ex(right, "set", &members))
		return false;
	for (size_t i = 0; json_object_is_type(members, json_type_array) && i < json_object_array_length(members);
	     i++) {
		const char *member = json_object_get_string(json_object_array_get_idx(members, i));

		if (member && strcasecmp(member, word) == 0)
			return true;
	}
	return false;
}

static bool left_is(struct json_object *left, const char *kind, const char *key, const char *word)
{
	struct json_object *part = object_of(left, kind);

	return part && strcmp(text_of(part, key), word) == 0;
}

static bool is_state(struct json_object *left)
{
	return left_is(left, "ct", "key", "state");
}

static bool is_sender(struct json_object *left)
{
	return left_is(left, "payload", "field", "saddr");
}

/* True for a match that holds for no well-formed packet with a valid source address to this guest alone. */
static bool is_about_oddities(struct json_object *left, bool not, struct json_object *right)
{
	struct json_object *masked = NULL;

	if (has(left, "fib") || left_is(left, "meta", "key", "pkttype"))
		return true;
	if (has(left, "&") && json_object_object_get_ex(left, "&", &masked) &&
	    json_object_is_type(masked, json_type_array))
		left = json_object_array_get_idx(masked, 0);
	return left_is(left, "payload", "field", "flags") && (not || !holds(right, "syn"));
}

static enum condition condition_of_match(struct json_object *match)
{
	struct json_object *left = object_of(match, "left"), *right = NULL;
	bool not = strcmp(text_of(match, "op"), "!=") == 0;

	if (!left || !json_object_object_get_ex(match, "right", &right))
		return COND_OPAQUE;
	if (is_state(left))
		return holds(right, "new") == not ? COND_NEVER : COND_NONE;
	if ((left_is(left, "meta", "key", "iifname") || left_is(left, "meta", "key", "iif")) &&
	    json_object_is_type(right, json_type_string) && holds(right, "lo"))
		return not ? COND_NONE : COND_NEVER;
	if ((is_sender(left) && !not ) || is_about_oddities(left, not, right))
		return COND_NEVER;
	return COND_SOME;
}

static enum condition condition_of_xt(struct json_object *statement)
{
	struct json_object *xt = object_of(statement, "xt");

	if (!xt || strcmp(text_of(xt, "type"), "match") != 0)
		return COND_NONE;
	if (strcmp(text_of(xt, "name"), "comment") == 0)
		return COND_NONE;
	/* Every packet here is for a local address, and most matches of addrtype ask for that. */
	return strcmp(text_of(xt, "name"), "addrtype") == 0 ? COND_BLIND : COND_OPAQUE;
}

/* The condition of a statement for the statements behind it. */
static enum condition condition_of(struct json_object *statement)
{
	struct json_object *part;

	if ((part = object_of(statement, "match")))
		return condition_of_match(part);
	if ((part = object_of(statement, "limit"))) {
		struct json_object *over = NULL;

		return json_object_object_get_ex(part, "inv", &over) && json_object_get_boolean(over) ? COND_NEVER
												      : COND_SOME;
	}
	if (has(statement, "quota") || has(statement, "ct count") || has(statement, "set") || has(statement, "meter"))
		return COND_SOME;
	return condition_of_xt(statement);
}

/*
 * ---------------------------------------------------------------------------------------------------------------
 * verdicts
 */

static void walk(struct ruleset *set, struct named *chain, unsigned depth);

static void refuse(struct named *chain, enum security_refusal refusal, enum condition condition)
{
	if (refusal == REFUSES && (condition >= COND_OPAQUE || chain->doubt))
		refusal = MAY_REFUSE;
	if (refusal > chain->refuses)
		chain->refuses = refusal;
}

/* True if the verdict applies to all packets, so that later rules are not reached. */
static bool takes_all(struct named *chain, enum condition condition)
{
	chain->doubt = chain->doubt || condition == COND_BLIND;
	return condition == COND_NONE;
}

/* A jump comes back, a goto ends with the chain it goes to. True if nothing gets past it. */
static bool follow(struct ruleset *set, struct named *chain, struct json_object *target, bool comes_back,
		   enum condition condition, unsigned depth)
{
	struct named *next = find(&set->chains, chain->family, chain->table, text_of(target, "target"));

	if (next && next->state == FRESH && depth < DEPTH_MAX)
		walk(set, next, depth + 1);
	if (!next || next->state != DONE) {
		refuse(chain, MAY_REFUSE, condition);
		chain->falls = true;
		return false;
	}
	refuse(chain, next->refuses, condition);
	if (comes_back)
		return !next->falls && takes_all(chain, condition);
	chain->falls = chain->falls || next->falls;
	return takes_all(chain, condition);
}

/* True if nothing gets past it. */
static bool apply(struct ruleset *set, struct named *chain, struct json_object *verdict, enum condition condition,
		  unsigned depth)
{
	struct json_object *target;

	if (has(verdict, "drop") || has(verdict, "reject"))
		refuse(chain, REFUSES, condition);
	else if (has(verdict, "queue") || has(verdict, "synproxy"))
		refuse(chain, MAY_REFUSE, condition);
	else if (has(verdict, "return"))
		chain->falls = true;
	else if ((target = object_of(verdict, "jump")))
		return follow(set, chain, target, true, condition, depth);
	else if ((target = object_of(verdict, "goto")))
		return follow(set, chain, target, false, condition, depth);
	else if (!has(verdict, "accept"))
		return false;
	return takes_all(chain, condition);
}

/* A target of iptables that nft does not know. */
static bool apply_xt(struct named *chain, struct json_object *xt, enum condition condition)
{
	static const char *const passing[] = { "LOG",	  "NFLOG",	 "MARK",     "CONNMARK", "CT",	 "NOTRACK",
					       "TCPMSS",  "TRACE",	 "AUDIT",    "SET",	 "DSCP", "TOS",
					       "SECMARK", "CONNSECMARK", "CLASSIFY", "RATEEST" };

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		if (strcmp(text_of(xt, "name"), passing[i]) == 0)
			return false;
	refuse(chain, strcmp(text_of(xt, "name"), "REJECT") == 0 ? REFUSES : MAY_REFUSE, condition);
	return takes_all(chain, condition);
}

/* The condition of a key in a verdict map: a state, a sender, or another key. */
static enum condition condition_of_key(struct json_object *left, struct json_object *key, enum condition condition)
{
	if (is_state(left))
		return holds(key, "new") ? condition : COND_NEVER;
	if (is_sender(left))
		return COND_OPAQUE;
	if (json_object_is_type(key, json_type_string) && strcmp(json_object_get_string(key), "lo") == 0)
		return COND_NEVER;
	return condition == COND_NONE ? COND_SOME : condition;
}

/* {"key": …, "data": {"set": [[key, verdict], …]}}, or "data": "@name". */
static bool apply_map(struct ruleset *set, struct named *chain, struct json_object *map, enum condition condition,
		      unsigned depth)
{
	struct json_object *left = object_of(map, "key"), *data = NULL, *elements = NULL;
	bool ends = false;

	if (json_object_object_get_ex(map, "data", &data) && json_object_is_type(data, json_type_string)) {
		struct named *named = find(&set->maps, chain->family, chain->table, json_object_get_string(data) + 1);

		if (!named) {
			refuse(chain, MAY_REFUSE, condition);
			return false;
		}
		json_object_object_get_ex(named->self, "elem", &elements);
	} else if (json_object_is_type(data, json_type_object)) {
		json_object_object_get_ex(data, "set", &elements);
	}
	for (size_t i = 0; json_object_is_type(elements, json_type_array) && i < json_object_array_length(elements);
	     i++) {
		struct json_object *pair = json_object_array_get_idx(elements, i), *key;
		enum condition of_key;

		if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2)
			continue;
		key = json_object_array_get_idx(pair, 0);
		of_key = condition_of_key(left, key, condition);
		if (of_key != COND_NEVER && apply(set, chain, json_object_array_get_idx(pair, 1), of_key, depth))
			ends = true;
	}
	return ends;
}

/* A rule is a text where an old nft only knows what iptables would call it. True if nothing gets past it. */
static bool walk_rule(struct ruleset *set, struct named *chain, const struct rule *rule, unsigned depth)
{
	enum condition condition = COND_NONE;

	for (size_t i = 0; i < json_object_array_length(rule->statements); i++) {
		struct json_object *statement = json_object_array_get_idx(rule->statements, i), *part;
		enum condition next;

		if (!json_object_is_type(statement, json_type_object) ||
		    (has(statement, "xt") && !object_of(statement, "xt"))) {
			condition = COND_BLIND;
			refuse(chain, MAY_REFUSE, condition);
			continue;
		}
		next = condition_of(statement);
		if (next == COND_NEVER)
			return false;
		condition = next > condition ? next : condition;
		if ((part = object_of(statement, "vmap")) ? apply_map(set, chain, part, condition, depth)
		    : (part = object_of(statement, "xt")) && strcmp(text_of(part, "type"), "target") == 0
			    ? apply_xt(chain, part, condition)
			    : apply(set, chain, statement, condition, depth))
			return true;
	}
	return false;
}

static void walk(struct ruleset *set, struct named *chain, unsigned depth)
{
	const struct rule *rule = chain->first;

	chain->state = OPEN;
	while (rule && !walk_rule(set, chain, rule, depth))
		rule = rule->next;
	chain->falls = chain->falls || !rule;
	chain->state = DONE;
}

/*
 * Judges a chain with a hook for incoming packets; its policy applies to packets that come to its end. The families arp
 * and bridge are not of IP.
 */
static void judge_hook(struct ruleset *set, struct named *chain, struct security_facts *facts)
{
	bool ip = strcmp(chain->family, "ip") == 0, ip6 = strcmp(chain->family, "ip6") == 0,
	     both = strcmp(chain->family, "inet") == 0;

	if (strcmp(text_of(chain->self, "hook"), "input") != 0 || strcmp(text_of(chain->self, "type"), "filter") != 0 ||
	    find(&set->dormant, chain->family, chain->table, ""))
		return;
	if (chain->state == FRESH)
		walk(set, chain, 0);
	if (chain->falls && strcmp(text_of(chain->self, "policy"), "drop") == 0)
		refuse(chain, REFUSES, COND_NONE);
	if ((ip || both) && chain->refuses > facts->kernel_ip)
		facts->kernel_ip = chain->refuses;
	if ((ip6 || both) && chain->refuses > facts->kernel_ip6)
		facts->kernel_ip6 = chain->refuses;
}

bool security_take_nft(struct security_facts *facts, const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(64);
	struct json_object *root = tokener && len < INT32_MAX ? json_tokener_parse_ex(tokener, text, (int)len) : NULL,
			   *list = NULL;
	_cleanup_(ruleset_free) struct ruleset set = { .rule_count = 0 };
	bool known = root && json_object_is_type(root, json_type_object) &&
		     json_object_object_get_ex(root, "nftables", &list) && json_object_is_type(list, json_type_array) &&
		     ruleset_read(&set, list);

	if (known) {
		facts->nft_asked = true;
		facts->kernel_ip = facts->kernel_ip6 = REFUSES_NOTHING;
		facts->nft_unread = (struct security_unread){ .what = "" };
		for (size_t i = 0; i < set.chains.count; i++)
			judge_hook(&set, &set.chains.rows[i], facts);
	} else {
		security_unread(&facts->nft_unread, "the answer of nft");
	}
	json_object_put(root);
	if (tokener)
		json_tokener_free(tokener);
	return known;
}
