/* SPDX-License-Identifier: MIT */
/*
 * A state machine over the line with an explicit stack: one bit a level says object or array. Keys are compared as
 * decoded text, through a hash table that is emptied by counting lines.
 */
#include "json_check.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "json_escape.h"
#include "utf8.h"

#define KEYS_FEW_FILL (JSON_KEYS_FEW / 2)

struct scan {
	struct json_check *check;
	const unsigned char *line, *end, *at;
	struct json_limits limits;
	unsigned depth, tokens, keys, objects;
	uint32_t object[JSON_DEPTH_MAX + 1]; /* number of the object open at a level; 0: an array */
};

void json_check_init(struct json_check *check, uint32_t seed)
{
	memset(check, 0, sizeof(*check));
	check->seed = seed;
}

const char *json_fault_reason(enum json_reason reason)
{
	static const char *const words[] = {
		[JSON_OK] = "ok",
		[JSON_BAD_JSON] = "bad_json",
		[JSON_BAD_UTF8] = "bad_utf8",
		[JSON_TOO_DEEP] = "too_deep",
		[JSON_TOO_MANY_TOKENS] = "too_many_tokens",
		[JSON_DUPLICATE_KEY] = "duplicate_key",
		[JSON_NUL_IN_KEY] = "nul_in_key",
		[JSON_OUT_OF_RANGE] = "out_of_range",
		[JSON_NOT_OBJECT] = "not_object",
		[JSON_LINE_TOO_LONG] = "line_too_long",
	};

	return (unsigned)reason < sizeof(words) / sizeof(words[0]) ? words[reason] : "bad_json";
}

/* Next decoded character of a string already known to be valid; false at its closing quote. */
static bool key_next(const unsigned char **at, const unsigned char *end, uint32_t *ret_code)
{
	if (**at == '"')
		return false;
	*at += **at == '\\' ? json_escape_decode(*at, end, ret_code) : utf8_decode(*at, end, ret_code);
	return true;
}

static bool keys_equal(const struct scan *s, const unsigned char *a, const unsigned char *b)
{
	uint32_t code_a = 0, code_b = 0;
	bool more_a, more_b;

	do {
		more_a = key_next(&a, s->end, &code_a);
		more_b = key_next(&b, s->end, &code_b);
		if (more_a != more_b || (more_a && code_a != code_b))
			return false;
	} while (more_a);
	return true;
}

static uint32_t key_hash(const struct scan *s, const unsigned char *key)
{
	uint64_t hash = s->check->seed ^ ((uint64_t)s->object[s->depth] << 32);
	uint32_t code = 0;

	while (key_next(&key, s->end, &code)) {
		hash = (hash ^ code) * 0x9E3779B97F4A7C15ULL;
		hash ^= hash >> 29;
	}
	return (uint32_t)(hash ^ hash >> 32);
}

/* True if the table holds the key; else *ret_slot is where it would go. */
static bool key_find(const struct scan *s, struct json_key_slot *table, uint32_t size, uint32_t hash,
		     const unsigned char *key, struct json_key_slot **ret_slot)
{
	for (uint32_t i = hash;; i++) {
		struct json_key_slot *slot = &table[i & (size - 1)];

		if (slot->round != s->check->round) {
			*ret_slot = slot;
			return false;
		}
		if (slot->hash == hash && slot->object == s->object[s->depth] &&
		    keys_equal(s, s->line + slot->offset, key))
			return true;
	}
}

/* Remembers a key of the current object. The first few of a line live in the small table, all others in the large. */
static enum json_reason key_add(struct scan *s, const unsigned char *key)
{
	struct json_check *check = s->check;
	uint32_t hash = key_hash(s, key);
	struct json_key_slot *slot, *slot_many;

	if (key_find(s, check->few, JSON_KEYS_FEW, hash, key, &slot))
		return JSON_DUPLICATE_KEY;
	if (s->keys >= KEYS_FEW_FILL) {
		if (key_find(s, check->many, JSON_KEYS_MANY, hash, key, &slot_many))
			return JSON_DUPLICATE_KEY;
		slot = slot_many;
	}
	s->keys++;
	*slot = (struct json_key_slot){
		.round = check->round,
		.object = s->object[s->depth],
		.offset = (uint32_t)(key - s->line),
		.hash = hash,
	};
	return JSON_OK;
}

