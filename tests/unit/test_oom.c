/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of our code fails once, and then for ever (row 82). Each scenario is run again and again in a
 * process of its own, with the next allocation failing, until a run meets no failure. No run may crash, hang, leak,
 * keep a descriptor or say anything wrong, and when memory is back the work goes on.
 *
 * json-c and libsystemd are shared libraries, whose allocations --wrap does not reach: only what is called from our own
 * objects fails, what libev is given by agent/base/reserve.c included. Run with SANITIZE=1 the leaks of json-c's
 * objects are seen too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <json-c/json.h>
#include <zstd.h>

#include <infiniservice/cleanup.h>

#include "agent/agent.h"
#include "agent/runner/runner.h"
#include "agent/log/child.h"
#include "agent/log/reader.h"
#include "agent/log/writer.h"
#include "agent/base/loop.h"
#include "tests/failing_memory.h"

#define WORKERS	     2
#define TRIES_MAX    5000
#define RUN_LIMIT_MS (30 * 1000)
#define QUIET_MS     25 /* half a second of the agent's time */

enum mode {
	ONCE,	    /* the n-th allocation fails */
	UNTIL_BACK, /* the n-th and all after it, until the scenario says that memory is back */
	FOR_EVER,   /* and it never says so */
	MODES,
};

static const char *const mode_names[] = { "once", "until memory is back", "for ever" };

struct scenario {
	const char *name;
	void (*inside)(enum mode mode);		   /* with failing memory, in the process that is looked at */
	void (*beside)(pid_t pid, enum mode mode); /* optional: the other side, in the parent */
	enum mode last_mode;
};

static char dir[64]; /* of this test, removed at its end */

