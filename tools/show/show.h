/* SPDX-License-Identifier: MIT */
/*
 * All output of infinictl and infinihost goes through here, no matter whether the text comes from a guest, a host, a
 * file or the command line. Characters that printable.h refuses never reach a terminal. No other file of the two writes
 * to a stream (tests/integration/test_terminal.py looks at their objects).
 */
#ifndef TOOLS_SHOW_SHOW_H
#define TOOLS_SHOW_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A formatted line or a part of one: a '?' for each character that may not be shown, but for a newline at the end. */
__attribute__((format(printf, 2, 3))) void show(FILE *out, const char *format, ...);

/* The same for a text of `len` bytes, NULs among them. */
void show_text(FILE *out, const char *text, size_t len);

/* The same, at most `max` bytes of it and then "...", not cut inside a character. NULL shows nothing. */
void show_cut(FILE *out, const char *text, size_t max);

/* Our own words, in lines. */
void show_words(FILE *out, const char *words);

/*
 * The output of a program, in lines. To a file or pipe the bytes go as they are; on a terminal newlines and
 * tabs stay and the rest is as with show_text.
 */
void show_stream(FILE *out, const char *text, size_t len);

/*
 * JSON made here (by json-c): characters that may not be shown are escaped inside its strings, also in files and pipes,
 * so that it stays the same JSON.
 */
void show_json(FILE *out, const char *json);

/* A line of JSON from elsewhere and a newline: as it is, but on a terminal as with show_json. */
void show_json_line(FILE *out, const char *line, size_t len);

/* Columns of the terminal that `out` is, or 0 if it is none. */
unsigned show_width(FILE *out);

/* Its lines; 0 if it is none. */
unsigned show_height(FILE *out);

/* True if `out` is a terminal, or stdout the pager that stands before one. */
int show_on_terminal(FILE *out);

/* Whether colour is wanted: `when` is "always", "never" or "auto": a terminal that is not dumb, and no $NO_COLOR. */
bool show_colored(FILE *out, const char *when);

enum show_style {
	SHOW_PLAIN, /* ends the others */
	SHOW_BOLD,
	SHOW_DIM,
	SHOW_BAD,  /* red */
	SHOW_WARN, /* yellow */
	SHOW_GOOD, /* green */
	SHOW_LINE, /* SHOW_LINE + n: the colour of the nth line of a chart, n < SHOW_LINES */
};
#define SHOW_LINES 6

/* The sequence of a style (SGR, ECMA-48), when `colored`. */
void show_style(FILE *out, bool colored, unsigned style);

/* On a terminal: clears it, so that what follows stands at its top. */
void show_home(FILE *out);

/* What stands on standard error for a while: the line is overwritten by the next one, and taken away by "". */
void show_progress(const char *words);

/* A text inside of an element or an attribute of XML or HTML: markup is escaped, and what may not be shown is a '?'. */
void show_markup(FILE *out, const char *text);

/*
 * pager.c: while stdout is a terminal, what follows goes through a pager, as git(1) does it: $INFINICTL_PAGER, $PAGER
 * or less, with LESS=FRX unless it is set; none when it is empty or "cat", or the terminal is dumb. The words of the
 * variable are split at blanks and read by no shell; root's less is told to open nothing else (LESSSECURE).
 */
void show_pager_begin(void);
/* Waits until the pager is left. */
void show_pager_end(void);

/*
 * Prints the error of getopt_long(3) on standard error, in place of its own message (opterr is 0 then, and the short
 * options begin with ':', behind a '+' if there is one). `option` is what it returned, `program` the name in front.
 */
void show_wrong_option(const char *program, int option, char *const argv[]);

#endif
