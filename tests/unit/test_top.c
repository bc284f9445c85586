/* SPDX-License-Identifier: MIT */
/* The screen of top and replay without a terminal: what stands where for a sample, a state and a size. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/text.h"
#include "tools/infinictl/top_list.h"
#include "tools/infinictl/top_view.h"
#include "tools/show/grid.h"
#include "tools/show/screen.h"

static const char sample[] =
	"{\"type\":\"metrics\",\"gap\":\"start\",\"data\":{\"system\":{\"hostname\":\"guest\",\"uptime_seconds\":90061,"
	"\"load_average\":{\"load_1min\":0.25,\"load_5min\":1,\"load_15min\":2.5},"
	"\"cpu\":{\"usage_percent\":50.0,\"steal_percent\":12.5,\"user_percent\":null,\"cores_usage\":[1,2]},"
	"\"pressure\":{\"cpu\":{\"some\":{\"avg10_percent\":7.5},\"full\":null}},"
	"\"memory\":{\"total_kb\":4194304,\"used_kb\":1048576,\"available_kb\":3145728,\"swap_used_kb\":null},"
	"\"disk\":{\"io_stats\":{\"io_utilization_percent\":4,\"read_bytes_per_sec\":2048,\"write_bytes_per_sec\":0},"
	"\"devices\":[{\"name\":\"vda\",\"io_utilization_percent\":4,\"read_bytes_per_sec\":2048}],"
	"\"usage_stats\":[{\"mount_point\":\"/\",\"used_percent\":20,\"available_gb\":3,\"total_gb\":4},"
	"{\"mount_point\":\"/srv\",\"used_percent\":97.5,\"available_gb\":1,\"total_gb\":40}]},"
	"\"network\":{\"interfaces\":[{\"name\":\"eth0\",\"rx_bytes_per_sec\":1024,\"tx_bytes_per_sec\":10},"
	"{\"name\":\"eth1\",\"rx_bytes_per_sec\":1024,\"tx_bytes_per_sec\":null}]}},"
	"\"processes\":["
	"{\"pid\":10,\"ppid\":1,\"name\":\"shell\",\"cmd_line\":\"-sh\",\"cpu_percent\":1,\"memory_kb\":1024,\"user\":"
	"\"ann\"},"
	"{\"pid\":11,\"ppid\":10,\"name\":\"worker\",\"cmd_line\":\"worker "
	"--all\",\"cpu_percent\":80,\"memory_kb\":2048},"
	"{\"pid\":12,\"ppid\":12,\"name\":\"circle\",\"cmd_line\":\"\",\"cpu_percent\":null,\"memory_kb\":4096},"
	"{\"pid\":13,\"ppid\":1,\"name\":\"other\",\"cmd_line\":\"other\",\"cpu_percent\":40,\"memory_kb\":512}],"
	"\"processes_total\":99,"
	"\"cgroup\":[{\"path\":\"/system.slice/a.service\",\"cpu_percent\":3,\"memory_kb\":1024,\"kind\":\"service\","
	"\"pressure\":{\"cpu\":1.5}},{\"path\":\"/system.slice\",\"cpu_percent\":4},"
	"{\"path\":\"/system.slice2\",\"cpu_percent\":2}]}}";

#define ROW_SIZE 4096

struct shown {
	unsigned height;
	char rows[64][ROW_SIZE];
	struct grid grid;
};

static struct shown *show_at(struct top_state *state, const char *message, unsigned width, unsigned height)
{
	struct shown *shown = calloc(1, sizeof(*shown));
	struct json_object *parsed = message ? text_parse(message, strlen(message)) : NULL;

	assert_non_null(shown);
	assert_true(!message || parsed);
	assert_int_equal(grid_init(&shown->grid, width, height), 0);
	top_layout(state, parsed, &shown->grid);
	shown->height = shown->grid.height;
	for (unsigned y = 0; y < shown->height; y++)
		grid_row(&shown->grid, y, shown->rows[y], ROW_SIZE);
	json_object_put(parsed);
	return shown;
}

static void freed(struct shown *shown)
{
	grid_done(&shown->grid);
	free(shown);
}

/* The first row with a text from row `from` on; fails when there is none. */
static unsigned row_with(const struct shown *shown, unsigned from, const char *text)
{
	for (unsigned y = from; y < shown->height; y++)
		if (strstr(shown->rows[y], text))
			return y;
	for (unsigned y = 0; y < shown->height; y++)
		print_message("%2u %s\n", y, shown->rows[y]);
	fail_msg("no row has \"%s\"", text);
	return 0;
}

