/* SPDX-License-Identifier: MIT */
/* Makes the parts of the agent in the order of their dependencies, and wires their callbacks. */
#include "agent/agent.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/table.h"
#include "agent/actions/detached.h"
#include "agent/log/child.h"
#include "agent/log/repair.h"
#include "agent/base/notify.h"
#include "agent/base/users.h"
#include "agent/base/loop.h"
#include "transport/json_write.h"

static void on_logger_changed(void *data, enum logger_state state, int error)
{
	struct agent *agent = data;
	static const char *const words[] = { "is written again", "lags: its disk is slow or frozen",
					     "cannot be written" };

	report(state == LOGGER_OK ? LOG_NOTICE : LOG_WARNING, "metric log in %s %s%s%s", agent->config.log.dir,
	       words[state], error ? ": " : "", error ? strerror(-error) : "");
	if (state == LOGGER_OK)
		standing_clear(&agent->standing, "log", "", "the metric log is written again");
	else
		standing_set(&agent->standing, REPLY_WARN, "log", "", "the metric log %s", words[state]);
}

static void on_probes_answered(void *data)
{
	struct agent *agent = data;

	sampling_probed(agent->sampling);
}

/* The fault is reported once; commands that need D-Bus are answered with the same text. */
static void on_bus_ready(void *data)
{
	struct agent *agent = data;

	if (bus_ready(agent->bus) == 0)
		standing_clear(&agent->standing, "bus", "", "D-Bus can be used");
	else
		standing_set(&agent->standing, REPLY_WARN, "bus", "", "%s", bus_fault(agent->bus));
	commands_bus_ready(&agent->commands);
}

static void on_executor_found(void *data)
{
	struct agent *agent = data;

	agent->executor_losses = 0;
	standing_clear(&agent->standing, "executor", "", "the executor works again");
}

static void on_executor_lost(void *data, int error)
{
	struct agent *agent = data;
	const char *fault = agent->exec ? exec_fault(agent->exec) : "";

	if (!*fault && exec_state(agent->privileged) == EXEC_STATE_FAULT)
		fault = exec_fault(agent->privileged);
	/*
	 * An executor that dies once is started again and not reported; an executor that dies again each time it is
	 * started (its program is missing) is a fault.
	 */
	if (*fault || error)
		standing_set(&agent->standing, REPLY_ERROR, "executor", "", "%s", *fault ? fault : strerror(-error));
	else if (++agent->executor_losses > 1)
		standing_set(&agent->standing, REPLY_ERROR, "executor", "",
			     "the executor dies whenever it is started: no program can be run");
	if (*fault || error)
		report_limited(&agent->exec_topic, agent->loop.now.mono_ns, LOG_ERR,
			       "%s; commands are answered INTERNAL", *fault ? fault : strerror(-error));
	else
		report_limited(&agent->exec_topic, agent->loop.now.mono_ns, LOG_ERR,
			       "executor died; its commands are answered INTERNAL, packages and power go on, and it is "
			       "started again");
}

/* The seq of latest.json, a file in memory: it may be ahead of the log after a crash of the agent. */
static uint64_t seq_of_latest(const char *dir)
{
	char path[PATH_MAX], text[256];
	_cleanup_(closep) int fd = -1;
	const char *at;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, LATEST_NAME);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strstr(text, "\"seq\":");
	return at ? strtoull(at + strlen("\"seq\":"), NULL, 10) : 0;
}

