/* SPDX-License-Identifier: MIT */
/*
 * The effect of the kernel's rules on a stranger's new connection; see security.h. The path of such a packet through
 * the chains is followed: rules that cannot match it (established connections, the loopback device, listed senders,
 * limited rates, malformed packets) are skipped, and an accept without a condition ends the path. What is then refused
 * anywhere is a refusal; where a rule is none that nft can tell, there may be one.
 */
#include "agent/actions/security.h"

#include <stdint.h>
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

/* A chain, or a map: what has a name in a table. Or a dormant table, with an empty name. */
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
	unsigned depth; /* chains that are being walked: the hook's, and those jumped to from there */
};

/* The condition under which a rule's verdict is reached. */
enum condition {
	COND_NONE,
	COND_SOME,
	COND_OPAQUE, /* a match of iptables: nft does not say of what */
	COND_BLIND,  /* the same, and it may hold for all there is */
	COND_NEVER,  /* holds for no new connection of a stranger */
};

static struct json_object *member_of(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value = NULL;

	return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, key, &value) &&
			       json_object_is_type(value, type)
		       ? value
		       : NULL;
}

static struct json_object *object_of(struct json_object *object, const char *key)
{
	return member_of(object, key, json_type_object);
}

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value = member_of(object, key, json_type_string);

	return value ? json_object_get_string(value) : "";
}

static bool is(struct json_object *object, const char *key, const char *word)
{
	return strcmp(text_of(object, key), word) == 0;
}

static bool has(struct json_object *object, const char *key)
{
	return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, key, NULL);
}

