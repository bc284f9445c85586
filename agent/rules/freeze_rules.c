/* SPDX-License-Identifier: MIT */
#include "agent/rules/freeze_rules.h"

#include <string.h>

int freeze_order_fill(struct freeze_order *order, uint32_t limit_s, const char *argument)
{
	*order = (struct freeze_order){ .limit_s = limit_s };
	while (*argument) {
		size_t len = strcspn(argument, "\n");

		if (*argument != '/' || len + 1 > sizeof(order->text) - order->len)
			return -1;
		memcpy(order->text + order->len, argument, len);
		order->len += (uint32_t)len + 1; /* the rest is zero */
		argument += len;
		argument += *argument == '\n';
	}
	return (int)order->len;
}
