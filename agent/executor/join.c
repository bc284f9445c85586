/* SPDX-License-Identifier: MIT */
#include "agent/executor/join.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/join_rule.h"
#include "agent/rules/surroundings.h"
#include "agent/runner/protocol.h"

static bool find_realm(char *out, size_t size)
{
	for (size_t i = 0; runner_directories[i]; i++)
		if (snprintf(out, size, "%s/realm", runner_directories[i]) < (int)size && access(out, X_OK) == 0)
			return true;
	return false;
}

/* A pipe on stdin that holds the whole password and then ends. 0 or -errno. */
static int give_password(const char *password)
{
	int ends[2], error = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (dprintf(ends[1], "%s\n", password) < 0 || dup2(ends[0], STDIN_FILENO) < 0)
		error = errno;
	close(ends[0]);
	close(ends[1]);
	return -error;
}

int join_main(int argc, char *argv[])
{
	static char text[JOIN_INPUT_MAX + 1];
	char realm[64], user[JOIN_USER_MAX + 8], unit[JOIN_UNIT_MAX + 16], computer[JOIN_COMPUTER_MAX + 24];
	char join[] = "join", unattended[] = "--unattended", end[] = "--", domain[JOIN_DOMAIN_MAX + 1];
	struct join_request request;
	char *words[9];
	size_t count = 0;
	ssize_t len = argc == 1 ? pread(RUNNER_INPUT_FD, text, JOIN_INPUT_MAX, 0) : -1;
	int r;

	(void)argv;
	if (len <= 0 || !join_parse(text, (size_t)len, &request)) {
		fputs("usage: infiniservice-exec join, with what it is about as the command's input\n", stderr);
		return 2;
	}
	close(RUNNER_INPUT_FD);
	if (!find_realm(realm, sizeof(realm))) {
		fputs("realm is not installed (package realmd)\n", stderr);
		return 1;
	}
	words[count++] = realm;
	words[count++] = join;
	words[count++] = unattended;
	snprintf(user, sizeof(user), "--user=%s", request.parts[JOIN_USER]);
	words[count++] = user;
	snprintf(unit, sizeof(unit), "--computer-ou=%s", request.parts[JOIN_UNIT]);
	if (*request.parts[JOIN_UNIT])
		words[count++] = unit;
	snprintf(computer, sizeof(computer), "--computer-name=%s", request.parts[JOIN_COMPUTER]);
	if (*request.parts[JOIN_COMPUTER])
		words[count++] = computer;
	snprintf(domain, sizeof(domain), "%s", request.parts[JOIN_DOMAIN]);
	words[count++] = end;
	words[count++] = domain;
	words[count] = NULL;
	r = give_password(request.parts[JOIN_PASSWORD]);
	explicit_bzero(text, sizeof(text));
	if (r == 0) {
		execv(realm, words);
		r = -errno;
	}
	fprintf(stderr, "realm could not be started: %s\n", strerror(-r));
	return 1;
}