/* Reports a fault that lasts until the next start. */
__attribute__((format(printf, 4, 5))) static void tell_at_start(struct agent *agent, const char *source,
								const char *subject, const char *format, ...)
{
	char words[STANDING_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	report(LOG_WARNING, "%s", words);
	standing_set(&agent->standing, REPLY_WARN, source, subject, "%s", words);
}

static int build_state(struct agent *agent, uint64_t *first_seq, struct err *e)
{
	const char *runtime_dir = agent->config.agent.runtime_dir;
	int r = state_open(&agent->state, agent->config.agent.state_dir, e);
	uint64_t log_seq = 0, latest_seq;
	struct err unnamed;

	if (r < 0)
		return r;
	if (mkdir(runtime_dir, 0755) < 0 && errno != EEXIST)
		tell_at_start(agent, "agent", "latest", "%s: %s: no %s is kept", runtime_dir, strerror(errno),
			      LATEST_NAME);
	identity_find(&agent->id, agent->config.agent.vm_id, agent->state.dir_fd, &unnamed);
	if (unnamed.code)
		tell_at_start(agent, "agent", "vm_id", "%s", unnamed.text);
	latest_seq = seq_of_latest(runtime_dir);
	if (agent->config.log.enabled && repair_last_seq(agent->config.log.dir, &log_seq) < 0)
		log_seq = 0;
	*first_seq = state_first_seq(&agent->state, log_seq > latest_seq ? log_seq : latest_seq, agent->id.boot_id);
	if (state_begin(&agent->state, *first_seq, agent->id.boot_id) < 0)
		tell_at_start(agent, "agent", "state", "%s cannot be written: sample numbers rest on the log alone",
			      agent->config.agent.state_dir);
	return 0;
}

/*
 * Finds the group of the local socket, whose members may read latest.json and the log; local.c reports a group that
 * does not exist. If the files cannot be given to the group, latest.json is for the agent's user alone, and the log
 * keeps the group of its directory.
 */
static void find_readers(const struct config *config, struct log_child_config *child)
{
	gid_t gid;
	int r;

	child->latest_readers.kind = LOG_READERS_NOBODY;
	if (!*config->socket.group || passwd_gid_of("/etc/group", config->socket.group, &gid) < 0)
		return;
	r = gid == getegid() ? 0 : log_readers_try(gid);
	if (r == 0)
		child->latest_readers = child->writer.readers =
			(struct log_readers){ .kind = LOG_READERS_GROUP, .gid = gid };
	else
		report(LOG_WARNING, "%s/%s cannot be given to group '%s' (%s): only this user and root may read it",
		       config->agent.runtime_dir, LATEST_NAME, config->socket.group, strerror(-r));
}

static int new_logger(struct agent *agent)
{
	const struct config *config = &agent->config;
	struct logger_config logger = { .enabled = config->log.enabled, .changed = on_logger_changed, .data = agent };
	struct writer_config *writer = &logger.child.writer;

	snprintf(writer->dir, sizeof(writer->dir), "%s", config->log.dir);
	snprintf(writer->boot_id, sizeof(writer->boot_id), "%s", agent->id.boot_id);
	writer->segment_bytes = config->log.segment_bytes;
	writer->max_total_bytes = config->log.max_total_bytes;
	logger.child.tiers = config->log.tiers;
	writer->min_free_bytes = config->log.min_free_bytes;
	writer->compress = config->log.compress == CONFIG_COMPRESS_ZSTD;
	writer->sync = (enum log_sync)config->log.sync;
	writer->sync_interval_ns = (uint64_t)config->log.sync_interval_s * NS_PER_S;
	find_readers(config, &logger.child);
	snprintf(logger.child.runtime_dir, sizeof(logger.child.runtime_dir), "%s", config->agent.runtime_dir);
	return logger_new(agent->loop.ev, &logger, &agent->logger);
}

static int build_port(struct agent *agent, struct err *e)
{
	struct port_kept kept = { .fd = notify_kept(NOTIFY_PORT), .input_fd = notify_kept(NOTIFY_HALF_LINE) };
	struct port_config config = { .spec = agent->config.port.spec,
				      .queue_bytes = agent->config.port.queue_bytes,
				      .kept = &kept };
	uint32_t seed = (uint32_t)agent->loop.now.mono_ns;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed ^= (uint32_t)getpid();
	agent->peers.loop = &agent->loop;
	agent->peers.config = &agent->config;
	agent->peers.secret = agent->secret;
	agent->peers.writer = &agent->writer;
	agent->peers.handler = &messages_handler;
	agent->peers.data = agent;
	agent->peers.nonces_changed = messages_nonces_changed;
	peers_init(&agent->peers, seed);
	hostlink_init(agent);
	return port_new(&config, &hostlink_events, agent, seed, &agent->port, e);
}

static int build_helpers(struct agent *agent)
{
	struct prober_config prober = { .idle = on_probes_answered, .idle_data = agent };
	struct bus_config bus = { .ready = on_bus_ready, .ready_data = agent };
	struct exec_config exec = {
		.max_output_bytes = agent->config.commands.max_output_bytes,
		.lost = on_executor_lost,
		.found = on_executor_found,
		.lost_data = agent,
	};
	int r;

	agent->prober = prober_new(agent->loop.ev, &prober);
	agent->exec = exec_new(agent->loop.ev, &exec);
	agent->bus = bus_new(agent->loop.ev, &bus);
	if (!agent->prober || !agent->exec || !agent->bus)
		return -ENOMEM;
	exec.socket_path = agent->config.commands.executor_socket;
	exec.detached_dir = agent->config.agent.runtime_dir;
	agent->privileged = exec_new(agent->loop.ev, &exec);
	if (!agent->privileged)
		return -ENOMEM;
	r = new_logger(agent);
	if (r < 0)
		return r;
	/*
	 * The helpers that the first sample needs are forked while the agent is small: every page it writes to after
	 * the fork is there twice.
	 */
	if (agent->config.log.enabled)
		logger_start(agent->logger);
	if (agent->config.collectors.processes || agent->config.collectors.ports)
		prober_warm(agent->prober);
	return 0;
}

/* What writes or would start a program rests while file systems are frozen; samples and answers go on. */
static void on_frozen(void *data, bool frozen)
{
	struct agent *agent = data;

	logger_pause(agent->logger, frozen);
	commands_freeze(&agent->commands, frozen);
}

static void on_thawed_unasked(void *data, const char *words)
{
	struct agent *agent = data;

	report(LOG_WARNING, "the file systems were thawed though no host asked for it: %s", words);
	hostlink_event(agent, REPLY_WARN, "freeze", "the file systems were thawed though no host asked for it: %s",
		       words);
}

static void build_commands(struct agent *agent)
{
	agent->commands.loop = &agent->loop;
	agent->commands.config = &agent->config;
	agent->commands.peers = &agent->peers;
	agent->commands.actions = &actions;
	agent->commands.hooks = &commands_hooks;
	agent->commands.data = agent;
	agent->commands.env = &agent->actions;
	record_init(&agent->commands.record, &agent->loop, &agent->audit, &agent->journal);
	commands_init(&agent->commands);
}

static void tell_event(void *data, enum reply_level level, const char *source, const char *text)
{
	hostlink_event(data, level, source, "%s", text);
}

static void apply_config(void *data, struct config *fresh)
{
	agent_apply_config(data, fresh);
}

static void report_agent(void *data, struct sink *out)
{
	agent_report(data, out);
}

static void build_actions(struct agent *agent)
{
	agent->actions = (struct action_env){
		.loop = &agent->loop,
		.config = &agent->config,
		.sampling = agent->sampling,
		.logger = agent->logger,
		.runner = agent->exec,
		.executor = agent->privileged,
		.bus = agent->bus,
		.scripts = &agent->scripts,
		.clock_steps = &agent->counters.clock_steps,
		.publisher = &agent->publisher,
		.event = tell_event,
		.apply_config = apply_config,
		.report = report_agent,
		.data = agent,
	};
	agent->actions.detached = (struct detached){ .commands = &agent->commands,
						     .executor = agent->privileged,
						     .bus = agent->bus,
						     .host = &agent->port_session,
						     .boot_id = agent->id.boot_id };
	power_init(&agent->actions.power, &agent->actions);
	freeze_init(&agent->freeze, &agent->loop, agent->privileged, agent->config.agent.runtime_dir,
		    &(struct freeze_hooks){ on_frozen, on_thawed_unasked, agent });
}

int build_agent(struct agent *agent, struct err *e)
{
	size_t room = agent->config.port.queue_bytes / 4 * 3;
	struct ev_loop *loop;
	uint64_t first_seq;
	int r = build_state(agent, &first_seq, e);

	if (r < 0)
		return r;
	loop = reserve_loop(e);
	if (!loop)
		return e->code;
	loop_init(&agent->loop, loop);
	turns_watch(&agent->loop.turns, secure_getenv("INFINISERVICE_TURNS"));
	agent->writer_text = malloc(REPLY_LINE_MAX + 1);
	if (!agent->writer_text)
		return err_set(e, -ENOMEM, "out of memory");
	/*
	 * The longest line: the room left in the port's queue when it is as full as it may be for a new command to
	 * start (host_reads). A longer answer is truncated and says so; an answer that the queue refused would be lost.
	 */
	json_writer_init(&agent->writer, agent->writer_text, room < REPLY_LINE_MAX ? room : REPLY_LINE_MAX);
	clockwatch_init(&agent->clock, &agent->loop.now);
	publish_init(&agent->publisher, &agent->loop);
	audit_init(&agent->audit, agent->config.agent.state_dir, NULL);
	r = journal_open(&agent->journal, agent->config.agent.runtime_dir);
	if (r < 0)
		tell_at_start(agent, "agent", "journal",
			      "%s/" JOURNAL_NAME ": %s: commands are not remembered over a crash",
			      agent->config.agent.runtime_dir, strerror(-r));
	build_commands(agent);
	scripts_init(&agent->scripts, &agent->commands, &agent->port_session, agent->id.vm_id);
	r = build_port(agent, e);
	if (r < 0)
		return r;
	if (!agent->config.log.enabled)
		standing_set(&agent->standing, REPLY_INFO, "log", "",
			     "this guest keeps no metric log (log.enabled): what no host takes is lost");
	/* The completions are sent when a host connects. Lost commands are answered in hostlink.c. */
	for (struct journal_entry *entry = agent->journal.lost, *next; entry; entry = next) {
		next = entry->next;
		if (entry->kind == JOURNAL_SCRIPT)
			scripts_lost(&agent->scripts, entry->serial, entry->id);
	}
	r = build_helpers(agent);
	if (r == 0)
		r = samples_build(agent, first_seq);
	if (r < 0)
		return err_set(e, r, "out of memory");
	build_actions(agent);
	r = qgalink_build(agent, e);
	if (r < 0)
		return r;
	detached_resume(&agent->actions.detached);
	return 0;
}
