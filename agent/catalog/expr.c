/* SPDX-License-Identifier: MIT */
/*
 * By recursive descent into a list in postfix order, which is evaluated with a stack of truths. Pure over bytes, no
 * allocation; text, nodes, metrics and depth are bounded.
 */
#include "agent/catalog/expr.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>

#include "agent/catalog/catalog.h"

/* What numbers are of: only the like are compared. */
enum base { BASE_PLAIN, BASE_PERCENT, BASE_BYTES, BASE_BYTE_RATE, BASE_RATE, BASE_SECONDS, BASE_CELSIUS };

static const char *const base_cures[] = {
	[BASE_PLAIN] = "a plain number",
	[BASE_PERCENT] = "percent: write it alone or with %",
	[BASE_BYTES] = "bytes: write B, K, M, G or T",
	[BASE_BYTE_RATE] = "bytes a second: write B/s, K/s, M/s or G/s",
	[BASE_RATE] = "events a second: write it alone or with /s",
	[BASE_SECONDS] = "a time: write ns, us, ms, s, m, h or d",
	[BASE_CELSIUS] = "degrees: write it alone or with C",
};

struct parser {
	const char *text, *at, *end;
	const char *implied;
	struct expr *expr;
	struct err *err;
	unsigned depth;
};

/* A side and what its number is of. */
struct side {
	struct expr_side value;
	enum base base;
	bool bare;	 /* a number without a unit */
	bool rate_named; /* its unit ends with /s */
	const char *at;
};

__attribute__((format(printf, 3, 4))) static int wrong(struct parser *p, const char *at, const char *format, ...)
{
	char words[400];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return err_set(p->err, -EINVAL, "column %zu: %s", (size_t)(at - p->text) + 1, words);
}

static void skip_blanks(struct parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
		p->at++;
}

static bool is_word(const char *word, const char *at, size_t len)
{
	return strlen(word) == len && strncasecmp(word, at, len) == 0;
}

static size_t letters(const struct parser *p, const char *at)
{
	const char *end = at;

	while (end < p->end && (isalnum((unsigned char)*end) || *end == '_'))
		end++;
	return (size_t)(end - at);
}

/* Takes the word or the sign, if it is next. */
static bool take(struct parser *p, const char *word, const char *sign)
{
	size_t len = strlen(sign), word_len;

	skip_blanks(p);
	if ((size_t)(p->end - p->at) >= len && !strncmp(p->at, sign, len) && !(*sign == '!' && p->at[1] == '=')) {
		p->at += len;
		return true;
	}
	word_len = letters(p, p->at);
	if (!is_word(word, p->at, word_len) || (p->at + word_len < p->end && p->at[word_len] == '.'))
		return false;
	p->at += word_len;
	return true;
}

