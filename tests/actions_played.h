/* SPDX-License-Identifier: MIT */
/*
 * What is played around the actions of tests/actions_fixture.h: the programs that they run, the machine that they look
 * at, the samples and the log, and the service manager on the bus. The functions of agent/run/exec.h and of the metrics
 * that are defined here are linked instead of the real ones.
 */
#ifndef TESTS_ACTIONS_PLAYED_H
#define TESTS_ACTIONS_PLAYED_H

#include <dirent.h>
#include <fnmatch.h>
#include <sys/socket.h>
#include <unistd.h>

#include <json-c/json.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include "agent/actions/bus_work.h"
#include "agent/actions/env.h"
#include "agent/run/detached_files.h"
#include "agent/runner/protocol.h"
#include "tests/fixture_dir.h"
#include "tests/played_peers.h"

#define PLAYED_JOBS_MAX	 256
#define PLAYED_PLAYS_MAX 64
#define PLAYED_UNITS_MAX 32

/* What a test sets, and what it was told. */
static struct {
	uid_t uid;	      /* of the agent; 0: it is root. At first that of the test, but never 0 */
	char events[4096];    /* "LEVEL SOURCE: TEXT\n" of each event for the host */
	char forgotten[1024]; /* "UNIT;" of each detached run that was forgotten, */
	char unit_ends[1024]; /* or cancelled by exec_cancel_unit */
	unsigned configs;     /* put into force */
	int detached_fd;      /* the folder of the files of detached runs */
	struct line *latest;  /* the latest sample */
	uint64_t next_seq;
	bool scan_is_long, probes_are_slow; /* over when the test calls: */
	struct sampling_waiter *waiter;	    /* that waits for one of the two */
	struct logger_stats log;
	/* Answers a probe: the length of its data, or -errno; NULL: none is answered. */
	int (*probe)(const struct probe_request *request, unsigned char *data);
	bool bus_is_missing, manager_is_mute;
	/* The manager's answer to a call, by the test: 0 when the played one is to answer it. */
	int (*manager)(sd_bus_message *message);
	unsigned manager_calls;
	unsigned given_back; /* scripts that found no place: received, and neither answered nor refused */
} seen;

uid_t geteuid(void)
{
	return seen.uid;
}

/* ---------------------------------------------------------------------------------------------------- the programs */

/* The two of the environment. */
struct exec {
	enum exec_state state;
	const char *fault; /* the words of exec_fault */
	int refusal;	   /* what exec_warm and exec_start return, instead of what the state says; 0: none */
	pid_t pid;
};
static struct exec runner, executor;

/* A program that was started, or an operation; it stays to be looked at when it is over. */
struct exec_job {
	struct exec *exec;
	char text[4096];	/* its argv with a space in between; of an operation "operation 3 ssh.service" */
	char environment[8192]; /* "NAME=VALUE\n" of each variable */
	char user[64], cwd[256], unit[RUNNER_UNIT_SIZE], action[64];
	char input[8192];	     /* the text that it reads */
	struct exec_request request; /* without what it pointed to */
	struct exec_callbacks callbacks;
	void *data;
	struct exec_outcome outcome; /* how it will end, as far as is known */
	struct deadline end;
	bool over;
};
static struct exec_job jobs[PLAYED_JOBS_MAX];
static unsigned job_count;

/* How the programs end of which a pattern is (fnmatch) that of their text; the last one counts. */
static struct {
	const char *pattern;
	struct exec_outcome outcome;
} plays[PLAYED_PLAYS_MAX];
static unsigned play_count;

/* The outcome may be changed. Its texts are the test's. */
static inline struct exec_outcome *play(const char *pattern, int exit_code, const char *out)
{
	assert_true(play_count < PLAYED_PLAYS_MAX);
	plays[play_count].pattern = pattern;
	plays[play_count].outcome =
		(struct exec_outcome){ .started = true,
				       .exit_code = exit_code,
				       .words = "",
				       .out = { .bytes = (char *)(uintptr_t)out, .len = strlen(out) } };
	return &plays[play_count++].outcome;
}

