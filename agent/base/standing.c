/* SPDX-License-Identifier: MIT */
/* Lasting faults; see standing.h. A list, because there are few of them and mostly none. */
#include "agent/base/standing.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct standing_fault {
	struct standing_fault *next;
	enum reply_level level;
	int64_t since_ms;
	char source[STANDING_SUBJECT], subject[STANDING_SUBJECT], words[STANDING_TEXT];
};

void standing_init(struct standing *standing, const struct loop *loop,
		   void (*tell)(void *data, const struct reply_event *event), void *data)
{
	*standing = (struct standing){ .loop = loop, .tell = tell, .data = data, .end = &standing->first };
}

void standing_done(struct standing *standing)
{
	struct standing_fault *fault;

	while ((fault = standing->first)) {
		standing->first = fault->next;
		free(fault);
	}
	standing->end = &standing->first;
	standing->count = 0;
}

static struct standing_fault **find(struct standing *standing, const char *source, const char *subject)
{
	struct standing_fault **at = &standing->first;

	while (*at && (strncmp((*at)->source, source, STANDING_SUBJECT - 1) != 0 ||
		       strncmp((*at)->subject, subject, STANDING_SUBJECT - 1) != 0))
		at = &(*at)->next;
	return at;
}

static struct standing_fault *add(struct standing *standing, const char *source, const char *subject)
{
	struct standing_fault *fault = standing->count < STANDING_MAX ? calloc(1, sizeof(*fault)) : NULL;

	if (!fault)
		return NULL;
	fault->since_ms = standing->loop->now.wall_ms;
	snprintf(fault->source, sizeof(fault->source), "%s", source);
	snprintf(fault->subject, sizeof(fault->subject), "%s", subject);
	*standing->end = fault;
	standing->end = &fault->next;
	standing->count++;
	return fault;
}

/* Passes on the event with its message: "subject: words", or the words alone when the subject is "". */
static void tell(void (*to)(void *data, const struct reply_event *event), void *data, const char *subject,
		 const char *words, struct reply_event event)
{
	char text[STANDING_SUBJECT + 2 + STANDING_TEXT];

	snprintf(text, sizeof(text), "%s%s%s", subject, *subject ? ": " : "", words);
	event.message = text;
	to(data, &event);
}

void standing_set(struct standing *standing, enum reply_level level, const char *source, const char *subject,
		  const char *format, ...)
{
	struct standing_fault *fault = *find(standing, source, subject);
	char words[STANDING_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	if (fault && fault->level == level && strcmp(fault->words, words) == 0)
		return;
	if (!fault)
		fault = add(standing, source, subject);
	if (fault) {
		fault->level = level;
		memcpy(fault->words, words, sizeof(words));
	}
	tell(standing->tell, standing->data, subject, words,
	     (struct reply_event){ .severity = level, .source = source });
}

void standing_clear(struct standing *standing, const char *source, const char *subject, const char *words)
{
	struct standing_fault **at = find(standing, source, subject), *fault = *at;

	if (!fault)
		return;
	*at = fault->next;
	if (!fault->next)
		standing->end = at;
	standing->count--;
	free(fault);
	if (words)
		tell(standing->tell, standing->data, subject, words,
		     (struct reply_event){ .severity = REPLY_INFO, .source = source });
}

static void emit_context(struct sink *sink, const void *arg)
{
	const struct standing_fault *fault = arg;
	char since[RFC3339_SIZE];

	rfc3339_format(fault->since_ms, since);
	sink_bool(sink, "standing", true);
	sink_str(sink, "since", since);
}

void standing_each(const struct standing *standing, void (*to)(void *data, const struct reply_event *event), void *data)
{
	for (const struct standing_fault *fault = standing->first; fault; fault = fault->next)
		tell(to, data, fault->subject, fault->words,
		     (struct reply_event){ .severity = fault->level,
					   .source = fault->source,
					   .context = emit_context,
					   .arg = fault });
}
