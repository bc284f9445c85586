/* SPDX-License-Identifier: MIT */
/*
 * The agent: the one struct that owns every part. Only the files that wire the parts (the flat ones of agent/) include
 * this header; the parts are libraries that do not know it, and link one way only (see the Makefile). agent.c decides
 * what happens when, and in which order it ends.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <ev.h>

#include <infiniservice/moment.h>

#include "agent/bus/bus.h"
#include "agent/actions/env.h"
#include "agent/audit/audit.h"
#include "agent/peer/breaker.h"
#include "agent/base/clockwatch.h"
#include "agent/command/command.h"
#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/secret.h"
#include "agent/run/exec.h"
#include "agent/run/freeze.h"
#include "agent/metrics/alerts.h"
#include "agent/metrics/publish.h"
#include "agent/metrics/generation.h"
#include "agent/base/identity.h"
#include "agent/base/loop.h"
#include "agent/command/journal.h"
#include "agent/peer/local.h"
#include "agent/metrics/logger.h"
#include "agent/metrics/prober.h"
#include "agent/base/report.h"
#include "agent/metrics/sampling.h"
#include "agent/base/pace.h"
#include "agent/actions/script.h"
#include "agent/peer/session.h"
#include "agent/qga/qga.h"
#include "agent/base/standing.h"
#include "agent/base/state.h"
#include "transport/envelope.h"
#include "transport/message.h"
#include "transport/port.h"
#include "transport/reply.h"

#define AGENT_SETTINGS_MAX 64

/* The options of the command line; the strings live as long as the process. */
struct agent_options {
	const char *config_path;		  /* NULL: the default places */
	const char *port_spec;			  /* NULL: the configuration's */
	const char *settings[AGENT_SETTINGS_MAX]; /* "section.key=value" */
	unsigned setting_count;
	bool verbose;
};

enum stop_phase {
	STOP_NOT,   /* running */
	STOP_DRAIN, /* waits for running commands to finish */
	STOP_KILL,  /* the grace time is over: kills them */
	STOP_FLUSH, /* log and port write out their queues */
	STOP_END,
};

/* Samples handed on, by destination; missed: there was no host, or no room. */
struct published {
	uint64_t port, port_missed, feed, log, latest;
};

/* What has a port dispatched: its descriptor, its deadline, and looks in between where it cannot be waited on. */
struct port_watcher {
	struct agent *agent;
	struct port *port;
	ev_io io;
	ev_timer timer; /* one-shot: deadline_ns */
	ev_timer poll;
	uint64_t deadline_ns; /* what `timer` is armed for */
};

struct agent_counters {
	uint64_t clock_steps, sleeps, generations; /* generations: new ones after the first */
	uint64_t reloads, reloads_failed;
	uint64_t turn_ns_worst; /* longest work between two waits of the loop */
	uint64_t turns_over_1ms;
};

struct agent {
	struct loop loop;
	const struct agent_options *options;
	struct config config;
	struct secret *secret;
	struct identity id;
	struct state state;
	struct moment started;
	struct generation generation;
	uint64_t sent_seq; /* of the samples that were sent to a host, the highest */

	struct clockwatch clock;
	struct sampling *sampling;
	struct alerts *alerts;
	struct prober_pool *prober;
	struct publisher publisher;
	struct audit audit;
	struct journal journal;
	struct scripts scripts;
	struct breaker breaker; /* of the port */
	struct logger *logger;
	struct exec *exec;
	struct exec *privileged; /* the privileged executor of the installation */
	struct freeze freeze;	 /* of file systems, by that executor */
	struct bus *bus;
	struct action_env actions; /* the environment of the actions */
	struct commands commands;
	struct asked asked;
	struct peers peers;	   /* the parts that all sessions share */
	struct json_writer writer; /* for one line at a time, used and emptied within one function */
	char *writer_text;

	struct port *port;
	struct session port_session;
	enum port_fault_kind recovered; /* the last recovered fault of the port that has not been reported to a host */
	unsigned recovered_attempts;	/* 0: none */
	struct local *local;

	struct port *qga_port;	  /* of the QEMU guest agent's language; NULL: none */
	struct qga *qga;	  /* NULL: likewise */
	struct standing standing; /* the faults that last, reported to every host that connects */
	unsigned executor_losses; /* in a row, without an answer of the executor in between */

	struct schedule health;
	struct deadline health_deadline;
	uint64_t watchdog_ns; /* longest time between two notifications; 0: no watchdog */

