/* SPDX-License-Identifier: MIT */
/*
 * What a host sends as a script, judged and made ready: which interpreter, which text, which environment. Pure.
 */
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

/* A text member, NULL when it is absent or null; false when it is something else or holds a NUL. */
bool script_text(struct json_object *object, const char *key, const char **ret);

/*
 * The variables that hold the inputs (NULL: none), as an object of texts: both INPUT_name and INPUT_NAME, people write
 * either.
 */
struct json_object *script_environment(struct json_object *inputs);

/* The name of the program that `shell` (any case, NULL: sh) means, NULL when there is none such. */
const char *script_interpreter(const char *shell);

/* INPUT_ and the name with everything but letters and digits made '_'; `capitals` too. False when it does not fit. */
bool script_input_name(const char *name, bool capitals, char *out, size_t size);

#endif
