/* SPDX-License-Identifier: MIT */
/*
 * Conditions over the metrics of a sample, as --where and alerts take them:
 *
 *	cpu.steal_percent > 10 and not (memory.available_kb >= 512M or system.disk.usage_stats[/].used_gb < 3 GiB)
 *
 * A condition is a comparison (<, <=, >, >=, ==, !=; = is ==) of metrics with numbers or with each other, or several of
 * them with `and`, `or`, `not` (&&, ||, !) and parentheses; `not` binds closest, then `and`. A number without a unit is
 * in that of the metric; with one it is converted: %, B, K, M, G, T (also KB, KiB …, of 1024), each with /s, /s alone,
 * ns, us, ms, s, m (min), h, d, C.
 *
 * A metric that is null or missing makes its comparison unknown: neither true nor false, by Kleene's logic (unknown or
 * true is true, unknown and false is false, not unknown is unknown).
 */
#ifndef AGENT_CATALOG_EXPR_H
#define AGENT_CATALOG_EXPR_H

#include <stdbool.h>
#include <stddef.h>

#include <infiniservice/err.h>

#define EXPR_TEXT_MAX	 1024 /* bytes */
#define EXPR_PATH_MAX	 256
#define EXPR_METRICS_MAX 16
#define EXPR_NODES_MAX	 64 /* comparisons and words between them */
#define EXPR_DEPTH_MAX	 16 /* of parentheses and `not` */

enum expr_truth { EXPR_FALSE, EXPR_TRUE, EXPR_UNKNOWN };

struct expr_value {
	bool known;
	double value; /* as in the sample, in the metric's unit */
};

/* One side of a comparison. */
struct expr_side {
	int metric;    /* of `metrics`, or -1: a number */
	double number; /* of the unit below, when it is one */
	double scale;  /* to bytes, seconds, percent …; both sides have the same base */
};

struct expr_node {
	enum expr_op {
		EXPR_LESS,
		EXPR_LESS_EQUAL,
		EXPR_GREATER,
		EXPR_GREATER_EQUAL,
		EXPR_EQUAL,
		EXPR_NOT_EQUAL,
		EXPR_NOT,
		EXPR_AND,
		EXPR_OR,
	} op;
	struct expr_side left, right; /* of a comparison */
};

struct expr {
	unsigned metric_count, node_count;
	char metrics[EXPR_METRICS_MAX][EXPR_PATH_MAX]; /* whole paths below `data`, each once */
	struct expr_node nodes[EXPR_NODES_MAX];	       /* the operands of a word stand before it */
};

/*
 * Parses `len` bytes. `implied` (a metric's path, or NULL) is what a comparison without a left side compares: with it
 * "< 85" is a condition. 0, or -EINVAL with a text that names the column, what is wrong there and what to write.
 */
int expr_parse(const char *text, size_t len, const char *implied, struct expr *ret, struct err *err);

/* The truth for these values, one for each of expr->metrics. */
enum expr_truth expr_eval(const struct expr *expr, const struct expr_value *values);

#endif
