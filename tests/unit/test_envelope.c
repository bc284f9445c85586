/* SPDX-License-Identifier: MIT */
/* Signed envelopes: the vector of the protocol, and each check failing by itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "transport/envelope.h"
#include "transport/json_write.h"

#define KEY "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56"
#define NOW 1790000000000
#define PAYLOAD                                                                                                        \
	"{\"type\":\"SafeCommand\",\"id\":\"c1\",\"command_type\":{\"action\":\"SystemInfo\"},\"params\":null,"        \
	"\"timeout\":30}"
#define SIG "1d4f19b209c9e905f9f5c4289166b9410aab120267162afb5a768cba14c89e63"

static struct envelope_guard guard;
static char buffer[4096];
static struct json_writer w;
static const char *payload;
static size_t payload_len;

static int setup(void **state)
{
	(void)state;
	envelope_guard_init(&guard);
	json_writer_init(&w, buffer, sizeof(buffer));
	payload = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	envelope_guard_free(&guard);
	return 0;
}

static enum envelope_verdict verify_with(const char *key, struct json_object *root, int64_t now_ms)
{
	enum envelope_verdict verdict =
		envelope_verify(&guard, key, key ? strlen(key) : 0, root, now_ms, &payload, &payload_len);

	if (verdict != ENVELOPE_GOOD)
		assert_null(payload);
	else
		assert_int_equal(payload_len, strlen(payload));
	payload = NULL;
	json_object_put(root);
	return verdict;
}

static struct json_object *sign(int64_t ts_ms, const char *nonce)
{
	assert_int_equal(envelope_sign(&w, KEY, strlen(KEY), ts_ms, nonce, PAYLOAD, strlen(PAYLOAD)), 0);
	buffer[w.len] = '\0';
	return json_tokener_parse(buffer);
}

static struct json_object *vector(void)
{
	struct json_object *root = json_object_new_object();

	json_object_object_add(root, "type", json_object_new_string("signed"));
	json_object_object_add(root, "v", json_object_new_int(1));
	json_object_object_add(root, "ts", json_object_new_int64(NOW));
	json_object_object_add(root, "nonce", json_object_new_string("nonce-0001"));
	json_object_object_add(root, "payload", json_object_new_string(PAYLOAD));
	json_object_object_add(root, "sig", json_object_new_string(SIG));
	return root;
}

static struct json_object *vector_with(const char *key, struct json_object *value)
{
	struct json_object *root = vector();

	json_object_object_add(root, key, value);
	return root;
}

static void verifies_the_vector_of_the_protocol(void **state)
{
	struct json_object *root = vector();

	(void)state;
	assert_int_equal(envelope_verify(&guard, KEY, strlen(KEY), root, NOW, &payload, &payload_len), ENVELOPE_GOOD);
	assert_int_equal(payload_len, strlen(PAYLOAD));
	assert_memory_equal(payload, PAYLOAD, payload_len);
	json_object_put(root);
}

static void makes_the_signature_of_the_vector(void **state)
{
	char hex[ENVELOPE_SIG_SIZE];

	(void)state;
	envelope_mac(KEY, strlen(KEY), NOW, "nonce-0001", 10, PAYLOAD, strlen(PAYLOAD), hex);
	assert_string_equal(hex, SIG);
}

static void refuses_everything_without_a_secret(void **state)
{
	(void)state;
	assert_int_equal(verify_with(NULL, vector(), NOW), ENVELOPE_NO_SECRET);
	assert_int_equal(verify_with("", vector(), NOW), ENVELOPE_NO_SECRET);
}

static void refuses_a_malformed_envelope(void **state)
{
	char long_nonce[ENVELOPE_NONCE_MAX + 2];

	(void)state;
	memset(long_nonce, 'n', sizeof(long_nonce) - 1);
	long_nonce[sizeof(long_nonce) - 1] = '\0';
	assert_int_equal(verify_with(KEY, vector_with("ts", NULL), NOW), ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("ts", json_object_new_string("1790000000000")), NOW),
			 ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("ts", json_object_new_uint64(UINT64_MAX)), NOW),
			 ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("v", json_object_new_double(1)), NOW), ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("nonce", json_object_new_string("")), NOW), ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("nonce", json_object_new_string(long_nonce)), NOW),
			 ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("payload", json_object_new_object()), NOW), ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("sig", json_object_new_string("1d4f")), NOW), ENVELOPE_MALFORMED);
	assert_int_equal(verify_with(KEY, vector_with("sig", json_object_new_string("g" SIG)), NOW),
			 ENVELOPE_MALFORMED);
}

/* Row 19: version too new */
static void refuses_another_version(void **state)
{
	(void)state;
	assert_int_equal(verify_with(KEY, vector_with("v", json_object_new_int(2)), NOW), ENVELOPE_BAD_VERSION);
	assert_int_equal(envelope_code(ENVELOPE_BAD_VERSION), CODE_INVALID_MESSAGE);
}

