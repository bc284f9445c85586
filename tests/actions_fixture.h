/* SPDX-License-Identifier: MIT */
/*
 * The actions (agent/actions) without an agent: the real table of actions over the real commands, asked by a host or by
 * local clients. The environment is real too but for what it would reach out to, which is played (actions_played.h):
 *
 *	play("*dpkg-query*", 0, "bash\n")   such a program ends at once like this. One that nobody plays runs until the
 *	                                    test ends it: job_of("*apt-get*")->outcome.exit_code = 100, job_end(job)
 *	job_of("*apt-get*")->environment    how it was started; runner and executor are the two that run programs
 *	fixture_write(machine, "proc/…", …) the files that the collectors read; machine_of("debian-12"): of a real one
 *	unit("ssh.service")->sub = "dead"   the service manager's units, on a bus that is real
 *	seen.uid = 0                        the agent is root; seen.events: what the host was told
 *
 * Then, in one line each:
 *
 *	expect("ServiceControl", "\"service\":\"ssh\",\"operation\":\"stop\"", "\"success\":true");
 *	ask("PackageInstall", "\"package\":\"bash\"");      and look at answer(), NULL while there is none
 *	ask_as(user(1000), "UserList", "");                 a local client
 *
 * actions_test(function) sets up and takes down. The time is the test's: later(NS_PER_S). Only what a child process
 * answers (a history, a trend) takes real time: await().
 */
#ifndef TESTS_ACTIONS_FIXTURE_H
#define TESTS_ACTIONS_FIXTURE_H

#include "agent/actions/run.h"
#include "agent/actions/script.h"
#include "agent/actions/table.h"
#include "agent/base/report.h"
#include "tests/actions_played.h"
#include "tests/loop_turn.h"

static struct action_env env;
static struct scripts scripts;
static struct publisher publisher;
static uint64_t clock_steps;
static char state_dir[32];
static ev_prepare prepare;

/* Who asked last, and by which id. */
static struct peer *asker;
static char asked[16];
static unsigned asked_count;

/* ---------------------------------------------------------------------------------------------- questions, answers */

/* The response to what was asked last; NULL: there is none yet. */
static inline const char *answer(void)
{
	const char *text = NULL;

	return lines_with(asker, "response", asked, &text) == 1 ? text : NULL;
}

/* A few turns of the loop: as many as conversations on the bus need. */
static inline void turns(void)
{
	for (unsigned i = 0; i < 40; i++)
		turn();
}

/* For children that answer: waits up to five seconds. */
static inline const char *await(void)
{
	for (unsigned i = 0; i < 1000 && !answer(); i++) {
		loop_turn(loop.ev);
		turn();
	}
	return answer();
}

/* A message of another type: its members without the id. */
static inline const char *ask_message(struct peer *peer, const char *members)
{
	asker = peer;
	snprintf(asked, sizeof(asked), "c%u", ++asked_count);
	say(peer, "{\"id\":\"%s\",%s}", asked, members);
	turns();
	return answer();
}

static inline const char *ask_as(struct peer *peer, const char *action, const char *parameters)
{
	char members[8000];

	snprintf(members, sizeof(members), "\"type\":\"SafeCommand\",\"command_type\":{\"action\":\"%s\"%s%s}", action,
		 *parameters ? "," : "", parameters);
	return ask_message(peer, members);
}

/* The host asks; `parameters` as members of an object. The answer, or NULL when it is not there yet. */
static inline const char *ask(const char *action, const char *parameters)
{
	return ask_as(&host, action, parameters);
}

/* The answer to what was asked last is there, and this is a part of it. */
static inline void answer_has(const char *part)
{
	answered(asker, asked, part);
}

static inline void expect(const char *action, const char *parameters, const char *part)
{
	ask(action, parameters);
	answer_has(part);
}

/* ---------------------------------------------------------------------------------------------------- setup and end */

static inline void on_event(void *data, enum reply_level level, const char *source, const char *text)
{
	static const char *const levels[] = { "debug", "info", "warn", "error" };

	(void)data;
	append(seen.events, sizeof(seen.events), "%s %s: %s\n", levels[level], source, text);
}

static inline void on_config(void *data, struct config *fresh)
{
	(void)data;
	config_free(&config);
	config = *fresh;
	seen.configs++;
}

static inline void on_report(void *data, struct sink *out)
{
	(void)data;
	sink_str(out, "agent", "played");
}

static inline bool host_reads(void *data)
{
	(void)data;
	return true;
}

static inline bool is_ready(void *data, const struct action *action)
{
	(void)data;
	return !action->bus || bus_ready(env.bus) != -EINPROGRESS;
}

static inline void on_changed(void *data, const struct addition_command *told)
{
	(void)data;
	(void)told;
}

static inline void on_resumed(void *data, struct command *command)
{
	(void)data;
	detached_deliver(&env.detached, command);
}

static inline void on_over(void *data, struct command *command)
{
	(void)data;
	run_forget(command);
}

