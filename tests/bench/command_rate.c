/* SPDX-License-Identifier: MIT */
/*
 * How many UnsafeCommands a second the whole agent runs, asked over its socket, against posix_spawn of the same argv,
 * as many in flight. Rounds alternate, medians are compared. `command_rate PATH [COMMANDS [ROUNDS [IN_FLIGHT
 * [HANG_UP]]]]`: the agent connects to the socket PATH and has to allow unsafe commands. With HANG_UP the host leaves
 * after as many answers, with commands in flight, which are counted as done though nobody hears of them, and is there
 * again at once.
 */
#include "spawn_floor.h"

#define ROUNDS_MAX 64

static int listener, host;
static size_t text_len; /* of answers not looked at yet */

static void ask(void)
{
	static unsigned id;
	char line[256];
	int len =
		snprintf(line, sizeof(line),
			 "{\"type\":\"UnsafeCommand\",\"id\":\"c%u\",\"raw_command\":\"true\",\"timeout\":30}\n", ++id);

	send_text(host, line, (size_t)len);
}

static bool is_answer(const char *line)
{
	if (!strstr(line, "\"type\":\"response\""))
		return false;
	if (strstr(line, "\"success\":true"))
		return true;
	fprintf(stderr, "%s\n", line);
	exit(EXIT_FAILURE);
}

/* Reads what there is and counts the responses in it. */
static unsigned answers_read(void)
{
	static char text[1 << 20];
	unsigned answers = 0;
	char *line = text, *newline;
	ssize_t n = read(host, text + text_len, sizeof(text) - text_len);

	if (n <= 0)
		give_up("read");
	text_len += (size_t)n;
	while ((newline = memchr(line, '\n', (size_t)(text + text_len - line)))) {
		*newline = '\0';
		answers += is_answer(line);
		line = newline + 1;
	}
	text_len -= (size_t)(line - text);
	memmove(text, line, text_len);
	return answers;
}

static void host_enter(void)
{
	text_len = 0;
	host = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (host < 0)
		give_up("accept");
}

static double agent_round(unsigned total, unsigned in_flight, unsigned hang_up)
{
	unsigned heard = 0;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	unsigned begun = 0, done = 0;

	for (; begun < in_flight && begun < total; begun++)
		ask();
	while (done < total) {
		unsigned answers = answers_read();

		heard += answers;
		if (hang_up && heard >= hang_up && done + answers < total) {
			close(host);
			host_enter();
			answers = begun - done;
			heard = 0;
		}
		for (done += answers; answers && begun < total; answers--, begun++)
			ask();
	}
	return total / ((double)(clock_ns(CLOCK_MONOTONIC) - begin) / 1e9);
}

int main(int argc, char **argv)
{
	unsigned total = argument(argc, argv, 2, 1000, 1000000), rounds = argument(argc, argv, 3, 7, ROUNDS_MAX);
	unsigned in_flight = argument(argc, argv, 4, 5, FLIGHT_MAX);
	unsigned hang_up = argc > 5 ? argument(argc, argv, 5, 100, 1000000) : 0;
	double floors[ROUNDS_MAX], agents[ROUNDS_MAX], ratios[ROUNDS_MAX];

	if (argc < 2)
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	listener = socket_listen(argv[1]);
	host_enter();
	agent_round(50, in_flight, 0);
	for (unsigned i = 0; i < rounds; i++) {
		floors[i] = floor_round(total, in_flight);
		agents[i] = agent_round(total, in_flight, hang_up);
		ratios[i] = agents[i] / floors[i];
	}
	printf("sh -c true, %u in flight, %u commands, median of %u rounds\n", in_flight, total, rounds);
	printf("floor (posix_spawn) %.0f/s   agent %.0f/s   ratio %.2f\n", median(floors, rounds),
	       median(agents, rounds), median(ratios, rounds));
	return EXIT_SUCCESS;
}