static bool has(const struct shown *shown, const char *text)
{
	for (unsigned y = 0; y < shown->height; y++)
		if (strstr(shown->rows[y], text))
			return true;
	return false;
}

static void the_head_says_what_the_sample_has_and_a_dash_for_what_is_not_known(void **unused)
{
	struct top_state state;
	struct shown *shown;

	(void)unused;
	top_state_init(&state, true);
	state.utc = true;
	state.wall_ms = 1790000000000;
	shown = show_at(&state, sample, 200, 60);
	assert_string_equal(shown->rows[0], "2026-09-21 14:13:20Z  guest  replay  load 0.25 1.00 2.50  up 1d 01:01  "
					    "gap: start");
	row_with(shown, 1, "CPU   [|||||||||||||||               ]  50.0%  steal 12.5  pressure 7.5 -  user -");
	row_with(shown, 1, "25.0%  1.0G of 4.0G  pressure - -  free 3.0G  swap -");
	row_with(shown, 1, "4.0%  read/s 2.0K  write/s 0B");
	row_with(shown, 1, "NET   in/s 2.0K  out/s 10B  most: eth0");
	row_with(shown, 1, "97.5%  left 1.0G  of 40G  /srv");
	/* On a tall screen each disk and interface has a row of its own. */
	row_with(shown, 1, "read/s 2.0K  write/s -  vda");
	row_with(shown, 1, "in/s 1.0K  out/s -  eth1");
	freed(shown);
}

static void steal_and_pressure_are_told_in_colours(void **unused)
{
	struct top_state state;
	struct shown *shown;
	unsigned y;
	size_t x;

	(void)unused;
	top_state_init(&state, true);
	shown = show_at(&state, sample, 200, 60);
	y = row_with(shown, 1, "steal 12.5");
	x = (size_t)(strstr(shown->rows[y], "steal") - shown->rows[y]);
	assert_int_equal(shown->grid.cells[y * shown->grid.width + x].style, GRID_BAD);
	freed(shown);
}

static void processes_are_sorted_by_a_column_and_the_other_way_round(void **unused)
{
	struct top_state state;
	struct shown *shown;

	(void)unused;
	top_state_init(&state, false);
	shown = show_at(&state, sample, 80, 24);
	assert_true(row_with(shown, 0, "worker") < row_with(shown, 0, "other"));
	assert_true(row_with(shown, 0, "other") < row_with(shown, 0, "shell"));
	assert_true(row_with(shown, 0, "shell") < row_with(shown, 0, "circle")); /* its number is not known */
	row_with(shown, 0, "CPU%v");
	freed(shown);
	assert_int_equal(top_key(&state, 's'), TOP_STAY);
	shown = show_at(&state, sample, 80, 24);
	row_with(shown, 0, "MEMv");
	assert_true(row_with(shown, 0, "circle") < row_with(shown, 0, "worker"));
	freed(shown);
	top_key(&state, 'S');
	top_key(&state, 'r');
	shown = show_at(&state, sample, 80, 24);
	row_with(shown, 0, "CPU%^");
	assert_true(row_with(shown, 0, "shell") < row_with(shown, 0, "other"));
	assert_true(row_with(shown, 0, "worker") < row_with(shown, 0, "circle"));
	freed(shown);
}

static void type(struct top_state *state, const char *text)
{
	for (; *text; text++)
		assert_int_equal(top_key(state, (unsigned char)*text), TOP_STAY);
}

static void a_filter_leaves_the_rows_with_its_text_or_pid(void **unused)
{
	struct top_state state;
	struct shown *shown;

	(void)unused;
	top_state_init(&state, false);
	type(&state, "fWORKx");
	top_key(&state, SCREEN_KEY_BACKSPACE);
	shown = show_at(&state, sample, 80, 24);
	assert_string_equal(shown->rows[23], "rows with: WORK");
	freed(shown);
	assert_int_equal(top_key(&state, SCREEN_KEY_ENTER), TOP_STAY);
	shown = show_at(&state, sample, 120, 24);
	row_with(shown, 0, "worker --all");
	row_with(shown, 0, "filter: WORK");
	assert_false(has(shown, "other"));
	freed(shown);
	top_key(&state, 'f');
	top_key(&state, 0x15);
	type(&state, "13");
	top_key(&state, SCREEN_KEY_ENTER);
	shown = show_at(&state, sample, 80, 24);
	row_with(shown, 0, "other");
	assert_false(has(shown, "worker"));
	freed(shown);
	top_key(&state, 'f');
	top_key(&state, SCREEN_KEY_ESCAPE);
	assert_string_equal(state.filter, "13");
}

