/* SPDX-License-Identifier: MIT */
/*
 * A walk over the line with the set of paths that lead on from each level: bit N is path N. A level that no path needs
 * any more is left by counting brackets, and the walk ends where none of the levels above needs anything either.
 */
#include "agent/log/pick.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "transport/json_walk.h"

enum step_kind {
	STEP_MEMBER,
	STEP_ITEM, /* in []: by position, or by what it is called */
	STEP_EACH, /* in []: every item, told apart by this member */
	STEP_EACH_INDEX,
};

struct step {
	const char *name;
	size_t len;
	enum step_kind kind;
	long index; /* of STEP_ITEM when the name is a number, else -1 */
};

struct path {
	char text[PICK_TEXT_MAX];
	unsigned count;
	struct step steps[PICK_STEPS_MAX];
};

struct pick {
	unsigned count;
	struct path paths[PICK_MAX];
};

struct pick *pick_new(void)
{
	return calloc(1, sizeof(struct pick));
}

struct pick *pick_free(struct pick *pick)
{
	free(pick);
	return NULL;
}

/* ------------------------------------------------------------------------------------------------------- paths */

static long position(const char *name, size_t len)
{
	long value = 0;

	if (len == 0 || len > 9)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		value = value * 10 + (name[i] - '0');
	}
	return value;
}

/* Takes the part at *at, behind a '[' or not, and moves behind it and its delimiter. NULL, or what is wrong. */
static const char *take_step(const char **at, bool *bracket, bool each, struct step *step)
{
	size_t len = strcspn(*at, *bracket ? "]" : ".[");
	char delimiter = (*at)[len];

	if (len == 0)
		return "an empty part";
	if (*bracket && delimiter != ']')
		return "a [ without ]";
	*step = (struct step){ .name = *at, .len = len, .index = *bracket ? position(*at, len) : -1 };
	if (*bracket && each)
		step->kind = len == 5 && !memcmp(*at, "index", 5) ? STEP_EACH_INDEX : STEP_EACH;
	else if (*bracket)
		step->kind = STEP_ITEM;
	*at += len + (delimiter != '\0');
	if (*bracket && **at) {
		delimiter = *(*at)++;
		if (delimiter != '.' && delimiter != '[')
			return "a . is missing after ]";
	}
	if (delimiter == '.' && !**at)
		return "ends with a .";
	*bracket = delimiter == '[';
	return NULL;
}

static int path_add(struct pick *pick, const char *text, bool each, struct err *err)
{
	struct path *path = &pick->paths[pick->count];
	bool bracket = *text == '[';
	const char *at, *wrong = NULL;

	if (pick->count == PICK_MAX)
		return err_set(err, -ENOSPC, "more than %d metrics", PICK_MAX);
	if (!*text || strlen(text) >= sizeof(path->text))
		return err_set(err, -EINVAL, "metric \"%.100s\": empty or too long", text);
	memcpy(path->text, text, strlen(text) + 1);
	at = path->text + bracket;
	for (path->count = 0; (*at || bracket) && !wrong; path->count++) {
		if (path->count == PICK_STEPS_MAX)
			return err_set(err, -EINVAL, "metric \"%.100s\": too many parts", text);
		wrong = take_step(&at, &bracket, each, &path->steps[path->count]);
	}
	if (wrong)
		return err_set(err, -EINVAL, "metric \"%.100s\": %s", text, wrong);
	return (int)pick->count++;
}

int pick_add(struct pick *pick, const char *path, struct err *err)
{
	return path_add(pick, path, false, err);
}

int pick_add_each(struct pick *pick, const char *path)
{
	return path_add(pick, path, true, NULL);
}

/* -------------------------------------------------------------------------------------------------------- walk */

struct walk {
	const struct pick *pick;
	const char *end;
	pick_fn fn;
	void *data;
	struct pick_text key; /* of the item that is being looked at */
	bool stop;	      /* all that can be found was */
};

#define FOR_EACH_PATH(i, set)                                                                                          \
	for (uint64_t _left = (set), i = 0; _left && (i = (uint64_t)__builtin_ctzll(_left), 1); _left &= _left - 1)

/* At a member: the position of its value, or NULL. */
static const char *value_of(const char *key_end, const char *end)
{
	const char *p = json_skip_space(key_end, end);

	return p < end && *p == ':' ? json_skip_space(p + 1, end) : NULL;
}

/* The text of the member `name` of the object at `p`. */
static struct pick_text member_text(const char *p, const char *end, const char *name, size_t len)
{
	if (p >= end || *p != '{')
		return (struct pick_text){ 0 };
	for (p++;;) {
		const char *key, *value;

		p = json_skip_space(p, end);
		if (p < end && *p == ',')
			p = json_skip_space(p + 1, end);
		if (p >= end || *p != '"')
			return (struct pick_text){ 0 };
		key = p;
		value = value_of(json_skip_string(p, end), end);
		p = value ? json_skip_value(value, end) : NULL;
		if (!p)
			return (struct pick_text){ 0 };
		if (json_string_is(key, end, name, len))
			return (struct pick_text){ value, (size_t)(p - value) };
	}
}