static inline struct exec_output played_output(const struct exec_job *job, const struct exec_output *given)
{
	size_t max = job->request.max_output_bytes ? job->request.max_output_bytes : 256 << 10;
	size_t len = given->len < max ? given->len : max;
	struct exec_output output = { .len = len, .total = given->total ? given->total : given->len };

	if (len == 0)
		return output;
	output.bytes = malloc(len);
	assert_non_null(output.bytes);
	memcpy(output.bytes, given->bytes, len);
	return output;
}

/* Ends a job with its outcome, as the runner does. */
static inline void job_end(struct exec_job *job)
{
	struct exec_outcome outcome = job->outcome;

	assert_false(job->over);
	job->over = true;
	deadline_stop(&job->end);
	if (outcome.started && job->callbacks.started)
		job->callbacks.started(job->data, 4711);
	if (outcome.out.len && job->callbacks.output)
		job->callbacks.output(job->data, EXEC_STDOUT, outcome.out.bytes, outcome.out.len);
	if (outcome.err.len && job->callbacks.output)
		job->callbacks.output(job->data, EXEC_STDERR, outcome.err.bytes, outcome.err.len);
	outcome.out = played_output(job, &job->outcome.out);
	outcome.err = played_output(job, &job->outcome.err);
	outcome.truncated =
		outcome.truncated || outcome.out.len < outcome.out.total || outcome.err.len < outcome.err.total;
	job->callbacks.done(job->data, &outcome);
	free(outcome.out.bytes);
	free(outcome.err.bytes);
}

static inline void job_on_end(void *data)
{
	job_end(data);
}

/* The last job of which this is the text; NULL: none. */
static inline struct exec_job *job_of(const char *pattern)
{
	for (unsigned i = job_count; i-- > 0;)
		if (fnmatch(pattern, jobs[i].text, 0) == 0)
			return &jobs[i];
	return NULL;
}

static inline void job_note_texts(struct exec_job *job, const struct exec_request *request)
{
	ssize_t n;

	if (request->operation)
		append(job->text, sizeof(job->text), "operation %u %s", request->operation,
		       request->argument ? request->argument : "");
	for (size_t i = 0; !request->operation && request->argv && request->argv[i]; i++)
		append(job->text, sizeof(job->text), "%s%s", i ? " " : "", request->argv[i]);
	for (size_t i = 0; request->envp && request->envp[i]; i++)
		append(job->environment, sizeof(job->environment), "%s\n", request->envp[i]);
	append(job->user, sizeof(job->user), "%s", request->user ? request->user : "");
	append(job->cwd, sizeof(job->cwd), "%s", request->cwd ? request->cwd : "");
	append(job->unit, sizeof(job->unit), "%s", request->unit ? request->unit : "");
	append(job->action, sizeof(job->action), "%s", request->action ? request->action : "");
	n = request->input ? pread(*request->input, job->input, sizeof(job->input) - 1, 0) : 0;
	assert_true(n >= 0);
}

int exec_warm(struct exec *exec)
{
	if (exec->refusal)
		return exec->refusal;
	return exec->state == EXEC_STATE_OFF ? -ENOTCONN : exec->state == EXEC_STATE_FAULT ? -EHOSTDOWN : 0;
}

int exec_start(struct exec *exec, const struct exec_request *request, const struct exec_callbacks *callbacks,
	       void *data, struct exec_job **ret)
{
	struct exec_job *job = &jobs[job_count];
	int r = exec_warm(exec);

	if (r < 0)
		return r;
	assert_true(job_count < PLAYED_JOBS_MAX);
	job_count++;
	memset(job, 0, sizeof(*job));
	job->exec = exec;
	job->request = *request;
	job->callbacks = *callbacks;
	job->data = data;
	job_note_texts(job, request);
	job->outcome = (struct exec_outcome){ .started = true, .words = "" };
	deadline_init(&job->end, &loop, job_on_end, job);
	for (unsigned i = play_count; i-- > 0;) {
		if (fnmatch(plays[i].pattern, job->text, 0) != 0)
			continue;
		job->outcome = plays[i].outcome;
		deadline_after(&job->end, 0);
		break;
	}
	*ret = job;
	return 0;
}