/* Scans the string with its opening quote at s->at; leaves s->at behind the closing quote, or at the fault. */
static enum json_reason scan_string(struct scan *s, bool is_key)
{
	s->at++;
	for (;;) {
		uint32_t code = 0;
		int n;

		s->at += utf8_plain_run(s->at, s->end);
		if (s->at >= s->end || (*s->at < 0x20))
			return JSON_BAD_JSON;
		if (*s->at == '"') {
			s->at++;
			return JSON_OK;
		}
		if (*s->at == '\\') {
			n = json_escape_decode(s->at, s->end, &code);
			if (n == 0)
				return JSON_BAD_JSON;
			if (code == 0 && is_key)
				return JSON_NUL_IN_KEY;
		} else {
			n = utf8_decode(s->at, s->end, &code);
			if (n < 0)
				return JSON_BAD_UTF8;
		}
		s->at += n;
	}
}

static bool is_digit(const struct scan *s)
{
	return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

/* Digits as text against a limit as text, leading zeros absent from both. */
static bool digits_within(const unsigned char *digits, size_t len, const char *most)
{
	size_t most_len = strlen(most);

	return len < most_len || (len == most_len && memcmp(digits, most, len) <= 0);
}

/*
 * Whether int, fraction and exponent stay within a double: the first significant digit stands for 10^place; at 308 the
 * digits are compared with those of DBL_MAX, 1.7976931348623157e308. `digits` begin at the first digit and may hold one
 * '.'.
 */
static bool real_within(const unsigned char *digits, const unsigned char *end, size_t whole, int64_t exponent)
{
	static const char most[] = "17976931348623157";
	int64_t place = (int64_t)whole - 1 + exponent;
	unsigned matched = 0;

	for (const unsigned char *p = digits; p < end; p++) {
		if (*p == '.')
			continue;
		if (matched == 0 && *p == '0') {
			place--;
			continue;
		}
		if (matched == 0 && place != 308)
			return place < 308;
		if (*p != (unsigned char)most[matched])
			return *p < (unsigned char)most[matched];
		if (++matched == sizeof(most) - 1)
			return true;
	}
	return true;
}

/* The exponent behind an 'e' at s->at, cut at a million; false without digits. */
static bool scan_exponent(struct scan *s, int64_t *ret_exponent)
{
	bool minus = false;
	int64_t value = 0;

	s->at++;
	if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
		minus = *s->at++ == '-';
	if (!is_digit(s))
		return false;
	for (; is_digit(s); s->at++)
		if (value < 100000000)
			value = value * 10 + (*s->at - '0');
	*ret_exponent = minus ? -value : value;
	return true;
}

static enum json_reason scan_number(struct scan *s)
{
	const unsigned char *begin = s->at, *digits, *digits_end;
	bool minus = *s->at == '-';
	int64_t exponent = 0;
	size_t whole;

	s->at += minus;
	digits = s->at;
	if (!is_digit(s))
		return JSON_BAD_JSON;
	while (is_digit(s))
		s->at++;
	whole = (size_t)(s->at - digits);
	if (whole > 1 && digits[0] == '0')
		return JSON_BAD_JSON;
	digits_end = s->at;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!is_digit(s))
			return JSON_BAD_JSON;
		while (is_digit(s))
			s->at++;
		digits_end = s->at;
	}
	if (s->at < s->end && (*s->at | 0x20) == 'e' && !scan_exponent(s, &exponent))
		return JSON_BAD_JSON;
	if (s->at == digits + whole
		    ? digits_within(digits, whole, minus ? "9223372036854775808" : "18446744073709551615")
		    : real_within(digits, digits_end, whole, exponent))
		return JSON_OK;
	s->at = begin;
	return JSON_OUT_OF_RANGE;
}

static enum json_reason scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };

	for (unsigned i = 0; i < 3; i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(s->end - s->at) >= len && memcmp(s->at, words[i], len) == 0) {
			s->at += len;
			return JSON_OK;
		}
	}
	return JSON_BAD_JSON;
}

static void skip_space(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
		s->at++;
}

/* The byte at s->at, 0 at the end (a NUL is never right either). */
static unsigned char peek(const struct scan *s)
{
	return s->at < s->end ? *s->at : 0;
}

