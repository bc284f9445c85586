/* SPDX-License-Identifier: MIT */
/* Cuts text into lines and fields without relying on NULs; shared by the parsers of this folder. */
#ifndef AGENT_PACKAGES_LINES_H
#define AGENT_PACKAGES_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct piece {
	const char *at;
	size_t len;
};

/*
 * Cuts the next piece up to `end` from *text into *ret (a different variable); false when nothing is left. The last
 * piece needs no `end`.
 */
static inline bool piece_cut(struct piece *text, char end, struct piece *ret)
{
	const char *stop;

	if (text->len == 0)
		return false;
	stop = memchr(text->at, end, text->len);
	ret->at = text->at;
	ret->len = stop ? (size_t)(stop - text->at) : text->len;
	text->at += ret->len + (stop != NULL);
	text->len -= ret->len + (stop != NULL);
	return true;
}

/* Cuts the next line, without its newline; the last line needs none. */
static inline bool line_cut(struct piece *text, struct piece *ret)
{
	if (!piece_cut(text, '\n', ret))
		return false;
	if (ret->len && ret->at[ret->len - 1] == '\r')
		ret->len--;
	return true;
}

/* Cuts bytes off the front of the text. */
static inline void piece_skip(struct piece *text, size_t bytes)
{
	text->at += bytes;
	text->len -= bytes;
}

static inline void blanks_skip(struct piece *text)
{
	while (text->len && (*text->at == ' ' || *text->at == '\t'))
		piece_skip(text, 1);
}

/* Cuts the next word between blanks; false when there is none. */
static inline bool word_cut(struct piece *text, struct piece *ret)
{
	blanks_skip(text);
	if (text->len == 0)
		return false;
	ret->at = text->at;
	while (text->len && *text->at != ' ' && *text->at != '\t')
		piece_skip(text, 1);
	ret->len = (size_t)(text->at - ret->at);
	return true;
}

/* Cuts a line at tabs into exactly `count` fields (the last one keeps further tabs); false if it has fewer. */
static inline bool fields_cut(struct piece line, struct piece fields[], size_t count)
{
	for (size_t i = 0; i + 1 < count; i++) {
		const char *tab = line.len ? memchr(line.at, '\t', line.len) : NULL;

		if (!tab)
			return false;
		fields[i] = (struct piece){ line.at, (size_t)(tab - line.at) };
		line.len -= fields[i].len + 1;
		line.at = tab + 1;
	}
	fields[count - 1] = line;
	return true;
}

static inline bool piece_is(struct piece piece, const char *text)
{
	return piece.len == strlen(text) && memcmp(piece.at, text, piece.len) == 0;
}

static inline bool piece_starts(struct piece piece, const char *text)
{
	return piece.len >= strlen(text) && memcmp(piece.at, text, strlen(text)) == 0;
}

static inline bool piece_has(struct piece piece, const char *text)
{
	return piece.len && memmem(piece.at, piece.len, text, strlen(text));
}

/* A decimal number of at most 18 digits and nothing else; -1 for anything else. */
static inline int64_t piece_number(struct piece piece)
{
	int64_t value = 0;

	if (piece.len == 0 || piece.len > 18)
		return -1;
	for (size_t i = 0; i < piece.len; i++) {
		if (piece.at[i] < '0' || piece.at[i] > '9')
			return -1;
		value = value * 10 + (piece.at[i] - '0');
	}
	return value;
}

#endif