/* Whether the item at `p` is called so, by one of the members that name things. */
static bool is_called(const char *p, const char *end, const struct step *step)
{
	static const char *const keys[] = { "name", "mount_point", "device", "pid", "port" };

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		struct pick_text value = member_text(p, end, keys[i], strlen(keys[i]));

		if (value.len &&
		    (*value.text == '"' ? json_string_is(value.text, end, step->name, step->len)
					: value.len == step->len && !memcmp(value.text, step->name, value.len)))
			return true;
	}
	return false;
}

static uint64_t paths_by_member(const struct walk *w, const char *key, const char *key_end, unsigned level,
				uint64_t active)
{
	size_t len = (size_t)(key_end - key) - 2;
	uint64_t found = 0;

	FOR_EACH_PATH(i, active)
	{
		const struct step *step = &w->pick->paths[i].steps[level];

		if (step->kind == STEP_MEMBER && step->len == len && !memcmp(key + 1, step->name, len))
			found |= UINT64_C(1) << i;
	}
	return found;
}

/* The paths that lead into the item; those that need no other one go from *active. */
static uint64_t paths_by_item(struct walk *w, const char *p, size_t index, unsigned level, uint64_t *active)
{
	uint64_t found = 0, done = 0;

	FOR_EACH_PATH(i, *active)
	{
		const struct step *step = &w->pick->paths[i].steps[level];
		uint64_t bit = UINT64_C(1) << i;

		if (step->kind == STEP_EACH_INDEX) {
			w->key = (struct pick_text){ NULL, index };
			found |= bit;
		} else if (step->kind == STEP_EACH) {
			if (!(found & ~done))
				w->key = member_text(p, w->end, step->name, step->len);
			found |= w->key.text ? bit : 0;
		} else if (step->kind != STEP_ITEM) {
			done |= bit;
		} else if (step->index >= 0 && (size_t)step->index == index) {
			found |= bit;
			done |= bit;
		} else if ((step->index < 0 || index < (size_t)step->index) && is_called(p, w->end, step)) {
			/* A number is a position first; pids and ports are beyond any position. */
			found |= bit;
			done |= step->index < 0 ? bit : 0;
		}
	}
	*active &= ~done;
	return found;
}

static const char *walk_value(struct walk *w, const char *p, unsigned level, uint64_t active, bool above);

/* Behind a member or item: goes on, leaves the level, or ends the walk. */
static const char *leave(struct walk *w, const char *p, bool above)
{
	w->stop = !above;
	return above ? json_skip_rest(p, w->end) : p;
}

static const char *walk_object(struct walk *w, const char *p, unsigned level, uint64_t active, bool above)
{
	for (;;) {
		const char *key, *key_end;
		uint64_t found;

		p = json_skip_space(p, w->end);
		if (p < w->end && *p == ',')
			p = json_skip_space(p + 1, w->end);
		if (p >= w->end || (*p != '"' && *p != '}'))
			return NULL;
		if (*p == '}')
			return p + 1;
		key = p;
		key_end = json_skip_string(p, w->end);
		p = value_of(key_end, w->end);
		if (!p)
			return NULL;
		found = paths_by_member(w, key, key_end, level, active);
		active &= ~found;
		p = found ? walk_value(w, p, level + 1, found, above || active) : json_skip_value(p, w->end);
		if (!p || w->stop)
			return p;
		if (!active)
			return leave(w, p, above);
	}
}

static const char *walk_array(struct walk *w, const char *p, unsigned level, uint64_t active, bool above)
{
	struct pick_text before = w->key;

	for (size_t index = 0;; index++) {
		uint64_t found;

		p = json_skip_space(p, w->end);
		if (p < w->end && *p == ',')
			p = json_skip_space(p + 1, w->end);
		if (p < w->end && *p == '}') /* no item, and nothing that could be stepped over */
			return NULL;
		if (p >= w->end || *p == ']') {
			w->key = before;
			return p < w->end ? p + 1 : NULL;
		}
		found = paths_by_item(w, p, index, level, &active);
		p = found ? walk_value(w, p, level + 1, found, above || active) : json_skip_value(p, w->end);
		if (!p || w->stop)
			return p;
		if (!active) {
			w->key = before;
			return leave(w, p, above);
		}
	}
}

