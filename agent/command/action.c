/* SPDX-License-Identifier: MIT */
#include "agent/command/action.h"

#include <string.h>

enum action_kind action_find(const struct action_table *table, const char *name, const struct action **ret)
{
	for (size_t i = 0; i < table->count; i++) {
		if (table->rows[i]->type == MESSAGE_SAFE_COMMAND && strcmp(table->rows[i]->name, name) == 0) {
			*ret = table->rows[i];
			return ACTION_KNOWN;
		}
	}
	for (size_t i = 0; table->foreign[i]; i++)
		if (strstr(name, table->foreign[i]))
			return ACTION_FOREIGN;
	return ACTION_UNKNOWN;
}

const struct action *action_of_type(const struct action_table *table, enum message_type type)
{
	for (size_t i = 0; i < table->count; i++)
		if (type != MESSAGE_SAFE_COMMAND && table->rows[i]->type == type)
			return table->rows[i];
	return NULL;
}
