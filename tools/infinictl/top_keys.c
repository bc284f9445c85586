/* SPDX-License-Identifier: MIT */
/* What each key does. */
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/top_list.h"
#include "tools/infinictl/top_view.h"
#include "tools/show/screen.h"

#define PAGE	  10
#define MINUTE_MS 60000
#define HOUR_MS	  3600000

const char *const *top_help(bool replay)
{
	static const char *const live[] = {
		"infinictl top",
		"",
		"  1 2 3 4 5       processes, control groups, disks, file systems, network",
		"  Tab             the next of them",
		"  s  S            sort by the next column, by the one before",
		"  r               reverse the order",
		"  f               only rows with a text (or a pid); an empty one shows all",
		"  t               processes and control groups as a tree",
		"  Up Down PgUp PgDn Home End    move in the list",
		"  Space           pause: the screen stays until it is pressed again",
		"  ?  h            these keys",
		"  q               quit",
		NULL,
	};
	static const char *const past[] = {
		"infinictl replay",
		"",
		"  j  k            the next sample, the one before",
		"  J  K            a minute on, a minute back",
		"  L  H            an hour on, an hour back",
		"  g TIME          go to a time, as with --begin: 03:12, yesterday, -1h",
		"  G               the newest sample",
		"  / CONDITION     the next sample for which it holds: cpu.steal_percent > 10",
		"  n               the next one again",
		"  1 2 3 4 5  Tab  processes, control groups, disks, file systems, network",
		"  s  S            sort by the next column, by the one before",
		"  r               reverse the order",
		"  f               only rows with a text (or a pid); an empty one shows all",
		"  t               processes and control groups as a tree",
		"  Up Down PgUp PgDn Home End    move in the list",
		"  ?  h            these keys",
		"  q               quit",
		NULL,
	};

	return replay ? past : live;
}

void top_state_init(struct top_state *state, bool replay)
{
	static const unsigned sorts[TOP_VIEWS] = {
		[TOP_PROCESSES] = 2, [TOP_GROUPS] = 0, [TOP_DISKS] = 1, [TOP_FILESYSTEMS] = 0, [TOP_NETWORK] = 1
	};

	memset(state, 0, sizeof(*state));
	state->replay = replay;
	memcpy(state->sort, sorts, sizeof(sorts));
}

static enum top_wish ask_for(struct top_state *state, enum top_prompt prompt, const char *text)
{
	state->prompt = prompt;
	memmove(state->input, text, strlen(text) + 1);
	return TOP_STAY;
}

static enum top_wish entered(struct top_state *state)
{
	enum top_prompt prompt = state->prompt;

	state->prompt = TOP_PROMPT_NONE;
	if (prompt == TOP_PROMPT_FILTER) {
		memcpy(state->filter, state->input, sizeof(state->filter));
		state->scroll = 0;
		return TOP_STAY;
	}
	if (!state->input[0])
		return TOP_STAY;
	if (prompt == TOP_PROMPT_TIME)
		return TOP_GO;
	memcpy(state->where, state->input, sizeof(state->where));
	return TOP_FIND;
}

/* One character of UTF-8 less. */
static void rub_out(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && ((unsigned char)text[--len] & 0xC0) == 0x80)
		;
	text[len] = '\0';
}

static enum top_wish prompt_key(struct top_state *state, int key)
{
	size_t len = strlen(state->input);

	if (key == SCREEN_KEY_ENTER)
		return entered(state);
	if (key == SCREEN_KEY_ESCAPE)
		state->prompt = TOP_PROMPT_NONE;
	else if (key == SCREEN_KEY_BACKSPACE)
		rub_out(state->input);
	else if (key == 0x15) /* Ctrl-U */
		state->input[0] = '\0';
	else if (key >= 0x20 && key < 0x100 && key != 0x7F && len + 1 < sizeof(state->input)) {
		state->input[len] = (char)key;
		state->input[len + 1] = '\0';
	}
	return TOP_STAY;
}

static void show_view(struct top_state *state, enum top_view view)
{
	state->view = view;
	state->scroll = 0;
}

static void sort_by(struct top_state *state, unsigned steps)
{
	state->sort[state->view] = (state->sort[state->view] + steps) % top_columns(state->view);
	state->scroll = 0;
}

static void scroll_by(struct top_state *state, int rows)
{
	if (rows < 0 && state->scroll < (unsigned)-rows)
		state->scroll = 0;
	else
		state->scroll += (unsigned)rows;
}

/* The keys of the list. False: another. */
static bool list_key(struct top_state *state, int key)
{
	switch (key) {
	case SCREEN_KEY_UP:
		scroll_by(state, -1);
		return true;
	case SCREEN_KEY_DOWN:
		scroll_by(state, 1);
		return true;
	case SCREEN_KEY_PAGE_UP:
		scroll_by(state, -PAGE);
		return true;
	case SCREEN_KEY_PAGE_DOWN:
		scroll_by(state, PAGE);
		return true;
	case SCREEN_KEY_HOME:
		state->scroll = 0;
		return true;
	case SCREEN_KEY_END:
		state->scroll = TOP_ROWS_MAX;
		return true;
	case SCREEN_KEY_TAB:
		show_view(state, (enum top_view)((state->view + 1) % TOP_VIEWS));
		return true;
	case 's':
		sort_by(state, 1);
		return true;
	case 'S':
		sort_by(state, top_columns(state->view) - 1);
		return true;
	case 'r':
		state->reversed = !state->reversed;
		return true;
	case 't':
		state->tree = !state->tree;
		return true;
	default:
		if (key < '1' || key >= '1' + TOP_VIEWS)
			return false;
		show_view(state, (enum top_view)(key - '1'));
		return true;
	}
}

static enum top_wish replay_key(struct top_state *state, int key)
{
	static const struct {
		int key;
		enum top_wish wish;
		int64_t amount;
	} keys[] = {
		{ 'j', TOP_STEP, 1 },	       { 'k', TOP_STEP, -1 },	   { 'J', TOP_MOVE, MINUTE_MS },
		{ 'K', TOP_MOVE, -MINUTE_MS }, { 'L', TOP_MOVE, HOUR_MS }, { 'H', TOP_MOVE, -HOUR_MS },
		{ 'G', TOP_LAST, 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].key == key) {
			state->amount = keys[i].amount;
			return keys[i].wish;
		}
	if (key == 'g')
		return ask_for(state, TOP_PROMPT_TIME, "");
	if (key == '/' || (key == 'n' && !state->where[0]))
		return ask_for(state, TOP_PROMPT_WHERE, state->where);
	return key == 'n' ? TOP_FIND : TOP_STAY;
}

enum top_wish top_key(struct top_state *state, int key)
{
	state->message[0] = '\0';
	if (state->prompt != TOP_PROMPT_NONE)
		return prompt_key(state, key);
	if (state->help) {
		state->help = false;
		return TOP_STAY;
	}
	if (key == 'q')
		return TOP_QUIT;
	if (key == '?' || key == 'h')
		state->help = true;
	else if (key == 'f')
		return ask_for(state, TOP_PROMPT_FILTER, state->filter);
	else if (key == ' ' && !state->replay)
		state->paused = !state->paused;
	else if (!list_key(state, key) && state->replay)
		return replay_key(state, key);
	return TOP_STAY;
}
