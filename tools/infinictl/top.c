/* SPDX-License-Identifier: MIT */
/* infinictl top and replay: the loop between the terminal and what is shown on it. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "tools/infinictl/access.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/reading.h"
#include "tools/infinictl/text.h"
#include "tools/infinictl/timespec.h"
#include "tools/infinictl/top_live.h"
#include "tools/infinictl/top_past.h"
#include "tools/infinictl/top_view.h"
#include "tools/show/screen.h"
#include "tools/show/show.h"

#define LOG_EVERY_MS	250
#define LIVE_EVERY_MS	500
#define PAST_EVERY_MS	60000
#define INTERVAL_MS_MIN 1000

static const char top_help_words[] =
	"infinictl top [OPTION]...\n"
	"\n"
	"The machine on a screen: processors with steal and pressure, memory, disks, network, and a list of "
	"processes,\n"
	"control groups, disks, file systems or interfaces. From the running agent as it samples; while none runs, "
	"from\n"
	"the log. The keys are shown by ?.\n"
	"\n"
	"  --socket PATH    the agent's socket (default: socket.path of the configuration)\n"
	"  --interval SPAN  ask the agent for a sample that often, 1s or more (they enter its log too; default: as it\n"
	"                   samples by itself)\n"
	"  --dir DIR        the newest sample of this log, and no agent\n"
	"  --utc            times in UTC\n"
	"\n"
	"Exit status: 0 done, 1 failed (no terminal, neither an agent nor a log), 2 wrong use.\n";

static const char replay_help_words[] =
	"infinictl replay [OPTION]... [FILE]...\n"
	"\n"
	"The screen of infinictl top over the log: j and k go on and back by a sample, J and K by a minute, L and H by "
	"an\n"
	"hour, g goes to a time, / to the next sample for which a condition holds. All keys are shown by ?.\n"
	"\n"
	"  --dir DIR       the log of another directory (default: log.dir of the configuration)\n"
	"  --begin TIME    start at this time (default: at the newest sample)\n"
	"  --end TIME      up to this time, not included\n"
	"  --utc           times in UTC\n"
	"\n"
	"TIME, and the condition of /: as with infinictl log.\n"
	"\n"
	"Exit status: 0 done, 1 failed (no terminal, no sample), 2 wrong use.\n";

struct top {
	struct top_state state;
	struct config config;
	const char *socket, *dir;
	int64_t begin_ms, end_ms, interval_ms;
	struct live *live;		  /* of top */
	struct past *past;		  /* of replay */
	struct json_object *shown, *next; /* next: came while paused */
	int64_t next_ms;
	bool finding, dirty;
	int signals, signal; /* a signalfd; the signal that ends it, 0: none */
	sigset_t mask;	     /* as it was before */
};

/* -------------------------------------------------------------------------------------------------------- samples */

__attribute__((format(printf, 2, 3))) static void say(struct top *top, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(top->state.message, sizeof(top->state.message), format, args);
	va_end(args);
	top->dirty = true;
}

static void show_sample(struct top *top, struct json_object *sample, int64_t wall_ms)
{
	json_object_put(top->shown);
	top->shown = sample;
	top->state.wall_ms = wall_ms;
	top->dirty = true;
}

/* Takes what has come; while paused it is put aside. */
static void take_live(struct top *top)
{
	struct json_object *sample;
	int64_t wall_ms;

	if (live_take(top->live, clock_ns(CLOCK_MONOTONIC), &sample, &wall_ms) == 1) {
		json_object_put(top->next);
		top->next = sample;
		top->next_ms = wall_ms;
	}
	if (strcmp(top->state.source, live_source(top->live)) != 0) {
		say(top, "%s", top->state.source[0] ? live_source(top->live) : "");
		snprintf(top->state.source, sizeof(top->state.source), "%s", live_source(top->live));
	}
	if (top->next && !top->state.paused)
		show_sample(top, TAKE_PTR(top->next), top->next_ms);
}

/* What past_after and past_before returned. */
static void take_past(struct top *top, int rc, struct json_object *sample, int64_t wall_ms, const char *none)
{
	if (rc == 1)
		show_sample(top, sample, wall_ms);
	else if (rc == 0)
		say(top, "%s", none);
	else
		say(top, "the log cannot be read: %s", strerror(-rc));
}

/* The first sample at or after a time or, when there is none, the last one before. */
static void go(struct top *top, int64_t wall_ms)
{
	struct json_object *sample = NULL;
	int64_t found_ms = 0;
	int rc = past_after(top->past, wall_ms > INT64_MIN ? wall_ms - 1 : wall_ms, &sample, &found_ms);

	if (rc == 0)
		rc = past_before(top->past, wall_ms, &sample, &found_ms);
	take_past(top, rc, sample, found_ms, "the log has no sample");
}

static void step(struct top *top, int64_t amount)
{
	struct json_object *sample = NULL;
	int64_t found_ms = 0;
	int rc = amount > 0 ? past_after(top->past, top->state.wall_ms, &sample, &found_ms)
			    : past_before(top->past, top->state.wall_ms, &sample, &found_ms);

	take_past(top, rc, sample, found_ms, amount > 0 ? "this is the newest sample" : "this is the first sample");
}

