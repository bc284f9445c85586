/* SPDX-License-Identifier: MIT */
/* See freeze.h; systemd.unit(5) for StopWhenUnneeded, org.freedesktop.systemd1(5) for StartTransientUnit. */
#include "agent/executor/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/unit.h"
#include "agent/rules/freeze_rules.h"

#define CAPABILITY(number) (UINT64_C(1) << (number))
/* FIFREEZE and remount; mlockall; opening any directory. */
#define FREEZE_CAPABILITIES (CAPABILITY(CAP_SYS_ADMIN) | CAPABILITY(CAP_IPC_LOCK) | CAPABILITY(CAP_DAC_READ_SEARCH))
/* How long after the helper's own limit PID 1 ends it. */
#define LATE_S 30
#define STOP_S 30
/*
 * The units of an earlier freeze may still be ending: hooks that thaw. PID 1 starts and stops units only when it has
 * nothing else to do, so it is asked ever more rarely: a call each 50 ms kept a slow one from it for 45 s.
 */
#define TRY_AGAIN_MS	 50
#define TRY_AGAIN_MAX_MS 1000
#define TRIES_MAX	 (FREEZE_HOOKS_S * 1000 / TRY_AGAIN_MAX_MS + 5)
#define HOOK_DIRS_MAX	 8

struct freezing {
	struct executor *executor;
	struct freezing *next;
	uint64_t id; /* of the request; 0: no reply is pending */
	uint32_t limit_s;
	int agent_fd, helper_fd; /* for the unit; -1: PID 1 has them */
	int life_fd;		 /* its other end tells the helper that the executor is there */
	sd_event_source *life, *again;
	sd_bus_slot *slot;
	unsigned tries;
	bool thawed; /* the helper has said so, and its units are ending */
	char job[64];
};

static void freezing_free(struct freezing *freezing)
{
	struct freezing **at = &freezing->executor->freezing;

	while (*at != freezing)
		at = &(*at)->next;
	*at = freezing->next;
	sd_event_source_disable_unref(freezing->life);
	sd_event_source_disable_unref(freezing->again);
	sd_bus_slot_unref(freezing->slot);
	close_fd(&freezing->agent_fd);
	close_fd(&freezing->helper_fd);
	close_fd(&freezing->life_fd);
	free(freezing);
}

/* Answers the request, once; `error` is 0 or negative. */
static void freezing_answer(struct freezing *freezing, int error, const char *words)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_ANSWERED, .id = freezing->id, .error = -error } };

	if (freezing->id)
		executor_reply(freezing->executor, &answer, words, NULL);
	freezing->id = 0;
}

/* There is no helper, and none will come. */
static void freezing_fail(struct freezing *freezing, int error, const char *words)
{
	struct executor *executor = freezing->executor;

	freezing_answer(freezing, error, words);
	freezing_free(freezing);
	executor_rest(executor);
}

/* The helper says that it has thawed; the end comes when PID 1 has done with its unit, too. */
static int on_life(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct freezing *freezing = data;
	char byte;

	(void)source;
	(void)events;
	if (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) == 1)
		freezing->thawed = true;
	else
		freezing_fail(freezing, -ECHILD, "the freeze helper ended");
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ the units */

/* `$` would be expanded in the arguments of a unit, systemd.service(5). False: it does not fit. */
static bool argument_escape(const char *text, char *out, size_t size)
{
	size_t len = 0;

	for (; *text && len + 3 < size; text++) {
		out[len++] = *text;
		if (*text == '$')
			out[len++] = '$';
	}
	out[len] = '\0';
	return !*text;
}

