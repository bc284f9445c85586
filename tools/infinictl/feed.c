/* SPDX-License-Identifier: MIT */
/* Values are picked from the lines without building trees. */
#include "tools/infinictl/feed.h"

#include <errno.h>
#include <string.h>

#include "agent/log/pick.h"
#include "agent/log/scan.h"
#include "tools/infinictl/cli.h"

static void on_value(void *data, unsigned path, struct pick_text key, struct pick_text text)
{
	struct curve_value *value = (struct curve_value *)data + path;
	double number;

	(void)key;
	value->known = pick_number(text, &number);
	if (value->known)
		*value = (struct curve_value){ true, 1, number, number, number, number };
}

static bool is_sample(const struct reader_line *line)
{
	struct scan scan;

	return scan_line(line->text, line->len, &scan) && !strcmp(scan.type, "metrics");
}

static int feed_lines(struct reading *reading, struct curves *curves, const struct pick *pick)
{
	struct reader_line line;
	int rc;

	while ((rc = reader_next(reading->reader, &line)) == 1) {
		struct curve_value values[CURVES_METRICS_MAX] = { { 0 } };

		if (!is_sample(&line))
			continue;
		reading->samples++;
		pick_line(pick, line.text, line.len, on_value, values);
		curves_add(curves, line.wall_ms, values);
		reading_progress(reading, line.wall_ms);
	}
	reading_progress_end(reading);
	return rc;
}

int feed_curves(struct reading *reading, struct curves *curves, unsigned steps)
{
	struct pick *pick = pick_new();
	struct err err = { 0 };
	int rc = pick ? curves_init(curves, steps, reading->begin_ms, reading->end_ms) : -ENOMEM;

	for (unsigned i = 0; !rc && i < curves->metric_count; i++) {
		int added = pick_add(pick, curves->metrics[i].path, &err);

		rc = added < 0 ? added : 0;
	}
	if (!rc)
		rc = feed_lines(reading, curves, pick);
	curves_finish(curves);
	pick_free(pick);
	if (rc < 0)
		return cli_fail("%s", err.text[0] ? err.text : strerror(-rc));
	return CLI_OK;
}