/* At least so far: on to the first sample there or behind, back to the last one there or before. */
static void move(struct top *top, int64_t amount_ms)
{
	struct json_object *sample = NULL;
	int64_t found_ms = 0, wanted_ms = top->state.wall_ms + amount_ms;
	int rc = amount_ms > 0 ? past_after(top->past, wanted_ms - 1, &sample, &found_ms)
			       : past_before(top->past, wanted_ms + 1, &sample, &found_ms);

	take_past(top, rc, sample, found_ms, amount_ms > 0 ? "no sample so much later" : "no sample so much earlier");
}

static void go_to_text(struct top *top)
{
	struct err err = { 0 };
	int64_t wall_ms;

	if (timespec_parse(top->state.input, moment_now().wall_ms, &wall_ms, &err))
		say(top, "%s", err.text);
	else
		go(top, wall_ms);
}

static void find_more(struct top *top)
{
	char time[TEXT_TIME_SIZE];
	struct json_object *sample = NULL;
	int64_t found_ms = top->state.wall_ms;
	int rc = past_find(top->past, &sample, &found_ms);

	text_time(found_ms, top->state.utc, true, time);
	top->finding = rc == -EAGAIN;
	if (top->finding)
		say(top, "looking, up to %s; a key ends it", time);
	else
		take_past(top, rc, sample, found_ms, "no later sample for which it holds");
}

static void find(struct top *top)
{
	struct err err = { 0 };

	if (past_find_begin(top->past, top->state.wall_ms, top->state.where, &err))
		say(top, "%s", err.text);
	else
		top->finding = true;
}

/* ----------------------------------------------------------------------------------------------------------- loop */

/* False: it is to end. */
static bool on_key(struct top *top, int key)
{
	struct json_object *sample = NULL;
	int64_t found_ms = 0;
	int rc;

	top->finding = false;
	top->dirty = true;
	switch (top_key(&top->state, key)) {
	case TOP_QUIT:
		return false;
	case TOP_STEP:
		step(top, top->state.amount);
		break;
	case TOP_MOVE:
		move(top, top->state.amount);
		break;
	case TOP_GO:
		go_to_text(top);
		break;
	case TOP_LAST:
		rc = past_before(top->past, INT64_MAX, &sample, &found_ms);
		take_past(top, rc, sample, found_ms, "the log has no sample");
		break;
	case TOP_FIND:
		find(top);
		break;
	case TOP_STAY:
		break;
	}
	return true;
}

/* False: one of those that end it. */
static bool on_signals(struct top *top)
{
	struct signalfd_siginfo info;

	while (read(top->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGWINCH) {
			top->signal = (int)info.ssi_signo;
			return false;
		}
		screen_resize();
		top->dirty = true;
	}
	return true;
}

static int draw(struct top *top)
{
	unsigned width, height;
	struct grid grid;

	screen_size(&width, &height);
	if (grid_init(&grid, width, height))
		return -ENOMEM;
	top_layout(&top->state, top->shown, &grid);
	screen_draw(&grid);
	grid_done(&grid);
	top->dirty = false;
	return 0;
}

static int run(struct top *top)
{
	for (;;) {
		struct pollfd polled[] = { { .fd = STDIN_FILENO, .events = POLLIN },
					   { .fd = top->signals, .events = POLLIN },
					   { .fd = top->live ? live_fd(top->live) : -1, .events = POLLIN } };
		int wait = !top->live ? PAST_EVERY_MS : polled[2].fd < 0 ? LOG_EVERY_MS : LIVE_EVERY_MS, key;

		if (top->dirty && draw(top))
			return -ENOMEM;
		poll(polled, ARRAY_SIZE(polled), top->finding ? 0 : wait);
		if (!on_signals(top))
			return 0;
		while ((key = screen_key()) != SCREEN_KEY_NONE)
			if (!on_key(top, key))
				return 0;
		if (polled[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return 0; /* the terminal is gone */
		if (top->live)
			take_live(top);
		if (top->finding)
			find_more(top);
	}
}

/* Signals are read where the loop waits, so that each of them finds the terminal in order. */
static int take_signals(struct top *top)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(taken); i++)
		sigaddset(&set, taken[i]);
	if (sigprocmask(SIG_BLOCK, &set, &top->mask))
		return -errno;
	top->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return top->signals < 0 ? -errno : 0;
}

/* Who sent a signal that ends programs sees that it ended this one. Ctrl-C is as good as q. */
static void end_signals(struct top *top)
{
	if (top->signals >= 0)
		close(top->signals);
	sigprocmask(SIG_SETMASK, &top->mask, NULL);
	if (top->signal == SIGTERM || top->signal == SIGHUP) {
		signal(top->signal, SIG_DFL); /* ncurses has set a handler of its own, which exits */
		raise(top->signal);
	}
}