void exec_cancel(struct exec_job *job, uint64_t grace_ns)
{
	(void)grace_ns;
	job->outcome = (struct exec_outcome){
		.started = true, .cancelled = true, .exit_code = 143, .signal = 15, .words = ""
	};
	deadline_after(&job->end, 0);
}

enum exec_state exec_state(struct exec *exec)
{
	return exec->state;
}

const char *exec_fault(struct exec *exec)
{
	return exec->fault ? exec->fault : "";
}

const char *exec_program_path(char *path, size_t size)
{
	snprintf(path, size, "/usr/libexec/infiniservice-exec");
	return path;
}

struct exec_stats exec_stats(const struct exec *exec)
{
	return (struct exec_stats){ .executor = exec->pid };
}

int exec_detached_dir(struct exec *exec)
{
	return exec == &executor ? seen.detached_fd : -1;
}

void exec_forget(struct exec *exec, const char *unit)
{
	(void)exec;
	append(seen.forgotten, sizeof(seen.forgotten), "%s;", unit);
	detached_files_remove(seen.detached_fd, unit);
}

void exec_cancel_unit(struct exec *exec, const char *unit)
{
	(void)exec;
	append(seen.unit_ends, sizeof(seen.unit_ends), "%s;", unit);
}

/* ----------------------------------------------------------------------------------------------------- the machine */

/* Empty at first: tests write its files with fixture_write(machine, "proc/meminfo", …). */
static struct fixture *machine;

/* The collectors over it that an action has read, in the order of `collectors`. */
static struct measured {
	const struct collector *collector;
	void *state;
	bool known; /* it has been collected without error */
	struct prober prober;
} measured[32];

static inline int measured_probe(struct prober *prober, const struct probe_request *request)
{
	static unsigned char data[PROBE_DATA_MAX];
	struct measured *at = container_of(prober, struct measured, prober);
	int n = seen.probe ? seen.probe(request, data) : -ENOSYS;

	if (!seen.probe || seen.probes_are_slow)
		return seen.probe ? 0 : n;
	at->collector->probed(at->state, &(struct probe_result){ .kind = request->kind,
								 .key = request->key,
								 .error = n < 0 ? n : 0,
								 .data = data,
								 .data_len = n < 0 ? 0 : (size_t)n });
	return 0;
}

static inline struct measured *measured_of(const struct collector *collector)
{
	struct measured *at = measured;

	while (at->collector && at->collector != collector)
		at++;
	at->collector = collector;
	at->prober.request = measured_probe;
	return at;
}

struct collect_ctx sampling_context(struct sampling *sampling, const struct collector *collector)
{
	struct collect_ctx ctx = machine->ctx;

	(void)sampling;
	ctx.now = loop.now;
	ctx.prober = &measured_of(collector)->prober;
	return ctx;
}

/* Reads the files again. */
static inline void measure(const struct collector *collector)
{
	struct measured *at = measured_of(collector);
	struct collect_ctx ctx = sampling_context(NULL, collector);

	at->known = (at->state || collector->open(&ctx, &at->state) == 0) && collector->collect(at->state, &ctx) == 0;
}

/* What was measured last; at first what the files say now. */
void *sampling_state(struct sampling *sampling, const struct collector *collector)
{
	struct measured *at = measured_of(collector);

	(void)sampling;
	if (!at->state)
		measure(collector);
	return at->known ? at->state : NULL;
}

static inline void measured_done(void)
{
	for (struct measured *at = measured; at->collector; at++)
		at->collector->close(at->state);
	memset(measured, 0, sizeof(measured));
}

/* The machine is that of tests/fixtures/NAME, read only. */
static inline void machine_of(const char *name)
{
	static const char *const below[] = { "proc", "sys", "." };
	int *const fds[] = { &machine->ctx.proc_fd, &machine->ctx.sys_fd, &machine->ctx.root_fd };
	char path[512];

	for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
		snprintf(path, sizeof(path), "%s/fixtures/%s/%s", TEST_FOLDER, name, below[i]);
		close(*fds[i]);
		*fds[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(*fds[i] >= 0);
	}
}

