/* SPDX-License-Identifier: MIT */
/*
 * What has lately happened to a VM, for who looks at it: its events, the commands that went through the hub (what was
 * asked for and how it ended, without lines, parameters and outputs), and the owner's alerts that are on. Bounded, in
 * memory alone, and pure. Texts of the guest are kept as far as they may be shown (transport/printable.h).
 */
#ifndef HUB_RECENT_H
#define HUB_RECENT_H

#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#define RECENT_MAX	  32 /* of events, and as many commands */
#define RECENT_ALERTS_MAX 16

struct recent_event {
	int64_t at_ms; /* the host's clock */
	char level[8], source[48], text[200];
};

struct recent_command {
	int64_t at_ms; /* when it ended, by the host's clock */
	uint64_t took_ms;
	char action[48], result[32]; /* result: "success", or a code of the protocol */
};

struct recent_alert {
	int64_t since_ms; /* the guest's clock when it says since when, else the host's */
	char name[64], text[200];
};

/* All zero at first. */
struct recent {
	struct recent_event *events; /* rings, the newest at (count - 1) % RECENT_MAX; NULL before the first */
	struct recent_command *commands;
	struct recent_alert *alerts;
	unsigned events_count, commands_count, alerts_len;
};

/* An agent_event. An alert that begins or ends in it is put on or taken off. */
void recent_take_event(struct recent *recent, struct json_object *message, int64_t now_ms);
void recent_take_command(struct recent *recent, const char *action, const char *result, uint64_t took_ms,
			 int64_t now_ms);
/* The session has ended: the alerts that are on are told anew in the next one. */
void recent_end_session(struct recent *recent);

/* Lists for JSON, the newest first; to be put. */
struct json_object *recent_events(const struct recent *recent);
struct json_object *recent_commands(const struct recent *recent);
struct json_object *recent_alerts(const struct recent *recent);

/* Bytes held beside the struct. */
size_t recent_memory(const struct recent *recent);
void recent_free(struct recent *recent);

#endif
