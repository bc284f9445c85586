/* SPDX-License-Identifier: MIT */
/*
 * The commands (agent/command) without an agent: a host and local clients whose lines go through real sessions, actions
 * and a runner that are played, and time that the test turns. What the agent does once a turn of its loop,
 * commands_drain, is done once a turn of this one. commands_begin and commands_end are setup and teardown of each test;
 * the latter ends what is left as an agent that stops does, and checks that everything was answered once.
 */
#ifndef TESTS_COMMANDS_FIXTURE_H
#define TESTS_COMMANDS_FIXTURE_H

#include "tests/commands_played.h"

/* -------------------------------------------------------------------------------------------------------- commands */

/* `more`: further members of the message, each with a comma before it. */
static inline void ask_with(struct peer *peer, const char *action, const char *id, const char *more)
{
	say(peer, "{\"type\":\"SafeCommand\",\"id\":\"%s\",\"command_type\":{\"action\":\"%s\"}%s}", id, action, more);
}

static inline void ask(struct peer *peer, const char *action, const char *id)
{
	ask_with(peer, action, id, "");
}

static inline bool runs(const char *id)
{
	const struct command *command = find(id);

	return command && command->state == COMMAND_RUNNING;
}

static inline bool is_queued(const char *id)
{
	const struct command *command = find(id);

	return command && command->state == COMMAND_QUEUED;
}

/* It has done its work. */
static inline void finish(const char *id)
{
	struct command *command = find(id);

	assert_non_null(command);
	if (command->job)
		job_dead(command);
	command_succeed(command, NULL, NULL);
}

static inline void fail_with(const char *id, enum error_code code, const char *reason)
{
	struct command *command = find(id);

	assert_non_null(command);
	if (command->job)
		job_dead(command);
	command_fail(command, code, reason, "played");
}

/* ---------------------------------------------------------------------------------------------------- setup and end */

/* The records of the audit, as journals get them. */
static inline void read_records(void)
{
	char bytes[8192];
	ssize_t len;

	while ((len = recv(seen.audit_fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT)) > 0)
		append(seen.recorded, sizeof(seen.recorded), "%.*s", (int)len, bytes);
}

static inline void on_prepare(struct ev_loop *ev, ev_prepare *prepare, int events)
{
	(void)ev;
	(void)prepare;
	(void)events;
	commands_drain(&commands);
	read_records();
}

static inline void open_records(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(seen.folder, "/tmp/test-commands-XXXXXX");
	assert_non_null(mkdtemp(seen.folder));
	snprintf(seen.audit_path, sizeof(seen.audit_path), "%s/audit", seen.folder);
	strcpy(address.sun_path, seen.audit_path);
	seen.audit_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(seen.audit_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	audit_init(&audit, seen.folder, seen.audit_path);
	audit.next_try_ns = UINT64_MAX; /* no file: what finds no room waits */
	assert_int_equal(journal_open(&journal, seen.folder), 0);
}

/* Commands of a host that may do everything, at four at a time, with four places in the queue. */
static inline int commands_begin(void **state)
{
	static const struct peer_handler handler = { .message = on_message, .gone = on_gone, .drained = on_drained };
	static const struct command_hooks hooks = { .host_reads = host_reads,
						    .ready = ready,
						    .changed = on_changed,
						    .deliver_resumed = deliver_resumed,
						    .over = on_over };
	char setting[64];

	(void)state;
	memset(&seen, 0, sizeof(seen));
	memset(&host, 0, sizeof(host));
	memset(users, 0, sizeof(users));
	for (size_t i = 0; i < ARRAY_SIZE(played); i++)
		rows[i + 1] = &played[i];
	report_set_level(-1);
	loop_init(&loop, ev_loop_new(0));
	json_writer_init(&writer, writer_text, sizeof(writer_text));
	open_records();
	assert_int_equal(config_init(&config), 0);
	snprintf(setting, sizeof(setting), "agent.state_dir=%s", seen.folder);
	set(setting);
	snprintf(setting, sizeof(setting), "agent.runtime_dir=%s", seen.folder);
	set(setting);
	set("commands.enabled=yes");
	set("commands.allow=observe, control, packages, power");
	set("commands.allow_unsafe=yes");
	set("commands.max_concurrent=4");
	set("commands.queue_size=4");
	set("commands.rate_per_s=0");
	peers = (struct peers){ .loop = &loop,
				.config = &config,
				.secret = &no_secret,
				.writer = &writer,
				.handler = &handler,
				.nonces_changed = on_nonces };
	peers_init(&peers, 1);
	commands = (struct commands){
		.loop = &loop, .config = &config, .peers = &peers, .actions = &table, .hooks = &hooks
	};
	record_init(&commands.record, &loop, &audit, &journal);
	commands_init(&commands);
	ev_prepare_init(&seen.prepare, on_prepare);
	ev_prepare_start(loop.ev, &seen.prepare);
	peer_begin(&host, SESSION_PORT, 0);
	return 0;
}

/* As an agent stops: what waits is answered, programs die, and the rest is answered. */
static inline void end_commands(void)
{
	commands_close(&commands);
	commands_kill(&commands);
	for (struct command *command = commands.first; command; command = command->next) {
		if (!command->job)
			continue;
		job_dead(command);
		command_fail(command, CODE_SHUTTING_DOWN, NULL, "killed");
	}
	turn();
}

static inline int commands_end(void **state)
{
	char path[64];

	(void)state;
	end_commands();
	assert_null(commands.first);
	assert_true(commands_idle(&commands));
	assert_int_equal(seen.work_begun, seen.work_freed);
	assert_int_equal(commands.stats.received + seen.adopted,
			 commands.stats.answered + commands.stats.refused + seen.refused + seen.left);
	assert_int_equal(seen.over, commands.stats.answered);
	assert_int_equal(journal.open_count, seen.left);
	assert_int_equal(commands_running(&commands) + commands_queued(&commands), 0);
	assert_int_equal(commands.host.waiting + commands.local.waiting, 0);
	for (unsigned i = 0; i < SLOT_KINDS; i++)
		assert_int_equal(commands.held[i], 0);
	peer_done(&host);
	for (unsigned i = 0; i < FIXTURE_USERS_MAX; i++)
		peer_done(&users[i]);
	peers_done(&peers);
	journal_close(&journal);
	audit_done(&audit);
	ev_prepare_stop(loop.ev, &seen.prepare);
	ev_loop_destroy(loop.ev);
	config_free(&config);
	close_fd(&seen.audit_fd);
	unlink(seen.audit_path);
	snprintf(path, sizeof(path), "%s/" JOURNAL_NAME, seen.folder);
	unlink(path);
	return rmdir(seen.folder);
}

#define commands_test(function) cmocka_unit_test_setup_teardown(function, commands_begin, commands_end)

#endif
