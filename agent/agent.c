/* SPDX-License-Identifier: MIT */
/* The life of the agent: what is built in which order, what wakes it, and how a new configuration takes effect. */
#include "agent/agent.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/latest.h"
#include "agent/log/repair.h"
#include "agent/notify.h"
#include "agent/privilege.h"
#include "agent/reserve.h"
#include "agent/subscribe.h"
#include "transport/json_write.h"

#define TURN_LONG_NS NS_PER_MS
/*
 * From here on an allocation gets pages of its own (mallopt(3)): only those it uses become real, while calloc clears all
 * of what it takes from the heap; and they go back when it is freed.
 */
#define OWN_PAGES_BYTES 32768

struct moment agent_now(const struct agent *agent)
{
	return agent->now;
}

/* ------------------------------------------------------------------------------------------------- configuration */

static void warn_config(void *data, const char *text)
{
	(void)data;
	report(LOG_WARNING, "%s", text);
}

static int apply_options(struct config *config, const struct agent_options *options, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < options->setting_count && r == 0; i++) {
		r = config_set(config, options->settings[i], e);
		if (r < 0)
			err_context(e, "--set %s", options->settings[i]);
	}
	if (r == 0 && options->port_spec) {
		_cleanup_(freep) char *assignment = NULL;

		if (asprintf(&assignment, "port.spec=%s", options->port_spec) < 0)
			return err_set(e, -ENOMEM, "out of memory");
		r = config_set(config, assignment, e);
		if (r < 0)
			err_context(e, "--port %s", options->port_spec);
	}
	return r;
}

int agent_load_config(struct config *config, const struct agent_options *options, struct err *e)
{
	int r = config_init(config);

	if (r < 0)
		return err_set(e, r, "out of memory");
	r = config_load(config, options->config_path, warn_config, NULL, e);
	if (r == 0)
		r = apply_options(config, options, e);
	if (r == 0)
		r = config_check(config, warn_config, NULL, e);
	if (r < 0)
		config_free(config);
	return r;
}

static void set_log_level(const struct agent *agent)
{
	static const int levels[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

	report_set_level(agent->options->verbose ? LOG_DEBUG : levels[agent->config.agent.log_level]);
}

/* Settings that only a start can change keep their running values. */
static void keep_fixed(struct config *new, struct config *old)
{
	static const char *const fixed[] = { "agent.state_dir", "agent.runtime_dir", "agent.vm_id", "port.spec", "port.queue_bytes",
					     "port.max_line_bytes", "socket.path", "socket.group", "log.dir", "log.segment_bytes",
					     "log.max_total_bytes", "log.sync", "log.compress", "log.enabled" };

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		char section[32], before[CONFIG_VALUE_MAX], after[CONFIG_VALUE_MAX];
		const char *name = strchr(fixed[i], '.') + 1;
		const struct config_key *key;
		struct err e;

		snprintf(section, sizeof(section), "%.*s", (int)(name - fixed[i] - 1), fixed[i]);
		key = config_key_find(section, name);
		config_key_format(old, key, before);
		config_key_format(new, key, after);
		if (strcmp(before, after) == 0)
			continue;
		report(LOG_WARNING, "%s takes effect at the next start", fixed[i]);
		config_key_parse(new, key, before, false, &e);
	}
}

void agent_apply_config(struct agent *agent, struct config *fresh)
{
	keep_fixed(fresh, &agent->config);
	config_free(&agent->config);
	agent->config = *fresh;
	set_log_level(agent);
	tick_reconfigure(agent);
}

