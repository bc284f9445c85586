/* SPDX-License-Identifier: MIT */
/*
 * A host that speaks the QEMU guest agent's language (qemu.org, "QEMU Guest Agent Protocol Reference"): its bytes
 *become requests, and each gets its one answer, in their order. Nothing is ever said unasked.
 *
 *	bytes ─► frames ─► request ─► policy ─► command ─► answer
 *	                      └─ waits while a longer command is under way
 *
 * A longer command of a host that has left is answered to nobody: the border may be seen (qga_host_left), be a byte
 *0xFF, or be a sync behind a command that has taken QGA_PATIENCE_NS already: no host asks to be synchronized before it
 *has given up waiting.
 */
#ifndef AGENT_QGA_QGA_H
#define AGENT_QGA_QGA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

#include "agent/audit/audit.h"
#include "agent/base/loop.h"
#include "agent/config/config.h"
#include "agent/metrics/prober.h"
#include "agent/rules/qga_policy.h"
#include "agent/run/exec.h"
#include "agent/run/freeze.h"
#include "transport/json_check.h"
#include "transport/json_write.h"

/* Longest request; more of them that wait are refused when they are QGA_WAITING_BYTES together. */
#define QGA_REQUEST_MAX	  (1u << 20)
#define QGA_WAITING_BYTES (1u << 20)
#define QGA_PATIENCE_NS	  (3 * NS_PER_S)

struct qga;

enum qga_power { QGA_POWER_DOWN, QGA_POWER_HALT, QGA_POWER_REBOOT };

/* What the owner lends, and what it does for the commands. */
struct qga_env {
	struct loop *loop;
	const struct config *config;
	struct prober_pool *probers;
	struct json_writer *writer; /* for one line at a time, used and emptied within one function */
	struct json_check *check;   /* likewise */
	int proc_fd, sys_fd, root_fd;
	struct exec *root;	       /* the executor, for what needs rights */
	struct freeze *freeze;	       /* of file systems */
	struct qga_programs *programs; /* of guest-exec; made by qga_new */

	/* A line for the host. */
	void (*send)(void *data, const char *text, size_t len);
	/* Records a request, or its end; reads only as far as reads are recorded. */
	void (*record)(void *data, const struct audit_record *record);
	/* Whether one more read is to be recorded. */
	bool (*records_read)(void *data);
	/* Whether [auth] demands signatures, which this language cannot give. */
	bool (*signatures)(void *data);
	/* Whether there is an executor for what needs rights. */
	bool (*executor)(void *data);
	/* Powers the guest down, in a moment. 0, or -errno with a text. */
	int (*power)(void *data, enum qga_power how, struct err *e);
	void *data;
};

/* `env` is copied; what it points to must outlive the result. NULL: out of memory. */
struct qga *qga_new(const struct qga_env *env);

/* Drops what is under way. Accepts NULL. Returns NULL. */
struct qga *qga_free(struct qga *qga);

/* The host has left, or another one has come: half a request and what waits or is under way is dropped. */
void qga_host_left(struct qga *qga);

/*
 * The host that asked before this time of CLOCK_MONOTONIC has left (0: perhaps another one has come): its command under
 * way is answered to nobody. Bytes that have come since may be the next host's, and stay.
 */
void qga_border(struct qga *qga, uint64_t gone_ns);

/* Takes bytes of the host, in order. */
void qga_receive(struct qga *qga, const char *bytes, size_t len);

/* Whether the owner permits the command, and whether it can be done now. */
bool qga_enabled(const struct qga *qga, const struct qga_rule *rule);

/* Writes the keys of Status into an open object. */
void qga_report(const struct qga *qga, struct sink *out);

#endif
