/* SPDX-License-Identifier: MIT */
/*
 * A VM as the hub knows it: its channel, its last sample, the samples of gaps that wait to be scraped, and what is held
 * of it. Named by its channel; what the guest says of itself is a label of one metric.
 */
#ifndef HUB_VM_H
#define HUB_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "tools/hub/channel.h"
#include "tools/hub/expose.h"
#include "tools/hub/gaps.h"
#include "tools/hub/hubconf.h"
#include "tools/hub/pace.h"
#include "tools/hub/recent.h"
#include "tools/hub/series.h"
#include "tools/hub/vmname.h"

#define VM_LATE_MAX	   8 /* samples of a gap held at once: more are fetched when these were scraped */
#define VM_GENERATION_SIZE 33
#define VM_ID_SIZE	   17
#define VM_INFO_SIZE	   768

struct vm;
struct vm_events {
	/* A message that is not the hub's own affair alone. */
	void (*message)(void *arg, struct vm *vm, const char *line, size_t len, struct json_object *message,
			const char *type);
	/* Its channel's state has changed. */
	void (*changed)(void *arg, struct vm *vm, enum channel_state before);
};

struct vm {
	uint64_t serial;
	char name[VMNAME_SIZE], uuid[UUID_SIZE];
	char labels[2 * VMNAME_SIZE + UUID_SIZE + 32]; /* of every series */
	char info[VM_INFO_SIZE];		       /* further labels of vm_info; "": not known */
	bool seen, listed;			       /* by the last look for sockets; in the configuration */
	const struct vm_events *events;
	void *arg;
	struct channel channel;
	struct series_bounds bounds;
	char *secret;	 /* NULL: messages go out plain */
	char fault[160]; /* why its secret cannot be used: then nothing is sent to it; "" */
	int64_t clock_offset_ms;
	bool clock_known, greeted, silent;
	uint64_t since_ns; /* when the state last changed, CLOCK_MONOTONIC */
	struct pace pace;
	struct series_set *live;   /* NULL: none yet, or too old to be served */
	struct json_object *whole; /* what is kept of the last whole sample; NULL: nothing */
	uint64_t sample_ns;	   /* when the last one came; 0: none */
	int64_t sample_ms;	   /* the guest's time of it */
	double pressure_percent;   /* of the last sample, see tell_row; NAN: not known */
	char version[32];	   /* of the agent; "" */
	struct recent recent;
	uint64_t interval_ms;
	char generation[VM_GENERATION_SIZE], boot_id[VM_GENERATION_SIZE];
	uint64_t sessions, samples, series_dropped, lost, invalid;
	/* What a scrape has taken, or is taking. */
	uint64_t taken_seq, offered_seq, acked_seq;
	bool taken, offered, acked;
	/* Gaps. */
	struct gaps gaps;
	struct series_set *late[VM_LATE_MAX];
	size_t late_len, late_offered; /* held, and of these in a scrape */
	uint64_t late_dropped, ask_again_ns;
	int64_t late_until_ms;
	char late_id[VM_ID_SIZE]; /* of the question under way; "" */
};

/*
 * A new VM, to be freed by vm_free. NULL without memory. A secret that cannot be used is vm->fault. It connects at the
 * next turn of the loop.
 */
struct vm *vm_new(struct ev_loop *loop, const struct hubconf *conf, uint64_t serial, const char *name, const char *path,
		  struct owned *owned, const struct vm_events *events, void *arg);
void vm_free(struct vm *vm);

/* Its socket is another one now. */
void vm_move(struct vm *vm, const char *path);

/* Sends a message, signed where the VM has a secret. 0, or as channel_send; -EKEYREJECTED: its secret is unusable. */
int vm_send(struct vm *vm, const char *text, size_t len);

/* Once a second: notices silence, asks for gaps. True when it has just become silent. */
bool vm_tick(struct vm *vm, uint64_t now_ns);

/* "up", "silent", "waiting" (connected, no sample yet), "away", "taken". */
const char *vm_state(const struct vm *vm);

/* As it is exposed now. What it points to holds until the loop goes on. */
void vm_expose(const struct vm *vm, bool late, uint64_t now_ns, struct expose_vm *ret);

/* A scrape begins; and has ended with all of it taken. */
void vm_offer(struct vm *vm, bool late);
void vm_taken(struct vm *vm, bool late, uint64_t now_ns);

/*
 * The most of processors, memory and disks that some task waited for in the last 10 s of a sample, in percent. NAN: the
 * guest does not measure it, or does not say.
 */
double vm_pressure_of(struct json_object *sample);

/* Bytes held for this VM. */
size_t vm_memory(const struct vm *vm);

/* Fills `hex` (size - 1 digits, at most 32, and NUL) from the kernel's random numbers. */
void vm_random_hex(char *hex, size_t size);

/* 32 hex digits less than 64 bits of chance: an id of a message. */
void vm_new_id(char out[VM_ID_SIZE]);

#endif
