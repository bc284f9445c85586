/* SPDX-License-Identifier: MIT */
/* set-user-password and ssh-*-authorized-keys: secrets go to the verbs as their input, never as words. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/base64.h"
#include "agent/qga/root.h"
#include "agent/qga/table.h"

#define INPUT_SIZE (256 << 10)

static const struct qga_param password_params[] = { { "username", QGA_TEXT, true },
						    { "password", QGA_TEXT, true },
						    { "crypted", QGA_BOOL, true },
						    { NULL, QGA_TEXT, false } };
static const struct qga_param get_params[] = { { "username", QGA_TEXT, true }, { NULL, QGA_TEXT, false } };
static const struct qga_param add_params[] = { { "username", QGA_TEXT, true },
					       { "keys", QGA_LIST, true },
					       { "reset", QGA_BOOL, false },
					       { NULL, QGA_TEXT, false } };
static const struct qga_param remove_params[] = { { "username", QGA_TEXT, true },
						  { "keys", QGA_LIST, true },
						  { NULL, QGA_TEXT, false } };

/* Texts behind each other, each ended by NUL. */
struct input {
	char bytes[INPUT_SIZE];
	size_t len;
};

/* False: there is no room, or the text has a NUL within. */
static bool input_add(struct input *input, const char *text, size_t len)
{
	if (len + 1 > sizeof(input->bytes) - input->len || memchr(text, '\0', len))
		return false;
	memcpy(input->bytes + input->len, text, len);
	input->len += len;
	input->bytes[input->len++] = '\0';
	return true;
}

static void on_done(struct qga_call *call, const struct exec_outcome *outcome)
{
	if (qga_root_succeeded(call, outcome))
		qga_return_nothing(call);
}

static bool flag(const struct qga_call *call, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(call->request.arguments, name, &value) && json_object_get_boolean(value);
}

static void run_password(struct qga_call *call)
{
	bool keep_root = call->env->config->qga.deny_root_password;
	const char *const words[] = { "password", keep_root ? "keep-root" : "any-user",
				      flag(call, "crypted") ? "crypted" : NULL, NULL };
	const char *user = qga_request_text(&call->request, "username", ""),
		   *coded = qga_request_text(&call->request, "password", "");
	struct input *input = calloc(1, sizeof(*input));
	char password[4096];
	ssize_t len = base64_decode(coded, password, sizeof(password));

	if (len < 0)
		qga_fail(call, "failed to decode the password: invalid base64");
	else if (!input || !input_add(input, user, strlen(user)) || !input_add(input, password, (size_t)len))
		qga_fail(call, input ? "the password or the name cannot be used" : "out of memory");
	else
		qga_root_run(call, words, input->bytes, input->len, on_done);
	explicit_bzero(password, sizeof(password));
	if (input)
		explicit_bzero(input, sizeof(*input));
	free(input);
}

/* Runs the verb `keys WORD` with the user and the keys of the request. */
static void keys(struct qga_call *call, const char *word, qga_root_fn done)
{
	const char *const words[] = { "keys", word, NULL };
	const char *user = qga_request_text(&call->request, "username", "");
	struct input *input = calloc(1, sizeof(*input));
	struct json_object *list = NULL;
	size_t count;
	bool valid;

	json_object_object_get_ex(call->request.arguments, "keys", &list);
	count = list ? json_object_array_length(list) : 0;
	valid = input && input_add(input, user, strlen(user));
	for (size_t i = 0; valid && i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		valid = json_object_is_type(item, json_type_string) &&
			input_add(input, json_object_get_string(item), (size_t)json_object_get_string_len(item));
	}
	if (valid)
		qga_root_run(call, words, input->bytes, input->len, done);
	else
		qga_fail(call, input ? "Parameter 'keys' is no list of texts, or too long" : "out of memory");
	free(input);
}

static void emit_keys(struct sink *out, const char *key, const void *arg)
{
	const struct exec_output *output = arg;
	size_t len;

	sink_object_begin(out, key);
	sink_array_begin(out, "keys");
	for (const char *at = output->bytes, *end = at + output->len; at < end; at += len + 1) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		len = (size_t)((stop ? stop : end) - at);
		if (len && *at != '#')
			sink_text(out, NULL, at, len, len + 1);
	}
	sink_array_end(out);
	sink_object_end(out);
}

static void on_keys(struct qga_call *call, const struct exec_outcome *outcome)
{
	if (qga_root_succeeded(call, outcome))
		qga_return(call, emit_keys, &outcome->out);
}

static void run_get(struct qga_call *call)
{
	keys(call, "get", on_keys);
}

static void run_add(struct qga_call *call)
{
	keys(call, flag(call, "reset") ? "reset" : "add", on_done);
}

static void run_remove(struct qga_call *call)
{
	keys(call, "remove", on_done);
}

const struct qga_command qga_command_set_user_password = { .name = "guest-set-user-password",
							   .params = password_params,
							   .run = run_password,
							   .drop = qga_root_drop,
							   .possible = qga_root_possible,
							   .secret = true };
const struct qga_command qga_command_ssh_get_keys = { .name = "guest-ssh-get-authorized-keys",
						      .params = get_params,
						      .run = run_get,
						      .drop = qga_root_drop,
						      .possible = qga_root_possible };
const struct qga_command qga_command_ssh_add_keys = { .name = "guest-ssh-add-authorized-keys",
						      .params = add_params,
						      .run = run_add,
						      .drop = qga_root_drop,
						      .possible = qga_root_possible,
						      .secret = true };
const struct qga_command qga_command_ssh_remove_keys = { .name = "guest-ssh-remove-authorized-keys",
							 .params = remove_params,
							 .run = run_remove,
							 .drop = qga_root_drop,
							 .possible = qga_root_possible,
							 .secret = true };