static void refuses_when_any_signed_part_differs(void **state)
{
	(void)state;
	assert_int_equal(verify_with(KEY, vector_with("ts", json_object_new_int64(NOW + 1)), NOW),
			 ENVELOPE_BAD_SIGNATURE);
	assert_int_equal(verify_with(KEY, vector_with("nonce", json_object_new_string("nonce-0002")), NOW),
			 ENVELOPE_BAD_SIGNATURE);
	assert_int_equal(verify_with(KEY, vector_with("payload", json_object_new_string("{}")), NOW),
			 ENVELOPE_BAD_SIGNATURE);
	assert_int_equal(verify_with("another", vector(), NOW), ENVELOPE_BAD_SIGNATURE);
}

static void every_digit_of_the_signature_counts(void **state)
{
	char changed[] = SIG;

	(void)state;
	for (size_t i = 0; i < strlen(SIG); i++) {
		for (unsigned bit = 0; bit < 4; bit++) {
			unsigned digit = (unsigned)(SIG[i] <= '9' ? SIG[i] - '0' : SIG[i] - 'a' + 10) ^ 1U << bit;

			changed[i] = "0123456789abcdef"[digit];
			assert_int_equal(verify_with(KEY, vector_with("sig", json_object_new_string(changed)), NOW),
					 ENVELOPE_BAD_SIGNATURE);
		}
		changed[i] = SIG[i];
	}
	assert_int_equal(verify_with(KEY, vector_with("sig", json_object_new_string(changed)), NOW), ENVELOPE_GOOD);
}

static void takes_the_signature_in_upper_case(void **state)
{
	char upper[] = SIG;

	(void)state;
	for (char *c = upper; *c; c++)
		if (*c >= 'a')
			*c = (char)(*c - 32);
	assert_int_equal(verify_with(KEY, vector_with("sig", json_object_new_string(upper)), NOW), ENVELOPE_GOOD);
}

static void refuses_what_is_outside_the_window(void **state)
{
	(void)state;
	assert_int_equal(verify_with(KEY, vector(), NOW + 300001), ENVELOPE_STALE);
	assert_int_equal(verify_with(KEY, vector(), NOW - 300001), ENVELOPE_STALE);
	assert_int_equal(verify_with(KEY, sign(INT64_MIN, "a"), NOW), ENVELOPE_STALE);
	assert_int_equal(verify_with(KEY, vector(), NOW + 300000), ENVELOPE_GOOD);
}

static void refuses_a_nonce_seen_before(void **state)
{
	(void)state;
	assert_int_equal(verify_with(KEY, vector(), NOW), ENVELOPE_GOOD);
	assert_int_equal(verify_with(KEY, vector(), NOW + 1), ENVELOPE_REPLAYED);
	assert_int_equal(verify_with(KEY, vector(), NOW + 300000), ENVELOPE_REPLAYED);
	/* From the far future as well: as long as it is not stale it is remembered. */
	assert_int_equal(verify_with(KEY, sign(NOW + 300000, "future"), NOW), ENVELOPE_GOOD);
	assert_int_equal(verify_with(KEY, sign(NOW + 300000, "future"), NOW + 600000), ENVELOPE_REPLAYED);
}