/* ----------------------------------------------------------------------------------------- the samples and the log */

bool sampling_scan(struct sampling *sampling, struct sampling_waiter *waiter)
{
	(void)sampling;
	seen.waiter = seen.scan_is_long ? waiter : NULL;
	return !seen.scan_is_long;
}

bool sampling_await_probes(struct sampling *sampling, struct sampling_waiter *waiter)
{
	(void)sampling;
	seen.waiter = seen.probes_are_slow ? waiter : NULL;
	return !seen.probes_are_slow;
}

void sampling_leave(struct sampling_waiter *waiter)
{
	if (seen.waiter == waiter)
		seen.waiter = NULL;
}

struct line *sampling_latest(const struct sampling *sampling)
{
	(void)sampling;
	return seen.latest;
}

struct sampling_stats sampling_stats(const struct sampling *sampling)
{
	(void)sampling;
	return (struct sampling_stats){ .next_seq = seen.next_seq };
}

void sampling_whole(struct sampling *sampling, unsigned to)
{
	(void)sampling;
	(void)to;
}

void sampling_soon(struct sampling *sampling, unsigned to)
{
	(void)sampling;
	(void)to;
}

struct logger_stats logger_stats(const struct logger *logger)
{
	(void)logger;
	return seen.log;
}

void logger_check(struct logger *logger, struct moment now)
{
	(void)logger;
	(void)now;
}

/* ------------------------------------------------------------------------------------------------------- D-Bus */

/* The units of the played service manager. */
struct played_unit {
	const char *name, *id, *description, *load, *active, *sub;
	const char *file_state; /* NULL: it has no file */
	const char *trigger;
	unsigned main_pid;
	bool is_loaded; /* ListUnits names it */
};
static struct played_unit units[PLAYED_UNITS_MAX];
static unsigned unit_count;

/* A service that runs. Any other is what LoadUnit answers for a name without a file. */
static inline struct played_unit *unit(const char *name)
{
	struct played_unit *at = &units[unit_count++];

	assert_true(unit_count <= PLAYED_UNITS_MAX);
	*at = (struct played_unit){ .name = name,
				    .id = name,
				    .description = "About it",
				    .load = "loaded",
				    .active = "active",
				    .sub = "running",
				    .file_state = "enabled",
				    .trigger = "other.service",
				    .main_pid = 1234,
				    .is_loaded = true };
	return at;
}

static inline struct played_unit unit_find(const char *name)
{
	for (unsigned i = 0; i < unit_count; i++)
		if (units[i].name && strcmp(units[i].name, name) == 0)
			return units[i];
	return (struct played_unit){ .id = name,
				     .description = name,
				     .load = "not-found",
				     .active = "inactive",
				     .sub = "dead",
				     .file_state = "",
				     .trigger = "" };
}

/* The other end of the connection. */
static struct {
	sd_bus *bus;
	ev_io io;
	bool watched;
} manager;

static inline int manager_list_units(sd_bus_message *message)
{
	sd_bus_message *reply = NULL;

	assert_true(sd_bus_message_new_method_return(message, &reply) >= 0);
	assert_true(sd_bus_message_open_container(reply, 'a', "(ssssssouso)") >= 0);
	for (unsigned i = 0; i < unit_count; i++)
		if (units[i].is_loaded)
			assert_true(sd_bus_message_append(reply, "(ssssssouso)", units[i].name, units[i].description,
							  units[i].load, units[i].active, units[i].sub, "", "/x", 0, "",
							  "/") >= 0);
	assert_true(sd_bus_message_close_container(reply) >= 0);
	assert_true(sd_bus_send(NULL, reply, NULL) >= 0);
	sd_bus_message_unref(reply);
	return 1;
}

