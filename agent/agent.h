/* SPDX-License-Identifier: MIT */
/*
 * The agent as one object: every part it is made of, each owned here once. Parts reach each other through it; only the
 * functions below decide what happens when (agent.c), and only stop.c in which order it ends.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <ev.h>

#include <infiniservice/moment.h>

#include "agent/bus/bus.h"
#include "agent/actions/env.h"
#include "agent/peer/asked.h"
#include "agent/audit/audit.h"
#include "agent/peer/breaker.h"
#include "agent/base/clockwatch.h"
#include "agent/command/command.h"
#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/secret.h"
#include "agent/run/exec.h"
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
#include "agent/base/schedule.h"
#include "agent/actions/script.h"
#include "agent/peer/session.h"
#include "agent/base/standing.h"
#include "agent/base/state.h"
#include "transport/envelope.h"
#include "transport/message.h"
#include "transport/port.h"
#include "transport/reply.h"

#define AGENT_SETTINGS_MAX 64

/* What the command line said; the strings live as long as the process. */
struct agent_options {
	const char *config_path;		  /* NULL: the usual places */
	const char *port_spec;			  /* NULL: the configuration's */
	const char *settings[AGENT_SETTINGS_MAX]; /* "section.key=value" */
	unsigned setting_count;
	bool verbose;
};

enum stop_phase {
	STOP_NOT,   /* running */
	STOP_DRAIN, /* running commands may finish */
	STOP_KILL,  /* the grace time is over */
	STOP_FLUSH, /* log and port get out what they hold */
	STOP_END,
};

/* Samples that were handed on; missed: there was no host, or no room. */
struct published {
	uint64_t port, port_missed, feed, log, latest;
};

struct agent_counters {
	uint64_t clock_steps, sleeps, generations; /* generations: begun after the first */
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

	struct clockwatch clock;
	struct sampler *sampler;
	struct sampling *sampling;
	struct prober_pool *prober;
	struct publisher publisher;
	struct audit audit;
	struct journal journal;
	struct scripts scripts;
	struct breaker breaker; /* of the port */
	struct logger *logger;
	struct exec *exec;
	struct exec *privileged; /* through the executor of the installation */
	struct bus *bus;
	struct action_env actions; /* what the actions work with */
	struct commands commands;
	struct asked asked;
	struct peers peers;	   /* what the sessions of host and local clients share */
	struct json_writer writer; /* for one line at a time, used and emptied within one function */
	char *writer_text;

	struct port *port;
	struct session port_session;
	enum port_fault_kind survived; /* the last fault of the port that no host has been told of yet */
	unsigned survived_attempts;    /* 0: none */
	uint64_t port_deadline_ns;     /* what port_timer is armed for */
	struct local *local;
	struct standing standing; /* what is wrong now, for every host that comes */
	unsigned executor_losses; /* in a row, with no answer of an executor in between */

	struct schedule health;
	struct deadline health_deadline;
	uint64_t watchdog_ns; /* feed at least this often; 0: no watchdog */

	ev_timer poll_timer; /* only while the port cannot be waited on */
	ev_timer port_timer; /* one-shot: port_deadline_ns */
	ev_timer stop_timer; /* one-shot: end of a stop phase */
	ev_prepare before_wait;
	ev_check after_wait;
	ev_io port_io, clock_io;
	ev_signal on_term, on_int, on_hup;

	enum stop_phase stopping;
	uint64_t stop_deadline_ns; /* of the present phase */
	bool logger_stopped;
	int exit_code;

	struct report_topic port_topic, encode_topic, exec_topic, nonce_topic;
	struct agent_counters counters;
	struct published published;
};

/* ---- agent.c: the life of it */

/* Loads configuration and secret, takes the state directory, builds every part. 0 or -errno with words. */
int agent_init(struct agent *agent, const struct agent_options *options, struct err *e);

/* Runs until a signal has ended it. Returns the exit code. */
int agent_run(struct agent *agent);

/* Accepts a half-built or zeroed agent. */
void agent_done(struct agent *agent);

/* ---- settings.c: the configuration */

/*
 * Reads configuration from file and command line into `config`, checked; used at start, by --check-config and for
 * reloading.
 */
int agent_load_config(struct config *config, const struct agent_options *options, struct err *e);
/*
 * The same for a person: all errors are told, likely mistakes among them. 0 or the first error; the config is to be
 * freed either way.
 */
int agent_inspect_config(struct config *config, const struct agent_options *options, config_tell_fn tell, void *data);

/* Makes a checked configuration the one in force, and takes it over. */
void agent_apply_config(struct agent *agent, struct config *fresh);

/* SIGHUP: a new configuration if it is whole and valid, else everything stays. */
void agent_reload(struct agent *agent);

/* The log level that configuration and --verbose give. */
void agent_set_log_level(const struct agent *agent);
/* Logs what the host may do, and which file says so: whoever looks after a clone sees who gave it what. */
void agent_tell_policy(const struct agent *agent);

/* ---- agent.c again: the turns of the loop */

/* Does what the port has to do and keeps its deadline. */
void agent_dispatch_port(struct agent *agent);

/* ---- periodic.c: how samples are made, and to whom they go */

/* Makes sampler, sampling and generation; prober and commands are there. 0 or -errno; what was made stays for
 * agent_done. */
int samples_build(struct agent *agent, uint64_t first_seq);

/* ---- periodic.c: the clock, the log's answers and the manager's watchdog */

void housekeeping_start(struct agent *agent);
void housekeeping_stop(struct agent *agent);
void housekeeping_configure(struct agent *agent);
/* Looks whether time broke; then rates are marked and the host is told. */
void housekeeping_check_clock(struct agent *agent);

/* ---- status.c: what Status tells, into an open object */

void agent_report(const struct agent *agent, struct sink *out);

/* ---- stop.c: the fixed order of the end */

/* Begins to stop; a second call ends the grace time. */
void stop_begin(struct agent *agent);
/* Looks whether the present phase is over: once a turn of the loop, before it waits. */
void stop_look(struct agent *agent);

/* ---- messages.c: what is done with what host and local clients say */

extern const struct peer_handler messages_handler;
static inline struct agent *session_agent(const struct session *session)
{
	return session->peers->data;
}
/* As of struct peers: hosts and people are told while nonces cannot be written down. */
void messages_nonces_changed(void *data, int error);

/* ---- what the commands of this agent work with */

static inline struct agent *command_agent(const struct command *command)
{
	return command->commands->data;
}

/* ---- hostlink.c: the host's side of the port */

extern const struct port_events hostlink_events;
void hostlink_init(struct agent *agent);
/* At the very end: the next agent, if this is a restart, goes on reading where this one stopped. */
void hostlink_hand_over(struct agent *agent);
/* A sample for the host, unless it has subscribed to samples at a pace of its own. 0 or -errno. */
int hostlink_sample(struct agent *agent, struct line *line);
/*
 * The host learns of the new generation as it learned of the old one, by a handshake, and may say anew what it holds.
 */
void hostlink_renewed_generation(struct agent *agent, const char *why);
/* An `agent_event` for the host that is there and for those who subscribed to events. `data` is the agent. */
void hostlink_tell(void *data, const struct reply_event *event);
/* The same with a message made of words. */
__attribute__((format(printf, 4, 5))) void hostlink_event(struct agent *agent, enum reply_level level,
							  const char *source, const char *format, ...);

#endif
