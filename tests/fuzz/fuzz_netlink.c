/* SPDX-License-Identifier: MIT */
/* Datagrams of netlink, lengths that lie included: the tables of links and of sockets stay within what they hold. */
#include "collectors/links.h"
#include "collectors/ports.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct links links = { 0 };
	struct port_table ports = { .protocol = 6 };
	bool interrupted = false;

	(void)netlink_walk(data, size, 0, links_message, &links, &interrupted);
	if (links_finish(&links) == 0)
		for (size_t i = 0; i < links.count; i++) {
			const struct link *link = &links.links[i];

			REQUIRE(memchr(link->name, '\0', sizeof(link->name)) && link->mac_len <= LINK_MAC_MAX);
			REQUIRE((size_t)link->address_first + link->address_count <= links.address_count);
			REQUIRE(link_operstate_name(link->operstate));
		}
	REQUIRE(links_event(&links, data, size) <= LINKS_CHANGED);
	links_free(&links);
	(void)netlink_walk(data, size, 0, port_table_message, &ports, &interrupted);
	REQUIRE(ports.count <= ports.size);
	port_table_free(&ports);
	return 0;
}