	struct port_watcher watchers[2]; /* of port and qga_port */
	ev_timer stop_timer;		 /* one-shot: end of a stop phase */
	ev_prepare before_wait;
	ev_io clock_io;
	ev_signal on_term, on_int, on_hup;

	enum stop_phase stopping;
	uint64_t stop_deadline_ns; /* of the present phase */
	bool logger_stopped;
	int exit_code;

	struct report_topic port_topic, encode_topic, exec_topic, nonce_topic, qga_topic;
	struct agent_counters counters;
	struct published published;
};

/* ---- agent.c: start, loop and end */

/* Loads configuration and secret, locks the state directory, builds every part. 0, or -errno with a text in `e`. */
int agent_init(struct agent *agent, const struct agent_options *options, struct err *e);

/* Runs the loop until a signal ends it. Returns the exit code of the process. */
int agent_run(struct agent *agent);

/* Accepts a half-built or zeroed agent. */
void agent_done(struct agent *agent);

/* ---- settings.c: the configuration */

/*
 * Reads the configuration from file and command line into `config` and checks it; used at the start and for reloading.
 * 0, or -errno with a text in `e`.
 */
int agent_load_config(struct config *config, const struct agent_options *options, struct err *e);
/*
 * The same for --check-config: calls `tell` for every error and every likely mistake. 0 or the first error; the caller
 * frees `config` in either case.
 */
int agent_inspect_config(struct config *config, const struct agent_options *options, config_tell_fn tell, void *data);

/* Puts a checked configuration into force; takes ownership of it. */
void agent_apply_config(struct agent *agent, struct config *fresh);

/* SIGHUP: reads the configuration again and puts it into force if it is valid; else the present one stays. */
void agent_reload(struct agent *agent);

/* Sets the log level from the configuration and --verbose. */
void agent_set_log_level(const struct agent *agent);
/*
 * Logs the policy (the actions permitted to the host) and the files that set it, so that the owner of a clone can see
 * them.
 */
void agent_tell_policy(const struct agent *agent);

/* ---- agent.c again: the turns of the loop */

void housekeeping_start(struct agent *agent);
void housekeeping_configure(struct agent *agent);
/* Checks for a clock step or a sleep of the guest; marks the next rates and reports it to the host. */
void housekeeping_check_clock(struct agent *agent);

/* ---- build.c: the parts */

/*
 * Locks the state directory, determines identity and first sample number, and makes every part but the local socket. 0,
 * or -errno with a text in `e`; agent_done frees the parts made.
 */
int build_agent(struct agent *agent, struct err *e);

/* ---- status.c: the answer of Status, into an open object */

void agent_report(const struct agent *agent, struct sink *out);

/* ---- hostlink.c: the host's side of the port, the samples, and the messages of host and local clients */

extern const struct peer_handler messages_handler;
extern const struct command_hooks commands_hooks;
static inline struct agent *session_agent(const struct session *session)
{
	return session->peers->data;
}
/* nonces_changed of struct peers: logs and reports while nonces cannot be written. */
void messages_nonces_changed(void *data, int error);

extern const struct port_events hostlink_events;
void hostlink_init(struct agent *agent);
/*
 * At the very end: hands the port's fd to the service manager, so that after a restart the next agent process goes on
 * reading there.
 */
void hostlink_hand_over(struct agent *agent);
/* Makes sampling and generation; prober and commands must have been made. 0 or -errno; agent_done frees the parts made.
 */
int samples_build(struct agent *agent, uint64_t first_seq);
/* Puts the configuration's alerts into force; logs it when that fails. */
void alerts_into_force(struct agent *agent);
/* Sends an `agent_event` to the connected host and publishes it to the subscribers of "events". `data` is the agent. */
void hostlink_tell(void *data, const struct reply_event *event);
/* The same with a formatted message. */
__attribute__((format(printf, 4, 5))) void hostlink_event(struct agent *agent, enum reply_level level,
							  const char *source, const char *format, ...);

/* ---- qgalink.c: a host of the QEMU guest agent's language on a port of its own */

/* Makes port and dialect where [qga] has a spec. 0, or -errno with a text in `e`; agent_done frees the parts made. */
int qgalink_build(struct agent *agent, struct err *e);
/* Likewise hostlink_hand_over. */
void qgalink_hand_over(struct agent *agent);
/* Writes the object "qga" of Status. */
void qgalink_report(const struct agent *agent, struct sink *out);

/* ---- cli.c */

/* Everything `main` does. Returns the exit code: 0 done, 1 failed at run time, 2 usage or configuration error. */
int service_main(int argc, char *argv[]);

#endif