/* The property `key` (ExecStart, ExecStopPost): this program with the verb and up to HOOK_DIRS_MAX further words. */
static int append_program(sd_bus_message *m, const char *key, const char *program, const char *verb, const char *word,
			  char *const *more)
{
	char escaped[4200];
	int r = sd_bus_message_open_container(m, 'r', "sv");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", key);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sasb");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", program);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "s");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", program, verb);
	if (r >= 0 && word)
		r = sd_bus_message_append(m, "s", word);
	for (size_t i = 0; r >= 0 && more && more[i]; i++)
		r = i < HOOK_DIRS_MAX && argument_escape(more[i], escaped, sizeof(escaped))
			    ? sd_bus_message_append(m, "s", escaped)
			    : -E2BIG;
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "b", false);
	for (int i = 0; r >= 0 && i < 4; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

/*
 * The helper: no BindsTo, or it would die with the executor; only its main process is stopped, and what it could not
 * thaw is thawed by the record. It is in the machine's mount name space, which no option here changes.
 */
static int append_helper(sd_bus_message *m, const struct freezing *freezing)
{
	const char *program = freezing->executor->options.program;
	uint64_t limit_us = (freezing->limit_s + LATE_S) * UINT64_C(1000000);
	int r = sd_bus_message_append(
		m, "(sv)(sv)(sv)(sv)(sv)", "Description", "s", "InfiniService freeze of file systems", "Type", "s",
		"exec", "StandardInputFileDescriptor", "h", freezing->agent_fd, "StandardOutputFileDescriptor", "h",
		freezing->helper_fd, "StandardError", "s", "null");

	if (r >= 0)
		r = append_program(m, "ExecStart", program, "freeze", NULL, NULL);
	if (r >= 0)
		r = append_program(m, "ExecStopPost", program, "thaw", NULL, NULL);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "CapabilityBoundingSet", "t", FREEZE_CAPABILITIES,
					  "NoNewPrivileges", "b", true, "KillMode", "s", "process", "TimeoutStopUSec",
					  "t", STOP_S * UINT64_C(1000000), "RuntimeMaxUSec", "t", limit_us);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "CollectMode", "s", "inactive-or-failed", "Slice",
					  "s", UNIT_SLICE, "OOMScoreAdjust", "i", -999, "Requires", "as", 1,
					  FREEZE_HOOKS_UNIT, "After", "as", 1, FREEZE_HOOKS_UNIT);
	return r;
}

/*
 * The hooks: active from the end of the first run on, and stopped, which runs the second, when the helper has ended.
 * They have as long as all may be frozen, and FREEZE_HOOKS_S at most; then they are killed, and nothing is frozen.
 */
static int append_hooks(sd_bus_message *m, const struct freezing *freezing)
{
	const struct executor *executor = freezing->executor;
	char *const *dirs = executor->policy.config.qga.freeze_hooks;
	uint64_t hooks_s = freezing->limit_s < FREEZE_HOOKS_S ? freezing->limit_s : FREEZE_HOOKS_S;
	int r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)", "Description", "s", "InfiniService hooks of a freeze",
				      "Type", "s", "oneshot", "RemainAfterExit", "b", true, "StopWhenUnneeded", "b",
				      true);

	if (r >= 0)
		r = append_program(m, "ExecStart", executor->options.program, "hooks", "freeze", dirs);
	if (r >= 0)
		r = append_program(m, "ExecStopPost", executor->options.program, "hooks", "thaw", dirs);
	if (r >= 0)
		r = sd_bus_message_append(
			m, "(sv)(sv)(sv)(sv)(sv)(sv)", "TimeoutStartUSec", "t", hooks_s * UINT64_C(1000000),
			"TimeoutStopUSec", "t", hooks_s * UINT64_C(1000000), "KillMode", "s", "control-group",
			"KillSignal", "i", SIGKILL, "CollectMode", "s", "inactive-or-failed", "Slice", "s", UNIT_SLICE);
	return r;
}

/* StartTransientUnit(name, mode, properties, auxiliary units with theirs). */
static int message_make(const struct freezing *freezing, sd_bus_message **ret)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(freezing->executor->manager, &m, MANAGER_NAME, MANAGER_PATH,
					       MANAGER_INTERFACE, "StartTransientUnit");

	if (r >= 0)
		r = sd_bus_message_append(m, "ss", FREEZE_UNIT, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_helper(m, freezing);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sa(sv))");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sa(sv)");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", FREEZE_HOOKS_UNIT);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_hooks(m, freezing);
	for (int i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	if (r < 0)
		m = sd_bus_message_unref(m);
	*ret = m;
	return r;
}

static void try_later(struct freezing *freezing)
{
	uint64_t ms = freezing->tries < 5 ? (uint64_t)TRY_AGAIN_MS << freezing->tries : TRY_AGAIN_MAX_MS;

	freezing->tries++;
	sd_event_source_set_time_relative(freezing->again, ms * NS_PER_MS / NS_PER_US);
	sd_event_source_set_enabled(freezing->again, SD_EVENT_ONESHOT);
}

static int on_started(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct freezing *freezing = data;
	char words[RUNNER_TEXT_MAX];
	const char *path;

	(void)error;
	freezing->slot = sd_bus_slot_unref(freezing->slot);
	if (failed && sd_bus_error_has_name(failed, "org.freedesktop.systemd1.UnitExists") &&
	    freezing->tries < TRIES_MAX) {
		try_later(freezing);
		return 1;
	}
	if (failed) {
		snprintf(words, sizeof(words), "%s %s", failed->name, failed->message ? failed->message : "");
		freezing_fail(freezing, -EREMOTEIO, words);
	} else if (sd_bus_message_read(message, "o", &path) < 0 || strlen(path) >= sizeof(freezing->job))
		freezing_fail(freezing, -EREMOTEIO, "the service manager's answer made no sense");
	else {
		memcpy(freezing->job, path, strlen(path) + 1);
		close_fd(&freezing->agent_fd);
		close_fd(&freezing->helper_fd);
	}
	return 1;
}

