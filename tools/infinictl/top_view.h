/* SPDX-License-Identifier: MIT */
/*
 * The screen of `infinictl top` and `replay`: what is shown is a pure function of a sample, of this state and of a
 * size; a key is a pure function from state to state, with a wish for what lies outside of it.
 */
#ifndef TOOLS_INFINICTL_TOP_VIEW_H
#define TOOLS_INFINICTL_TOP_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/show/grid.h"

struct json_object;

#define TOP_INPUT_MAX	256
#define TOP_MESSAGE_MAX 600

enum top_view { TOP_PROCESSES, TOP_GROUPS, TOP_DISKS, TOP_FILESYSTEMS, TOP_NETWORK, TOP_VIEWS };

enum top_prompt { TOP_PROMPT_NONE, TOP_PROMPT_FILTER, TOP_PROMPT_TIME, TOP_PROMPT_WHERE };

/* What a key asks for beside another state. */
enum top_wish {
	TOP_STAY,
	TOP_QUIT,
	TOP_STEP, /* `amount` samples on or, negative, back */
	TOP_MOVE, /* `amount` ms on or back */
	TOP_GO,	  /* to the time that is `input` */
	TOP_LAST, /* to the newest sample */
	TOP_FIND, /* to the next sample for which the condition `where` holds */
};

struct top_state {
	bool replay, utc;
	bool paused, help, tree, reversed;
	enum top_view view;
	unsigned sort[TOP_VIEWS]; /* column of each view */
	unsigned scroll;	  /* rows of the list above the first that is shown; top_layout bounds it */
	enum top_prompt prompt;
	char input[TOP_INPUT_MAX];  /* typed so far, or what a wish is about */
	char filter[TOP_INPUT_MAX]; /* only rows with this text; "": all */
	char where[TOP_INPUT_MAX];
	char message[TOP_MESSAGE_MAX]; /* in the last line until the next key */
	char source[TOP_MESSAGE_MAX];  /* where samples come from */
	int64_t wall_ms;	       /* of the sample */
	int64_t amount;		       /* of a wish */
};

void top_state_init(struct top_state *state, bool replay);

/* `key`: a byte that was typed, or an enum screen_key. */
enum top_wish top_key(struct top_state *state, int key);

/* Fills a blank grid. `message`: a metrics message, or NULL while there is none. */
void top_layout(struct top_state *state, struct json_object *message, struct grid *grid);

/* Of top_keys.c: the lines of the help, NULL behind the last. */
const char *const *top_help(bool replay);

#endif
