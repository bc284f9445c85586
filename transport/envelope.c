/* SPDX-License-Identifier: MIT */
/*
 * Verification in the order that gives nothing away: the signature over exact bytes first, then time, then memory.
 * The memory is a table of hashed nonces; when it is half full it is rebuilt without surplus nonces, and it grows only
 * if that was not enough.
 */
#include "envelope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>

#include "json_write.h"
#include "utf8.h"

#define GUARD_SIZE_MIN 64
#define DECIMAL_SIZE   24

static const struct {
	enum error_code code;
	const char *reason;
} verdicts[ENVELOPE_VERDICTS] = {
	[ENVELOPE_GOOD] = { CODE_NONE, "good" },
	[ENVELOPE_NO_SECRET] = { CODE_BAD_SIGNATURE, "no_secret" },
	[ENVELOPE_UNSIGNED] = { CODE_UNSIGNED, "unsigned" },
	[ENVELOPE_MALFORMED] = { CODE_INVALID_MESSAGE, "malformed_envelope" },
	[ENVELOPE_BAD_VERSION] = { CODE_INVALID_MESSAGE, "bad_version" },
	[ENVELOPE_BAD_SIGNATURE] = { CODE_BAD_SIGNATURE, "bad_signature" },
	[ENVELOPE_STALE] = { CODE_STALE, "stale" },
	[ENVELOPE_REPLAYED] = { CODE_REPLAYED, "replayed" },
	[ENVELOPE_NONCES_FULL] = { CODE_REPLAYED, "nonces_full" },
};

enum error_code envelope_code(enum envelope_verdict verdict)
{
	return (unsigned)verdict < ENVELOPE_VERDICTS ? verdicts[verdict].code : CODE_INTERNAL;
}

const char *envelope_reason(enum envelope_verdict verdict)
{
	return (unsigned)verdict < ENVELOPE_VERDICTS ? verdicts[verdict].reason : "internal";
}

void envelope_guard_init(struct envelope_guard *guard)
{
	*guard = (struct envelope_guard){ 0 };
}

void envelope_guard_free(struct envelope_guard *guard)
{
	free(guard->slots);
	envelope_guard_init(guard);
}

static void nonce_digest(const char *nonce, size_t len, uint8_t out[16])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, len, (const uint8_t *)nonce);
	sha256_digest(&sha, 16, out);
}

/* The slot that holds the digest, or the free one where it belongs. At most half of the table is ever used. */
static struct envelope_nonce *guard_slot(const struct envelope_guard *guard, const uint8_t digest[16])
{
	uint64_t at;

	memcpy(&at, digest, sizeof(at));
	for (;; at++) {
		struct envelope_nonce *slot = &guard->slots[at & (guard->size - 1)];

		if (slot->expires_ms == 0 || memcmp(slot->digest, digest, 16) == 0)
			return slot;
	}
}

static uint64_t distance(const struct envelope_nonce *nonce, int64_t now_ms)
{
	return nonce->expires_ms > now_ms ? (uint64_t)nonce->expires_ms - (uint64_t)now_ms
					  : (uint64_t)now_ms - (uint64_t)nonce->expires_ms;
}