static size_t length_of(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

/* `word`, or a list or a set with it. */
static bool holds(struct json_object *right, const char *word)
{
	struct json_object *members = has(right, "set") ? json_object_object_get(right, "set") : right;

	if (json_object_is_type(right, json_type_string))
		return strcasecmp(json_object_get_string(right), word) == 0;
	for (size_t i = 0; i < length_of(members); i++) {
		const char *member = json_object_get_string(json_object_array_get_idx(members, i));

		if (member && strcasecmp(member, word) == 0)
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------------------------------ the names of it */

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

static void ruleset_free(struct ruleset *set)
{
	free(set->chains.rows);
	free(set->maps.rows);
	free(set->dormant.rows);
	free(set->rules);
}

/* False when out of memory. */
static bool ruleset_read(struct ruleset *set, struct json_object *list)
{
	static const char *const kinds[] = { "chain", "map", "table" };
	struct named_list *const lists[] = { &set->chains, &set->maps, &set->dormant };
	size_t count = json_object_array_length(list);

	set->rules = calloc(count + 1, sizeof(*set->rules));
	if (!set->rules)
		return false;
	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		bool table = lists[kind] == &set->dormant;

		lists[kind]->rows = calloc(count + 1, sizeof(*lists[kind]->rows));
		if (!lists[kind]->rows)
			return false;
		for (size_t i = 0; i < count; i++) {
			struct json_object *self = object_of(json_object_array_get_idx(list, i), kinds[kind]);
			struct json_object *flags = table && self ? json_object_object_get(self, "flags") : NULL;

			/* nft 1.0.6 says "d". */
			if (self && (!table || holds(flags, "dormant") || holds(flags, "d")))
				lists[kind]->rows[lists[kind]->count++] =
					(struct named){ .family = text_of(self, "family"),
							.table = text_of(self, table ? "name" : "table"),
							.name = table ? "" : text_of(self, "name"),
							.self = self };
		}
		qsort(lists[kind]->rows, lists[kind]->count, sizeof(*lists[kind]->rows), compare_named);
	}
	for (size_t i = 0; i < count; i++) {
		struct json_object *self = object_of(json_object_array_get_idx(list, i), "rule");
		struct named *chain =
			find(&set->chains, text_of(self, "family"), text_of(self, "table"), text_of(self, "chain"));
		struct rule *rule = &set->rules[i];

		rule->statements = member_of(self, "expr", json_type_array);
		if (!chain || !rule->statements)
			continue;
		*(chain->last ? &chain->last->next : &chain->first) = rule;
		chain->last = rule;
	}
	return true;
}

/* ----------------------------------------------------------------------------------------------------- conditions */

static bool left_is(struct json_object *left, const char *kind, const char *key, const char *word)
{
	struct json_object *part = object_of(left, kind);

	return part && is(part, key, word);
}

static enum condition condition_of_match(struct json_object *match)
{
	struct json_object *left = object_of(match, "left"), *right = NULL, *masked;
	bool negated = is(match, "op", "!=");

	if (!left || !json_object_object_get_ex(match, "right", &right))
		return COND_OPAQUE;
	if (left_is(left, "ct", "key", "state"))
		return holds(right, "new") == negated ? COND_NEVER : COND_NONE;
	if ((left_is(left, "meta", "key", "iifname") || left_is(left, "meta", "key", "iif")) &&
	    json_object_is_type(right, json_type_string) && holds(right, "lo"))
		return negated ? COND_NONE : COND_NEVER;
	if (left_is(left, "payload", "field", "saddr") && !negated)
		return COND_NEVER;
	/* These hold for no well-formed packet with a valid source address to this guest alone. */
	if (has(left, "fib") || left_is(left, "meta", "key", "pkttype"))
		return COND_NEVER;
	masked = member_of(left, "&", json_type_array);
	return left_is(masked ? json_object_array_get_idx(masked, 0) : left, "payload", "field", "flags") &&
			       (negated || !holds(right, "syn"))
		       ? COND_NEVER
		       : COND_SOME;
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
	part = object_of(statement, "xt");
	if (!part || !is(part, "type", "match") || is(part, "name", "comment"))
		return COND_NONE;
	/* Every packet here is for a local address, and most matches of addrtype ask for that. */
	return is(part, "name", "addrtype") ? COND_BLIND : COND_OPAQUE;
}

/* The condition of a key in a verdict map: a state, a sender, or another key. */
static enum condition condition_of_key(struct json_object *left, struct json_object *key, enum condition condition)
{
	if (left_is(left, "ct", "key", "state"))
		return holds(key, "new") ? condition : COND_NEVER;
	if (left_is(left, "payload", "field", "saddr"))
		return COND_OPAQUE;
	if (json_object_is_type(key, json_type_string) && strcmp(json_object_get_string(key), "lo") == 0)
		return COND_NEVER;
	return condition == COND_NONE ? COND_SOME : condition;
}

/* ------------------------------------------------------------------------------------------------------- verdicts */

static void walk(struct ruleset *set, struct named *chain);

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

/* True if nothing gets past the verdict. A jump comes back, a goto ends with the chain it goes to. */
static bool apply(struct ruleset *set, struct named *chain, struct json_object *verdict, enum condition condition)
{
	struct json_object *jump = object_of(verdict, "jump"), *target = jump ? jump : object_of(verdict, "goto");
	struct named *next;

	if (has(verdict, "drop") || has(verdict, "reject"))
		refuse(chain, REFUSES, condition);
	else if (has(verdict, "queue") || has(verdict, "synproxy"))
		refuse(chain, MAY_REFUSE, condition);
	else if (has(verdict, "return"))
		chain->falls = true;
	else if (!target && !has(verdict, "accept"))
		return false;
	if (!target)
		return takes_all(chain, condition);
	next = find(&set->chains, chain->family, chain->table, text_of(target, "target"));
	if (next && next->state == FRESH && set->depth <= DEPTH_MAX)
		walk(set, next);
	if (!next || next->state != DONE) {
		refuse(chain, MAY_REFUSE, condition);
		chain->falls = true;
		return false;
	}
	refuse(chain, next->refuses, condition);
	if (jump)
		return !next->falls && takes_all(chain, condition);
	chain->falls = chain->falls || next->falls;
	return takes_all(chain, condition);
}

/* A target of iptables that nft does not know. True if nothing gets past it. */
static bool apply_xt(struct named *chain, struct json_object *xt, enum condition condition)
{
	static const char *const passing[] = { "LOG",	  "NFLOG",	 "MARK",     "CONNMARK", "CT",	 "NOTRACK",
					       "TCPMSS",  "TRACE",	 "AUDIT",    "SET",	 "DSCP", "TOS",
					       "SECMARK", "CONNSECMARK", "CLASSIFY", "RATEEST" };

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		if (is(xt, "name", passing[i]))
			return false;
	refuse(chain, is(xt, "name", "REJECT") ? REFUSES : MAY_REFUSE, condition);
	return takes_all(chain, condition);
}

/* {"key": …, "data": {"set": [[key, verdict], …]}}, or "data": "@name". True if nothing gets past it. */
static bool apply_map(struct ruleset *set, struct named *chain, struct json_object *map, enum condition condition)
{
	struct json_object *left = object_of(map, "key"), *name = member_of(map, "data", json_type_string), *elements;
	bool ends = false;

	if (name) {
		const char *text = json_object_get_string(name);
		struct named *named = find(&set->maps, chain->family, chain->table, text + (*text == '@'));

		if (!named) {
			refuse(chain, MAY_REFUSE, condition);
			return false;
		}
		elements = json_object_object_get(named->self, "elem");
	} else {
		elements = member_of(object_of(map, "data"), "set", json_type_array);
	}
	for (size_t i = 0; i < length_of(elements); i++) {
		struct json_object *pair = json_object_array_get_idx(elements, i);
		enum condition of_key;

		if (length_of(pair) != 2)
			continue;
		of_key = condition_of_key(left, json_object_array_get_idx(pair, 0), condition);
		if (of_key != COND_NEVER && apply(set, chain, json_object_array_get_idx(pair, 1), of_key))
			ends = true;
	}
	return ends;
}

/* True if nothing gets past the rule. It is a text where an old nft only knows what iptables would call it. */
static bool walk_rule(struct ruleset *set, struct named *chain, const struct rule *rule)
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
		if ((part = object_of(statement, "vmap")) ? apply_map(set, chain, part, condition)
		    : (part = object_of(statement, "xt")) && is(part, "type", "target")
			    ? apply_xt(chain, part, condition)
			    : apply(set, chain, statement, condition))
			return true;
	}
	return false;
}