static int on_screen(struct top *top)
{
	struct err err = { 0 };
	int rc = take_signals(top);

	if (rc)
		return cli_fail("signals: %s", strerror(-rc));
	rc = screen_begin(show_colored(stdout, "auto"), &err);
	if (!rc) {
		top->dirty = true;
		rc = run(top);
		screen_end();
		if (rc)
			err_set(&err, rc, "out of memory");
	}
	end_signals(top);
	return rc ? cli_fail("%s", err.text) : CLI_OK;
}

/* -------------------------------------------------------------------------------------------------------- options */

static int take_option(struct top *top, int option, char *const argv[])
{
	struct err err = { 0 };

	switch (option) {
	case 'd':
		top->dir = optarg;
		return CLI_OK;
	case 'u':
		top->state.utc = true;
		return CLI_OK;
	case 's':
		top->socket = optarg;
		return CLI_OK;
	case 'b':
		return cli_time_option("begin", optarg, &top->begin_ms);
	case 'e':
		return cli_time_option("end", optarg, &top->end_ms);
	case 'i':
		if (timespec_duration(optarg, &top->interval_ms, &err))
			return cli_usage("--interval: %s", err.text);
		if (top->interval_ms < INTERVAL_MS_MIN)
			return cli_usage("--interval: at least 1s");
		return CLI_OK;
	default:
		return cli_wrong_option(option, argv);
	}
}

/* CLI_OK, CLI_USAGE after the error, or -1 after the help. */
static int parse_options(struct top *top, int argc, char **argv)
{
	static const struct option live_options[] = {
		{ "socket", required_argument, NULL, 's' }, { "interval", required_argument, NULL, 'i' },
		{ "dir", required_argument, NULL, 'd' },    { "utc", no_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },	    { NULL, 0, NULL, 0 },
	};
	static const struct option past_options[] = {
		READING_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, rc = CLI_OK;

	while (!rc &&
	       (option = getopt_long(argc, argv, ":h", top->state.replay ? past_options : live_options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(top->state.replay ? replay_help_words : top_help_words) ? CLI_FAILED : -1;
		rc = take_option(top, option, argv);
	}
	if (!rc && !top->state.replay && optind < argc)
		return cli_usage("top takes no \"%.50s\"; replay shows files", argv[optind]);
	if (!rc && !top->state.replay && top->dir && (top->socket || top->interval_ms))
		return cli_usage("either --dir, or an agent with --socket or --interval");
	if (!rc && top->dir && optind < argc)
		return cli_usage("either --dir or files");
	return rc;
}

static int fail_open(int rc, const char *path, const struct err *err)
{
	cli_fail("%s", err->text);
	if (rc == -EACCES)
		access_hint(path, "infiniservice");
	return CLI_FAILED;
}

static int show_live(struct top *top)
{
	const char *dir = top->dir ? top->dir : top->config.log.dir, *socket = top->dir	     ? NULL
									       : top->socket ? top->socket
											     : top->config.socket.path;
	struct err err = { 0 };
	int rc = live_open(socket, dir, top->interval_ms, &top->live, &err);

	if (rc)
		return fail_open(rc, dir, &err);
	take_live(top);
	return on_screen(top);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int show_past(struct top *top, int count, char **files)
{
	char left_out[2 * TOP_MESSAGE_MAX];
	struct err err = { 0 };
	int rc;

	if (count == 1 && is_directory(files[0])) {
		top->dir = files[0];
		count = 0;
	}
	if (!top->dir && count == 0)
		top->dir = top->config.log.dir;
	rc = past_open(top->dir, files, count, top->end_ms, &top->past, &err);
	if (rc)
		return fail_open(rc, top->dir ? top->dir : files[0], &err);
	if (top->begin_ms == INT64_MIN)
		on_key(top, 'G');
	else
		go(top, top->begin_ms);
	rc = top->shown ? on_screen(top) : cli_fail("%s: %s", top->dir ? top->dir : files[0], top->state.message);
	if (past_left_out(top->past, left_out, sizeof(left_out)))
		cli_fail("%s", left_out);
	return rc;
}

static int show_main(int argc, char **argv, bool replay)
{
	_cleanup_(freep) struct top *top = calloc(1, sizeof(*top));
	int rc;

	if (!top)
		return cli_fail("out of memory");
	top_state_init(&top->state, replay);
	top->begin_ms = INT64_MIN;
	top->end_ms = INT64_MAX;
	top->signals = -1;
	rc = parse_options(top, argc, argv);
	if (rc)
		return rc < 0 ? CLI_OK : rc;
	if (config_init(&top->config))
		return cli_fail("out of memory");
	config_load(&top->config, NULL, NULL, NULL, NULL); /* as far as it may be read; else the defaults stay */
	rc = replay ? show_past(top, argc - optind, argv + optind) : show_live(top);
	json_object_put(top->shown);
	json_object_put(top->next);
	live_free(top->live);
	past_free(top->past);
	config_free(&top->config);
	return rc;
}

int top_main(int argc, char **argv)
{
	return show_main(argc, argv, false);
}

int replay_main(int argc, char **argv)
{
	return show_main(argc, argv, true);
}
