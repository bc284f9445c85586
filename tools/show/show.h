/* SPDX-License-Identifier: MIT */
/*
 * All output of infinictl and infinihost goes through here, no matter whether the text comes from a guest, a host, a
 * file or the command line. Characters that printable.h refuses never reach a terminal. No other file of the two writes
 * to a stream (tests/integration/test_terminal.py looks at their objects).
 */
#ifndef TOOLS_SHOW_SHOW_H
#define TOOLS_SHOW_SHOW_H

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

/* True if `out` is a terminal. */
int show_on_terminal(FILE *out);

/*
 * Prints the error of getopt_long(3) on standard error, in place of its own message (opterr is 0 then, and the short
 * options begin with ':', behind a '+' if there is one). `option` is what it returned, `program` the name in front.
 */
void show_wrong_option(const char *program, int option, char *const argv[]);

#endif