void agent_reload(struct agent *agent)
{
	struct config fresh;
	struct secret secret = { 0 };
	struct err e = { 0 };
	int r;

	notify_reloading(agent->now.mono_ns);
	r = agent_load_config(&fresh, agent->options, &e);
	if (r == 0) {
		r = secret_find(fresh.auth.secret_file, &secret, &e);
		if (r < 0)
			config_free(&fresh);
	}
	if (r < 0) {
		agent->counters.reloads_failed++;
		report(LOG_ERR, "configuration not reloaded, the old one stays: %s", e.text);
		hostlink_event(agent, REPLY_ERROR, "config", "configuration not reloaded, the old one stays: %s", e.text);
	} else {
		agent_apply_config(agent, &fresh);
		/* A secret that came with the environment is gone from there by now. */
		if (secret.len > 0 || *agent->config.auth.secret_file)
			agent->secret = secret;
		agent->counters.reloads++;
		report(LOG_INFO, "configuration reloaded");
		hostlink_event(agent, REPLY_INFO, "config", "configuration reloaded");
	}
	secret_wipe(&secret);
	notify_ready();
}

/* ------------------------------------------------------------------------------------------------------ the turns */

void agent_dispatch_port(struct agent *agent)
{
	port_dispatch(agent->port, &agent->now);
}

static void on_port(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	agent_dispatch_port(io->data);
}

static void on_port_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	agent_dispatch_port(timer->data);
}

/* The deadline and the need to poll may change with anything that touched the port in this turn. */
static void watch_port(struct agent *agent, uint64_t now_ns)
{
	uint64_t deadline_ns = port_deadline_ns(agent->port);
	bool poll = port_needs_poll(agent->port);

	if (deadline_ns != agent->port_deadline_ns || (deadline_ns != TIME_NEVER && !ev_is_active(&agent->port_timer))) {
		agent->port_deadline_ns = deadline_ns;
		ev_timer_stop(agent->loop, &agent->port_timer);
		if (deadline_ns != TIME_NEVER) {
			ev_timer_set(&agent->port_timer, deadline_ns > now_ns ? (double)(deadline_ns - now_ns) / (double)NS_PER_S : 0, 0);
			ev_timer_start(agent->loop, &agent->port_timer);
		}
	}
	if (poll != ev_is_active(&agent->poll_timer)) {
		agent->poll_timer.repeat = (double)agent->config.timers.command_poll_ms / 1000;
		if (poll)
			ev_timer_again(agent->loop, &agent->poll_timer);
		else
			ev_timer_stop(agent->loop, &agent->poll_timer);
	}
}

static void on_before_wait(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct agent *agent = prepare->data;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), turn_ns = now_ns - agent->now.mono_ns;

	(void)events;
	if (turn_ns > TURN_LONG_NS)
		agent->counters.turns_over_1ms++;
	if (turn_ns > agent->counters.turn_ns_worst)
		agent->counters.turn_ns_worst = turn_ns;
	/* Timers are relative to the loop's own idea of now, which is as old as this turn. */
	if (turn_ns > TURN_LONG_NS)
		ev_now_update(loop);
	watch_port(agent, now_ns);
}

static void on_after_wait(struct ev_loop *loop, ev_check *check, int events)
{
	struct agent *agent = check->data;

	(void)loop;
	(void)events;
	agent->now = moment_now();
}

static void on_stop_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	(void)loop;
	(void)events;
	stop_begin(signal->data);
}

static void on_hup(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct agent *agent = signal->data;

	(void)loop;
	(void)events;
	if (agent->stopping == STOP_NOT)
		agent_reload(agent);
}

static void watch_signal(struct agent *agent, ev_signal *watcher, int number, void (*callback)(struct ev_loop *, ev_signal *, int))
{
	ev_signal_init(watcher, callback, number);
	watcher->data = agent;
	ev_signal_start(agent->loop, watcher);
}

