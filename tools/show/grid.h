/* SPDX-License-Identifier: MIT */
/*
 * A screenful of characters, each in its cell, before it is drawn (screen.h). Text gets into it by grid_text alone,
 * which lets nothing through that printable.h refuses. Pure, but for the width of a character, which is that of the
 * locale (wcwidth(3)): in the C locale what is not ASCII is a '?'.
 */
#ifndef TOOLS_SHOW_GRID_H
#define TOOLS_SHOW_GRID_H

#include <stddef.h>
#include <stdint.h>

#define GRID_WIDTH_MAX	1000
#define GRID_HEIGHT_MAX 500

enum grid_style {
	GRID_PLAIN,
	GRID_BOLD,
	GRID_DIM,
	GRID_GOOD, /* green */
	GRID_WARN, /* yellow */
	GRID_BAD,  /* red */
	GRID_REVERSE,
	GRID_STYLES,
};

struct grid_cell {
	uint32_t code; /* Unicode; 0: the right half of the character on its left */
	uint8_t style; /* enum grid_style */
};

struct grid {
	unsigned width, height;
	struct grid_cell *cells; /* by rows */
};

/* Blank, of at most GRID_WIDTH_MAX columns and GRID_HEIGHT_MAX rows (more are cut, less than 1 is 1). 0 or -ENOMEM. */
int grid_init(struct grid *grid, unsigned width, unsigned height);
void grid_done(struct grid *grid);

/*
 * Writes `text` from column x on, in at most `most` columns and not beyond the row. A character that may not be shown
 * is a '?'; one without a width, such as an accent of its own, is left out. Returns the columns used.
 */
unsigned grid_text(struct grid *grid, unsigned y, unsigned x, unsigned most, enum grid_style style, const char *text);

/* Columns that grid_text would use of an endless row. */
unsigned grid_width(const char *text);

/* The style of `width` cells from column x on. */
void grid_paint(struct grid *grid, unsigned y, unsigned x, unsigned width, enum grid_style style);

/* A row as UTF-8 without the blanks at its end, cut to `size`. */
void grid_row(const struct grid *grid, unsigned y, char *out, size_t size);

#endif