static void walk(struct ruleset *set, struct named *chain)
{
	const struct rule *rule = chain->first;

	chain->state = OPEN;
	set->depth++;
	while (rule && !walk_rule(set, chain, rule))
		rule = rule->next;
	set->depth--;
	chain->falls = chain->falls || !rule;
	chain->state = DONE;
}

/*
 * Judges a chain with a hook for incoming packets; its policy applies to packets that come to its end. The families arp
 * and bridge are not of IP.
 */
static void judge_hook(struct ruleset *set, struct named *chain, struct security_facts *facts)
{
	bool both = strcmp(chain->family, "inet") == 0;

	if (!is(chain->self, "hook", "input") || !is(chain->self, "type", "filter") ||
	    find(&set->dormant, chain->family, chain->table, ""))
		return;
	if (chain->state == FRESH)
		walk(set, chain);
	if (chain->falls && is(chain->self, "policy", "drop"))
		refuse(chain, REFUSES, COND_NONE);
	if ((both || strcmp(chain->family, "ip") == 0) && chain->refuses > facts->kernel_ip)
		facts->kernel_ip = chain->refuses;
	if ((both || strcmp(chain->family, "ip6") == 0) && chain->refuses > facts->kernel_ip6)
		facts->kernel_ip6 = chain->refuses;
}

void security_take_nft(struct security_facts *facts, const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(64);
	struct json_object *root = tokener && len < INT32_MAX ? json_tokener_parse_ex(tokener, text, (int)len) : NULL,
			   *list = member_of(root, "nftables", json_type_array);
	_cleanup_(ruleset_free) struct ruleset set = { .depth = 0 };

	if (list && ruleset_read(&set, list)) {
		facts->nft_asked = true;
		facts->kernel_ip = facts->kernel_ip6 = REFUSES_NOTHING;
		*facts->nft_unread = '\0';
		for (size_t i = 0; i < set.chains.count; i++)
			judge_hook(&set, &set.chains.rows[i], facts);
	} else {
		security_unread(facts->nft_unread, "the answer of nft");
	}
	json_object_put(root);
	if (tokener)
		json_tokener_free(tokener);
}
