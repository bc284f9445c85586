/* SPDX-License-Identifier: MIT */
/*
 * How long the agent takes to answer a keep-alive, against a bare echo of the same line over the same kind of socket,
 * both pinned to one CPU (else it is mostly the wake-up of the other one that is measured). `round_trip CPU AGENT
 * [PEER]`: the agent connects to the socket AGENT; PEER, if given, is where a qemu-ga listens. Rounds alternate; prints
 * median and 99th percentile in microseconds.
 */
#include <signal.h>
#include <sys/wait.h>

#include <infiniservice/moment.h>

#include "measure.h"

#define ROUNDS	  20
#define PER_ROUND 500

struct channel {
	const char *name, *line;
	int fd;
	double us[ROUNDS * PER_ROUND];
	unsigned count;
};

static struct channel echo = {
	.name = "echo",
	.line = "{\"type\":\"keep_alive_request\",\"sequence_number\":1,\"timestamp\":\"2026-01-01T00:00:00.000Z\"}\n",
};
static struct channel agent = {
	.name = "agent",
	.line = "{\"type\":\"keep_alive_request\",\"sequence_number\":1,\"timestamp\":\"2026-01-01T00:00:00.000Z\"}\n",
};
static struct channel peer = { .name = "qemu-ga", .line = "{\"execute\":\"guest-ping\"}\n" };

static void read_line(int fd)
{
	static char text[65536];
	ssize_t n;

	do {
		n = read(fd, text, sizeof(text));
		if (n <= 0)
			give_up("read");
	} while (text[n - 1] != '\n');
}

static void echo_serve(const char *path)
{
	char text[4096];
	int fd = socket_connect(path);
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		send_text(fd, text, (size_t)n);
	_exit(EXIT_SUCCESS);
}

/* An echo server behind a socket of a file system name, as the agent's host is. */
static void echo_start(const char *beside)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int listener;

	snprintf(path, sizeof(path), "%s.echo", beside);
	listener = socket_listen(path);
	if (fork() == 0)
		echo_serve(path);
	echo.fd = accept(listener, NULL, NULL);
	close(listener);
	unlink(path);
}

static void ask(struct channel *channel, bool count)
{
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

	send_text(channel->fd, channel->line, strlen(channel->line));
	read_line(channel->fd);
	if (count)
		channel->us[channel->count++] = (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1000;
}

static void round_of(struct channel *channel)
{
	for (unsigned i = 0; i < 20; i++)
		ask(channel, false);
	for (unsigned i = 0; i < PER_ROUND; i++)
		ask(channel, true);
}

static void tell(struct channel *channel)
{
	double p50 = median(channel->us, channel->count), p99 = quantile(channel->us, channel->count, 0.99);

	printf("%s %.2f %.2f\n", channel->name, p50, p99);
}

/* What an agent says by itself at the start of a session has passed when nothing came for a while. */
static void drain(int fd)
{
	struct timeval pause = { .tv_usec = 700000 }, none = { 0 };
	char text[4096];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause));
	while (read(fd, text, sizeof(text)) > 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: round_trip CPU AGENT [PEER]\n", stderr);
		return EXIT_FAILURE;
	}
	pin_to((unsigned)atoi(argv[1]));
	signal(SIGPIPE, SIG_IGN);
	echo_start(argv[2]);
	agent.fd = socket_accept(argv[2]);
	drain(agent.fd);
	if (argc > 3)
		peer.fd = socket_connect(argv[3]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		round_of(&echo);
		round_of(&agent);
		if (argc > 3)
			round_of(&peer);
	}
	tell(&echo);
	tell(&agent);
	if (argc > 3)
		tell(&peer);
	return EXIT_SUCCESS;
}
