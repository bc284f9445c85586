/* SPDX-License-Identifier: MIT */
/*
 * One write per line. When stderr is the journal's stream socket it is sent with MSG_DONTWAIT; a pipe or terminal is
 * polled first (POLLOUT on a pipe promises PIPE_BUF bytes, pipe(7), and a line is shorter). O_NONBLOCK is not set: the
 * parent process shares the open file description.
 */
#include "agent/base/report.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/moment.h>

#include "transport/printable.h"

#define REPORT_LINE_MAX 2048
#define REPEAT_NS	(60 * NS_PER_S)

static int report_level = LOG_INFO;
static uint64_t lost_lines;

void report_set_level(int level)
{
	report_level = level;
}

uint64_t report_lost(void)
{
	return lost_lines;
}

static void write_without_waiting(const char *text, size_t len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n = send(STDERR_FILENO, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && poll(&out, 1, 0) == 1 && (out.revents & POLLOUT))
		n = write(STDERR_FILENO, text, len);
	if (n < 0)
		lost_lines++;
}

__attribute__((format(printf, 2, 0))) static void report_args(int level, const char *format, va_list args)
{
	char line[REPORT_LINE_MAX];
	int prefix = snprintf(line, sizeof(line), "<%d>", level), len;

	len = vsnprintf(line + prefix, sizeof(line) - (size_t)prefix - 1, format, args);
	if (len < 0)
		return;
	len = (int)printable_clean(line, strlen(line));
	line[len++] = '\n';
	write_without_waiting(line, (size_t)len);
}

void report(int level, const char *format, ...)
{
	va_list args;

	if (level > report_level)
		return;
	va_start(args, format);
	report_args(level, format, args);
	va_end(args);
}

void report_limited(struct report_topic *topic, uint64_t mono_ns, int level, const char *format, ...)
{
	va_list args;

	if (level > report_level)
		return;
	if (mono_ns < topic->next_ns) {
		topic->suppressed++;
		return;
	}
	va_start(args, format);
	report_args(level, format, args);
	va_end(args);
	if (topic->suppressed)
		report(level, "the message above was repeated %u times in between", topic->suppressed);
	*topic = (struct report_topic){ .next_ns = mono_ns + REPEAT_NS };
}