static unsigned column_of(const struct shown *shown, const char *text)
{
	const char *row = shown->rows[row_with(shown, 7, text)];

	return (unsigned)(strstr(row, text) - row);
}

static void a_tree_has_children_below_and_behind_their_parents(void **unused)
{
	struct top_state state;
	struct shown *shown;

	(void)unused;
	top_state_init(&state, false);
	top_key(&state, 't');
	shown = show_at(&state, sample, 80, 24);
	assert_int_equal(row_with(shown, 0, "worker"), row_with(shown, 0, "shell") + 1);
	assert_int_equal(column_of(shown, "worker"), column_of(shown, "shell") + 1);
	assert_int_equal(column_of(shown, "other"), column_of(shown, "shell"));
	row_with(shown, 0, "circle"); /* its own parent: it is shown even so */
	freed(shown);
	top_key(&state, '2');
	shown = show_at(&state, sample, 80, 24);
	assert_int_equal(row_with(shown, 0, "a.service"), row_with(shown, 0, "/system.slice") + 1);
	assert_int_equal(column_of(shown, "/system.slice/a"), column_of(shown, "/system.slice2") + 1);
	freed(shown);
}

static void circles_and_deep_chains_of_parents_are_shown_whole(void **unused)
{
	static char text[40000];
	struct top_state state;
	struct shown *shown;
	size_t len = (size_t)sprintf(text, "{\"type\":\"metrics\",\"data\":{\"processes\":[{\"pid\":1,\"ppid\":2},"
					   "{\"pid\":2,\"ppid\":1}");

	(void)unused;
	for (unsigned i = 100; i < 140; i++)
		len += (size_t)sprintf(text + len, ",{\"pid\":%u,\"ppid\":%u}", i, i - 1);
	snprintf(text + len, sizeof(text) - len, "]}}");
	top_state_init(&state, false);
	state.tree = true;
	shown = show_at(&state, text, 80, 64);
	for (unsigned i = 100; i < 140; i++) {
		char pid[16];

		snprintf(pid, sizeof(pid), "    %u ", i);
		row_with(shown, 0, pid);
	}
	row_with(shown, 0, "      1 ");
	row_with(shown, 0, "      2 ");
	freed(shown);
}

static void the_other_lists_have_their_columns(void **unused)
{
	static const struct {
		int key;
		const char *heading, *row;
	} cases[] = {
		{ '2', "CPU%v", "/system.slice2" }, { '3', "BUSY%v", "vda" },	{ '4', "USED%v", "/srv" },
		{ '5', "IN/sv", "eth1" },	    { '1', "CPU%v", "worker" },
	};
	struct top_state state;

	(void)unused;
	top_state_init(&state, false);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct shown *shown;

		top_key(&state, cases[i].key);
		shown = show_at(&state, sample, 80, 24);
		row_with(shown, row_with(shown, 0, cases[i].heading), cases[i].row);
		freed(shown);
	}
	for (unsigned i = 0; i < TOP_VIEWS; i++) {
		assert_int_equal(state.view, i);
		top_key(&state, SCREEN_KEY_TAB);
	}
	assert_int_equal(state.view, 0);
}

static void a_list_is_scrolled_within_its_rows(void **unused)
{
	static char text[20000];
	size_t len = (size_t)sprintf(text, "{\"type\":\"metrics\",\"data\":{\"processes\":[");
	struct top_state state;
	struct shown *shown;

	(void)unused;
	for (unsigned i = 0; i < 100; i++)
		len += (size_t)sprintf(text + len, "%s{\"pid\":%u,\"name\":\"p%03u\",\"cpu_percent\":%u}", i ? "," : "",
				       i, i, 100 - i);
	snprintf(text + len, sizeof(text) - len, "]}}");
	top_state_init(&state, false);
	top_key(&state, SCREEN_KEY_UP);
	assert_int_equal(state.scroll, 0);
	top_key(&state, SCREEN_KEY_DOWN);
	top_key(&state, SCREEN_KEY_PAGE_DOWN);
	shown = show_at(&state, text, 80, 24);
	row_with(shown, 0, "p011");
	assert_false(has(shown, "p010"));
	freed(shown);
	top_key(&state, SCREEN_KEY_END);
	shown = show_at(&state, text, 80, 24);
	assert_string_equal(strstr(shown->rows[22], "p099"), "p099             -");
	freed(shown);
	top_key(&state, SCREEN_KEY_HOME);
	shown = show_at(&state, text, 80, 24);
	row_with(shown, 0, "p000");
	freed(shown);
}