static char *in_dir(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void shell(const char *command)
{
	if (system(command) != 0)
		abort();
}

/* ------------------------------------------------------------------------------------------------------- the sweep */

static unsigned open_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* In the child: its stderr is kept in a file, shown only when there is a complaint. */
static void run_inside(const struct scenario *scenario, unsigned long n, enum mode mode)
{
	int fd = open(in_dir("stderr"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	unsigned long number = 0;
	unsigned before, left;

	dup2(fd, STDERR_FILENO);
	close(fd);
	before = open_fds();
	memory_arm(n, mode == ONCE ? n : ULONG_MAX);
	scenario->inside(mode);
	left = outstanding(&number);
	memory_disarm();
	if (left > 0)
		complain("%u allocations were not freed, the first is number %lu", left, number);
	if (open_fds() != before)
		complain("%u descriptors were open, now it is %u", before, open_fds());
	exit(*memory->complaint ? 1 : 0);
}

static int wait_for_end(pid_t pid, int limit_ms)
{
	int status = -1;

	for (int i = 0; i < limit_ms; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		poll(NULL, 0, 1);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	complain("it hung");
	return status;
}

/* True while something failed, so that there is a next allocation to try. */
static bool attempt(const struct scenario *scenario, unsigned long n, enum mode mode)
{
	int status;
	pid_t pid;

	*memory->complaint = '\0';
	memory->count = memory->failed = 0;
	pid = fork();
	if (pid == 0)
		run_inside(scenario, n, mode);
	if (scenario->beside)
		scenario->beside(pid, mode);
	status = wait_for_end(pid, RUN_LIMIT_MS);
	if (WIFSIGNALED(status))
		complain("it died of %s", strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		complain("it ended with status %d", WEXITSTATUS(status));
	if (*memory->complaint) {
		char command[256];

		print_error("%s, allocation %lu %s: %s\n", scenario->name, n, mode_names[mode], memory->complaint);
		snprintf(command, sizeof(command), "tail -n 40 %s >&2", in_dir("stderr"));
		shell(command);
	}
	return memory->failed > 0;
}

/* One of WORKERS processes: every WORKERS-th n. Its own directory, its own count. */
static void work(const struct scenario *scenario, void (*prepare)(void), unsigned first, int result)
{
	unsigned counts[2] = { 0, 0 };

	strcpy(dir, "/tmp/test-oom-XXXXXX");
	if (!mkdtemp(dir))
		abort();
	memory_share();
	if (prepare)
		prepare();
	for (enum mode mode = ONCE; mode <= scenario->last_mode; mode++) {
		unsigned complaints = 0;

		for (unsigned long n = first; n < TRIES_MAX && complaints < 5; n += WORKERS) {
			bool more = attempt(scenario, n, mode);

			counts[0] += more;
			complaints += *memory->complaint != '\0';
			if (!more)
				break;
		}
		counts[1] += complaints;
	}
	if (write(result, counts, sizeof(counts)) != sizeof(counts))
		abort();
	shell(strcat(strcpy((char[128]){ "" }, "rm -rf "), dir));
	_exit(0);
}

static void sweep(const struct scenario *scenario, void (*prepare)(void))
{
	unsigned counts[2], tries = 0, complaints = 0;
	int fds[2];

	fflush(NULL);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		if (fork() == 0)
			work(scenario, prepare, i + 1, fds[1]);
	close(fds[1]);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(read(fds[0], counts, sizeof(counts)), sizeof(counts));
		tries += counts[0];
		complaints += counts[1];
	}
	close(fds[0]);
	while (wait(NULL) > 0)
		;
	print_message("# %s: %u failed allocations tried\n", scenario->name, tries);
	assert_true(tries > 0);
	assert_int_equal(complaints, 0);
}

/* ---------------------------------------------------------------------------------------------- (a) the whole agent */

static const char config_text[] =
	"[agent]\nstate_dir = %1$s/state\nruntime_dir = %1$s/run\nshutdown_grace_s = 2\n"
	"[port]\nspec = unix:%1$s/host\n[log]\ndir = %1$s/log\nsync = none\n[socket]\npath = %1$s/socket\n"
	"[commands]\nallow_unsafe = true\nallow = observe\n[collectors]\nports_max = 50\nprocesses_top = 5\n";

static int host_fd = -1; /* listens */

static void prepare_agent(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[2048];
	int len = snprintf(text, sizeof(text), config_text, dir);

	write_file(in_dir("agent.conf"), text, (size_t)len);
	strcpy(address.sun_path, in_dir("host"));
	host_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(host_fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(host_fd, 8) < 0)
		abort();
}

static int serve_executor(int fd, void *data)
{
	(void)data;
	return runner_serve(fd);
}

/*
 * The executor is a program, which has no failing memory: here it is forked instead, to save the time of starting it.
 */
static int fork_executor(struct agent *agent)
{
	exec_free(agent->exec);
	agent->exec = agent->actions.runner =
		exec_new(agent->loop.ev, &(struct exec_config){ .child = serve_executor });
	return agent->exec ? 0 : -ENOMEM;
}

static void run_agent(enum mode mode)
{
	static struct agent agent;
	struct agent_options options = { .config_path = in_dir("agent.conf") };
	struct err e = { 0 };
	int r = agent_init(&agent, &options, &e);

	(void)mode;
	if (r < 0 && (e.code != r || !*e.text))
		complain("the start failed with %d but said %d \"%s\"", r, e.code, e.text);
	if (r == 0 && fork_executor(&agent) == 0) {
		r = agent_run(&agent);
		if (r != 0)
			complain("exit code %d", r);
	}
	agent_done(&agent);
}

struct host {
	int fd;
	size_t len;
	char text[1 << 20];
	char answered[256]; /* " id id…" of the responses, and "k" of the keep-alives */
	unsigned metrics;
};

static const char conversation[] =
	"\n{\"type\":\"keep_alive_request\",\"sequence_number\":7,\"timestamp\":\"2026-01-01T00:00:00Z\"}\n"
	"{\"type\":\"SafeCommand\",\"id\":\"info\",\"command_type\":{\"action\":\"SystemInfo\"},\"params\":null,"
	"\"timeout\":30}\n"
	"this is no JSON\n"
	"{\"type\":\"SafeCommand\",\"id\":\"top\",\"command_type\":{\"action\":\"ProcessTop\",\"limit\":3},\"params\":"
	"null,\"timeout\":30}\n"
	"{\"type\":\"Status\",\"id\":\"status\"}\n"
	"{\"type\":\"SafeCommand\",\"id\":\"disk\",\"command_type\":{\"action\":\"CheckDiskSpace\"},\"params\":null,"
	"\"timeout\":30}\n"
	"{\"type\":\"UnsafeCommand\",\"id\":\"echo\",\"raw_command\":\"echo "
	"$WORD\",\"env_vars\":{\"WORD\":\"spoken\"},\"timeout\":60}\n"
	"{\"type\":\"metrics\"}\n";
static const char *const expected[] = { " k7", " info", " top", " status", " disk", " echo" };

static const char afterwards[] =
	"\n{\"type\":\"keep_alive_request\",\"sequence_number\":8,\"timestamp\":\"2026-01-01T00:00:00Z\"}\n"
	"{\"type\":\"SafeCommand\",\"id\":\"again\",\"command_type\":{\"action\":\"SystemInfo\"},\"params\":null,"
	"\"timeout\":30}\n";
static const char *const expected_afterwards[] = { " k8", " again" };

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;
	const char *text = json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : NULL;

	return text ? text : "";
}

/* The parts a host needs are there, or the message says which collector failed. */
static void check_metrics(struct json_object *message)
{
	static const char *const keys[] = { "cpu", "memory", "disk", "network", "load_average" };
	struct json_object *data = NULL, *system = NULL, *failed = NULL;

	if (!*text_of(message, "timestamp") || !*text_of(message, "seq") || !*text_of(message, "boot_id") ||
	    !json_object_object_get_ex(message, "data", &data)) {
		complain("metrics without timestamp, seq, boot_id or data");
		return;
	}
	if (json_object_object_get_ex(data, "failed_collectors", &failed))
		return;
	json_object_object_get_ex(data, "system", &system);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!json_object_object_get_ex(system, keys[i], NULL))
			complain("metrics without %s and without a failed collector", keys[i]);
}

static void check_response(struct host *host, struct json_object *message)
{
	const char *id = text_of(message, "id");
	size_t len = strlen(host->answered);

	snprintf(host->answered + len, sizeof(host->answered) - len, " %s", id);
	if (strcmp(text_of(message, "success"), "true") != 0) {
		if (!*text_of(message, "error_code") || !*text_of(message, "error"))
			complain("the failure of %s has no code or no words", id);
	} else if (strcmp(id, "echo") == 0 && strcmp(text_of(message, "truncated"), "true") != 0 &&
		   strcmp(text_of(message, "stdout"), "spoken\n") != 0) {
		complain("the command said \"%.50s\"", text_of(message, "stdout"));
	}
}

static void take_line(struct host *host, const char *line, size_t len)
{
	struct json_tokener *tokener;
	struct json_object *message;
	const char *type;

	if (len == 0)
		return;
	tokener = json_tokener_new();
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	message = json_tokener_parse_ex(tokener, line, (int)len);
	type = text_of(message, "type");
	if (!message || json_tokener_get_parse_end(tokener) != len) {
		complain("the host was sent a line that is no JSON: %.80s", line);
	} else if (strcmp(type, "metrics") == 0) {
		host->metrics++;
		check_metrics(message);
	} else if (strcmp(type, "response") == 0) {
		check_response(host, message);
	} else if (strcmp(type, "keep_alive") == 0 || strcmp(type, "keep_alive_response") == 0) {
		size_t used = strlen(host->answered);

		snprintf(host->answered + used, sizeof(host->answered) - used, " k%s",
			 text_of(message, "sequence_number"));
	}
	json_object_put(message);
	json_tokener_free(tokener);
}

static void host_read(struct host *host)
{
	ssize_t n = recv(host->fd, host->text + host->len, sizeof(host->text) - host->len, MSG_DONTWAIT);
	char *line = host->text, *end;

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		close_fd(&host->fd);
		host->len = 0;
		return;
	}
	host->len += n > 0 ? (size_t)n : 0;
	while ((end = memchr(line, '\n', host->len - (size_t)(line - host->text)))) {
		take_line(host, line, (size_t)(end - line));
		line = end + 1;
	}
	host->len -= (size_t)(line - host->text);
	memmove(host->text, line, host->len);
}

/*
 * Listens to the agent for at most limit_ms, until all that is expected has come; where something failed, only until
 * nothing more comes. An agent that comes again is welcome.
 */
static bool listen_for(struct host *host, pid_t pid, const char *const *wanted, size_t count, int limit_ms)
{
	int quiet_ms = 0;

	for (int i = 0; i < limit_ms && (count == 0 || memory->failed == 0 || quiet_ms < QUIET_MS); i++) {
		struct pollfd fds[] = { { .fd = host->fd, .events = POLLIN }, { .fd = host_fd, .events = POLLIN } };
		siginfo_t info = { 0 };
		size_t have = 0;

		quiet_ms = poll(fds, 2, 1) == 0 ? quiet_ms + 1 : 0;
		if (fds[1].revents) {
			close_fd(&host->fd);
			host->fd = accept4(host_fd, NULL, NULL, SOCK_CLOEXEC);
			host->len = 0;
		}
		if (host->fd >= 0 && fds[0].revents)
			host_read(host);
		for (size_t j = 0; j < count; j++)
			have += strstr(host->answered, wanted[j]) != NULL;
		if (host->fd >= 0 && have == count)
			return true;
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
			return false;
	}
	return false;
}

static void say(const struct host *host, const char *text)
{
	if (host->fd >= 0 && send(host->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static void be_the_host(pid_t pid, enum mode mode)
{
	static struct host host;
	bool all;

	host.fd = -1;
	host.len = host.metrics = 0;
	host.answered[0] = '\0';
	if (!listen_for(&host, pid, NULL, 0, 2000)) {
		if (!has_ended(pid)) {
			complain("it neither ended nor came to the host");
			kill(pid, SIGTERM);
		}
		return;
	}
	say(&host, conversation);
	all = listen_for(&host, pid, expected, ARRAY_SIZE(expected), 3000);
	if (!all && !memory->failed)
		complain("without a failure only these came:%s", host.answered);
	if (mode != FOR_EVER) {
		memory_back();
		for (int i = 0; i < 10 && !strstr(host.answered, " again"); i++) {
			say(&host, afterwards);
			listen_for(&host, pid, expected_afterwards, ARRAY_SIZE(expected_afterwards), 300);
		}
		if (!strstr(host.answered, " k8") || !strstr(host.answered, " again"))
			complain("with memory back only these came:%s", host.answered);
	}
	if (has_ended(pid))
		complain("it ended by itself");
	kill(pid, SIGTERM);
	for (int i = 0; i < 5000 && !has_ended(pid); i++)
		listen_for(&host, pid, (const char *const[]){ " never" }, 1, 1);
	close_fd(&host.fd);
}

static void the_agent_starts_talks_and_stops(void **state)
{
	(void)state;
	sweep(&(struct scenario){ .name = "agent", .inside = run_agent, .beside = be_the_host, .last_mode = FOR_EVER },
	      prepare_agent);
}

/* ------------------------------------------------------------------------------------------------ (b) configuration */

static const char main_conf[] =
	"[agent]\nvm_id = one\n[commands]\nallow = observe, ProcessTop\n  OsInfo\ndeny = Metrics\n"
	"[log]\ndir = /var/log/elsewhere\n[nonsense]\nkey = 1\n";
static const char drop_in[] = "[agent]\nvm_id = two\n[port]\nspec = none\n";

static void prepare_config(void)
{
	if (mkdir(in_dir("conf.d"), 0700) < 0)
		abort();
	write_file(in_dir("infiniservice.conf"), main_conf, sizeof(main_conf) - 1);
	write_file(in_dir("conf.d/10-more.conf"), drop_in, sizeof(drop_in) - 1);
}

static void check_config(const struct config *config)
{
	if (strcmp(config->agent.vm_id, "two") != 0 || strcmp(config->port.spec, "stdio") != 0 ||
	    strcmp(config->log.dir, "/var/log/elsewhere") != 0 || !config->commands.allow[0] ||
	    strcmp(config->commands.allow[0], "observe") != 0 || !config->commands.deny[0])
		complain("a configuration was loaded, and not the one of the files");
}

static int load_config(struct config *config, struct err *e)
{
	struct config copy;
	int r = config_init(config);

	if (r < 0)
		return err_set(e, r, "out of memory");
	r = config_load_dir(config, dir, NULL, NULL, e);
	if (r < 0 && strcmp(config->port.spec, "virtio:org.infinibay.agent") != 0)
		complain("a load that failed left something of itself");
	if (r == 0)
		r = config_set(config, "port.spec=stdio", e);
	if (r == 0)
		r = config_check(config, NULL, NULL, e);
	if (r == 0 && config_copy(&copy, config) == 0) {
		check_config(&copy);
		config_free(&copy);
	}
	if (r == 0)
		check_config(config);
	config_free(config);
	return r;
}

static void run_config(enum mode mode)
{
	struct config config;
	struct err e = { 0 };
	int r = load_config(&config, &e);

	if (r < 0 && (r != -ENOMEM || e.code != -ENOMEM || !*e.text))
		complain("error %d, \"%s\"", r, e.text);
	if (mode == UNTIL_BACK)
		memory_back();
	if (mode != FOR_EVER && load_config(&config, &e) < 0 && memory->failed == 0)
		complain("a second load failed: %s", e.text);
}

static void a_configuration_is_loaded_whole_or_not_at_all(void **state)
{
	(void)state;
	sweep(&(struct scenario){ .name = "configuration", .inside = run_config, .last_mode = UNTIL_BACK },
	      prepare_config);
}

/* ------------------------------------------------------------------------------------------------------- (c) reader */

#define LOG_LINES 40

static size_t log_line(char out[256], unsigned seq)
{
	char time[RFC3339_SIZE];

	rfc3339_format(1790000000000 + (int64_t)seq * 1000, time);
	return (size_t)snprintf(
		out, 256, "{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%u,\"data\":{\"pad\":\"%0100u\"}}\n",
		time, seq, seq);
}

static struct moment log_moment(unsigned seq)
{
	return (struct moment){ .mono_ns = (seq + 1) * NS_PER_S, .wall_ms = 1790000000000 + (int64_t)seq * 1000 };
}

/* Compresses the oldest segment, so that all ways to read are gone. */
static void compress_one(void)
{
	char command[256];

	snprintf(command, sizeof(command), "cd %s/log && set -- *.ndjson && zstd -q --rm \"$1\"", dir);
	shell(command);
}

static void prepare_log(void)
{
	struct writer_config config = { .segment_bytes = 2048, .max_total_bytes = 1 << 20, .boot_id = "boot" };
	struct writer writer;
	char line[256];

	snprintf(config.dir, sizeof(config.dir), "%s", in_dir("log"));
	writer_init(&writer, &config);
	for (unsigned seq = 1; seq <= LOG_LINES; seq++)
		if (writer_append(&writer, line, log_line(line, seq), seq, log_moment(seq)) < 0)
			abort();
	writer_close(&writer, log_moment(LOG_LINES));
	compress_one();
}

/* True when all lines came, each once and in order. Less is only allowed with an error told. */
static bool read_log(void)
{
	struct reader *reader = NULL;
	struct reader_line line;
	struct reader_stats stats;
	struct err e = { 0 };
	uint64_t last = 0, count = 0;
	int r = reader_open_dir(in_dir("log"), &reader, &e);

	if (r < 0) {
		if (!*e.text)
			complain("the log could not be opened, and no word why");
		return false;
	}
	reader_range(reader, 1790000000000, INT64_MAX);
	while ((r = reader_next(reader, &line)) > 0) {
		if (line.seq <= last)
			complain("seq %" PRIu64 " after %" PRIu64, line.seq, last);
		last = line.seq;
		count++;
	}
	stats = reader_stats(reader);
	reader_free(reader);
	if (count < LOG_LINES && r == 0 && stats.unreadable == 0)
		complain("%" PRIu64 " lines of %d, and no error told", count, LOG_LINES);
	return count == LOG_LINES;
}

static void run_reader(enum mode mode)
{
	bool whole = read_log();

	if (!whole && memory->failed == 0)
		complain("not all lines came though nothing failed");
	if (mode == UNTIL_BACK)
		memory_back();
	if (mode != FOR_EVER && !read_log() && memory->last != memory->first)
		complain("with memory back not all lines came");
}

static void a_log_is_read_whole_or_with_an_error(void **state)
{
	(void)state;
	sweep(&(struct scenario){ .name = "log reader", .inside = run_reader, .last_mode = UNTIL_BACK }, prepare_log);
}

/* ----------------------------------------------------------------------------------------------------- (d) messages */

#define KEY "a key"

static int parse_and_free(struct message_parser *parser, struct envelope_guard *guard, const char *line, size_t len)
{
	struct message message;
	struct message_fault fault;
	const char *payload;
	size_t payload_len;
	int r = message_parse(parser, line, len, &message, &fault);

	if (r < 0) {
		if (fault.code == CODE_NONE || !fault.reason)
			complain("a line was refused without a code");
		return r;
	}
	if (message.type == MESSAGE_SIGNED)
		r = envelope_verify(guard, KEY, strlen(KEY), message.root, 1000, &payload, &payload_len) ==
				    ENVELOPE_GOOD
			    ? 1
			    : -EPERM;
	message_free(&message);
	return r;
}

static void run_messages(enum mode mode)
{
	static const char command[] = "{\"type\":\"Status\",\"id\":\"s\"}";
	static struct message_parser parser;
	struct envelope_guard guard;
	struct json_writer writer;
	struct frame_reader frames;
	char text[1024], nonce[32];
	int good = 0;

	message_parser_init(&parser, 1);
	envelope_guard_init(&guard);
	frame_init(&frames, 1 << 20);
	json_writer_init(&writer, text, sizeof(text));
	for (unsigned i = 0; i < 100; i++) {
		const char *line = NULL;
		size_t len = 0;
		ssize_t n;

		if (i == 80 && mode == UNTIL_BACK)
			memory_back();
		snprintf(nonce, sizeof(nonce), "nonce-number-%08u", i);
		if (envelope_sign(&writer, KEY, strlen(KEY), 1000, nonce, command, sizeof(command) - 1) < 0)
			abort();
		n = frame_feed(&frames, writer.buf, writer.len);
		if (n < 0)
			frame_reset(&frames);
		else if (frame_next(&frames, &line, &len) == FRAME_LINE)
			good += parse_and_free(&parser, &guard, line, len) > 0;
	}
	if (good < (mode == ONCE ? 98 : mode == UNTIL_BACK ? 20 : 0))
		complain("only %d messages of 100 were good", good);
	frame_free(&frames);
	envelope_guard_free(&guard);
	message_parser_free(&parser);
}

static void messages_are_taken_or_refused(void **state)
{
	(void)state;
	sweep(&(struct scenario){ .name = "messages", .inside = run_messages, .last_mode = FOR_EVER }, NULL);
}

/* ------------------------------------------------------------------------------------------------------ (e) samples */

/* The kernel's tick at its longest: within one there are no new shares of a CPU. */
#define TICK_MS 12

static struct json_object *whole_sample; /* as it is with memory */

static void nobody(void *data, const struct collector *collector, int error)
{
	(void)data, (void)collector, (void)error;
}

static struct loop still; /* its time alone is used, which the test turns */

static struct sampling *sampling_over(const struct config *config)
{
	static const struct identity id = { .vm_id = "vm", .boot_id = "boot", .source = "test" };

	still.now = (struct moment){ .mono_ns = 1000 * NS_PER_S, .boot_ns = 1000 * NS_PER_S, .wall_ms = 1790000000000 };
	return sampling_new(&(struct sampling_config){ .loop = &still, .id = &id, .first_seq = 1, .changed = nobody },
			    config);
}

static struct json_object *sample_of(struct sampling *sampling)
{
	struct json_object *object;
	struct line *line;

	still.now.mono_ns += NS_PER_S;
	still.now.boot_ns += NS_PER_S;
	still.now.wall_ms += 1000;
	sampling_collect_all(sampling);
	line = sampling_encode(sampling);
	if (!line)
		return NULL;
	line->text[line->len - 1] = '\0';
	object = json_tokener_parse(line->text);
	if (!object)
		complain("a sample that is no JSON: %.80s", line->text);
	line_unref(line);
	return object;
}

static bool comes_and_goes(const char *key)
{
	/* A disk that served no request meanwhile made none wait. */
	if (strstr(key, "_await_ms"))
		return true;
	return strcmp(key, "processes") == 0 || strcmp(key, "connections") == 0 || strcmp(key, "cgroup") == 0 ||
	       strcmp(key, "ports") == 0 || strcmp(key, "failed_collectors") == 0;
}

/* Keys and lengths of lists as they are in a sample made with memory. `all`: no part may be missing, none unknown. */
static void compare(struct json_object *whole, struct json_object *got, const char *path, bool all)
{
	char below[256];

	if (got == NULL && whole != NULL && all)
		complain("%s is unknown: %s", path, json_object_to_json_string(whole));
	if (got == NULL || whole == NULL)
		return;
	if (json_object_is_type(whole, json_type_object)) {
		json_object_object_foreach(whole, key, value)
		{
			struct json_object *other = NULL;

			snprintf(below, sizeof(below), "%s.%s", path, key);
			if (comes_and_goes(key))
				continue;
			if (json_object_object_get_ex(got, key, &other))
				compare(value, other, below, all);
			else if (all)
				complain("%s is missing", below);
		}
	} else if (json_object_is_type(whole, json_type_array)) {
		if (json_object_array_length(whole) != json_object_array_length(got)) {
			complain("%s has %zu items instead of %zu", path, json_object_array_length(got),
				 json_object_array_length(whole));
			return;
		}
		for (size_t i = 0; i < json_object_array_length(whole); i++) {
			snprintf(below, sizeof(below), "%s[%zu]", path, i);
			compare(json_object_array_get_idx(whole, i), json_object_array_get_idx(got, i), below, all);
		}
	}
}

static struct json_object *failures_of(struct json_object *sample)
{
	struct json_object *data = NULL, *failed = NULL;

	json_object_object_get_ex(sample, "data", &data);
	json_object_object_get_ex(data, "failed_collectors", &failed);
	return failed;
}

static void run_samples(enum mode mode)
{
	struct sampling *sampling = NULL;
	struct json_object *sample = NULL;
	struct config config = { 0 };

	(void)mode;
	if (config_init(&config) == 0 && (sampling = sampling_over(&config))) {
		for (unsigned i = 0; i < 3; i++) {
			if (i == 2 && memory->failed == 0)
				poll(NULL, 0, TICK_MS);
			sample = sample_of(sampling);
			compare(whole_sample, sample, "", memory->failed == 0 && i == 2);
			json_object_put(sample);
		}
		memory_back();
		for (unsigned i = 0; i < 3; i++) {
			still.now.mono_ns += 600 * NS_PER_S; /* the longest back-off */
			poll(NULL, 0, i > 0 ? TICK_MS : 0);
			sample = sample_of(sampling);
			if (i == 2 && (!sample || failures_of(sample)))
				complain("with memory back a collector fails: %s",
					 json_object_to_json_string(failures_of(sample)));
			compare(whole_sample, sample, "", i == 2);
			json_object_put(sample);
		}
	}
	sampling_free(sampling);
	config_free(&config);
}

static void prepare_samples(void)
{
	struct sampling *sampling;
	struct config config;

	if (config_init(&config) < 0 || !(sampling = sampling_over(&config)))
		abort();
	for (unsigned i = 0; i < 3; i++) {
		json_object_put(whole_sample);
		whole_sample = sample_of(sampling);
		poll(NULL, 0, TICK_MS);
	}
	sampling_free(sampling);
	config_free(&config);
}

static void samples_have_all_their_parts_or_say_what_failed(void **state)
{
	(void)state;
	sweep(&(struct scenario){ .name = "samples", .inside = run_samples, .last_mode = UNTIL_BACK }, prepare_samples);
}

/* --------------------------------------------------------------------------------------------------- (f) log writer */

static int pair[2] = { -1, -1 };

static void prepare_writer(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
}

static void run_writer(enum mode mode)
{
	static struct log_child_config config;
	int status;

	(void)mode;
	config.writer = (struct writer_config){ .segment_bytes = 2048, .max_total_bytes = 1 << 20, .boot_id = "boot" };
	snprintf(config.writer.dir, sizeof(config.writer.dir), "%s", in_dir("log"));
	snprintf(config.runtime_dir, sizeof(config.runtime_dir), "%s", dir);
	status = log_child_main(pair[1], &config);
	if (status != 0 && memory->failed == 0)
		complain("the writer ended with %d", status);
	shutdown(pair[1], SHUT_RDWR);
}

static bool send_message(enum log_message_type type, uint64_t id, const char *text, size_t len)
{
	struct log_message message = {
		.len = (uint32_t)len, .type = type, .id = id, .seq = id, .wall_ms = log_moment((unsigned)id).wall_ms
	};
	struct log_ack ack;

	return send(pair[0], &message, sizeof(message), MSG_NOSIGNAL) == sizeof(message) &&
	       (len == 0 || send(pair[0], text, len, MSG_NOSIGNAL) == (ssize_t)len) &&
	       recv(pair[0], &ack, sizeof(ack), MSG_WAITALL) == sizeof(ack) && ack.error == 0;
}

/* What was acknowledged is in the log afterwards. */
static void feed_the_writer(pid_t pid, enum mode mode)
{
	uint64_t acknowledged = 0, found = 0;
	struct reader *reader = NULL;
	struct reader_line line;
	struct log_ack hello;
	char text[256];

	(void)mode;
	(void)pid;
	if (recv(pair[0], &hello, sizeof(hello), MSG_WAITALL) == sizeof(hello))
		for (unsigned seq = 1; seq <= 30; seq++) {
			acknowledged += send_message(LOG_LINE, seq, text, log_line(text, seq));
			if (seq % 10 == 0)
				send_message(LOG_LATEST, 100 + seq, text, 20);
		}
	send_message(LOG_STOP, 200, NULL, 0);
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	if (acknowledged == 0)
		goto out;
	if (reader_open_dir(in_dir("log"), &reader, NULL) < 0)
		abort();
	while (reader_next(reader, &line) > 0)
		found++;
	reader_free(reader);
	if (found < acknowledged)
		complain("%" PRIu64 " lines were acknowledged, %" PRIu64 " are in the log", acknowledged, found);
out:
	prepare_writer();
	snprintf(text, sizeof(text), "rm -rf %s/log", dir);
	shell(text);
}

static void what_the_log_writer_acknowledges_is_written(void **state)
{
	(void)state;
	sweep(&(struct scenario){ .name = "log writer",
				  .inside = run_writer,
				  .beside = feed_the_writer,
				  .last_mode = UNTIL_BACK },
	      prepare_writer);
}

/* ----------------------------------------------------------------------------------------------------- the reserve */

static void the_reserve_serves_the_loop_when_the_heap_does_not(void **state)
{
	char *a, *b;

	(void)state;
	memory_share();
	a = reserve_realloc(NULL, 100);
	memset(a, 'a', 100);
	memory_arm(1, ULONG_MAX);
	a = reserve_realloc(a, 5000);
	b = reserve_realloc(NULL, 1000);
	assert_non_null(a);
	assert_non_null(b);
	assert_true(reserve_used() >= 6000);
	memset(a + 100, 'b', 4900);
	memset(b, 'c', 1000);
	assert_null(reserve_realloc(NULL, 10L << 20));
	memory_back();
	a = reserve_realloc(a, 8000);
	assert_int_equal(a[99], 'a');
	assert_int_equal(a[4999], 'b');
	assert_null(reserve_realloc(b, 0));
	assert_int_equal(reserve_used(), 0);
	assert_null(reserve_realloc(a, 0));
	memory_disarm();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reserve_serves_the_loop_when_the_heap_does_not),
		cmocka_unit_test(a_configuration_is_loaded_whole_or_not_at_all),
		cmocka_unit_test(messages_are_taken_or_refused),
		cmocka_unit_test(a_log_is_read_whole_or_with_an_error),
		cmocka_unit_test(what_the_log_writer_acknowledges_is_written),
		cmocka_unit_test(samples_have_all_their_parts_or_say_what_failed),
		cmocka_unit_test(the_agent_starts_talks_and_stops),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("oom", tests, NULL, NULL);
}