static void watch_everything(struct agent *agent)
{
	watch_signal(agent, &agent->on_term, SIGTERM, on_stop_signal);
	watch_signal(agent, &agent->on_int, SIGINT, on_stop_signal);
	watch_signal(agent, &agent->on_hup, SIGHUP, on_hup);
	ev_prepare_init(&agent->before_wait, on_before_wait);
	agent->before_wait.data = agent;
	ev_prepare_start(agent->loop, &agent->before_wait);
	ev_check_init(&agent->after_wait, on_after_wait);
	agent->after_wait.data = agent;
	ev_set_priority(&agent->after_wait, EV_MAXPRI);
	ev_check_start(agent->loop, &agent->after_wait);
	ev_timer_init(&agent->port_timer, on_port_timer, 0, 0);
	agent->port_timer.data = agent;
	ev_timer_init(&agent->poll_timer, on_port_timer, 0, 0);
	agent->poll_timer.data = agent;
	ev_io_init(&agent->port_io, on_port, port_fd(agent->port), EV_READ);
	agent->port_io.data = agent;
	ev_io_start(agent->loop, &agent->port_io);
}

/* -------------------------------------------------------------------------------------------------- building parts */

static int hub_to_port(void *data, struct line *line)
{
	return hostlink_sample(data, line);
}

static int hub_to_feed(void *data, struct line *line)
{
	subscribe_publish(data, FEED_METRICS, line);
	return 0;
}

static int hub_to_log(void *data, struct line *line)
{
	struct agent *agent = data;

	logger_put(agent->logger, line, agent->now);
	return 0;
}

static int hub_to_latest(void *data, struct line *line)
{
	struct agent *agent = data;

	logger_latest(agent->logger, line, agent->now);
	return 0;
}

static void on_collector_changed(void *data, const struct collector *collector, int error)
{
	struct agent *agent = data;

	if (error)
		report(LOG_WARNING, "collector %s: %s; it goes on being tried", collector->name, strerror(-error));
	else
		report(LOG_NOTICE, "collector %s works again", collector->name);
	if (agent->port)
		hostlink_event(agent, error ? REPLY_WARN : REPLY_INFO, "collector", "%s: %s", collector->name,
			       error ? strerror(-error) : "works again");
}

static void on_logger_changed(void *data, enum logger_state state, int error)
{
	struct agent *agent = data;
	static const char *const words[] = { "is written again", "lags: its disk is slow or frozen", "cannot be written" };

	report(state == LOGGER_OK ? LOG_NOTICE : LOG_WARNING, "metric log in %s %s%s%s", agent->config.log.dir, words[state],
	       error ? ": " : "", error ? strerror(-error) : "");
	if (agent->port)
		hostlink_event(agent, state == LOGGER_OK ? REPLY_INFO : REPLY_WARN, "log", "the metric log %s", words[state]);
}

static void on_probes_answered(void *data)
{
	struct agent *agent = data;

	tick_probed(agent);
	commands_probed(&agent->commands);
}

static void on_executor_lost(void *data, int error)
{
	struct agent *agent = data;

	report_limited(&agent->exec_topic, agent->now.mono_ns, LOG_ERR, "executor %s%s", error ? "cannot be started: " : "died; its commands are answered INTERNAL and it is started again",
		       error ? strerror(-error) : "");
}

/* The seq of latest.json: in memory, so it survives a crash of the agent that the log's last write did not. */
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

static void find_first_seq(struct agent *agent)
{
	uint64_t log_seq = 0, latest_seq = seq_of_latest(agent->config.agent.runtime_dir);

	if (agent->config.log.enabled && repair_last_seq(agent->config.log.dir, &log_seq) < 0)
		log_seq = 0;
	agent->next_seq = state_first_seq(&agent->state, log_seq > latest_seq ? log_seq : latest_seq, agent->id.boot_id);
	if (state_begin(&agent->state, agent->next_seq, agent->id.boot_id) < 0)
		report(LOG_WARNING, "%s cannot be written: sample numbers rest on the log alone", agent->config.agent.state_dir);
}

