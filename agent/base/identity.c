/* SPDX-License-Identifier: MIT */
#include "agent/base/identity.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <nettle/hmac.h>

#include <infiniservice/cleanup.h>

#include "transport/json_escape.h"

#define MACHINE_ID_FILE "/etc/machine-id"
#define BOOT_ID_FILE	"/proc/sys/kernel/random/boot_id"

#define UUID_LEN 36
#define FILE_NEW ".vm_id.new"

/* Takes a line of visible ASCII, in lower case and trimmed: UUIDs differ in case between firmware tables and tools. */
static bool take_word(char out[IDENTITY_SIZE], const char *text)
{
	size_t len = 0;

	text += strspn(text, " \t\r\n");
	for (; isgraph((unsigned char)*text) && len < IDENTITY_SIZE - 1; text++)
		out[len++] = (char)tolower((unsigned char)*text);
	out[len] = '\0';
	return len > 0;
}

bool identity_take_uuid(char out[IDENTITY_SIZE], const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	/* Placeholders that firmware vendors ship in every machine: all such VMs would have the same id. */
	static const char *const common[] = {
		"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"fefefefe-fefe-fefe-fefe-fefefefefefe", "03000200-0400-0500-0006-000700080009",
		"00020003-0004-0005-0006-000700080009", "00010203-0405-0607-0809-0a0b0c0d0e0f",
		"03020100-0504-0706-0809-0a0b0c0d0e0f", "12345678-1234-5678-90ab-cddeefaabbcc",
		"deadbeef-dead-beef-dead-beefdeadbeef", "4c4c4544-0000-2010-8020-80c04f202020",
	};

	if (!take_word(out, text) || strlen(out) != UUID_LEN)
		return false;
	for (size_t i = 0; i < UUID_LEN; i++)
		if (form[i] == '-' ? out[i] != '-' : !isxdigit((unsigned char)out[i]))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		if (strcmp(out, common[i]) == 0)
			return false;
	return true;
}

static bool take_file(char out[IDENTITY_SIZE], int dir_fd, const char *path)
{
	_cleanup_(closep) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char text[IDENTITY_SIZE];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return identity_take_uuid(out, text);
}

bool identity_parse_id(const char *text, uint8_t id[IDENTITY_BYTES])
{
	unsigned digits = 0;

	for (; *text && *text != '\n'; text++) {
		int value = json_hex_value((unsigned char)*text);

		if (*text == '-')
			continue;
		if (value < 0 || digits == 2 * IDENTITY_BYTES)
			return false;
		id[digits / 2] = (uint8_t)(digits % 2 ? id[digits / 2] | value : value << 4);
		digits++;
	}
	return digits == 2 * IDENTITY_BYTES;
}

static bool read_id(const char *path, uint8_t id[IDENTITY_BYTES])
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char text[64];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return identity_parse_id(text, id);
}

