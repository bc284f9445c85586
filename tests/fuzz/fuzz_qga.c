/* SPDX-License-Identifier: MIT */
/*
 * Framing and requests of the QEMU guest agent's language. Properties: what is given out is a valid object within the
 * limits, and json-c reads it; what is held is within them too; behind a byte 0xFF the next request arrives whole,
 * whatever came before; and so it does when the host before it left and that was seen.
 */
#include <errno.h>
#include <json-c/json.h>

#include "agent/qga/frame.h"
#include "agent/qga/request.h"
#include "require.h"

#define MAX_OBJECT 512

static const char sync[] = "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":4711}}";
static const struct qga_param params[] = {
	{ "id", QGA_INTEGER, true },
	{ "path", QGA_TEXT, false },
	{ NULL, QGA_TEXT, false },
};

static struct json_check check;

struct seen {
	unsigned objects, syncs, flushes;
};

static void on_object(void *data, const char *text, size_t len)
{
	struct seen *seen = data;
	struct qga_request request;
	char fault[QGA_FAULT_SIZE] = "";
	int r;

	REQUIRE(len >= 2 && len <= MAX_OBJECT && text[0] == '{' && text[len - 1] == '}');
	REQUIRE(json_check_line(&check, text, len, NULL, NULL) == 0);
	r = qga_request_parse(text, len, &request, fault);
	REQUIRE(r == 0 || (r == -EBADMSG && fault[0]));
	REQUIRE(request.root != NULL);
	if (r == 0 && qga_request_check(&request, params, fault))
		REQUIRE(qga_request_integer(&request, "id", 0) == qga_request_integer(&request, "id", 1));
	qga_request_free(&request);
	seen->objects++;
	seen->syncs += len == sizeof(sync) - 1 && memcmp(text, sync, len) == 0;
}

static void on_broken(void *data, enum json_reason reason)
{
	(void)data;
	REQUIRE(reason != JSON_OK);
}

static void on_flushed(void *data)
{
	((struct seen *)data)->flushes++;
}

static const struct qga_frame_events events = { on_object, on_broken, on_flushed };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = { 0 };
	struct qga_frames frames;
	unsigned flushes = 0, before;

	if (check.round == 0)
		json_check_init(&check, 1);
	qga_frames_init(&frames, &check, MAX_OBJECT, &events, &seen);
	for (size_t i = 0; i < size; i++)
		flushes += data[i] == 0xFF;
	REQUIRE(qga_frames_feed(&frames, (const char *)data, size) == 0);
	REQUIRE(seen.flushes == flushes);
	REQUIRE(qga_frames_pending(&frames) <= MAX_OBJECT);
	before = seen.syncs;
	qga_frames_feed(&frames, "\xFF", 1);
	qga_frames_feed(&frames, sync, sizeof(sync) - 1);
	REQUIRE(seen.syncs == before + 1);
	REQUIRE(qga_frames_feed(&frames, (const char *)data, size) == 0);
	qga_frames_reset(&frames);
	before = seen.syncs;
	qga_frames_feed(&frames, sync, sizeof(sync) - 1);
	REQUIRE(seen.syncs == before + 1);
	qga_frames_done(&frames);
	return 0;
}
