/* SPDX-License-Identifier: MIT */
/*
 * The whole terminal as a grid (grid.h), and its keys: the one place that knows ncurses. The terminal is given back as
 * it was by screen_end, which also runs at exit(3).
 */
#ifndef TOOLS_SHOW_SCREEN_H
#define TOOLS_SHOW_SCREEN_H

#include <stdbool.h>

#include <infiniservice/err.h>

#include "tools/show/grid.h"

/* Keys beside the bytes of what is typed (1 to 255). */
enum screen_key {
	SCREEN_KEY_NONE = 0, /* no key has been pressed */
	SCREEN_KEY_UP = 0x100,
	SCREEN_KEY_DOWN,
	SCREEN_KEY_PAGE_UP,
	SCREEN_KEY_PAGE_DOWN,
	SCREEN_KEY_HOME,
	SCREEN_KEY_END,
	SCREEN_KEY_TAB,
	SCREEN_KEY_ENTER,
	SCREEN_KEY_ESCAPE,
	SCREEN_KEY_BACKSPACE,
	SCREEN_KEY_OTHER, /* one that nobody asks for */
};

/* Takes the terminal of stdin and stdout. 0, or -ENOTTY or -EINVAL with words. `colored`: with colours, if it has some.
 */
int screen_begin(bool colored, struct err *err);
void screen_end(void);

/* Draws what differs from what is there. */
void screen_draw(const struct grid *grid);

/* The next key, or SCREEN_KEY_NONE; never waits. */
int screen_key(void);

/* Asks the terminal for its size anew. */
void screen_resize(void);
void screen_size(unsigned *ret_width, unsigned *ret_height);

#endif
