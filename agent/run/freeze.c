/* SPDX-License-Identifier: MIT */
#include "agent/run/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/policy.h"

/* For hooks, the start of the helper and the freeze itself, which writes what is dirty. */
#define BEGIN_MS ((FREEZE_HOOKS_S + 60) * UINT64_C(1000))
/* A helper that has been told to thaw ends long before; if not, its socket is closed, which tells it once more. */
#define END_MS UINT64_C(30000)

static const char *const reasons[FREEZE_REASONS] = {
	[FREEZE_ASKED] = "it was asked for",
	[FREEZE_TIME_LIMIT] = "the time limit of this guest's owner was over (qga.freeze_max_s)",
	[FREEZE_AGENT_GONE] = "the agent had ended",
	[FREEZE_EXECUTOR_GONE] = "the executor had ended",
	[FREEZE_STOPPED] = "the freeze helper was stopped",
};

#define MARKER_NAME "frozen-for-host"

/* Written before anything is frozen and removed after all is thawed: the loop must not wait for a disk. */
static void marker_make(const struct freeze *freeze)
{
	int fd = *freeze->marker ? open(freeze->marker, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600)
				 : -1;

	close_fd(&fd);
}

static void marker_remove(const struct freeze *freeze)
{
	if (*freeze->marker)
		unlink(freeze->marker);
}

/* ------------------------------------------------------------------------------------------------------------ ends */

static void helper_close(struct freeze *freeze)
{
	if (freeze->fd < 0)
		return;
	ev_io_stop(freeze->loop->ev, &freeze->io);
	close_fd(&freeze->fd);
}

static void answer(struct freeze *freeze, const struct freeze_answer *what)
{
	freeze_done_fn done = freeze->done;

	freeze->done = NULL;
	if (done)
		done(freeze->done_data, what);
}

static void status_answer(struct freeze *freeze, unsigned count, unsigned other)
{
	freeze_done_fn done = freeze->status_done;

	freeze->status_done = NULL;
	if (done)
		done(freeze->status_data, &(struct freeze_answer){ .count = count, .other = other, .words = "" });
}

/* Nothing is frozen any more; what waits for it is answered. */
static void thawed(struct freeze *freeze, const struct freeze_answer *what)
{
	enum freeze_state before = freeze->state;

	helper_close(freeze);
	deadline_stop(&freeze->late);
	freeze->state = FREEZE_STATE_THAWED;
	freeze->count = 0;
	if (before != FREEZE_STATE_THAWED && freeze->hooks.frozen)
		freeze->hooks.frozen(freeze->hooks.data, false);
	if (before == FREEZE_STATE_FROZEN) {
		snprintf(freeze->unasked, sizeof(freeze->unasked), "%s", what->words);
		if (freeze->hooks.unasked)
			freeze->hooks.unasked(freeze->hooks.data, freeze->unasked);
	}
	if (before == FREEZE_STATE_BEGINNING || (before == FREEZE_STATE_ENDING && what->error == 0))
		marker_remove(freeze);
	status_answer(freeze, 0, 0);
	answer(freeze, what);
}

static void failed(struct freeze *freeze, int error, const char *words)
{
	thawed(freeze, &(struct freeze_answer){ .error = error, .words = words });
}

/* ---------------------------------------------------------------------------------------------------- the helper */

static void on_message(struct freeze *freeze, struct freeze_message *message)
{
	struct freeze_answer what = { .count = message->count, .other = message->other, .words = message->text };

	message->text[sizeof(message->text) - 1] = '\0';
	switch (message->kind) {
	case FREEZE_FROZEN:
		if (freeze->state != FREEZE_STATE_BEGINNING)
			return;
		freeze->state = FREEZE_STATE_FROZEN;
		freeze->count = message->count;
		deadline_stop(&freeze->late);
		answer(freeze, &what);
		break;
	case FREEZE_FAILED:
		snprintf(freeze->words, sizeof(freeze->words), "%s: %s", message->text, strerror(message->error));
		failed(freeze, message->error > 0 ? -message->error : -EIO, freeze->words);
		break;
	case FREEZE_THAWED:
		what.words = reasons[message->reason < FREEZE_REASONS ? message->reason : FREEZE_STOPPED];
		thawed(freeze, &what);
		break;
	case FREEZE_STATUS:
		status_answer(freeze, message->count, message->other);
		break;
	default:
		break;
	}
}

static void on_helper(struct ev_loop *ev, ev_io *io, int events)
{
	struct freeze *freeze = container_of(io, struct freeze, io);
	struct freeze_message message;
	ssize_t len = recv(freeze->fd, &message, sizeof(message), MSG_DONTWAIT);

	(void)ev;
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len == sizeof(message))
		on_message(freeze, &message);
	else if (freeze->state == FREEZE_STATE_BEGINNING && freeze->job)
		helper_close(freeze); /* it did not start: the executor tells why */
	else
		failed(freeze, -ECHILD, "the freeze helper was killed");
}

static void on_late(void *data)
{
	struct freeze *freeze = data;

	failed(freeze, -ETIMEDOUT,
	       freeze->state == FREEZE_STATE_BEGINNING ? "the file systems were not frozen in time"
						       : "the freeze helper does not answer");
}

