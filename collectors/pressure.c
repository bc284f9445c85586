/* SPDX-License-Identifier: MIT */
/*
 * system.pressure: how long tasks waited for processors, memory and I/O, as the kernel counts it
 * (Documentation/accounting/psi.rst). A kernel may lack all of it (before 4.20, without CONFIG_PSI, started with psi=0)
 * or the line `full` of the processors.
 */
#include "pressure.h"

#include <errno.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"
#include "table.h"

/* ------------------------------------------------------------------------------------------------------ parsing */

/*	 avg10=0.12 avg60=0.34 avg300=0.56 total=789 */
static bool stall_parse(struct scan *line, struct stall *out)
{
	struct stall stall = { .known = true };
	struct {
		const char *key;
		double *percent;
		bool found;
	} averages[] = {
		{ "avg10=", &stall.avg10_percent, false },
		{ "avg60=", &stall.avg60_percent, false },
		{ "avg300=", &stall.avg300_percent, false },
	};
	bool total = false;
	struct scan field;

	while (scan_field(line, &field)) {
		if (scan_key(&field, "total=")) {
			if (total || !scan_u64(&field, &stall.total_us))
				return false;
			total = true;
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(averages); i++) {
			if (!scan_key(&field, averages[i].key))
				continue;
			if (averages[i].found || !scan_decimal(&field, averages[i].percent) ||
			    *averages[i].percent > 100)
				return false;
			averages[i].found = true;
			break;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(averages); i++)
		if (!averages[i].found)
			return false;
	if (total)
		*out = stall;
	return total;
}

/*
 *	some avg10=0.12 avg60=0.34 avg300=0.56 total=789
 *	full avg10=0.00 avg60=0.00 avg300=0.00 total=0
 */
int pressure_parse(const char *text, size_t len, struct pressure *out)
{
	struct scan rest = scan_text(text, len), line;
	struct pressure pressure = { 0 };

	while (scan_line(&rest, &line)) {
		struct stall *stall = scan_key(&line, "some ")	 ? &pressure.some
				      : scan_key(&line, "full ") ? &pressure.full
								 : NULL;

		/* A second line of the same kind may be anything: the first counts. */
		if (stall && (stall->known || !stall_parse(&line, stall)))
			pressure.skipped++;
	}
	if (!pressure.some.known && !pressure.full.known)
		return -EBADMSG;
	*out = pressure;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

static const struct {
	const char *key, *path;
} resources[] = {
	{ "cpu", "pressure/cpu" },
	{ "memory", "pressure/memory" },
	{ "io", "pressure/io" },
};
#define RESOURCES ARRAY_SIZE(resources)

struct resource {
	struct procfs_file file;
	int error;		  /* of this collect: 0 or -errno; -EOPNOTSUPP stays */
	struct pressure pressure; /* valid if there was none */
};

struct pressures {
	struct resource resources[RESOURCES];
	struct procfs_buffer text;
};

static int pressure_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct pressures *pressures = calloc(1, sizeof(*pressures));

	(void)ctx;
	if (!pressures)
		return -ENOMEM;
	for (size_t i = 0; i < RESOURCES; i++)
		pressures->resources[i].file = PROCFS_FILE_SINGLE;
	pressures->text.max = 4096;
	*ret_state = pressures;
	return 0;
}

static void pressure_close(void *state)
{
	struct pressures *pressures = state;

	if (!pressures)
		return;
	for (size_t i = 0; i < RESOURCES; i++)
		procfs_close(&pressures->resources[i].file);
	procfs_buffer_free(&pressures->text);
	free(pressures);
}

/* Kernels without PSI lack the files, or fail to read them where it is switched off by psi=0. */
static bool unsupported(int error)
{
	return error == -ENOENT || error == -EOPNOTSUPP;
}

/* A resource that fails is told as such, beside the others; none that can be read is a failure, if PSI is there. */
static int pressure_collect(void *state, const struct collect_ctx *ctx)
{
	struct pressures *pressures = state;
	bool any = false;
	int first = 0;

	for (size_t i = 0; i < RESOURCES; i++) {
		struct resource *resource = &pressures->resources[i];
		int r = resource->error;

		/* psi=0 is for as long as the kernel runs. */
		if (r != -EOPNOTSUPP)
			r = procfs_read(&resource->file, ctx->proc_fd, resources[i].path, &pressures->text);
		if (r == 0)
			r = pressure_parse(pressures->text.text, pressures->text.len, &resource->pressure);
		resource->error = r;
		any = any || r == 0;
		if (first == 0 && !unsupported(r))
			first = r;
	}
	return any ? 0 : first;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void stall_emit(struct sink *out, const char *key, const struct stall *stall, int error)
{
	if (error < 0 || !stall->known) {
		sink_null(out, key);
		return;
	}
	sink_object_begin(out, key);
	sink_real(out, "avg10_percent", stall->avg10_percent, 2);
	sink_real(out, "avg60_percent", stall->avg60_percent, 2);
	sink_real(out, "avg300_percent", stall->avg300_percent, 2);
	sink_uint(out, "total_us", stall->total_us);
	sink_object_end(out);
}

/* Why one of the two is null, or NULL when none is. */
static const char *reason_of(const struct resource *resource)
{
	const struct pressure *pressure = &resource->pressure;

	if (unsupported(resource->error))
		return "unsupported";
	if (resource->error == -EACCES || resource->error == -EPERM)
		return "denied";
	if (resource->error < 0)
		return resource->error == -EBADMSG ? "invalid" : "unreadable";
	if (pressure->some.known && pressure->full.known)
		return NULL;
	return pressure->skipped > 0 ? "invalid" : "unsupported";
}

static void pressure_emit(const void *state, struct sink *out)
{
	const struct pressures *pressures = state;
	uint64_t skipped = 0;

	for (size_t i = 0; i < RESOURCES; i++) {
		const struct resource *resource = &pressures->resources[i];
		const char *reason = reason_of(resource);

		sink_object_begin(out, resources[i].key);
		stall_emit(out, "some", &resource->pressure.some, resource->error);
		stall_emit(out, "full", &resource->pressure.full, resource->error);
		if (reason)
			sink_str(out, "reason", reason);
		sink_object_end(out);
		skipped += resource->error < 0 ? 0 : resource->pressure.skipped;
	}
	if (skipped > 0)
		sink_uint(out, "lines_skipped", skipped);
}

const struct collector collector_pressure = {
	.name = "pressure",
	.path = "system.pressure",
	.open = pressure_open,
	.close = pressure_close,
	.collect = pressure_collect,
	.emit = pressure_emit,
};