static bool is_live(const struct envelope_nonce *nonce, int64_t now_ms)
{
	return nonce->expires_ms > now_ms && distance(nonce, now_ms) <= 2 * ENVELOPE_WINDOW_MS + 1;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

struct look {
	uint64_t near;	      /* so near to now a nonce that is not live has to be to stay */
	size_t live, kept;    /* those that stay: the live ones, and all */
	int64_t first_expiry; /* of the live ones */
};

static int guard_look(const struct envelope_guard *guard, int64_t now_ms, struct look *ret)
{
	uint64_t *distances = malloc((guard->used + 1) * sizeof(*distances));
	size_t parked = 0;

	if (!distances)
		return -ENOMEM;
	*ret = (struct look){ .near = UINT64_MAX, .first_expiry = INT64_MAX };
	for (size_t i = 0; i < guard->size; i++) {
		const struct envelope_nonce *nonce = &guard->slots[i];

		if (nonce->expires_ms == 0)
			continue;
		if (!is_live(nonce, now_ms)) {
			distances[parked++] = distance(nonce, now_ms);
			continue;
		}
		ret->live++;
		if (nonce->expires_ms < ret->first_expiry)
			ret->first_expiry = nonce->expires_ms;
	}
	ret->kept = ret->live + parked;
	if (parked > ENVELOPE_PARKED_MAX) {
		qsort(distances, parked, sizeof(*distances), compare);
		ret->near = distances[ENVELOPE_PARKED_MAX - 1];
		ret->kept = ret->live + ENVELOPE_PARKED_MAX;
	}
	free(distances);
	return 0;
}

/* Builds a new table of the nonces to be remembered, with room for as many again. */
static int guard_rebuild(struct envelope_guard *guard, int64_t now_ms)
{
	struct envelope_guard fresh = { .size = GUARD_SIZE_MIN, .last = guard->last };
	struct look look;
	size_t parked = 0;
	int r = guard_look(guard, now_ms, &look);

	if (r < 0)
		return r;
	if (look.live >= ENVELOPE_NONCES_MAX) {
		guard->full_until_ms = look.first_expiry;
		return -ENOBUFS;
	}
	while (fresh.size < 4 * look.kept && fresh.size < 4 * ENVELOPE_NONCES_MAX)
		fresh.size *= 2;
	fresh.slots = calloc(fresh.size, sizeof(*fresh.slots));
	if (!fresh.slots)
		return -ENOMEM;
	for (size_t i = 0; i < guard->size; i++) {
		const struct envelope_nonce *nonce = &guard->slots[i];

		if (nonce->expires_ms == 0)
			continue;
		/* Several nonces may have the same distance as the last that stays, so they are counted too. */
		if (!is_live(nonce, now_ms) && (distance(nonce, now_ms) > look.near || parked++ >= ENVELOPE_PARKED_MAX))
			continue;
		*guard_slot(&fresh, nonce->digest) = *nonce;
		fresh.used++;
	}
	fresh.full = fresh.used + (ENVELOPE_NONCES_MAX - look.live);
	if (fresh.full > fresh.size / 2)
		fresh.full = fresh.size / 2;
	free(guard->slots);
	*guard = fresh;
	return 0;
}

static enum envelope_verdict guard_remember(struct envelope_guard *guard, const struct envelope_nonce *entry,
					    int64_t now_ms)
{
	struct envelope_nonce *slot = NULL;

	if (guard->size > 0) {
		slot = guard_slot(guard, entry->digest);
		/*
		 * Only a newer message may use the nonce again, also after the clock was set: the entry of the older
		 * message is overwritten.
		 */
		if (slot->expires_ms > now_ms || (slot->expires_ms != 0 && slot->expires_ms >= entry->expires_ms))
			return ENVELOPE_REPLAYED;
		if (slot->expires_ms != 0) { /* expired: the nonce may serve again */
			guard->last = *slot = *entry;
			return ENVELOPE_GOOD;
		}
	}
	if (!slot || guard->used >= guard->full) {
		if (now_ms < guard->full_until_ms && guard->full_until_ms - now_ms <= 2 * ENVELOPE_WINDOW_MS + 1)
			return ENVELOPE_NONCES_FULL;
		if (guard_rebuild(guard, now_ms) < 0)
			return ENVELOPE_NONCES_FULL;
		slot = guard_slot(guard, entry->digest);
	}
	guard->last = *slot = *entry;
	guard->used++;
	return ENVELOPE_GOOD;
}

static enum envelope_verdict guard_admit(struct envelope_guard *guard, const char *nonce, size_t len, int64_t ts_ms,
					 int64_t now_ms)
{
	struct envelope_nonce entry = { .expires_ms = ts_ms + ENVELOPE_WINDOW_MS + 1 };

	nonce_digest(nonce, len, entry.digest);
	return guard_remember(guard, &entry, now_ms);
}

void envelope_guard_restore(struct envelope_guard *guard, const struct envelope_nonce *nonce, int64_t now_ms)
{
	if (nonce->expires_ms > 0)
		guard_remember(guard, nonce, now_ms);
}

/* Decimal text of `value` at the end of `out`; returns where it begins. */
static const char *decimal(int64_t value, char out[DECIMAL_SIZE])
{
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char *at = out + DECIMAL_SIZE;

	*--at = '\0';
	do {
		*--at = (char)('0' + rest % 10);
	} while (rest /= 10);
	if (value < 0)
		*--at = '-';
	return at;
}

/*
 * Wipes the stack that nettle's functions used, as it holds the padded key, which a process forked later would inherit.
 * The depth: a context, the pad of a block, the schedule of a round.
 */
static void __attribute__((noinline)) stack_wipe(void)
{
	uint8_t below[1024];

	explicit_bzero(below, sizeof(below));
}

static void mac_bytes(const char *key, size_t key_len, int64_t ts_ms, const char *nonce, size_t nonce_len,
		      const char *payload, size_t payload_len, uint8_t out[SHA256_DIGEST_SIZE])
{
	struct hmac_sha256_ctx hmac;
	char buffer[DECIMAL_SIZE];
	const char *ts = decimal(ts_ms, buffer);

	hmac_sha256_set_key(&hmac, key_len, (const uint8_t *)key);
	hmac_sha256_update(&hmac, 2, (const uint8_t *)"1\n");
	hmac_sha256_update(&hmac, strlen(ts), (const uint8_t *)ts);
	hmac_sha256_update(&hmac, 1, (const uint8_t *)"\n");
	hmac_sha256_update(&hmac, nonce_len, (const uint8_t *)nonce);
	hmac_sha256_update(&hmac, 1, (const uint8_t *)"\n");
	hmac_sha256_update(&hmac, payload_len, (const uint8_t *)payload);
	hmac_sha256_digest(&hmac, SHA256_DIGEST_SIZE, out);
	explicit_bzero(&hmac, sizeof(hmac));
	stack_wipe();
}

void envelope_mac(const char *key, size_t key_len, int64_t ts_ms, const char *nonce, size_t nonce_len,
		  const char *payload, size_t payload_len, char ret_hex[ENVELOPE_SIG_SIZE])
{
	uint8_t mac[SHA256_DIGEST_SIZE];

	mac_bytes(key, key_len, ts_ms, nonce, nonce_len, payload, payload_len, mac);
	for (unsigned i = 0; i < SHA256_DIGEST_SIZE; i++) {
		ret_hex[2 * i] = "0123456789abcdef"[mac[i] >> 4];
		ret_hex[2 * i + 1] = "0123456789abcdef"[mac[i] & 15];
	}
	ret_hex[2 * SHA256_DIGEST_SIZE] = '\0';
}

/* The string under `key`, or NULL when there is none or it is something else. */
static const char *get_text(struct json_object *root, const char *key, size_t *ret_len)
{
	struct json_object *value;

	if (!json_object_object_get_ex(root, key, &value) || !json_object_is_type(value, json_type_string))
		return NULL;
	*ret_len = (size_t)json_object_get_string_len(value);
	return json_object_get_string(value);
}

size_t envelope_payload(struct json_object *root, const char **ret_payload)
{
	size_t len = 0;

	*ret_payload = get_text(root, "payload", &len);
	return *ret_payload ? len : 0;
}

/* An integer that fits int64; json-c clamps what does not, so the largest value is taken for clamped. */
static bool get_integer(struct json_object *root, const char *key, int64_t *ret)
{
	struct json_object *value;

	if (!json_object_object_get_ex(root, key, &value) || !json_object_is_type(value, json_type_int))
		return false;
	*ret = json_object_get_int64(value);
	return *ret != INT64_MAX;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool hex_decode(const char *hex, size_t len, uint8_t out[SHA256_DIGEST_SIZE])
{
	if (len != 2 * SHA256_DIGEST_SIZE)
		return false;
	for (unsigned i = 0; i < SHA256_DIGEST_SIZE; i++) {
		int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* No subtraction of what a peer sent: it may be anything. */
static bool is_stale(int64_t ts_ms, int64_t now_ms)
{
	return ts_ms < now_ms - ENVELOPE_WINDOW_MS || ts_ms > now_ms + ENVELOPE_WINDOW_MS;
}

enum envelope_verdict envelope_verify(struct envelope_guard *guard, const char *key, size_t key_len,
				      struct json_object *root, int64_t now_ms, const char **ret_payload,
				      size_t *ret_len)
{
	uint8_t sig[SHA256_DIGEST_SIZE], mac[SHA256_DIGEST_SIZE];
	size_t nonce_len = 0, payload_len = 0, sig_len = 0;
	const char *nonce = get_text(root, "nonce", &nonce_len), *payload = get_text(root, "payload", &payload_len);
	const char *hex = get_text(root, "sig", &sig_len);
	int64_t version, ts_ms;
	enum envelope_verdict verdict;

	if (!key || key_len == 0)
		return ENVELOPE_NO_SECRET;
	if (!nonce || nonce_len == 0 || nonce_len > ENVELOPE_NONCE_MAX || !payload || !hex ||
	    !hex_decode(hex, sig_len, sig) || !get_integer(root, "ts", &ts_ms) || !get_integer(root, "v", &version))
		return ENVELOPE_MALFORMED;
	if (version != 1)
		return ENVELOPE_BAD_VERSION;
	mac_bytes(key, key_len, ts_ms, nonce, nonce_len, payload, payload_len, mac);
	if (!memeql_sec(mac, sig, sizeof(mac)))
		return ENVELOPE_BAD_SIGNATURE;
	if (is_stale(ts_ms, now_ms))
		return ENVELOPE_STALE;
	verdict = guard_admit(guard, nonce, nonce_len, ts_ms, now_ms);
	if (verdict != ENVELOPE_GOOD)
		return verdict;
	*ret_payload = payload;
	*ret_len = payload_len;
	return ENVELOPE_GOOD;
}

/* Text that goes through the writer unchanged: valid UTF-8 without NUL. */
static bool is_exact(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	uint32_t code;

	while (p < end) {
		int n = utf8_decode(p, end, &code);

		if (n < 0 || code == 0)
			return false;
		p += n;
	}
	return true;
}

int envelope_sign(struct json_writer *w, const char *key, size_t key_len, int64_t ts_ms, const char *nonce,
		  const char *payload, size_t payload_len)
{
	size_t nonce_len = strlen(nonce);
	char hex[ENVELOPE_SIG_SIZE];

	if (!key || key_len == 0 || nonce_len == 0 || nonce_len > ENVELOPE_NONCE_MAX || !is_exact(nonce, nonce_len) ||
	    !is_exact(payload, payload_len))
		return -EINVAL;
	envelope_mac(key, key_len, ts_ms, nonce, nonce_len, payload, payload_len, hex);
	json_writer_reset(w);
	sink_object_begin(&w->sink, NULL);
	sink_str(&w->sink, "type", "signed");
	sink_int(&w->sink, "v", 1);
	sink_int(&w->sink, "ts", ts_ms);
	sink_str(&w->sink, "nonce", nonce);
	sink_text(&w->sink, "payload", payload, payload_len, payload_len);
	sink_str(&w->sink, "sig", hex);
	sink_object_end(&w->sink);
	return json_writer_finish(w, NULL, NULL);
}
