/* SPDX-License-Identifier: MIT */
/*
 * Which value of a sample becomes which metric: one table, from which the exposition, its document
 * (docs/prometheus.md) and the tests come. Names, units and meaning are node_exporter's wherever it has the same
 * quantity of the kernel; the rest begins with infiniservice_.
 */
#ifndef HUB_METRICS_H
#define HUB_METRICS_H

#include <stddef.h>

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_UNTYPED };

enum metric_value {
	METRIC_NUMBER,	/* the number times `scale`, less that of `less` */
	METRIC_BOOL,	/* true is 1, false 0 */
	METRIC_TIME,	/* a text of RFC 3339, in seconds since 1970 */
	METRIC_IS_TEXT, /* 1 where it is the text of `less`, 0 where it is another */
	METRIC_ONE,	/* 1: the labels are what is told */
	METRIC_COUNT,	/* the items of a list */
	METRIC_CPUS,	/* an array of numbers, a series each, whose label `cpu` is its place */
};

#define METRIC_LABELS_MAX 4
struct metric_label {
	const char *label, *key;
};

/* A list of the sample (or one object, which is its only item), and the labels that tell its items apart. */
struct metric_list {
	const char *path;
	struct metric_label labels[METRIC_LABELS_MAX]; /* a label whose key is absent or null is "" */
	const char *id;	  /* the key by which an item is known again; NULL: it is one object */
	const char *skip; /* an item where this key is true tells nothing; or NULL */
};

struct metric {
	const char *name, *help;
	enum metric_type type;
	enum metric_value value;
	const struct metric_list *list; /* NULL: `path` is below data, else below each item */
	const char *path;
	double scale;
	const char *less;  /* see enum metric_value; NULL: none */
	const char *fixed; /* labels of this row, `mode="user"`; or NULL */
};

/* Rows of one name stand together. */
extern const struct metric metrics[];
extern const size_t metrics_count;

/* The name of the family in OpenMetrics: that of a counter is without "_total". Returns its length. */
size_t metric_family_len(const struct metric *metric);

#endif
