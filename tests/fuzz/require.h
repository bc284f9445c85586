/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target is made of: a property that must hold for every input, or the program ends where the fuzzer sees
 * it.
 */
#ifndef TESTS_FUZZ_REQUIRE_H
#define TESTS_FUZZ_REQUIRE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "violated: %s\n", #condition);                                                 \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

/* Hands each line of the input to `fn`, without its newline, in memory of its exact size. */
static inline void each_line(const uint8_t *data, size_t size, void (*fn)(const char *line, size_t len))
{
	const uint8_t *end = data + size;

	while (data < end) {
		const uint8_t *newline = memchr(data, '\n', (size_t)(end - data));
		size_t len = (size_t)((newline ? newline : end) - data);
		char *line = malloc(len ? len : 1);

		if (!line)
			return;
		memcpy(line, data, len);
		fn(line, len);
		free(line);
		data += len + 1;
	}
}

#endif