/* Sets the version and variant bits of a random UUID, RFC 4122 version 4. */
static void set_version(uint8_t id[IDENTITY_BYTES])
{
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

void identity_hash_id(uint8_t id[IDENTITY_BYTES])
{
	static const uint8_t ours[IDENTITY_BYTES] = { 0x4d, 0x1c, 0x3a, 0x77, 0x8e, 0x5b, 0x4f, 0x0c,
						      0x9a, 0x26, 0xd3, 0x51, 0x60, 0xbe, 0x17, 0xf8 };
	struct hmac_sha256_ctx context;

	hmac_sha256_set_key(&context, IDENTITY_BYTES, id);
	hmac_sha256_update(&context, IDENTITY_BYTES, ours);
	hmac_sha256_digest(&context, IDENTITY_BYTES, id);
	set_version(id);
}

static void format_id(char *out, const uint8_t id[IDENTITY_BYTES])
{
	for (size_t i = 0; i < IDENTITY_BYTES; i++)
		sprintf(out + 2 * i, "%02x", id[i]);
}

static void format_uuid(char out[IDENTITY_SIZE], uint8_t bytes[IDENTITY_BYTES])
{
	size_t len = 0;

	set_version(bytes);
	for (size_t i = 0; i < IDENTITY_BYTES; i++)
		len += (size_t)snprintf(out + len, IDENTITY_SIZE - len, "%s%02x",
					i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
}

/* Writes the file atomically: a power cut must not leave half an id. */
static bool keep(int state_fd, const char *uuid)
{
	_cleanup_(closep) int fd = -1;
	char text[UUID_LEN + 2];

	snprintf(text, sizeof(text), "%.*s\n", UUID_LEN, uuid);
	unlinkat(state_fd, FILE_NEW, 0);
	fd = openat(state_fd, FILE_NEW, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd >= 0 && write(fd, text, UUID_LEN + 1) == UUID_LEN + 1 && fsync(fd) == 0 &&
	       renameat(state_fd, FILE_NEW, state_fd, IDENTITY_FILE) == 0 && fsync(state_fd) == 0;
}

static bool from_state(struct identity *id, int state_fd, struct err *warning)
{
	uint8_t bytes[IDENTITY_BYTES];

	if (take_file(id->vm_id, state_fd, IDENTITY_FILE)) {
		err_set(warning, -ENOENT,
			"this machine has neither a product UUID nor a machine-id: it goes by %.*s, made once and kept "
			"in agent.state_dir; set agent.vm_id to give it a name",
			UUID_LEN, id->vm_id);
		return true;
	}
	if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != sizeof(bytes))
		return false;
	format_uuid(id->vm_id, bytes);
	if (!keep(state_fd, id->vm_id))
		return false;
	err_set(warning, -ENOENT,
		"this machine has neither a product UUID nor a machine-id: %.*s was made for it and is kept in "
		"agent.state_dir; set agent.vm_id to give it a name",
		UUID_LEN, id->vm_id);
	return true;
}

static const char *find_vm_id(struct identity *id, const char *configured, int state_fd, struct err *warning)
{
	const char *env = getenv("INFINIBAY_VM_ID");
	uint8_t bytes[IDENTITY_BYTES];

	if (configured && configured[strspn(configured, " \t")]) {
		snprintf(id->vm_id, sizeof(id->vm_id), "%s", configured);
		return "config";
	}
	if (env && take_word(id->vm_id, env))
		return "environment";
	if (take_file(id->vm_id, AT_FDCWD, "/sys/class/dmi/id/product_uuid") ||
	    take_file(id->vm_id, AT_FDCWD, IDENTITY_COPY))
		return "dmi";
	/*
	 * In an image that has not been booted yet the file is empty or says "uninitialized"; all zeros and all ones
	 * are no id either.
	 */
	if (read_id(MACHINE_ID_FILE, bytes) &&
	    (memcmp(bytes, bytes + 1, IDENTITY_BYTES - 1) != 0 || (bytes[0] != 0 && bytes[0] != 0xff))) {
		identity_hash_id(bytes);
		format_id(id->vm_id, bytes);
		return "machine-id";
	}
	if (state_fd >= 0 && from_state(id, state_fd, warning))
		return "state";
	if (read_id(BOOT_ID_FILE, bytes))
		identity_hash_id(bytes);
	else if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) < 0)
		memset(bytes, 0x11, sizeof(bytes));
	format_uuid(id->vm_id, bytes);
	err_set(warning, -ENOENT,
		"this machine has neither a product UUID nor a machine-id, and none can be kept in agent.state_dir: it "
		"goes by %.*s until it is booted again; set agent.vm_id",
		UUID_LEN, id->vm_id);
	return "boot";
}

void identity_find(struct identity *id, const char *configured, int state_fd, struct err *warning)
{
	uint8_t boot[IDENTITY_BYTES];

	*id = (struct identity){ 0 };
	if (warning)
		*warning = (struct err){ 0 };
	id->source = find_vm_id(id, configured, state_fd, warning);
	if (read_id(BOOT_ID_FILE, boot))
		format_id(id->boot_id, boot);
}
