/* SPDX-License-Identifier: MIT */
/* Reads and checks a script that a host has sent: its interpreter, its text, its environment. Pure. */
#ifndef AGENT_ACTIONS_SCRIPT_READ_H
#define AGENT_ACTIONS_SCRIPT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* A script as received. The texts are borrowed from the message. */
struct script {
	const char *id, *content, *shell, *run_as;
	size_t content_len;
	struct json_object *inputs; /* object, or NULL */
	int64_t timeout_s;	    /* 0: the default */
};

/* Fills `script` from one item of a list. NULL when it can be run; else why not. */
const char *script_read(struct json_object *item, struct script *script);

/* Reads a text member into *ret: NULL when it is absent or null. False when it is not a text or holds a NUL. */
bool script_text(struct json_object *object, const char *key, const char **ret);

/*
 * The environment variables for the inputs (NULL: none), as an object of texts, owned by the caller. Each input gets
 * both INPUT_name and INPUT_NAME, as people write either.
 */
struct json_object *script_environment(struct json_object *inputs);

/* The program name for `shell` (upper or lower case; NULL: sh). NULL when there is no such interpreter. */
const char *script_interpreter(const char *shell);

/*
 * Writes INPUT_ and the name, with every character but letters and digits replaced by '_'; with `capitals` in upper
 * case. False when it does not fit.
 */
bool script_input_name(const char *name, bool capitals, char *out, size_t size);

#endif
