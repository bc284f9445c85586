/* SPDX-License-Identifier: MIT */
#include "tools/show/screen.h"

#include <errno.h>
#include <locale.h>
#include <ncursesw/curses.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

enum { PAIR_GOOD = 1, PAIR_WARN, PAIR_BAD };

static void begin_colors(void)
{
	if (start_color() != OK || !has_colors())
		return;
	use_default_colors();
	init_pair(PAIR_GOOD, COLOR_GREEN, -1);
	init_pair(PAIR_WARN, COLOR_YELLOW, -1);
	init_pair(PAIR_BAD, COLOR_RED, -1);
}

int screen_begin(bool colored, struct err *err)
{
	const char *term = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return err_set(err, -ENOTTY, "standard input and output are no terminal");
	setlocale(LC_CTYPE, "");
	/* Not initscr(3X), which ends the program where the terminal is not known. */
	if (!newterm(NULL, stdout, stdin))
		return err_set(err, -EINVAL, "the terminal \"%.40s\" ($TERM) is not known, or cannot show a screen",
			       term ? term : "");
	atexit(screen_end);
	if (colored)
		begin_colors();
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	return 0;
}

void screen_end(void)
{
	if (stdscr && !isendwin())
		endwin();
}

static attr_t attribute_of(unsigned style, short *pair)
{
	static const struct {
		attr_t attribute;
		short pair;
	} styles[GRID_STYLES] = {
		[GRID_PLAIN] = { WA_NORMAL, 0 },      [GRID_BOLD] = { WA_BOLD, 0 },
		[GRID_DIM] = { WA_DIM, 0 },	      [GRID_GOOD] = { WA_NORMAL, PAIR_GOOD },
		[GRID_WARN] = { WA_BOLD, PAIR_WARN }, [GRID_BAD] = { WA_BOLD, PAIR_BAD },
		[GRID_REVERSE] = { WA_REVERSE, 0 },
	};

	*pair = styles[style < GRID_STYLES ? style : GRID_PLAIN].pair;
	return styles[style < GRID_STYLES ? style : GRID_PLAIN].attribute;
}

void screen_draw(const struct grid *grid)
{
	erase();
	for (unsigned y = 0; y < grid->height; y++)
		for (unsigned x = 0; x < grid->width; x++) {
			const struct grid_cell *cell = &grid->cells[(size_t)y * grid->width + x];
			wchar_t text[2] = { (wchar_t)cell->code, 0 };
			short pair;
			attr_t attribute = attribute_of(cell->style, &pair);
			cchar_t character;

			if (cell->code && setcchar(&character, text, attribute, pair, NULL) == OK)
				mvadd_wch((int)y, (int)x, &character);
		}
	refresh();
}

int screen_key(void)
{
	static const struct {
		int theirs, ours;
	} keys[] = {
		{ KEY_UP, SCREEN_KEY_UP },	   { KEY_DOWN, SCREEN_KEY_DOWN },
		{ KEY_PPAGE, SCREEN_KEY_PAGE_UP }, { KEY_NPAGE, SCREEN_KEY_PAGE_DOWN },
		{ KEY_HOME, SCREEN_KEY_HOME },	   { KEY_END, SCREEN_KEY_END },
		{ KEY_ENTER, SCREEN_KEY_ENTER },   { '\r', SCREEN_KEY_ENTER },
		{ '\n', SCREEN_KEY_ENTER },	   { '\t', SCREEN_KEY_TAB },
		{ 0x1B, SCREEN_KEY_ESCAPE },	   { KEY_BACKSPACE, SCREEN_KEY_BACKSPACE },
		{ 0x7F, SCREEN_KEY_BACKSPACE },	   { '\b', SCREEN_KEY_BACKSPACE },
	};
	int key = getch();

	if (key == ERR)
		return SCREEN_KEY_NONE;
	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].theirs == key)
			return keys[i].ours;
	return key > 0 && key < 0x100 ? key : SCREEN_KEY_OTHER;
}

void screen_resize(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		resizeterm(size.ws_row, size.ws_col);
}

void screen_size(unsigned *ret_width, unsigned *ret_height)
{
	*ret_width = COLS > 0 ? (unsigned)COLS : 80;
	*ret_height = LINES > 0 ? (unsigned)LINES : 24;
}
