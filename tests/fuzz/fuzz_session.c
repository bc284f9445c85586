/* SPDX-License-Identifier: MIT */
/*
 * A peer of the agent from its bytes to its answers: the real agent with all its parts but the loop, which never turns.
 * Nothing that needs a slot is ever started, so that batches, cancels and duplicates meet commands under way. Whatever
 * comes, each line that goes out is one message, what was admitted is answered exactly once by the end, and nothing
 * stays behind.
 *
 * The first byte chooses the kind of the peer and where its bytes are cut in two.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/agent.h"
#include "agent/command/command.h"
#include "require.h"
#include "scratch.h"

#define COMMANDS_MOST 100000

static struct agent agent;
static struct json_check check;
static unsigned sent;

static void make_agent(void)
{
	static char settings[8][128];
	static const char *const formats[] = { "agent.state_dir=%s", "agent.runtime_dir=%s", "log.dir=%s",
					       "socket.path=%s/agent.sock" };
	static char config[80];
	static struct agent_options options = { .config_path = config, .port_spec = "none" };
	struct err e = { 0 };
	int fd;

	scratch_make("session");
	snprintf(config, sizeof(config), "%s/agent.conf", scratch);
	fd = open(config, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the formats are the table above */
		snprintf(settings[i], sizeof(settings[i]), formats[i], scratch);
#pragma GCC diagnostic pop
		options.settings[options.setting_count++] = settings[i];
	}
	/* Nothing that asks another process: no bus, no prober, no program. */
	options.settings[options.setting_count++] = "log.enabled=no";
	options.settings[options.setting_count++] = "collectors.processes=no";
	options.settings[options.setting_count++] = "collectors.ports=no";
	options.settings[options.setting_count++] = "agent.vm_id=fuzz";
	options.settings[options.setting_count++] = "commands.allow=observe";
	options.settings[options.setting_count++] = "commands.allow_unsafe=yes";
	options.settings[options.setting_count++] = "commands.deny=ServiceList ServiceControl UserList ProcessList "
						    "ProcessTop CheckServices GetSystemHealth";
	options.settings[options.setting_count++] = "commands.queue_size=50";
	options.settings[options.setting_count++] = "port.max_line_bytes=64K";
	REQUIRE(agent_init(&agent, &options, &e) == 0 || (fprintf(stderr, "%s\n", e.text), false));
	report_set_level(-1);
	/* Records go nowhere: writing them is the work of a child. */
	if (agent.audit.journal_fd >= 0)
		close_fd(&agent.audit.journal_fd);
	agent.audit.next_try_ns = UINT64_MAX;
	agent.config.commands.max_concurrent = 0; /* no slot, so that all that needs one is queued */
}

static int take(struct session *session, struct line *line)
{
	static const struct json_limits limits = { .depth = 64, .tokens = 200000 };
	size_t len = line->len;

	(void)session;
	REQUIRE(len > 0);
	if (line->text[len - 1] == '\n')
		len--;
	REQUIRE(!memchr(line->text, '\n', len) && json_check_line(&check, line->text, len, &limits, NULL) == 0);
	sent++;
	return 0;
}

static size_t no_backlog(const struct session *session)
{
	(void)session;
	return 0;
}

static void end_all(void)
{
	unsigned turns = 0;

	commands_drain(&agent.commands);
	while (agent.commands.first) {
		struct command *command = agent.commands.first;

		REQUIRE(++turns < COMMANDS_MOST);
		/* The members of a batch are ended with it. */
		while (command->batch)
			command = command->batch;
		command_cancel(command, "the end of this input");
		commands_drain(&agent.commands);
	}
	REQUIRE(commands_queued(&agent.commands) == 0 && commands_running(&agent.commands) == 0);
}

/* Received and neither answered nor refused. */
static uint64_t open_count(void)
{
	const struct command_stats *stats = &agent.commands.stats;

	return stats->received - stats->answered - stats->refused;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session session;
	const char *bytes = (const char *)data + 1;
	uint64_t unanswered;
	size_t cut;

	if (!*scratch)
		make_agent();
	if (size < 2)
		return 0;
	size--;
	cut = (size_t)(data[0] >> 1) % (size + 1);
	session_init(&session, &agent.peers, data[0] & 1 ? SESSION_LOCAL : SESSION_PORT, take);
	session.backlog = no_backlog;
	session.backlog_max = 1 << 20;
	snprintf(session.name, sizeof(session.name), "fuzz");
	unanswered = open_count();
	session_receive(&session, bytes, cut);
	session_receive(&session, bytes + cut, size - cut);
	if (data[0] & 128)
		session_border(&session, UINT64_MAX);
	end_all();
	/* Scripts that find no room are refused by their own part. */
	REQUIRE(open_count() == unanswered || memmem(bytes, size, "pending_scripts", 15) ||
		memmem(bytes, size, "\\u", 2));
	REQUIRE(session.answers_lost == 0);
	session_done(&session);
	return 0;
}
