/* SPDX-License-Identifier: MIT */
/*
 * Lines of the journal of accepted commands, torn or foreign: what is taken is written again as a line that reads the
 * same.
 */
#include <errno.h>

#include "agent/command/journal.h"
#include "require.h"

static void check_again(const struct journal_entry *entry)
{
	struct journal_entry *again = NULL;
	uint64_t serial = 0;
	char text[4096];
	int len = journal_format(entry, text, sizeof(text));

	if (len < 0)
		return;
	REQUIRE(text[len - 1] == '\n' && journal_parse(text, (size_t)len - 1, &again, &serial) == 1);
	REQUIRE(again->serial == entry->serial && again->kind == entry->kind);
	REQUIRE(strcmp(again->id, entry->id) == 0 && strcmp(again->action, entry->action) == 0);
	journal_entry_free(again);
}

static void check_line(const char *line, size_t len)
{
	struct journal_entry *entry = NULL;
	uint64_t serial = 0;
	int r = journal_parse(line, len, &entry, &serial);

	REQUIRE(r == 1 || r == 2 || r == 3 || r == -EBADMSG || r == -ENOMEM);
	if (r == 1)
		check_again(entry);
	journal_entry_free(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	each_line(data, size, check_line);
	return 0;
}