/* The executor's answer to the request: the helper runs, or why it does not. */
static void on_executor(void *data, struct exec_outcome *outcome)
{
	struct freeze *freeze = data;
	const char *words = outcome->words;
	int error = 0;

	freeze->job = NULL;
	if (freeze->state != FREEZE_STATE_BEGINNING)
		return;
	if (!outcome->started) {
		bool absent =
			outcome->spawn_stage == RUNNER_STAGE_CONNECT || outcome->spawn_stage == RUNNER_STAGE_EXECUTOR;

		error = absent ? -ENOTCONN : outcome->spawn_errno ? -outcome->spawn_errno : -EIO;
	} else if (outcome->operation_error < 0 || outcome->lost || outcome->stuck)
		error = outcome->operation_error < 0 ? outcome->operation_error : -EIO;
	else if (strcmp(words, "dependency") == 0) {
		error = -ECANCELED;
		words = "a hook failed, or took too long (journalctl -u infiniservice-freeze-hooks)";
	} else if (strcmp(words, "done") != 0)
		error = -EIO;
	/* An end of the socket that came before is the end of a helper that said nothing. */
	if (error == 0 && freeze->fd < 0) {
		error = -ECHILD;
		words = "the freeze helper ended without a word";
	}
	if (error < 0) {
		snprintf(freeze->words, sizeof(freeze->words), "%s", *words ? words : strerror(-error));
		failed(freeze, error, freeze->words);
	}
}

/* ------------------------------------------------------------------------------------------------------- requests */

void freeze_init(struct freeze *freeze, struct loop *loop, struct exec *executor, const char *runtime_dir,
		 const struct freeze_hooks *hooks)
{
	*freeze = (struct freeze){ .loop = loop, .executor = executor, .hooks = *hooks, .fd = -1 };
	ev_init(&freeze->io, on_helper);
	deadline_init(&freeze->late, loop, on_late, freeze);
	if (runtime_dir && snprintf(freeze->marker, sizeof(freeze->marker), "%s/" MARKER_NAME, runtime_dir) >=
				   (int)sizeof(freeze->marker))
		freeze->marker[0] = '\0';
	if (*freeze->marker && access(freeze->marker, F_OK) == 0)
		snprintf(freeze->unasked, sizeof(freeze->unasked), "%s", reasons[FREEZE_AGENT_GONE]);
}

void freeze_done(struct freeze *freeze)
{
	if (!freeze->loop)
		return;
	helper_close(freeze);
	deadline_stop(&freeze->late);
	freeze->loop = NULL;
}

int freeze_begin(struct freeze *freeze, const char *action, const char *mounts, freeze_done_fn done, void *data)
{
	uint64_t now = freeze->loop->now.mono_ns;
	int pair[2], error;

	if (freeze->state != FREEZE_STATE_THAWED || freeze->job)
		return freeze->state == FREEZE_STATE_FROZEN ? -EALREADY : -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	struct exec_request request = { .operation = RUNNER_OPERATION_FREEZE,
					.action = action,
					.group = GROUP_CONTROL,
					.argument = mounts,
					.input = &pair[1],
					.term_ns = TIME_NEVER,
					.kill_ns = now + BEGIN_MS * NS_PER_MS };
	error = exec_start(freeze->executor, &request, &(struct exec_callbacks){ .done = on_executor }, freeze,
			   &freeze->job);
	close(pair[1]);
	if (error < 0) {
		close(pair[0]);
		return error;
	}
	freeze->fd = pair[0];
	ev_io_set(&freeze->io, freeze->fd, EV_READ);
	ev_io_start(freeze->loop->ev, &freeze->io);
	freeze->state = FREEZE_STATE_BEGINNING;
	freeze->unasked[0] = '\0';
	marker_make(freeze);
	freeze->done = done;
	freeze->done_data = data;
	deadline_after(&freeze->late, BEGIN_MS * NS_PER_MS);
	if (freeze->hooks.frozen)
		freeze->hooks.frozen(freeze->hooks.data, true);
	return 0;
}

int freeze_thaw(struct freeze *freeze, freeze_done_fn done, void *data)
{
	if (freeze->state == FREEZE_STATE_BEGINNING || freeze->state == FREEZE_STATE_ENDING)
		return -EBUSY;
	if (freeze->state == FREEZE_STATE_THAWED) {
		bool told = !freeze->unasked[0];

		snprintf(freeze->words, sizeof(freeze->words), "the file systems had been thawed before: %s",
			 freeze->unasked);
		freeze->unasked[0] = '\0';
		marker_remove(freeze);
		done(data, &(struct freeze_answer){ .error = told ? 0 : -ESTALE, .words = told ? "" : freeze->words });
		return 0;
	}
	freeze->state = FREEZE_STATE_ENDING;
	freeze->done = done;
	freeze->done_data = data;
	deadline_after(&freeze->late, END_MS * NS_PER_MS);
	/* The socket is empty, or the helper is gone, which shows when it is read. */
	send(freeze->fd, &(char){ FREEZE_ASK_THAW }, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

int freeze_status(struct freeze *freeze, freeze_done_fn done, void *data)
{
	if (freeze->status_done)
		return -EBUSY;
	if (freeze->state == FREEZE_STATE_BEGINNING || freeze->fd < 0) {
		done(data, &(struct freeze_answer){ .count = freeze_is_frozen(freeze), .words = "" });
		return 0;
	}
	freeze->status_done = done;
	freeze->status_data = data;
	send(freeze->fd, &(char){ FREEZE_ASK_STATUS }, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

bool freeze_is_frozen(const struct freeze *freeze)
{
	return freeze->state != FREEZE_STATE_THAWED || access(FREEZE_RECORD_PATH, F_OK) == 0;
}