/* Whether a part, as they are separated by two blanks, is in a row whole. */
static bool has_part(const char *row, const char *part)
{
	size_t len = strlen(part);

	for (const char *at = strstr(row, part); at; at = strstr(at + 1, part))
		if (at[len] == '\0' || !strncmp(at + len, "  ", 2))
			return true;
	return false;
}

static void a_part_of_the_head_that_does_not_fit_is_left_out_whole(void **unused)
{
	struct top_state state;
	struct shown *wide;

	(void)unused;
	top_state_init(&state, true);
	wide = show_at(&state, sample, 1000, 24);
	for (unsigned width = 20; width < 200; width++) {
		struct shown *shown = show_at(&state, sample, width, 24);

		for (unsigned y = 0; y < 5; y++) {
			const char *last = shown->rows[y];

			for (const char *at = last; (at = strstr(at, "  ")); at++)
				last = at + 2;
			if (!has_part(wide->rows[y], last))
				fail_msg("%u columns: \"%s\"", width, shown->rows[y]);
		}
		freed(shown);
	}
	freed(wide);
}

static void every_list_has_its_first_column_at_every_size(void **unused)
{
	static const unsigned sizes[][2] = { { 1, 1 },	{ 5, 3 },   { 19, 6 },	 { 20, 6 },    { 20, 13 }, { 40, 14 },
					     { 80, 1 }, { 80, 24 }, { 200, 60 }, { 1000, 50 }, { 80, 6 } };

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		for (unsigned view = 0; view < TOP_VIEWS; view++) {
			struct top_state state;
			struct shown *shown;

			top_state_init(&state, view % 2);
			state.view = (enum top_view)view;
			state.tree = true;
			shown = show_at(&state, sample, sizes[i][0], sizes[i][1]);
			if (sizes[i][0] >= 20 && sizes[i][1] >= 6)
				row_with(shown, 0, top_column_name((enum top_view)view, view == TOP_GROUPS ? 10 : 0));
			else
				assert_memory_equal(shown->rows[0], "too small: 20x6",
						    sizes[i][0] < 9 ? sizes[i][0] : 9);
			freed(shown);
			top_key(&state, '?');
			freed(show_at(&state, sample, sizes[i][0], sizes[i][1]));
			top_key(&state, 'x');
			freed(show_at(&state, NULL, sizes[i][0], sizes[i][1]));
		}
}

static void hostile_samples_show_what_they_have(void **unused)
{
	static const char *const messages[] = {
		"{}",
		"{\"data\":5}",
		"{\"data\":{\"system\":[],\"processes\":{\"a\":1},\"cgroup\":\"x\"}}",
		"{\"data\":{\"system\":{\"cpu\":[],\"memory\":5,\"disk\":{\"usage_stats\":{\"a\":1},\"devices\":[1,"
		"null]},"
		"\"network\":{\"interfaces\":[1,null,{}]},\"hostname\":{}},\"processes\":[1,null,{},[]],"
		"\"cgroup\":[{\"path\":5},{\"path\":\"\"},{}]}}",
		"{\"gap\":\"\\u001b[31m\",\"data\":{\"system\":{\"hostname\":\"\\u001b]0;x\\u0007\","
		"\"cpu\":{\"usage_percent\":-1e308,\"steal_percent\":1e308},\"uptime_seconds\":1e300,"
		"\"memory\":{\"total_kb\":1e300,\"used_kb\":1e300}},"
		"\"processes\":[{\"pid\":1e300,\"name\":\"\\u001b[2J\\u202e\",\"cpu_percent\":1e308,\"memory_kb\":-5}]}"
		"}",
	};

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++)
		for (unsigned view = 0; view < TOP_VIEWS; view++) {
			struct top_state state;
			struct shown *shown;

			top_state_init(&state, true);
			state.view = (enum top_view)view;
			state.tree = true;
			shown = show_at(&state, messages[i], 80, 24);
			row_with(shown, 0, "CPU");
			for (unsigned y = 0; y < shown->height; y++)
				assert_null(strpbrk(shown->rows[y], "\x1b\x07\n"));
			if (i == 4) {
				row_with(shown, 0, "?]0;x?");
				row_with(shown, 0, "1e+308");
			}
			freed(shown);
		}
}