static inline int manager_list_files(sd_bus_message *message)
{
	sd_bus_message *reply = NULL;
	char path[300];

	assert_true(sd_bus_message_new_method_return(message, &reply) >= 0);
	assert_true(sd_bus_message_open_container(reply, 'a', "(ss)") >= 0);
	for (unsigned i = 0; i < unit_count; i++) {
		if (!units[i].file_state)
			continue;
		snprintf(path, sizeof(path), "/lib/systemd/system/%s", units[i].name);
		assert_true(sd_bus_message_append(reply, "(ss)", path, units[i].file_state) >= 0);
	}
	assert_true(sd_bus_message_close_container(reply) >= 0);
	assert_true(sd_bus_send(NULL, reply, NULL) >= 0);
	sd_bus_message_unref(reply);
	return 1;
}

static inline int manager_load_unit(sd_bus_message *message)
{
	const char *name;
	char *path = NULL;
	int r;

	assert_true(sd_bus_message_read(message, "s", &name) >= 0);
	assert_true(sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &path) >= 0);
	r = sd_bus_reply_method_return(message, "o", path);
	free(path);
	return r;
}

static inline int manager_properties(sd_bus_message *message)
{
	struct played_unit at;
	char *name = NULL;
	int r = sd_bus_path_decode(sd_bus_message_get_path(message), "/org/freedesktop/systemd1/unit", &name);

	if (r <= 0)
		return 0;
	at = unit_find(name);
	if (sd_bus_message_is_method_call(message, DBUS_PROPERTIES, "Get"))
		r = sd_bus_reply_method_return(message, "v", "u", at.main_pid);
	else
		r = sd_bus_reply_method_return(message, "a{sv}", 8, "Id", "s", at.id, "Names", "as", 2, at.id, name,
					       "Triggers", "as", 1, at.trigger, "LoadState", "s", at.load, "LoadError",
					       "(ss)", "", "there is a word wrong", "ActiveState", "s", at.active,
					       "SubState", "s", at.sub, "UnitFileState", "s",
					       at.file_state ? at.file_state : "");
	free(name);
	return r;
}

static inline int manager_answer(sd_bus_message *message, void *data, sd_bus_error *error)
{
	int r;

	(void)data;
	(void)error;
	if (!sd_bus_message_is_method_call(message, NULL, NULL) ||
	    sd_bus_message_is_method_call(message, "org.freedesktop.DBus", NULL))
		return 0;
	seen.manager_calls++;
	if (seen.manager_is_mute)
		return 1;
	r = seen.manager ? seen.manager(message) : 0;
	if (r != 0)
		return r;
	if (sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnits"))
		return manager_list_units(message);
	if (sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnitFiles"))
		return manager_list_files(message);
	if (sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "LoadUnit"))
		return manager_load_unit(message);
	if (sd_bus_message_is_method_call(message, DBUS_PROPERTIES, NULL))
		return manager_properties(message);
	return 0;
}

static inline void manager_process(struct ev_loop *ev, ev_io *io, int events)
{
	int r = 1;

	(void)ev;
	(void)io;
	(void)events;
	while (manager.bus && r > 0)
		r = sd_bus_process(manager.bus, NULL);
}

static inline void manager_end(void)
{
	if (manager.watched)
		ev_io_stop(loop.ev, &manager.io);
	manager.watched = false;
	manager.bus = sd_bus_close_unref(manager.bus);
}

static inline int manager_connect(void *data)
{
	sd_id128_t id = SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f, 10);
	int ends[2];

	(void)data;
	manager_end();
	if (seen.bus_is_missing)
		return -ENOENT;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	assert_true(sd_bus_new(&manager.bus) >= 0 && sd_bus_set_fd(manager.bus, ends[1], ends[1]) >= 0);
	assert_true(sd_bus_set_server(manager.bus, true, id) >= 0 && sd_bus_set_anonymous(manager.bus, true) >= 0);
	assert_true(sd_bus_start(manager.bus) >= 0 && sd_bus_add_filter(manager.bus, NULL, manager_answer, NULL) >= 0);
	ev_io_init(&manager.io, manager_process, ends[1], EV_READ);
	ev_io_start(loop.ev, &manager.io);
	manager.watched = true;
	return ends[0];
}

#endif
