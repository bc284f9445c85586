/* SPDX-License-Identifier: MIT */
/*
 * The messages that a host sends, made from the words of a command line. Objects belong to the caller; an int is 0,
 * -EINVAL for invalid words, or -ENOMEM.
 */
#ifndef INFINIHOST_REQUEST_H
#define INFINIHOST_REQUEST_H

#include <stdint.h>

#include <json-c/json.h>

/*
 * The time limit to send, in whole seconds, so that a command has `seconds` before it is asked to end: the agent keeps
 * a reserve for itself and for the asking (transport/PROTOCOL.md, "response").
 */
int64_t request_time_limit(double seconds);

/* A message of this type with its id and the time limit for a command of so many seconds; NULL without memory. */
struct json_object *request_new(const char *type, const char *id, double timeout_s);

/* Adds a string member; a NULL text adds nothing. */
int request_add_text(struct json_object *into, const char *key, const char *text);

/* SafeCommand of the action words[0] with the parameters "key=value" that follow. NULL after saying why. */
struct json_object *request_action(const char *id, double timeout_s, int count, char **words);

/*
 * "key=value" as a member of `into`: the value as JSON if all of it is a number, a boolean, null, a string in double
 * quotes, an object or an array, else as a string. The key "action" is none.
 */
int request_parameter(struct json_object *into, const char *text);

/*
 * The words of a command as one shell line: one word as it is, several each quoted for sh. To be freed; NULL: no
 * memory.
 */
char *request_shell_line(int count, char **words);

#endif