static inline void on_prepare(struct ev_loop *ev, ev_prepare *watcher, int events)
{
	(void)ev;
	(void)watcher;
	(void)events;
	commands_drain(&commands);
}

static inline void begin_config(void)
{
	static const char *const keys[] = { "agent.state_dir", "agent.runtime_dir", "log.dir" };
	char setting[96];

	strcpy(state_dir, "/tmp/test-actions-XXXXXX");
	assert_non_null(mkdtemp(state_dir));
	assert_int_equal(config_init(&config), 0);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		snprintf(setting, sizeof(setting), "%s=%s", keys[i], state_dir);
		set(setting);
	}
	set("commands.enabled=yes");
	set("commands.allow=observe, control, packages, power");
	set("commands.allow_unsafe=yes");
	set("commands.rate_per_s=0");
}

static inline void begin_commands(void)
{
	static const struct peer_handler handler = { .message = on_message, .gone = on_gone, .drained = on_drained };
	static const struct command_hooks hooks = { .host_reads = host_reads,
						    .ready = is_ready,
						    .changed = on_changed,
						    .deliver_resumed = on_resumed,
						    .over = on_over };
	char path[64];

	json_writer_init(&writer, writer_text, sizeof(writer_text));
	peers = (struct peers){ .loop = &loop,
				.config = &config,
				.secret = &no_secret,
				.writer = &writer,
				.handler = &handler,
				.nonces_changed = on_nonces };
	peers_init(&peers, 1);
	snprintf(path, sizeof(path), "%s/audit", state_dir);
	audit_init(&audit, state_dir, path);
	audit.next_try_ns = UINT64_MAX; /* nobody records */
	assert_int_equal(journal_open(&journal, state_dir), 0);
	commands = (struct commands){
		.loop = &loop, .config = &config, .peers = &peers, .actions = &actions, .hooks = &hooks, .env = &env
	};
	record_init(&commands.record, &loop, &audit, &journal);
	commands_init(&commands);
	peer_begin(&host, SESSION_PORT, 0);
}

static inline void begin_env(void)
{
	struct bus_config bus = { .connect = manager_connect };

	publish_init(&publisher, &loop);
	scripts_init(&scripts, &commands, &host.session, "the-guest");
	assert_true(libsystemd_open(NULL, 0, NULL) >= 0);
	env = (struct action_env){ .loop = &loop,
				   .config = &config,
				   .runner = &runner,
				   .executor = &executor,
				   .bus = bus_new(loop.ev, &bus),
				   .scripts = &scripts,
				   .clock_steps = &clock_steps,
				   .publisher = &publisher,
				   .event = on_event,
				   .apply_config = on_config,
				   .report = on_report };
	assert_non_null(env.bus);
	env.detached = (struct detached){ .commands = &commands,
					  .executor = &executor,
					  .bus = env.bus,
					  .host = &host.session,
					  .boot_id = "this-boot" };
	power_init(&env.power, &env);
}

/* An agent that is not root with an executor, on an empty machine. */
static inline int actions_begin(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.uid = getuid() ? getuid() : 1000;
	seen.next_seq = 1;
	memset(&host, 0, sizeof(host));
	memset(users, 0, sizeof(users));
	runner = executor = (struct exec){ .state = EXEC_STATE_READY };
	job_count = play_count = unit_count = asked_count = 0;
	clock_steps = 0;
	report_set_level(-1);
	loop_init(&loop, ev_default_loop(0));
	machine = fixture_new();
	begin_config();
	seen.detached_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	begin_commands();
	begin_env();
	ev_prepare_init(&prepare, on_prepare);
	ev_prepare_start(loop.ev, &prepare);
	return 0;
}

/* As an agent stops: what waits is answered, programs die, and the rest is answered. */
static inline void end_commands(void)
{
	commands_close(&commands);
	for (unsigned i = 0; i < job_count; i++)
		if (!jobs[i].over)
			exec_cancel(&jobs[i], 0);
	turns();
	commands_kill(&commands);
	turns();
}

static inline int actions_end(void **state)
{
	(void)state;
	end_commands();
	assert_null(commands.first);
	assert_int_equal(commands.stats.received, commands.stats.answered + commands.stats.refused + seen.given_back);
	power_done(&env.power);
	detached_done(&env.detached);
	scripts_done(&scripts);
	peer_done(&host);
	for (unsigned i = 0; i < FIXTURE_USERS_MAX; i++)
		peer_done(&users[i]);
	publish_done(&publisher);
	env.bus = bus_free(env.bus);
	manager_end();
	peers_done(&peers);
	journal_close(&journal);
	audit_done(&audit);
	measured_done();
	fixture_free(machine);
	line_unref(seen.latest);
	ev_prepare_stop(loop.ev, &prepare);
	ev_loop_destroy(loop.ev);
	config_free(&config);
	close_fd(&seen.detached_fd);
	return nftw(state_dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define actions_test(function) cmocka_unit_test_setup_teardown(function, actions_begin, actions_end)

#endif
