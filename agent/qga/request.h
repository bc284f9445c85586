/* SPDX-License-Identifier: MIT */
/*
 * A request of the QEMU guest agent's language, {"execute": NAME, "arguments": {...}, "id": ANY}, and its arguments by
 * a command's own list of them. Faults are texts as qemu-ga words them (qapi/qmp-dispatch.c, qobject-input-visitor.c).
 */
#ifndef AGENT_QGA_REQUEST_H
#define AGENT_QGA_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

#define QGA_FAULT_SIZE 256

struct qga_request {
	struct json_object *root;
	const char *command;	       /* in root; NULL: there is none */
	struct json_object *arguments; /* in root; NULL: none */
	struct json_object *id;	       /* in root; to be given back with the answer if has_id */
	bool has_id;
};

/*
 * Reads one valid JSON object (json_check.h). 0; -EBADMSG with a text in `fault` and the id, if there is one, in *ret;
 * -ENOMEM likewise. In all cases *ret is to be freed.
 */
int qga_request_parse(const char *text, size_t len, struct qga_request *ret, char fault[QGA_FAULT_SIZE]);

/* Accepts zeroed memory. */
void qga_request_free(struct qga_request *request);

enum qga_param_type {
	QGA_INTEGER, /* that fits an int64 */
	QGA_TEXT,
	QGA_BOOL,
	QGA_LIST,
	QGA_OBJECT,
	QGA_ANY, /* its command looks at it */
};

struct qga_param {
	const char *name; /* NULL ends the list */
	enum qga_param_type type;
	bool required;
};

/* Whether the arguments are those of the list, and of their types. False with a text in `fault`. */
bool qga_request_check(const struct qga_request *request, const struct qga_param *params, char fault[QGA_FAULT_SIZE]);

/* Of a checked request. The default is for an argument that is not there. */
int64_t qga_request_integer(const struct qga_request *request, const char *name, int64_t fallback);
const char *qga_request_text(const struct qga_request *request, const char *name, const char *fallback);
bool qga_request_bool(const struct qga_request *request, const char *name, bool fallback);
/* A list or object; NULL: not there. */
struct json_object *qga_request_get(const struct qga_request *request, const char *name);

#endif