static int open_state(struct agent *agent, struct err *e)
{
	const char *runtime_dir = agent->config.agent.runtime_dir;
	int r = state_open(&agent->state, agent->config.agent.state_dir, e);

	if (r < 0)
		return r;
	if (mkdir(runtime_dir, 0755) < 0 && errno != EEXIST)
		report(LOG_WARNING, "%s: %s: no %s is kept", runtime_dir, strerror(errno), LATEST_NAME);
	identity_find(&agent->id, agent->config.agent.vm_id, runtime_dir);
	find_first_seq(agent);
	return 0;
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
	writer->sync = (enum log_sync)config->log.sync;
	snprintf(logger.child.runtime_dir, sizeof(logger.child.runtime_dir), "%s", config->agent.runtime_dir);
	return logger_new(agent->loop, &logger, &agent->logger);
}

static int build_port(struct agent *agent, struct err *e)
{
	struct port_config config = { .spec = agent->config.port.spec, .queue_bytes = agent->config.port.queue_bytes };
	uint32_t seed = (uint32_t)agent->now.mono_ns;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed ^= (uint32_t)getpid();
	message_parser_init(&agent->parser, seed);
	envelope_guard_init(&agent->guard);
	hostlink_init(agent);
	return port_new(&config, &hostlink_events, agent, seed, &agent->port, e);
}

/*
 * What will be needed within the first sample is forked while there is little to inherit: a page that the agent writes
 * to after the fork is there twice.
 */
static void fork_helpers(struct agent *agent)
{
	if (agent->config.log.enabled)
		logger_start(agent->logger);
	if (agent->config.collectors.processes || agent->config.collectors.ports)
		prober_warm(agent->prober);
}

static int build_helpers(struct agent *agent)
{
	struct prober_config prober = { .idle = on_probes_answered, .idle_data = agent };
	struct exec_config exec = {
		.max_output_bytes = agent->config.commands.max_output_bytes,
		.lost = on_executor_lost,
		.lost_data = agent,
	};
	int r;

	agent->prober = prober_new(agent->loop, &prober);
	agent->exec = exec_new(agent->loop, &exec);
	agent->bus = bus_new(agent->loop, &(struct bus_config){ .address = NULL });
	if (!agent->prober || !agent->exec || !agent->bus)
		return -ENOMEM;
	exec.socket_path = agent->config.commands.executor_socket;
	if (!privilege_available(agent)) {
		agent->privileged = exec_new(agent->loop, &exec);
		if (!agent->privileged)
			return -ENOMEM;
	}
	r = new_logger(agent);
	if (r == 0)
		fork_helpers(agent);
	return r;
}

static void open_journal(struct agent *agent)
{
	int r = journal_open(&agent->journal, agent->config.agent.runtime_dir);

	if (r < 0)
		report(LOG_WARNING, "%s/" JOURNAL_NAME ": %s: commands are not remembered over a crash", agent->config.agent.runtime_dir,
		       strerror(-r));
}

/* As soon as there is a host; hostlink.c answers the commands. */
static void complete_lost_scripts(struct agent *agent)
{
	for (struct journal_entry *entry = agent->journal.lost, *next; entry; entry = next) {
		next = entry->next;
		if (entry->kind == JOURNAL_SCRIPT)
			scripts_lost(&agent->scripts, entry->serial, entry->id);
	}
}

static int build(struct agent *agent, struct err *e)
{
	int r;

	agent->loop = reserve_loop(e);
	if (!agent->loop)
		return e->code;
	agent->writer_text = malloc(REPLY_LINE_MAX + 1);
	if (!agent->writer_text)
		return err_set(e, -ENOMEM, "out of memory");
	json_writer_init(&agent->writer, agent->writer_text, REPLY_LINE_MAX);
	clockwatch_init(&agent->clock, &agent->now);
	commands_init(&agent->commands, agent);
	subscribe_init(agent);
	audit_init(&agent->audit, agent->config.agent.state_dir, NULL);
	scripts_init(&agent->scripts, agent);
	open_journal(agent);
	power_init(&agent->power, agent);
	r = build_port(agent, e);
	if (r < 0)
		return r;
	complete_lost_scripts(agent);
	r = build_helpers(agent);
	if (r == 0)
		r = sampler_new(&agent->config, agent->prober, &agent->now, on_collector_changed, agent, &agent->sampler);
	if (r < 0)
		return err_set(e, r, "out of memory");
	hub_subscribe(&agent->hub, "port", HUB_PORT, hub_to_port, agent);
	hub_subscribe(&agent->hub, "feed", HUB_PORT, hub_to_feed, agent);
	hub_subscribe(&agent->hub, "log", HUB_LOG, hub_to_log, agent);
	hub_subscribe(&agent->hub, "latest", HUB_LATEST, hub_to_latest, agent);
	return 0;
}

