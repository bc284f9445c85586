/* SPDX-License-Identifier: MIT */
/*
 * A segment of the log with anything in it, as a crash or a stranger left it: the repair cuts nothing but what comes
 * after the last newline, a second repair finds nothing to do, and a line written then is found whole at the end.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/repair.h"
#include "agent/log/scan.h"
#include "agent/log/writer.h"
#include "require.h"

#define NAME "metrics-20260101T000000.000Z-000001.ndjson"
#define LINE "{\"type\":\"metrics\",\"timestamp\":\"2026-01-01T00:00:01.000Z\",\"seq\":7}\n"

static char dir[] = "/dev/shm/infini-fuzz-XXXXXX";
static int dir_fd;

static void clean_up(void)
{
	unlinkat(dir_fd, NAME, 0);
	rmdir(dir);
}

static void dir_make(void)
{
	REQUIRE(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(dir_fd > 0);
	atexit(clean_up);
}

static void segment_put(const uint8_t *data, size_t size)
{
	_cleanup_(closep) int fd = openat(dir_fd, NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
}

static void check_line(const char *line, size_t len)
{
	struct scan scan;

	if (scan_line(line, len, &scan))
		REQUIRE(scan.type[0] && scan.wall_ms >= 0 && memchr(scan.type, '\0', sizeof(scan.type)));
}

/* What is left begins as the data does. */
static void check_segment(const uint8_t *data, const struct repair *repair)
{
	_cleanup_(closep) int fd = openat(dir_fd, NAME, O_RDONLY | O_CLOEXEC);
	size_t size = (size_t)repair->size;
	uint8_t *left = malloc(size + 1);

	REQUIRE(left && fd >= 0 && read(fd, left, size + 1) == (ssize_t)size);
	REQUIRE(memcmp(left, data, size) == 0 && (size == 0 || left[size - 1] == '\n'));
	free(left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct repair once, twice;

	if (!dir_fd)
		dir_make();
	each_line(data, size, check_line);
	segment_put(data, size);
	REQUIRE(repair_run(dir_fd, &once) == 0);
	REQUIRE(once.removed || once.size + once.cut_bytes == size);
	if (once.fd >= 0)
		check_segment(data, &once);
	closep(&once.fd);
	REQUIRE(repair_run(dir_fd, &twice) == 0);
	REQUIRE(twice.cut_bytes == 0 && !twice.removed);
	REQUIRE(twice.last_seq == once.last_seq && twice.last_wall_ms == once.last_wall_ms &&
		twice.lines == once.lines);
	closep(&twice.fd);
	return 0;
}