static void does_not_burn_a_nonce_on_a_refused_envelope(void **state)
{
	(void)state;
	assert_int_equal(verify_with("another", vector(), NOW), ENVELOPE_BAD_SIGNATURE);
	assert_int_equal(verify_with(KEY, vector(), NOW + 300001), ENVELOPE_STALE);
	assert_int_equal(guard.used, 0);
	assert_int_equal(verify_with(KEY, vector(), NOW), ENVELOPE_GOOD);
}

static void takes_a_nonce_again_once_it_has_expired(void **state)
{
	(void)state;
	assert_int_equal(verify_with(KEY, sign(NOW, "n"), NOW), ENVELOPE_GOOD);
	assert_int_equal(verify_with(KEY, sign(NOW + 300001, "n"), NOW + 300001), ENVELOPE_GOOD);
	assert_int_equal(verify_with(KEY, sign(NOW + 300001, "n"), NOW + 300002), ENVELOPE_REPLAYED);
}

static void fails_closed_when_the_memory_is_full_and_recovers(void **state)
{
	char nonce[32];

	(void)state;
	for (unsigned i = 0; i < ENVELOPE_NONCES_MAX; i++) {
		snprintf(nonce, sizeof(nonce), "n%u", i);
		assert_int_equal(verify_with(KEY, sign(NOW + i / 1024, nonce), NOW), ENVELOPE_GOOD);
	}
	assert_int_equal(verify_with(KEY, sign(NOW, "one more"), NOW), ENVELOPE_NONCES_FULL);
	assert_int_equal(verify_with(KEY, sign(NOW, "n0"), NOW), ENVELOPE_REPLAYED);
	assert_int_equal(envelope_code(ENVELOPE_NONCES_FULL), CODE_REPLAYED);
	assert_int_equal(verify_with(KEY, sign(NOW + 300001, "one more"), NOW + 300001), ENVELOPE_GOOD);
	assert_int_equal(verify_with(KEY, sign(NOW + 15, "n16383"), NOW + 300001), ENVELOPE_REPLAYED);
}

static void forgets_the_nonces_furthest_from_now_instead_of_growing(void **state)
{
	char nonce[32];

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(nonce, sizeof(nonce), "n%u", i);
		assert_int_equal(verify_with(KEY, sign(NOW + i * 30000LL, nonce), NOW + i * 30000LL), ENVELOPE_GOOD);
	}
	assert_true(guard.size <= 4 * 2 * ENVELOPE_PARKED_MAX);
	/* What has just expired would be valid again if the clock were set back. */
	for (unsigned i = 20000 - ENVELOPE_PARKED_MAX; i < 20000; i++) {
		snprintf(nonce, sizeof(nonce), "n%u", i);
		assert_int_equal(verify_with(KEY, sign(NOW + i * 30000LL, nonce), NOW + i * 30000LL),
				 ENVELOPE_REPLAYED);
	}
}

static void a_crowd_of_one_moment_does_not_outgrow_the_table(void **state)
{
	char nonce[32];

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		int64_t at = NOW + (i / 10000) * 700000LL;

		snprintf(nonce, sizeof(nonce), "n%u", i);
		assert_int_equal(verify_with(KEY, sign(at, nonce), at), ENVELOPE_GOOD);
		assert_true(guard.used <= guard.size / 2);
	}
	assert_true(guard.size <= 4 * ENVELOPE_NONCES_MAX);
}

/* So many messages that the table is made anew, at a clock that is `step_ms` off. */
static void live_at(int64_t step_ms)
{
	char nonce[40];

	for (unsigned i = 0; i < 500; i++) {
		snprintf(nonce, sizeof(nonce), "%lld-%u", (long long)step_ms, i);
		assert_int_equal(verify_with(KEY, sign(NOW + step_ms, nonce), NOW + step_ms), ENVELOPE_GOOD);
	}
}

static void a_clock_that_is_set_forth_and_back_makes_no_replay_good(void **state)
{
	static const int64_t steps_ms[] = {
		3600000, -3600000, 300001, -300001, 10LL * 366 * 86400000, -40LL * 366 * 86400000, 600002
	};

	(void)state;
	assert_int_equal(verify_with(KEY, vector(), NOW), ENVELOPE_GOOD);
	for (size_t i = 0; i < ARRAY_SIZE(steps_ms); i++) {
		live_at(steps_ms[i]);
		assert_int_equal(verify_with(KEY, vector(), NOW), ENVELOPE_REPLAYED);
	}
}

