/* SPDX-License-Identifier: MIT */
#include "agent/executor/join.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/executor/protocol.h"
#include "agent/executor/surroundings.h"

#define DOMAIN_MAX   253
#define USER_MAX     256
#define PASSWORD_MAX 1024
#define UNIT_MAX     1024
#define COMPUTER_MAX 63
#define NAMES	     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

/* Of letters, digits and hyphens (and `more`), not beginning with a hyphen or a dot. */
static bool is_name(const char *text, const char *more, size_t max)
{
	char allowed[sizeof(NAMES) + 8];
	size_t len = strlen(text);

	snprintf(allowed, sizeof(allowed), "%s%s", NAMES, more);
	return len > 0 && len <= max && *text != '-' && *text != '.' && strspn(text, allowed) == len;
}

/* Any text of one line: what begins with a hyphen is an option to nobody, since it stands behind a "=". */
static bool is_line(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return len <= max;
}

bool join_part_valid(enum join_part part, const char *text)
{
	switch (part) {
	case JOIN_DOMAIN:
		return is_name(text, ".", DOMAIN_MAX);
	case JOIN_USER:
		return *text && *text != '-' && is_line(text, USER_MAX);
	case JOIN_PASSWORD:
		return *text && is_line(text, PASSWORD_MAX);
	case JOIN_UNIT:
		return is_line(text, UNIT_MAX);
	case JOIN_COMPUTER:
		return !*text || is_name(text, "", COMPUTER_MAX);
	default:
		return false;
	}
}

bool join_parse(const char *text, size_t len, struct join_request *ret)
{
	size_t at = 0;

	for (unsigned part = 0; part < JOIN_PARTS; part++) {
		const char *end = at < len ? memchr(text + at, '\0', len - at) : NULL;

		if (!end || !join_part_valid((enum join_part)part, text + at))
			return false;
		ret->parts[part] = text + at;
		at = (size_t)(end - text) + 1;
	}
	return at == len;
}

static bool find_realm(char *out, size_t size)
{
	for (size_t i = 0; executor_directories[i]; i++)
		if (snprintf(out, size, "%s/realm", executor_directories[i]) < (int)size && access(out, X_OK) == 0)
			return true;
	return false;
}

/* A pipe holds it whole, and has an end. */
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
	char realm[64], user[USER_MAX + 8], unit[UNIT_MAX + 16], computer[COMPUTER_MAX + 24];
	char join[] = "join", unattended[] = "--unattended", end[] = "--", domain[DOMAIN_MAX + 1];
	struct join_request request;
	char *words[9];
	size_t count = 0;
	ssize_t len = argc == 1 ? pread(EXECUTOR_INPUT_FD, text, JOIN_INPUT_MAX, 0) : -1;
	int r;

	(void)argv;
	if (len <= 0 || !join_parse(text, (size_t)len, &request)) {
		fputs("usage: infiniservice-exec join, with what it is about as the command's input\n", stderr);
		return 2;
	}
	close(EXECUTOR_INPUT_FD);
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
