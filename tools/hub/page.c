/* SPDX-License-Identifier: MIT */
#include "page.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HASH_TEXT_SIZE (BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1)
#define HOST_SIZE      256

/* The hash of what stands between the only `<NAME>` and its `</NAME>`. */
static int hash_of(const char *html, const char *name, char out[HASH_TEXT_SIZE])
{
	char open[16], close[16];
	const char *begin, *end;
	struct sha256_ctx context;
	uint8_t digest[SHA256_DIGEST_SIZE];

	snprintf(open, sizeof(open), "<%s>", name);
	snprintf(close, sizeof(close), "</%s>", name);
	begin = strstr(html, open);
	end = begin ? strstr(begin, close) : NULL;
	if (!end || strstr(end, open))
		return -EINVAL;
	begin += strlen(open);
	sha256_init(&context);
	sha256_update(&context, (size_t)(end - begin), (const uint8_t *)begin);
	sha256_digest(&context, sizeof(digest), digest);
	base64_encode_raw(out, sizeof(digest), digest);
	out[HASH_TEXT_SIZE - 1] = '\0';
	return 0;
}

int page_policy(const char *html, char out[PAGE_POLICY_SIZE])
{
	char style[HASH_TEXT_SIZE], script[HASH_TEXT_SIZE];

	if (hash_of(html, "style", style) < 0 || hash_of(html, "script", script) < 0)
		return -EINVAL;
	/* img-src: the icon is an empty data: URL, so that none is asked for. */
	snprintf(
		out, PAGE_POLICY_SIZE,
		"default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; connect-src 'self'; img-src data:; "
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		style, script);
	return 0;
}

static bool is_word_of(const char *name, const char *words)
{
	size_t len;

	for (words += strspn(words, " "); *words; words += len + strspn(words + len, " ")) {
		len = strcspn(words, " ");
		if (len == strlen(name) && !strncasecmp(words, name, len))
			return true;
	}
	return false;
}

bool page_host_is_ours(const char *host, const char *names)
{
	unsigned char address[sizeof(struct in6_addr)];
	const char *end = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":");
	char name[HOST_SIZE];
	size_t len = end ? (size_t)(end - host) : 0;

	if (len == 0 || len >= sizeof(name))
		return false;
	if (*host == '[') {
		memcpy(name, host + 1, len - 1);
		name[len - 1] = '\0';
		return inet_pton(AF_INET6, name, address) == 1;
	}
	memcpy(name, host, len);
	name[len] = '\0';
	return inet_pton(AF_INET, name, address) == 1 || !strcasecmp(name, "localhost") || is_word_of(name, names);
}