static void what_an_earlier_run_has_seen_is_remembered_whatever_the_clock_says_now(void **state)
{
	static const int64_t steps_ms[] = { 0, 3600000, -3600000, 600002, -600002 };
	struct envelope_nonce seen;

	(void)state;
	assert_int_equal(verify_with(KEY, vector(), NOW), ENVELOPE_GOOD);
	seen = guard.last;
	for (size_t i = 0; i < ARRAY_SIZE(steps_ms); i++) {
		envelope_guard_free(&guard);
		envelope_guard_restore(&guard, &seen, NOW + steps_ms[i]);
		live_at(steps_ms[i]);
		assert_int_equal(verify_with(KEY, vector(), NOW), ENVELOPE_REPLAYED);
	}
	/* Nonsense in the file is none. */
	envelope_guard_free(&guard);
	for (int64_t expires_ms = -2; expires_ms < 2; expires_ms++) {
		seen.expires_ms = expires_ms < 0 ? INT64_MIN - expires_ms - 1 : INT64_MAX - expires_ms;
		seen.digest[0]++;
		envelope_guard_restore(&guard, &seen, NOW);
	}
	live_at(0);
	assert_int_equal(verify_with(KEY, vector(), NOW), ENVELOPE_GOOD);
}

static void signs_only_what_arrives_unchanged(void **state)
{
	(void)state;
	assert_int_equal(envelope_sign(&w, KEY, 64, NOW, "n", "\xff", 1), -EINVAL);
	assert_int_equal(envelope_sign(&w, KEY, 64, NOW, "n", "a\0b", 3), -EINVAL);
	assert_int_equal(envelope_sign(&w, KEY, 64, NOW, "", "{}", 2), -EINVAL);
	assert_int_equal(envelope_sign(&w, NULL, 0, NOW, "n", "{}", 2), -EINVAL);
	assert_int_equal(envelope_sign(&w, KEY, 64, NOW, "n", "{\"a\":\"\xc3\xa9\n\"}", 11), 0);
	buffer[w.len] = '\0';
	assert_int_equal(verify_with(KEY, json_tokener_parse(buffer), NOW), ENVELOPE_GOOD);
}

static void names_a_code_and_a_reason_for_every_verdict(void **state)
{
	(void)state;
	for (unsigned i = ENVELOPE_GOOD + 1; i < ENVELOPE_VERDICTS; i++) {
		assert_int_not_equal(envelope_code((enum envelope_verdict)i), CODE_NONE);
		assert_non_null(envelope_reason((enum envelope_verdict)i));
	}
	assert_int_equal(envelope_code(ENVELOPE_UNSIGNED), CODE_UNSIGNED);
	assert_int_equal(envelope_code(ENVELOPE_STALE), CODE_STALE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(verifies_the_vector_of_the_protocol),
		TEST(makes_the_signature_of_the_vector),
		TEST(refuses_everything_without_a_secret),
		TEST(refuses_a_malformed_envelope),
		TEST(refuses_another_version),
		TEST(refuses_when_any_signed_part_differs),
		TEST(every_digit_of_the_signature_counts),
		TEST(takes_the_signature_in_upper_case),
		TEST(refuses_what_is_outside_the_window),
		TEST(refuses_a_nonce_seen_before),
		TEST(does_not_burn_a_nonce_on_a_refused_envelope),
		TEST(takes_a_nonce_again_once_it_has_expired),
		TEST(fails_closed_when_the_memory_is_full_and_recovers),
		TEST(forgets_the_nonces_furthest_from_now_instead_of_growing),
		TEST(a_crowd_of_one_moment_does_not_outgrow_the_table),
		TEST(a_clock_that_is_set_forth_and_back_makes_no_replay_good),
		TEST(what_an_earlier_run_has_seen_is_remembered_whatever_the_clock_says_now),
		TEST(signs_only_what_arrives_unchanged),
		TEST(names_a_code_and_a_reason_for_every_verdict),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
