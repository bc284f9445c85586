/* SPDX-License-Identifier: MIT */
/*
 * A configuration file: a bad one changes nothing and names its line; a good one is printed to a text that reads the
 * same.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config/config.h"
#include "require.h"

static int file;
static char path[32];

static void file_put(const void *bytes, size_t len)
{
	if (file == 0) {
		file = memfd_create("config", MFD_CLOEXEC);
		REQUIRE(file > 0 && fchmod(file, 0600) == 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	}
	REQUIRE(ftruncate(file, 0) == 0 && pwrite(file, bytes, len, 0) == (ssize_t)len);
}

static char *printed(const struct config *config)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	REQUIRE(out);
	config_print(config, NULL, out);
	REQUIRE(fclose(out) == 0);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config, again;
	struct err err = { 0 };
	char *before, *after, *reread;
	int r;

	REQUIRE(config_init(&config) == 0 && config_init(&again) == 0);
	before = printed(&config);
	file_put(data, size);
	r = config_load(&config, path, NULL, NULL, &err);
	after = printed(&config);
	if (r < 0) {
		REQUIRE(strstr(err.text, path) && strcmp(before, after) == 0);
	} else {
		file_put(after, strlen(after));
		r = config_load(&again, path, NULL, NULL, &err);
		if (r < 0)
			fprintf(stderr, "%s\n%s\n", err.text, after);
		REQUIRE(r == 0);
		reread = printed(&again);
		REQUIRE(strcmp(after, reread) == 0);
		free(reread);
		(void)config_check(&config, NULL, NULL, &err);
	}
	free(before);
	free(after);
	config_free(&config);
	config_free(&again);
	return 0;
}