static const char *walk_value(struct walk *w, const char *p, unsigned level, uint64_t active, bool above)
{
	uint64_t ended = 0;

	FOR_EACH_PATH(i, active)
	{
		if (w->pick->paths[i].count == level)
			ended |= UINT64_C(1) << i;
	}
	active &= ~ended;
	if (ended) {
		const char *behind = json_skip_value(p, w->end);

		if (!behind)
			return NULL;
		FOR_EACH_PATH(i, ended)
		{
			w->fn(w->data, (unsigned)i, w->key, (struct pick_text){ p, (size_t)(behind - p) });
		}
		if (!active)
			return behind;
	}
	if (p < w->end && *p == '{')
		return walk_object(w, p + 1, level, active, above);
	if (p < w->end && *p == '[')
		return walk_array(w, p + 1, level, active, above);
	return json_skip_value(p, w->end);
}

void pick_line(const struct pick *pick, const char *line, size_t len, pick_fn fn, void *data)
{
	struct walk w = { .pick = pick, .end = line + len, .fn = fn, .data = data };
	uint64_t all = pick->count == 64 ? UINT64_MAX : (UINT64_C(1) << pick->count) - 1;
	const char *p = json_skip_space(line, w.end);

	if (!all || p >= w.end || *p != '{')
		return;
	for (p++; p && p < w.end && !w.stop;) {
		const char *key, *key_end;
		uint64_t found;

		p = json_skip_space(p, w.end);
		if (p < w.end && *p == ',')
			p = json_skip_space(p + 1, w.end);
		if (p >= w.end || *p != '"')
			return;
		key = p;
		key_end = json_skip_string(p, w.end);
		p = value_of(key_end, w.end);
		if (!p)
			return;
		if (p < w.end && *p == '{' && json_string_is(key, w.end, "data", 4)) {
			const char *data_at = p;

			/* Only what stands behind data is missed when the walk ends in it: nothing of a sample. */
			p = walk_object(&w, p + 1, 0, all, false);
			found = paths_by_member(&w, key, key_end, 0, all);
			if (found) {
				w.stop = false;
				p = walk_value(&w, data_at, 1, found, true);
			}
			continue;
		}
		found = paths_by_member(&w, key, key_end, 0, all);
		p = found ? walk_value(&w, p, 1, found, true) : json_skip_value(p, w.end);
	}
}

/* ----------------------------------------------------------------------------------------------------- numbers */

/*
 * A number of at most 15 digits and 22 decimals is exact as an integer and a power of ten, and so is their quotient
 * rounded (Clinger, "How to Read Floating Point Numbers Accurately", 1990); all others are left to strtod.
 */
static bool number_short(const char *p, size_t len, double *ret)
{
	static const double tens[] = { 1e0,  1e1,  1e2,	 1e3,  1e4,  1e5,  1e6,	 1e7,  1e8,  1e9,  1e10, 1e11,
				       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	const char *end = p + len;
	bool minus = p < end && *p == '-', point = false;
	unsigned digits = 0, decimals = 0;
	uint64_t value = 0;

	for (p += minus; p < end; p++) {
		if (*p == '.' && !point && digits) {
			point = true;
			continue;
		}
		if (*p < '0' || *p > '9' || ++digits > 15)
			return false;
		value = value * 10 + (unsigned)(*p - '0');
		decimals += point;
	}
	if (!digits || (point && !decimals))
		return false;
	*ret = (minus ? -(double)value : (double)value) / tens[decimals];
	return true;
}

bool pick_number(struct pick_text value, double *ret)
{
	char text[64], *end;
	double found;

	if (value.len == 0)
		return false;
	if (number_short(value.text, value.len, ret))
		return true;
	if (value.len >= sizeof(text) || (*value.text != '-' && (*value.text < '0' || *value.text > '9')))
		return false;
	if (value.text[value.len - 1] < '0' || value.text[value.len - 1] > '9') /* "5.", which strtod takes */
		return false;
	memcpy(text, value.text, value.len);
	text[value.len] = '\0';
	if (text[strspn(text, "0123456789+-.eE")]) /* nor "0x1", which strtod takes */
		return false;
	found = strtod(text, &end);
	if (*end || !isfinite(found))
		return false;
	*ret = found;
	return true;
}

bool pick_numbers(struct pick_text value, double *ret, unsigned count)
{
	const char *p = value.text, *end = p + value.len;

	if (value.len < 2 || *p != '[')
		return false;
	p++;
	for (unsigned i = 0; i < count; i++) {
		const char *number = json_skip_space(p, end);

		p = json_skip_value(number, end);
		if (!p || !pick_number((struct pick_text){ number, (size_t)(p - number) }, &ret[i]))
			return false;
		p = json_skip_space(p, end);
		if (p >= end || *p != (i + 1 == count ? ']' : ','))
			return false;
		p++;
	}
	return p == end;
}