static int add(struct parser *p, const struct expr_node *node)
{
	if (p->expr->node_count == EXPR_NODES_MAX)
		return wrong(p, p->at, "more than %d comparisons and words between them", EXPR_NODES_MAX);
	p->expr->nodes[p->expr->node_count++] = *node;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------- sides */

static void unit_of(enum catalog_unit unit, enum base *base, double *scale)
{
	static const struct {
		enum base base;
		double scale;
	} units[] = {
		[UNIT_NONE] = { BASE_PLAIN, 1 },
		[UNIT_COUNT] = { BASE_PLAIN, 1 },
		[UNIT_PERCENT] = { BASE_PERCENT, 1 },
		[UNIT_BYTES] = { BASE_BYTES, 1 },
		[UNIT_KIB] = { BASE_BYTES, 1024 },
		[UNIT_GIB] = { BASE_BYTES, 1024.0 * 1024 * 1024 },
		[UNIT_BYTES_PER_SECOND] = { BASE_BYTE_RATE, 1 },
		[UNIT_KIB_PER_SECOND] = { BASE_BYTE_RATE, 1024 },
		[UNIT_PER_SECOND] = { BASE_RATE, 1 },
		[UNIT_SECONDS] = { BASE_SECONDS, 1 },
		[UNIT_MICROSECONDS] = { BASE_SECONDS, 1e-6 },
		[UNIT_NANOSECONDS] = { BASE_SECONDS, 1e-9 },
		[UNIT_CELSIUS] = { BASE_CELSIUS, 1 },
	};

	*base = units[unit].base;
	*scale = units[unit].scale;
}

/* K, KB, KiB and so on; 0 for what is none of them. */
static double binary_prefix(const char *at, size_t len)
{
	static const char prefixes[] = "kmgt";
	const char *found = len ? strchr(prefixes, tolower((unsigned char)*at)) : NULL;

	if (!found || !*found || !(len == 1 || is_word("B", at + 1, len - 1) || is_word("iB", at + 1, len - 1)))
		return 0;
	return ldexp(1, 10 * (int)(found - prefixes + 1));
}

static bool take_named_unit(const char *at, size_t len, struct side *side)
{
	static const struct {
		const char *name;
		enum base base;
		double scale;
	} units[] = {
		{ "ns", BASE_SECONDS, 1e-9 }, { "us", BASE_SECONDS, 1e-6 }, { "ms", BASE_SECONDS, 1e-3 },
		{ "s", BASE_SECONDS, 1 },     { "m", BASE_SECONDS, 60 },    { "min", BASE_SECONDS, 60 },
		{ "h", BASE_SECONDS, 3600 },  { "d", BASE_SECONDS, 86400 }, { "B", BASE_BYTES, 1 },
		{ "C", BASE_CELSIUS, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == len && !strncmp(units[i].name, at, len)) {
			side->base = units[i].base;
			side->value.scale = units[i].scale;
			return true;
		}
	side->base = BASE_BYTES;
	side->value.scale = binary_prefix(at, len);
	return side->value.scale > 0;
}

/* The unit behind a number, if there is one. */
static int take_unit(struct parser *p, struct side *side)
{
	const char *before = p->at;
	size_t len;

	side->bare = true;
	side->value.scale = 1;
	skip_blanks(p);
	if (p->at < p->end && *p->at == '%') {
		p->at++;
		side->bare = false;
		side->base = BASE_PERCENT;
		return 0;
	}
	len = p->at < p->end && isdigit((unsigned char)*p->at) ? 0 : letters(p, p->at);
	if (is_word("and", p->at, len) || is_word("or", p->at, len)) {
		p->at = before;
		return 0;
	}
	if (len && !take_named_unit(p->at, len, side))
		return wrong(p, p->at, "\"%.*s\" is no unit: write %%, B, K, M, G, T, /s, ns, us, ms, s, m, h, d or C",
			     (int)(len < 30 ? len : 30), p->at);
	side->bare = len == 0;
	p->at += len;
	if (p->end - p->at >= 2 && p->at[0] == '/' && p->at[1] == 's') {
		if (len && side->base != BASE_BYTES)
			return wrong(p, p->at, "only bytes and numbers without a unit are counted by /s");
		side->base = len ? BASE_BYTE_RATE : BASE_RATE;
		side->bare = false;
		p->at += 2;
	}
	return 0;
}

static int take_number(struct parser *p, struct side *side)
{
	size_t len = 0;
	char copy[48];
	char *end;

	while (p->at + len < p->end && len + 1 < sizeof(copy) &&
	       (isdigit((unsigned char)p->at[len]) || p->at[len] == '.' ||
		(len == 0 && (p->at[0] == '-' || p->at[0] == '+'))))
		len++;
	/* An exponent, but not the first letter of a word. */
	if (len && p->end - p->at - len >= 2 && (p->at[len] == 'e' || p->at[len] == 'E')) {
		size_t more = 1 + (p->at[len + 1] == '-' || p->at[len + 1] == '+');

		while (p->at + len + more < p->end && len + more + 1 < sizeof(copy) &&
		       isdigit((unsigned char)p->at[len + more]))
			more++;
		if (isdigit((unsigned char)p->at[len + more - 1]))
			len += more;
	}
	snprintf(copy, sizeof(copy), "%.*s", (int)len, p->at);
	side->value.number = strtod(copy, &end);
	if (end == copy || *end || !isfinite(side->value.number))
		return wrong(p, p->at, "\"%s\" is no number: write one such as 90 or 0.5", copy);
	side->value.metric = -1;
	p->at += len;
	return take_unit(p, side);
}

/* A path: letters, digits, _ and dots; what stands in [] is anything but ]. */
static size_t path_len(const struct parser *p)
{
	const char *at = p->at;

	while (at < p->end && (isalnum((unsigned char)*at) || *at == '_' || *at == '.' || *at == '[')) {
		const char *close = *at == '[' ? memchr(at, ']', (size_t)(p->end - at)) : at;

		if (!close)
			break;
		at = close + 1;
	}
	return (size_t)(at - p->at);
}

static int note_metric(struct parser *p, const char *path, const char *at, struct side *side)
{
	char full[EXPR_PATH_MAX];
	const struct catalog_metric *metric = catalog_full_path(path, full, sizeof(full));
	struct expr *expr = p->expr;
	unsigned i = 0;

	if (!metric)
		return wrong(p, at, "there is no metric \"%.100s\": `infinictl metrics` lists those there are", path);
	if (!strcmp(metric->path, full) && strchr(full, '['))
		return wrong(p, at, "\"%.100s\" is a list: write in [] which item is meant", path);
	while (i < expr->metric_count && strcmp(expr->metrics[i], full))
		i++;
	if (i == EXPR_METRICS_MAX)
		return wrong(p, at, "more than %d metrics", EXPR_METRICS_MAX);
	if (i == expr->metric_count)
		memcpy(expr->metrics[expr->metric_count++], full, sizeof(full));
	side->value.metric = (int)i;
	unit_of(metric->unit, &side->base, &side->value.scale);
	return 0;
}

static int take_metric(struct parser *p, struct side *side)
{
	size_t len = path_len(p);
	char path[EXPR_PATH_MAX];

	if (len == 0)
		return wrong(p, p->at,
			     p->at < p->end && *p->at == '[' ? "a [ without ]"
			     : p->at < p->end		     ? "a metric or a number is expected here, not \"%c\""
							     : "a metric or a number is expected here",
			     isprint((unsigned char)(p->at < p->end ? *p->at : '?')) ? *p->at : '?');
	if (len >= sizeof(path) || memchr(p->at, '\0', len))
		return wrong(p, p->at, "a metric is too long");
	memcpy(path, p->at, len);
	path[len] = '\0';
	p->at += len;
	return note_metric(p, path, p->at - len, side);
}

static int take_side(struct parser *p, struct side *side)
{
	*side = (struct side){ .value.scale = 1 };
	skip_blanks(p);
	side->at = p->at;
	if (p->at < p->end && (isdigit((unsigned char)*p->at) || strchr("+-.", *p->at)) && *p->at)
		return take_number(p, side);
	return take_metric(p, side);
}

/* ----------------------------------------------------------------------------------------------------- comparisons */

static bool take_operator(struct parser *p, enum expr_op *ret)
{
	static const struct {
		const char *sign;
		enum expr_op op;
	} signs[] = { { "<=", EXPR_LESS_EQUAL }, { ">=", EXPR_GREATER_EQUAL }, { "==", EXPR_EQUAL },
		      { "!=", EXPR_NOT_EQUAL },	 { "<", EXPR_LESS },	       { ">", EXPR_GREATER },
		      { "=", EXPR_EQUAL } };

	skip_blanks(p);
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		size_t len = strlen(signs[i].sign);

		if ((size_t)(p->end - p->at) < len || strncmp(p->at, signs[i].sign, len))
			continue;
		p->at += len;
		*ret = signs[i].op;
		return true;
	}
	return false;
}

/* A number takes the unit of the metric on the other side. */
static int agree(struct parser *p, struct side *number, const struct side *metric)
{
	if (number->bare) {
		number->value.scale = metric->value.scale;
		return 0;
	}
	/* "> 10M" of what is counted by the second. */
	if (metric->base == BASE_BYTE_RATE && number->base == BASE_BYTES)
		return 0;
	if (number->base != metric->base)
		return wrong(p, number->at, "%s is in %s", p->expr->metrics[metric->value.metric],
			     base_cures[metric->base]);
	return 0;
}

static int compare(struct parser *p, struct side *left, struct side *right, enum expr_op op, const char *at)
{
	struct expr_node node = { .op = op };
	int r = 0;

	if (left->value.metric < 0 && right->value.metric < 0)
		return wrong(p, at, "two numbers are compared: one side has to be a metric");
	if (left->value.metric < 0)
		r = agree(p, left, right);
	else if (right->value.metric < 0)
		r = agree(p, right, left);
	else if (left->base != right->base)
		r = wrong(p, right->at, "%s is in %s", p->expr->metrics[left->value.metric], base_cures[left->base]);
	node.left = left->value;
	node.right = right->value;
	return r ? r : add(p, &node);
}

static int take_comparison(struct parser *p)
{
	struct side left = { .value.scale = 1 }, right;
	const char *at;
	enum expr_op op;
	int r;

	skip_blanks(p);
	at = p->at;
	if (p->implied && take_operator(p, &op)) {
		r = note_metric(p, p->implied, at, &left);
	} else {
		r = take_side(p, &left);
		if (r)
			return r;
		skip_blanks(p);
		at = p->at;
		if (!take_operator(p, &op))
			return wrong(p, at, "a comparison is expected here: write <, <=, >, >=, == or != and a number");
	}
	r = r ? r : take_side(p, &right);
	if (r)
		return r;
	r = compare(p, &left, &right, op, at);
	skip_blanks(p);
	at = p->at;
	if (!r && take_operator(p, &op))
		return wrong(p, at, "three are compared: write `and` and the comparison whole");
	return r;
}

/* ---------------------------------------------------------------------------------------------------------- words */

static int take_or(struct parser *p);

static int take_enclosed(struct parser *p)
{
	const char *open = p->at - 1;
	int r = take_or(p);

	if (r)
		return r;
	if (!take(p, ")", ")"))
		return wrong(p, p->at, "a ) is missing for the ( in column %zu", (size_t)(open - p->text) + 1);
	return 0;
}

static int take_not(struct parser *p)
{
	int r;

	if (p->depth == EXPR_DEPTH_MAX)
		return wrong(p, p->at, "more than %d parentheses or `not` within each other", EXPR_DEPTH_MAX);
	p->depth++;
	if (take(p, "not", "!")) {
		r = take_not(p);
		r = r ? r : add(p, &(struct expr_node){ .op = EXPR_NOT });
	} else if (take(p, "(", "(")) {
		r = take_enclosed(p);
	} else {
		r = take_comparison(p);
	}
	p->depth--;
	return r;
}

static int take_and(struct parser *p)
{
	int r = take_not(p);

	while (!r && take(p, "and", "&&")) {
		r = take_not(p);
		r = r ? r : add(p, &(struct expr_node){ .op = EXPR_AND });
	}
	return r;
}

static int take_or(struct parser *p)
{
	int r = take_and(p);

	while (!r && take(p, "or", "||")) {
		r = take_and(p);
		r = r ? r : add(p, &(struct expr_node){ .op = EXPR_OR });
	}
	return r;
}

int expr_parse(const char *text, size_t len, const char *implied, struct expr *ret, struct err *err)
{
	struct parser p = { .text = text, .at = text, .end = text + len, .implied = implied, .expr = ret, .err = err };
	int r;

	ret->metric_count = ret->node_count = 0;
	if (len > EXPR_TEXT_MAX)
		return wrong(&p, text, "a condition has at most %d bytes", EXPR_TEXT_MAX);
	r = take_or(&p);
	skip_blanks(&p);
	if (!r && p.at < p.end && *p.at == ')')
		return wrong(&p, p.at, "a ) without (");
	if (!r && p.at < p.end)
		return wrong(&p, p.at, "`and` or `or` is expected here");
	return r;
}

/* ----------------------------------------------------------------------------------------------------- evaluation */

static bool side_value(const struct expr_side *side, const struct expr_value *values, double *ret)
{
	*ret = side->scale * (side->metric < 0 ? side->number : values[side->metric].value);
	return side->metric < 0 || values[side->metric].known;
}

static enum expr_truth eval_comparison(const struct expr_node *node, const struct expr_value *values)
{
	double left, right;

	if (!side_value(&node->left, values, &left) || !side_value(&node->right, values, &right) || isnan(left) ||
	    isnan(right))
		return EXPR_UNKNOWN;
	switch (node->op) {
	case EXPR_LESS:
		return left < right ? EXPR_TRUE : EXPR_FALSE;
	case EXPR_LESS_EQUAL:
		return left <= right ? EXPR_TRUE : EXPR_FALSE;
	case EXPR_GREATER:
		return left > right ? EXPR_TRUE : EXPR_FALSE;
	case EXPR_GREATER_EQUAL:
		return left >= right ? EXPR_TRUE : EXPR_FALSE;
	case EXPR_EQUAL:
		return left <= right && left >= right ? EXPR_TRUE : EXPR_FALSE;
	default:
		return left < right || left > right ? EXPR_TRUE : EXPR_FALSE;
	}
}

static enum expr_truth negation(enum expr_truth truth)
{
	return truth == EXPR_UNKNOWN ? EXPR_UNKNOWN : truth == EXPR_TRUE ? EXPR_FALSE : EXPR_TRUE;
}

static enum expr_truth both(enum expr_truth a, enum expr_truth b)
{
	if (a == EXPR_FALSE || b == EXPR_FALSE)
		return EXPR_FALSE;
	return a == EXPR_TRUE && b == EXPR_TRUE ? EXPR_TRUE : EXPR_UNKNOWN;
}

enum expr_truth expr_eval(const struct expr *expr, const struct expr_value *values)
{
	enum expr_truth stack[EXPR_NODES_MAX];
	unsigned height = 0;

	for (unsigned i = 0; i < expr->node_count; i++) {
		const struct expr_node *node = &expr->nodes[i];

		if (node->op < EXPR_NOT) {
			stack[height++] = eval_comparison(node, values);
		} else if (node->op == EXPR_NOT) {
			stack[height - 1] = negation(stack[height - 1]);
		} else {
			height--;
			stack[height - 1] =
				node->op == EXPR_AND
					? both(stack[height - 1], stack[height])
					: negation(both(negation(stack[height - 1]), negation(stack[height])));
		}
	}
	return height == 1 ? stack[0] : EXPR_UNKNOWN;
}