static void ignore_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGXFSZ };

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

int agent_init(struct agent *agent, const struct agent_options *options, struct err *e)
{
	struct err warning;
	int r;

	*agent = (struct agent){ .options = options, .started = moment_now(), .port_deadline_ns = TIME_NEVER };
	agent->state.dir_fd = agent->state.lock_fd = agent->clock.fd = -1;
	agent->now = agent->started;
	mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
	r = agent_load_config(&agent->config, options, e);
	if (r < 0)
		return r;
	set_log_level(agent);
	ignore_signals();
	r = secret_find(agent->config.auth.secret_file, &agent->secret, e);
	secret_forget_environment();
	if (r == 0)
		r = open_state(agent, e);
	if (r == 0)
		r = build(agent, e);
	if (r == 0)
		r = local_new(agent, &agent->local, &warning, e);
	if (r == 0 && warning.code)
		report(LOG_WARNING, "%s", warning.text);
	return r;
}

int agent_run(struct agent *agent)
{
	watch_everything(agent);
	tick_start(agent);
	agent_dispatch_port(agent);
	report(LOG_INFO, "infiniservice " INFINISERVICE_VERSION ": vm %s (%s), port %s, log %s", agent->id.vm_id,
	       agent->id.source, agent->config.port.spec, agent->config.log.enabled ? agent->config.log.dir : "off");
	notify_ready();
	ev_run(agent->loop, 0);
	return agent->exit_code;
}

/* The next number is written only when the log got all it was given: else the crash rule finds it (state.h). */
static void finish_state(struct agent *agent)
{
	if (agent->state.dir_fd < 0 || agent->stopping != STOP_END)
		return;
	if (agent->logger_stopped && state_finish(&agent->state, agent->next_seq, agent->id.boot_id) < 0)
		report(LOG_WARNING, "%s: the next sample number could not be written", agent->config.agent.state_dir);
}

/* Helpers end when their socket does; one in the middle of a slow disk write is left to init. */
static void reap_helpers(void)
{
	const struct timespec pause = { .tv_nsec = 5 * (long)NS_PER_MS };

	for (unsigned i = 0; i < 60; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return;
		if (pid == 0)
			nanosleep(&pause, NULL);
	}
}

void agent_done(struct agent *agent)
{
	if (agent->port)
		port_close(agent->port);
	scripts_done(&agent->scripts);
	agent->local = local_free(agent->local);
	session_done(&agent->port_session);
	finish_state(agent);
	agent->sampler = sampler_free(agent->sampler);
	power_done(&agent->power);
	agent->bus = bus_free(agent->bus);
	agent->privileged = exec_free(agent->privileged);
	agent->exec = exec_free(agent->exec);
	agent->prober = prober_free(agent->prober);
	agent->logger = logger_free(agent->logger);
	agent->port = port_free(agent->port);
	hub_done(&agent->hub);
	feed_done(&agent->feed);
	journal_close(&agent->journal);
	audit_done(&agent->audit);
	message_parser_free(&agent->parser);
	envelope_guard_free(&agent->guard);
	clockwatch_done(&agent->clock);
	secret_wipe(&agent->secret);
	free(agent->writer_text);
	if (agent->loop)
		reap_helpers();
	state_close(&agent->state);
	config_free(&agent->config);
	if (agent->loop)
		ev_loop_destroy(agent->loop);
}