/* Asks PID 1, or waits for the unit of the helper before to be gone. 0 or -errno. */
static int request(struct freezing *freezing)
{
	struct executor *executor = freezing->executor;
	sd_bus_message *m = NULL;
	int r = freezing->next && freezing->tries >= TRIES_MAX ? -EBUSY : executor_manager(executor);

	if (r >= 0 && freezing->next) {
		try_later(freezing);
		return 0;
	}
	if (r >= 0)
		r = message_make(freezing, &m);
	if (r >= 0)
		r = sd_bus_call_async(executor->manager, &freezing->slot, m, on_started, freezing, UINT64_MAX);
	sd_bus_message_unref(m);
	return r;
}

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct freezing *freezing = data;
	int r = request(freezing);

	(void)source;
	(void)usec;
	if (r < 0)
		freezing_fail(freezing, r, strerror(-r));
	return 0;
}

/* ------------------------------------------------------------------------------------------------ for the executor */

static bool is_packet_socket(int fd)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* Makes the sockets, and puts the order into the one of the helper. 0 or -errno. */
static int sockets_make(struct freezing *freezing, int agent_fd, const struct freeze_order *order)
{
	int pair[2];

	freezing->agent_fd = fcntl(agent_fd, F_DUPFD_CLOEXEC, 3);
	if (freezing->agent_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	freezing->life_fd = pair[0];
	freezing->helper_fd = pair[1];
	if (send(pair[0], order, sizeof(*order), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(*order))
		return -errno;
	return sd_event_add_io(freezing->executor->event, &freezing->life, pair[0], EPOLLIN, on_life, freezing);
}

int freeze_start(struct executor *executor, const struct runner_call *call, int agent_fd)
{
	static struct freeze_order order;
	uint32_t limit_s = (uint32_t)executor->policy.config.qga.freeze_max_s;
	uint64_t id = call->operation.head.id;
	struct freezing *freezing;
	bool busy;
	int r;

	if (agent_fd < 0 || !is_packet_socket(agent_fd) || freeze_order_fill(&order, limit_s, call->argument) < 0)
		return -EBADMSG;
	/* A further one waits for the units of one that has thawed, which may run hooks. */
	busy = executor->freezing && (!executor->freezing->thawed || executor->freezing->next);
	freezing = busy ? NULL : calloc(1, sizeof(*freezing));
	if (!freezing) {
		executor_refuse(executor, id, busy ? EBUSY : ENOMEM, RUNNER_STAGE_RESOURCE,
				busy ? "file systems are frozen, or being frozen or thawed" : "");
		return 0;
	}
	*freezing = (struct freezing){ .executor = executor,
				       .next = executor->freezing,
				       .id = id,
				       .limit_s = limit_s,
				       .agent_fd = -1,
				       .helper_fd = -1,
				       .life_fd = -1 };
	executor->freezing = freezing;
	r = sd_event_add_time(executor->event, &freezing->again, CLOCK_MONOTONIC, UINT64_MAX, 1, on_again, freezing);
	if (r >= 0)
		r = sockets_make(freezing, agent_fd, &order);
	if (r >= 0)
		r = request(freezing);
	if (r < 0)
		freezing_fail(freezing, r, strerror(-r));
	return 0;
}

/* Of a helper that runs its end is awaited; of one that could not be started PID 1 tells here. */
void freeze_job_removed(struct executor *executor, const char *path, const char *result)
{
	struct freezing *freezing = executor->freezing;

	while (freezing && strcmp(freezing->job, path) != 0)
		freezing = freezing->next;
	if (!freezing)
		return;
	if (strcmp(result, "done") == 0)
		freezing_answer(freezing, 0, result);
	else
		freezing_fail(freezing, 0, result);
}

void freeze_manager_lost(struct executor *executor)
{
	for (struct freezing *freezing = executor->freezing; freezing; freezing = freezing->next)
		freezing_answer(freezing, -ENOTCONN, "the connection to the service manager was lost");
}

void freeze_orphan(struct executor *executor)
{
	for (struct freezing *freezing = executor->freezing; freezing; freezing = freezing->next)
		freezing->id = 0;
}

void freeze_free(struct executor *executor)
{
	while (executor->freezing)
		freezing_free(executor->freezing);
}
