/* SPDX-License-Identifier: MIT */
/* The only output to a terminal; see show.h. */
#include "tools/show/show.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "transport/printable.h"

/* The replacement of a character that may not be shown. */
enum manner {
	MANNER_LINE,  /* '?' */
	MANNER_LINES, /* '?', but newlines and tabs are shown */
	MANNER_JSON,  /* its escape */
};

static void show_escape(FILE *out, const unsigned char *p, int bytes)
{
	uint32_t code = 0;

	if (utf8_decode(p, p + bytes, &code) < 0)
		code = 0xFFFD;
	if (code < 0x10000)
		fprintf(out, "\\u%04x", (unsigned)code);
	else /* a surrogate pair, RFC 8259 section 7 */
		fprintf(out, "\\u%04x\\u%04x", 0xD7C0 + (unsigned)(code >> 10), 0xDC00 + (unsigned)(code & 0x3FF));
}

/* `quoted`: inside a string of JSON, where every control is to be escaped; between its values they are blanks. */
static void show_refused(FILE *out, const unsigned char *p, int bytes, enum manner manner, bool quoted)
{
	bool space = *p == '\n' || *p == '\t';

	if (space && manner != MANNER_LINE && !quoted)
		fputc(*p, out);
	else if (manner == MANNER_JSON && quoted)
		show_escape(out, p, bytes);
	else
		fputc(manner == MANNER_JSON && *p == '\r' ? ' ' : '?', out);
}

/* Steps over one character that is shown; whether it begins or ends a string of JSON. */
static bool is_quote(const unsigned char *p, bool *escaped)
{
	bool quote = *p == '"' && !*escaped;

	*escaped = *p == '\\' && !*escaped;
	return quote;
}

/* Runs of what may be shown go out in one piece. */
static void show_bytes(FILE *out, const char *text, size_t len, enum manner manner)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len, *run = p;
	bool quoted = false, escaped = false;

	while (p < end) {
		int step = printable_step(p, end);

		if (step > 0) {
			quoted ^= manner == MANNER_JSON && is_quote(p, &escaped);
			p += step;
			continue;
		}
		escaped = false;
		fwrite(run, 1, (size_t)(p - run), out);
		/* The end of a line as other systems write it. */
		if (!(manner == MANNER_LINES && *p == '\r' && p + 1 < end && p[1] == '\n'))
			show_refused(out, p, -step, manner, quoted);
		p -= step;
		run = p;
	}
	fwrite(run, 1, (size_t)(p - run), out);
}

void show_text(FILE *out, const char *text, size_t len)
{
	show_bytes(out, text, len, MANNER_LINE);
}

void show(FILE *out, const char *format, ...)
{
	_cleanup_(freep) char *text = NULL;
	size_t form = strlen(format);
	bool ends = form > 0 && format[form - 1] == '\n';
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) {
		text = NULL; /* out of memory: the words are lost, the program goes on */
		return;
	}
	show_bytes(out, text, (size_t)len - ends, MANNER_LINE);
	if (ends)
		fputc('\n', out);
}

void show_cut(FILE *out, const char *text, size_t max)
{
	size_t len = text ? strlen(text) : 0, cut = len;

	if (len > max)
		for (cut = max; cut < len && ((unsigned char)text[cut] & 0xC0) == 0x80;)
			cut++;
	if (cut > 0)
		show_bytes(out, text, cut, MANNER_LINE);
	if (cut < len)
		fputs("...", out);
}

void show_words(FILE *out, const char *words)
{
	show_bytes(out, words, strlen(words), MANNER_LINES);
}

/* pager.c says by its variable that the pipe behind stdout leads to a terminal. */
static bool is_paged(FILE *out)
{
	return out == stdout && getenv("INFINICTL_PAGED");
}

int show_on_terminal(FILE *out)
{
	return isatty(fileno(out)) || is_paged(out);
}

/* Of the terminal, else of the variable, else what is usual. */
static unsigned terminal_size(FILE *out, const char *variable, bool lines, unsigned usual)
{
	const char *text = getenv(variable);
	struct winsize size;
	int number = text ? atoi(text) : 0;

	if (!show_on_terminal(out))
		return 0;
	if (ioctl(fileno(is_paged(out) ? stderr : out), TIOCGWINSZ, &size) == 0 &&
	    (lines ? size.ws_row : size.ws_col) > 0)
		return lines ? size.ws_row : size.ws_col;
	return number > 0 && number < 10000 ? (unsigned)number : usual;
}

unsigned show_width(FILE *out)
{
	return terminal_size(out, "COLUMNS", false, 80);
}

unsigned show_height(FILE *out)
{
	return terminal_size(out, "LINES", true, 24);
}

bool show_colored(FILE *out, const char *when)
{
	const char *term = getenv("TERM"), *none = getenv("NO_COLOR");

	if (strcmp(when, "auto") != 0)
		return !strcmp(when, "always");
	return show_on_terminal(out) && term && *term && strcmp(term, "dumb") != 0 && !(none && *none);
}

void show_style(FILE *out, bool colored, unsigned style)
{
	static const char *const sequences[SHOW_LINE + SHOW_LINES] = {
		"0", "1", "2", "31", "33", "32", "36", "35", "33", "32", "34", "31",
	};

	if (colored)
		fprintf(out, "\033[%sm", sequences[style < SHOW_LINE + SHOW_LINES ? style : SHOW_PLAIN]);
}

void show_home(FILE *out)
{
	if (show_on_terminal(out))
		fputs("\033[H\033[J", out);
}

void show_progress(const char *words)
{
	unsigned width = show_width(stderr);

	if (!width)
		return;
	fputs("\r\033[K", stderr);
	show_cut(stderr, words, width > 8 ? width - 4 : 4);
	fflush(stderr);
}

void show_markup(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);

	while (p < end) {
		int step = printable_step(p, end);

		if (step < 0)
			fputc('?', out);
		else if (*p == '&' || *p == '<' || *p == '>' || *p == '"' || *p == '\'')
			fprintf(out, "&#%d;", *p);
		else
			fwrite(p, 1, (size_t)step, out);
		p += step < 0 ? -step : step;
	}
}

void show_stream(FILE *out, const char *text, size_t len)
{
	if (show_on_terminal(out))
		show_bytes(out, text, len, MANNER_LINES);
	else
		fwrite(text, 1, len, out);
}

void show_json(FILE *out, const char *json)
{
	show_bytes(out, json, strlen(json), MANNER_JSON);
}

void show_json_line(FILE *out, const char *line, size_t len)
{
	if (show_on_terminal(out))
		show_bytes(out, line, len, MANNER_JSON);
	else
		fwrite(line, 1, len, out);
	fputc('\n', out);
}

void show_wrong_option(const char *program, int option, char *const argv[])
{
	const char *word = argv[optind - 1];

	if (strncmp(word, "--", 2) != 0 && optopt > 0 && optopt < 0x80)
		show(stderr, option == ':' ? "%s: -%c needs a value\n" : "%s: there is no option -%c\n", program,
		     optopt);
	else if (option == ':')
		show(stderr, "%s: %s needs a value\n", program, word);
	else if (optopt > 0 && strchr(word, '='))
		show(stderr, "%s: %.*s takes no value\n", program, (int)strcspn(word, "="), word);
	else
		show(stderr, "%s: %s: no such option, or the beginning of several\n", program, word);
}