static enum json_reason count_token(struct scan *s)
{
	return ++s->tokens > s->limits.tokens ? JSON_TOO_MANY_TOKENS : JSON_OK;
}

/* A key, its colon and the space behind. */
static enum json_reason scan_key(struct scan *s)
{
	const unsigned char *key = s->at + 1;
	enum json_reason reason;

	if (peek(s) != '"')
		return JSON_BAD_JSON;
	reason = count_token(s);
	if (reason == JSON_OK)
		reason = scan_string(s, true);
	if (reason != JSON_OK)
		return reason;
	reason = key_add(s, key);
	if (reason != JSON_OK) {
		s->at = key;
		return reason;
	}
	skip_space(s);
	if (peek(s) != ':')
		return JSON_BAD_JSON;
	s->at++;
	skip_space(s);
	return JSON_OK;
}

/* Opens the object or array at s->at; *ret_value: a value has to follow (false: it was closed at once). */
static enum json_reason open_container(struct scan *s, bool *ret_value)
{
	unsigned char open = *s->at;

	if (s->depth >= s->limits.depth)
		return JSON_TOO_DEEP;
	s->at++;
	s->object[++s->depth] = open == '{' ? ++s->objects : 0;
	skip_space(s);
	if (peek(s) == (open == '{' ? '}' : ']')) {
		*ret_value = false;
		return JSON_OK;
	}
	*ret_value = true;
	return open == '{' ? scan_key(s) : JSON_OK;
}

/* After a value: closes what ends here, and stands before the next value or, at depth 0, behind the last. */
static enum json_reason close_containers(struct scan *s)
{
	while (s->depth > 0) {
		bool object = s->object[s->depth] != 0;
		unsigned char c;

		skip_space(s);
		c = peek(s);
		if (c == ',') {
			s->at++;
			skip_space(s);
			return object ? scan_key(s) : JSON_OK;
		}
		if (c != (object ? '}' : ']'))
			return JSON_BAD_JSON;
		s->at++;
		s->depth--;
	}
	return JSON_OK;
}

/* One value, or the opening of one: then *ret_open. */
static enum json_reason scan_value(struct scan *s, bool *ret_open)
{
	enum json_reason reason = count_token(s);
	unsigned char c = peek(s);

	*ret_open = false;
	if (reason != JSON_OK)
		return reason;
	if (c == '{' || c == '[')
		return open_container(s, ret_open);
	if (c == '"')
		return scan_string(s, false);
	if (c == '-' || (c >= '0' && c <= '9'))
		return scan_number(s);
	return scan_word(s);
}

static enum json_reason scan_line(struct scan *s)
{
	enum json_reason reason;
	bool object, open;

	skip_space(s);
	object = peek(s) == '{';
	do {
		reason = scan_value(s, &open);
		if (reason == JSON_OK && !open)
			reason = close_containers(s);
		if (reason != JSON_OK)
			return reason;
	} while (s->depth > 0);
	skip_space(s);
	if (s->at < s->end)
		return JSON_BAD_JSON;
	if (!object)
		s->at = s->line;
	return object ? JSON_OK : JSON_NOT_OBJECT;
}

static unsigned at_most(unsigned value, unsigned most)
{
	return value < most ? value : most;
}

int json_check_line(struct json_check *check, const char *line, size_t len, const struct json_limits *limits,
		    struct json_fault *fault)
{
	struct scan s = {
		.check = check,
		.line = (const unsigned char *)line,
		.end = (const unsigned char *)line + len,
		.at = (const unsigned char *)line,
		.limits.depth = at_most(limits ? limits->depth : JSON_DEPTH_MAX, JSON_DEPTH_MAX),
		.limits.tokens = at_most(limits ? limits->tokens : JSON_TOKENS_MAX, JSON_TOKENS_MAX),
	};
	enum json_reason reason = JSON_LINE_TOO_LONG;

	if (++check->round == 0) { /* the counter came round: slots of 2^32 lines ago must not look fresh */
		memset(check->few, 0, sizeof(check->few));
		memset(check->many, 0, sizeof(check->many));
		check->round = 1;
	}
	if (len <= UINT32_MAX)
		reason = scan_line(&s);
	if (reason == JSON_OK)
		return 0;
	if (fault)
		*fault = (struct json_fault){ .reason = reason, .offset = (size_t)(s.at - s.line) };
	return -EBADMSG;
}
