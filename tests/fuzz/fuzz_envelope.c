/* SPDX-License-Identifier: MIT */
/*
 * What the holder of the secret may send: every input is signed, so that mutations reach what lies behind the
 * signature. The envelope is good once, a replay from then on, bad with another bit in its signature or its payload,
 * stale outside its window; the payload that comes out is the one that went in, and is parsed as a message of its own.
 */
#include <errno.h>

#include <json-c/json.h>

#include "transport/envelope.h"
#include "transport/json_write.h"
#include "transport/message.h"
#include "require.h"

#define KEY "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56"
#define NOW 1790000000000

static struct message_parser parser;
static char buffer[1 << 18], copy[1 << 18];

static enum envelope_verdict verdict_of(struct envelope_guard *guard, const char *line, size_t len, int64_t now_ms,
					const char **payload, size_t *payload_len, struct message *message)
{
	struct message_fault fault;

	*message = (struct message){ 0 };
	if (message_parse(&parser, line, len, message, &fault) < 0)
		return ENVELOPE_MALFORMED;
	REQUIRE(message->type == MESSAGE_SIGNED);
	return envelope_verify(guard, KEY, strlen(KEY), message->root, now_ms, payload, payload_len);
}

static enum envelope_verdict verdict(struct envelope_guard *guard, const char *line, size_t len, int64_t now_ms)
{
	struct message message;
	const char *payload;
	size_t payload_len;
	enum envelope_verdict result = verdict_of(guard, line, len, now_ms, &payload, &payload_len, &message);

	message_free(&message);
	return result;
}

/* Every hexadecimal digit of the signature counts: the one chosen by the input is another. */
static void check_forged(const char *line, size_t len, unsigned choice)
{
	struct envelope_guard guard;
	char *at;

	envelope_guard_init(&guard);
	memcpy(copy, line, len);
	copy[len] = '\0';
	at = strstr(copy, "\"sig\":\"");
	/* The last, for a payload may hold the same words (their quotes escaped, so it does not). */
	REQUIRE(at);
	at += 7 + choice % 64;
	*at = *at == '0' ? '1' : '0';
	REQUIRE(verdict(&guard, copy, len, NOW) == ENVELOPE_BAD_SIGNATURE);
	REQUIRE(guard.used == 0);
	envelope_guard_free(&guard);
}

static void check_good(const char *line, size_t len, const char *payload, size_t payload_len)
{
	struct envelope_guard guard;
	struct message message, inner;
	struct message_fault fault;
	const char *got;
	size_t got_len;

	envelope_guard_init(&guard);
	REQUIRE(verdict_of(&guard, line, len, NOW, &got, &got_len, &message) == ENVELOPE_GOOD);
	REQUIRE(got_len == payload_len && memcmp(got, payload, payload_len) == 0);
	if (message_parse(&parser, got, got_len, &inner, &fault) == 0)
		message_free(&inner);
	else
		REQUIRE(code_name(fault.code) && fault.reason);
	REQUIRE(envelope_verify(&guard, KEY, strlen(KEY), message.root, NOW + 1, &got, &got_len) == ENVELOPE_REPLAYED);
	REQUIRE(envelope_verify(&guard, KEY, strlen(KEY), message.root, NOW + 2 * ENVELOPE_WINDOW_MS, &got, &got_len) ==
		ENVELOPE_STALE);
	message_free(&message);
	envelope_guard_free(&guard);
}

/* The first byte chooses whether a digit is forged, and which, the second how long the nonce is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char nonces[] = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz";
	struct json_writer w;
	const char *line, *payload = (const char *)data + 2;
	char nonce[65] = "";
	size_t len;

	if (size < 3 || size > sizeof(buffer) / 8)
		return 0;
	if (parser.limits.depth == 0)
		message_parser_init(&parser, 1);
	memcpy(nonce, nonces, data[1] % 64 + 1);
	json_writer_init(&w, buffer, sizeof(buffer));
	if (envelope_sign(&w, KEY, strlen(KEY), NOW, nonce, payload, size - 2) < 0)
		return 0;
	REQUIRE(json_writer_finish(&w, &line, &len) == 0);
	if (len && line[len - 1] == '\n')
		len--;
	/* A forged one now and then: it is the same for every payload. */
	if (data[0] % 4 == 0)
		check_forged(line, len, data[0] / 4);
	else
		check_good(line, len, payload, size - 2);
	return 0;
}
