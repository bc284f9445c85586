/* SPDX-License-Identifier: MIT */
#include "tools/show/grid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "transport/printable.h"

int grid_init(struct grid *grid, unsigned width, unsigned height)
{
	grid->width = width < 1 ? 1 : width > GRID_WIDTH_MAX ? GRID_WIDTH_MAX : width;
	grid->height = height < 1 ? 1 : height > GRID_HEIGHT_MAX ? GRID_HEIGHT_MAX : height;
	grid->cells = calloc((size_t)grid->width * grid->height, sizeof(*grid->cells));
	if (!grid->cells)
		return -ENOMEM;
	for (size_t i = 0; i < (size_t)grid->width * grid->height; i++)
		grid->cells[i].code = ' ';
	return 0;
}

void grid_done(struct grid *grid)
{
	free(grid->cells);
	grid->cells = NULL;
}

/* The next character that may be shown, moved behind it; its columns, 0 for one that is left out. */
static unsigned next_character(const unsigned char **at, const unsigned char *end, uint32_t *ret)
{
	int step = printable_step(*at, end), columns;

	*ret = '?';
	if (step > 0)
		utf8_decode(*at, end, ret);
	*at += step < 0 ? -step : step;
	columns = wcwidth((wchar_t)*ret);
	if (columns >= 0)
		return (unsigned)columns;
	*ret = '?';
	return 1;
}

unsigned grid_text(struct grid *grid, unsigned y, unsigned x, unsigned most, enum grid_style style, const char *text)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);
	struct grid_cell *row;
	unsigned used = 0;

	if (y >= grid->height || x >= grid->width)
		return 0;
	row = grid->cells + (size_t)y * grid->width + x;
	if (most > grid->width - x)
		most = grid->width - x;
	while (at < end) {
		uint32_t code;
		unsigned columns = next_character(&at, end, &code);

		if (columns == 0)
			continue;
		if (used + columns > most)
			break;
		row[used] = (struct grid_cell){ code, (uint8_t)style };
		if (columns == 2)
			row[used + 1] = (struct grid_cell){ 0, (uint8_t)style };
		used += columns;
	}
	return used;
}

unsigned grid_width(const char *text)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);
	unsigned used = 0;
	uint32_t code;

	while (at < end)
		used += next_character(&at, end, &code);
	return used;
}

void grid_paint(struct grid *grid, unsigned y, unsigned x, unsigned width, enum grid_style style)
{
	for (unsigned i = x; y < grid->height && i < grid->width && i - x < width; i++)
		grid->cells[(size_t)y * grid->width + i].style = (uint8_t)style;
}

static size_t encode(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xC0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xE0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3F));
		out[2] = (char)(0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3F));
	out[2] = (char)(0x80 | (code >> 6 & 0x3F));
	out[3] = (char)(0x80 | (code & 0x3F));
	return 4;
}

void grid_row(const struct grid *grid, unsigned y, char *out, size_t size)
{
	const struct grid_cell *row = grid->cells + (size_t)y * grid->width;
	size_t len = 0, end = 0;

	for (unsigned x = 0; y < grid->height && x < grid->width; x++) {
		char bytes[4];
		size_t count = row[x].code ? encode(row[x].code, bytes) : 0;

		if (len + count >= size)
			break;
		memcpy(out + len, bytes, count);
		len += count;
		if (row[x].code != ' ')
			end = len;
	}
	out[end] = '\0';
}