static void text_is_cleaned_and_cut_by_columns(void **unused)
{
	struct grid grid;
	char row[64];

	(void)unused;
	assert_int_equal(grid_init(&grid, 8, 2), 0);
	assert_int_equal(grid_text(&grid, 0, 0, 8, GRID_PLAIN, "a\x1b\xc2\x9b\xe2\x80\xae\xff"), 5);
	grid_row(&grid, 0, row, sizeof(row));
	assert_string_equal(row, "a????");
	assert_int_equal(grid_text(&grid, 1, 1, 4, GRID_PLAIN, "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2"), 4);
	grid_row(&grid, 1, row, sizeof(row));
	assert_string_equal(row, " \xe6\xbc\xa2\xe6\xbc\xa2");
	/* One that does not fit whole is not begun; beyond the grid there is nothing. */
	assert_int_equal(grid_text(&grid, 1, 7, 4, GRID_PLAIN, "\xe6\xbc\xa2"), 0);
	assert_int_equal(grid_text(&grid, 2, 0, 4, GRID_PLAIN, "x"), 0);
	assert_int_equal(grid_text(&grid, 0, 8, 4, GRID_PLAIN, "x"), 0);
	/* An accent of its own has no column. */
	assert_int_equal(grid_width("e\xcc\x81x"), 2);
	grid_done(&grid);
}

static void keys_of_replay_ask_for_their_steps(void **unused)
{
	static const struct {
		int key;
		enum top_wish wish;
		int64_t amount;
	} cases[] = {
		{ 'j', TOP_STEP, 1 },	   { 'k', TOP_STEP, -1 },      { 'J', TOP_MOVE, 60000 },
		{ 'K', TOP_MOVE, -60000 }, { 'L', TOP_MOVE, 3600000 }, { 'H', TOP_MOVE, -3600000 },
	};
	struct top_state state;

	(void)unused;
	top_state_init(&state, true);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(top_key(&state, cases[i].key), cases[i].wish);
		assert_int_equal(state.amount, cases[i].amount);
	}
	type(&state, "g03:12");
	assert_int_equal(top_key(&state, SCREEN_KEY_ENTER), TOP_GO);
	assert_string_equal(state.input, "03:12");
	type(&state, "/cpu.steal_percent > 10");
	assert_int_equal(top_key(&state, SCREEN_KEY_ENTER), TOP_FIND);
	assert_string_equal(state.where, "cpu.steal_percent > 10");
	assert_int_equal(top_key(&state, 'n'), TOP_FIND);
	assert_int_equal(top_key(&state, 'q'), TOP_QUIT);
	/* Of top they are none. */
	top_state_init(&state, false);
	type(&state, "jkJKgGn/");
	assert_int_equal(state.prompt, TOP_PROMPT_NONE);
	type(&state, " ");
	assert_true(state.paused);
}

static void what_is_typed_ends_at_its_bound(void **unused)
{
	struct top_state state;

	(void)unused;
	top_state_init(&state, true);
	top_key(&state, '/');
	for (unsigned i = 0; i < 1000; i++)
		top_key(&state, 'x');
	assert_int_equal(strlen(state.input), TOP_INPUT_MAX - 1);
	freed(show_at(&state, sample, 80, 24));
	top_key(&state, 0x15);
	type(&state, "a\xc3\xa9");
	top_key(&state, SCREEN_KEY_BACKSPACE);
	assert_string_equal(state.input, "a");
	for (unsigned i = 0; i < 3; i++)
		top_key(&state, SCREEN_KEY_BACKSPACE);
	assert_string_equal(state.input, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_head_says_what_the_sample_has_and_a_dash_for_what_is_not_known),
		cmocka_unit_test(steal_and_pressure_are_told_in_colours),
		cmocka_unit_test(processes_are_sorted_by_a_column_and_the_other_way_round),
		cmocka_unit_test(a_filter_leaves_the_rows_with_its_text_or_pid),
		cmocka_unit_test(a_tree_has_children_below_and_behind_their_parents),
		cmocka_unit_test(circles_and_deep_chains_of_parents_are_shown_whole),
		cmocka_unit_test(the_other_lists_have_their_columns),
		cmocka_unit_test(a_list_is_scrolled_within_its_rows),
		cmocka_unit_test(a_part_of_the_head_that_does_not_fit_is_left_out_whole),
		cmocka_unit_test(every_list_has_its_first_column_at_every_size),
		cmocka_unit_test(hostile_samples_show_what_they_have),
		cmocka_unit_test(text_is_cleaned_and_cut_by_columns),
		cmocka_unit_test(keys_of_replay_ask_for_their_steps),
		cmocka_unit_test(what_is_typed_ends_at_its_bound),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
