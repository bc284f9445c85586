/* SPDX-License-Identifier: MIT */
#include "secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <nettle/hmac.h>

#include <infiniservice/cleanup.h>

#include "agent/config/secret.h"

void secret_derive(const char *master, size_t master_len, const char *vm, char ret_hex[SECRET_HEX_SIZE])
{
	struct hmac_sha256_ctx hmac;
	uint8_t digest[SHA256_DIGEST_SIZE];

	hmac_sha256_set_key(&hmac, master_len, (const uint8_t *)master);
	hmac_sha256_update(&hmac, strlen(vm), (const uint8_t *)vm);
	hmac_sha256_digest(&hmac, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		ret_hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		ret_hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	ret_hex[2 * sizeof(digest)] = '\0';
	explicit_bzero(&hmac, sizeof(hmac));
	explicit_bzero(digest, sizeof(digest));
}

void secret_free_text(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* The text of a secret's file without trailing white space. 0, -ENOENT, or another -errno with its text. */
static int read_one(const char *path, char **ret, struct err *e)
{
	struct stat st;
	char *text;
	size_t len;
	int r = safe_file_read(path, SECRET_MAX, &text, &len, &st, e);

	if (r < 0)
		return r;
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	text[len] = '\0';
	if (len == 0 || strlen(text) != len)
		r = err_set(e, -EINVAL, "%s: holds no secret", path);
	else if (st.st_mode & 0077)
		r = err_set(e, -EPERM, "%s: others can read it and sign as this host: chmod 0600 %s", path, path);
	if (r < 0)
		secret_free_text(text);
	else
		*ret = text;
	return r;
}

int secret_of_vm(const char *folder, const char *master, const char *vm, char **ret, struct err *e)
{
	_cleanup_(freep) char *path = NULL;
	char *text;
	int r;

	*ret = NULL;
	if (*folder && !strchr(vm, '/') && strcmp(vm, ".") != 0 && strcmp(vm, "..") != 0) {
		if (asprintf(&path, "%s/%s", folder, vm) < 0)
			return err_set(e, -ENOMEM, "out of memory");
		r = read_one(path, ret, e);
		if (r != -ENOENT)
			return r < 0 ? r : 1;
	}
	if (!*master)
		return 0;
	r = read_one(master, &text, e);
	if (r < 0)
		return r;
	*ret = malloc(SECRET_HEX_SIZE);
	if (*ret)
		secret_derive(text, strlen(text), vm, *ret);
	secret_free_text(text);
	return *ret ? 1 : err_set(e, -ENOMEM, "out of memory");
}
