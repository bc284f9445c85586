/* SPDX-License-Identifier: MIT */
/*
 * The numbers of all VMs as text, family by family as the formats want it, and a part at a time: a thousand VMs make
 * tens of megabytes, of which no turn of the loop writes more than its buffer. Between two parts VMs may come, go and
 * get another sample; what was begun of a VM's family is then not gone on with.
 */
#ifndef HUB_EXPOSE_H
#define HUB_EXPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/hub/series.h"

enum expose_format {
	EXPOSE_TEXT,	    /* text/plain; version=0.0.4 */
	EXPOSE_OPENMETRICS, /* application/openmetrics-text; version=1.0.0 */
};

/* What the hub itself knows of a VM's channel; NAN: not known, and so absent. */
enum figure {
	FIGURE_UP,
	FIGURE_CONNECTED,
	FIGURE_AGE_S,
	FIGURE_TIME_S,
	FIGURE_INTERVAL_S,
	FIGURE_CLOCK_OFFSET_S,
	FIGURE_SESSIONS,
	FIGURE_SAMPLES,
	FIGURE_BYTES,
	FIGURE_INVALID,
	FIGURE_SERIES_DROPPED,
	FIGURE_LOST,
	FIGURE_THROTTLED,
	FIGURE_LATE_WAITING,
	FIGURE_LATE_DROPPED,
	FIGURES,
};

/* Name, help and type of a figure, for the document and the tests. */
const char *figure_name(enum figure figure);
const char *figure_help(enum figure figure);

struct expose_vm {
	uint64_t serial;    /* grows; tells VMs apart for ever */
	const char *labels; /* `vm="web1"` and more, escaped */
	const char *info;   /* further labels of infiniservice_vm_info, or NULL: nothing is known */
	double figures[FIGURES];
	const struct series_set *const *sets; /* the live one, or those that came late, the oldest first */
	size_t sets_len;
};

struct expose_source {
	/* The VM with the lowest serial above `after`. False: there is none. What it points to holds until it returns
	 * to the loop. */
	bool (*next)(void *arg, uint64_t after, struct expose_vm *ret);
	void *arg;
};

struct expose {
	struct expose_source source;
	enum expose_format format;
	bool late; /* samples alone, each with its own time */
	size_t family;
	uint64_t after;	 /* the last VM that is whole in this family */
	bool opened;	 /* HELP and TYPE of the family are written */
	uint64_t inside; /* the VM that was begun: its next series, and of which sample (its seq) */
	size_t set, index;
	uint64_t seq;
	bool ended;
};

/* No line is longer; a buffer for expose_some has at least twice this. */
#define EXPOSE_LINE_MAX 4096

void expose_init(struct expose *expose, struct expose_source source, enum expose_format format, bool late);

/* Writes what fits into the buffer. Returns the bytes; 0: it was all. */
size_t expose_some(struct expose *expose, char *buffer, size_t size);

#endif
