/* SPDX-License-Identifier: MIT */
/* infiniservice-exec clean [--dry-run] [--age-days N] -- TARGET… */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/cleaner/cleaner.h"

#define AGE_DAYS_MAX 3650

static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f || *text == '\\')
			printf("\\x%02x", (unsigned char)*text);
		else
			putchar(*text);
	}
}

void cleaner_print(void *data, const char *path, uint64_t bytes)
{
	(void)data;
	printf("item\t%llu\t", (unsigned long long)bytes);
	print_escaped(path);
	putchar('\n');
}

void cleaner_print_grant(void *data, const char *path, const char *what)
{
	(void)data;
	fputs("grant\t", stdout);
	print_escaped(path);
	putchar('\t');
	print_escaped(what);
	putchar('\n');
}

void cleaner_print_end(const struct cleaner *cleaner)
{
	printf("directories\t%llu\n", (unsigned long long)cleaner->directories);
	printf("end\t%llu\t%llu\t%llu\t%llu\n", (unsigned long long)cleaner->freed_bytes,
	       (unsigned long long)cleaner->items, (unsigned long long)cleaner->kept,
	       (unsigned long long)cleaner->errors);
}

static bool take_options(int argc, char *argv[], struct cleaner *cleaner)
{
	static const struct option options[] = { { "dry-run", no_argument, NULL, 'n' },
						 { "age-days", required_argument, NULL, 'a' },
						 { NULL, 0, NULL, 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		char *end = NULL;
		long days;

		if (option == 'n') {
			cleaner->dry_run = true;
		} else if (option == 'a') {
			days = strtol(optarg, &end, 10);
			if (end == optarg || *end || days < 0 || days > AGE_DAYS_MAX)
				return false;
			cleaner->age_s = days * CLEANER_DAY_S;
		} else {
			return false;
		}
	}
	return optind < argc;
}

int cleaner_main(int argc, char *argv[])
{
	_cleanup_(closep) int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cleaner cleaner = { .root_fd = root, .now_s = time(NULL), .age_s = -1, .removed = cleaner_print };
	bool usage = !take_options(argc, argv, &cleaner);

	for (int i = optind; i < argc && !usage; i++)
		usage = !cleaner_target_find(argv[i]);
	if (usage) {
		fputs("usage: infiniservice-exec clean [--dry-run] [--age-days 0…3650] -- TARGET…\n", stderr);
		return 2;
	}
	for (int i = optind; i < argc; i++) {
		int r = cleaner_run(&cleaner, cleaner_target_find(argv[i]));

		if (r < 0) {
			fprintf(stderr, "clean %s: %s\n", argv[i], strerror(-r));
			return 1;
		}
	}
	cleaner_print_end(&cleaner);
	return fflush(stdout) == 0 ? 0 : 1;
}
