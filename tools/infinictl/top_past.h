/* SPDX-License-Identifier: MIT */
/*
 * A place in the log that is moved on and back by samples. A sample is known by its time; where the clock went back,
 * samples may be passed over on the way on, and are there on the way back.
 */
#ifndef TOOLS_INFINICTL_TOP_PAST_H
#define TOOLS_INFINICTL_TOP_PAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

struct json_object;
struct past;

/* The log in `dir` or, where that is NULL, `count` files, up to `end_ms`; borrowed. 0, or -errno with words. */
int past_open(const char *dir, char *const files[], int count, int64_t end_ms, struct past **ret, struct err *err);

/* Accepts NULL; returns NULL. */
struct past *past_free(struct past *past);

/*
 * The first sample after a time, and the last one before it (INT64_MAX: the newest). 1 with the sample, which is the
 * caller's, and its time; 0: there is none; -errno.
 */
int past_after(struct past *past, int64_t after_ms, struct json_object **ret, int64_t *ret_ms);
int past_before(struct past *past, int64_t before_ms, struct json_object **ret, int64_t *ret_ms);

/*
 * Looks for the first sample after a time for which a condition (expr.h) holds. past_find_begin: 0, or -EINVAL with
 * words. past_find looks at some hundred lines: 1 with the sample, 0: none holds, -EAGAIN: it is to be called again and
 * *ret_ms is how far it is, or -errno.
 */
int past_find_begin(struct past *past, int64_t after_ms, const char *condition, struct err *err);
int past_find(struct past *past, struct json_object **ret, int64_t *ret_ms);

/* What was passed over so far, in words; false: nothing. */
bool past_left_out(struct past *past, char *out, size_t size);

#endif
