/* SPDX-License-Identifier: MIT */
/* Who is logged in: the files of systemd-logind(8) and utmp(5), parsed. */
#ifndef COLLECTORS_USERS_H
#define COLLECTORS_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USERS_TEXT_MAX 64

struct login {
	char user[USERS_TEXT_MAX];
	char tty[USERS_TEXT_MAX];     /* "" where it has none */
	char host[USERS_TEXT_MAX];    /* the remote one, "" where there is none */
	char service[USERS_TEXT_MAX]; /* of PAM, "sshd"; "" where it is not known */
	char class[USERS_TEXT_MAX];   /* of logind, "user", "greeter", "manager"; "" of utmp */
	int64_t since_ms;	      /* wall clock; 0: not known */
	bool closing;		      /* logged out, and something of it still runs */
};

/* A file /run/systemd/sessions/ID: lines KEY=VALUE. False: it names no user. */
bool login_parse(const char *text, size_t len, struct login *out);

/* One struct utmp (its size is sizeof(struct utmp) of this machine). False: it is no login of a user. */
bool utmp_login(const void *record, struct login *out);

#endif
