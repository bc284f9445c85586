/* SPDX-License-Identifier: MIT */
/* Lines of /proc/net/tcp and its like: what they say of a socket is counted once, under its own port. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "collectors/procnet.h"
#include "require.h"

static struct port_table table = { .protocol = IPPROTO_TCP };
static uint64_t shown;

static void check_line(const char *line, size_t len)
{
	struct port_socket socket;

	if (procnet_parse_line(line, len, &socket) < 0)
		return;
	REQUIRE(socket.family == AF_INET || socket.family == AF_INET6);
	REQUIRE(port_table_add(&table, &socket) == 0);
	shown += socket.port != 0 &&
		 (socket.state == TCP_ESTABLISHED || socket.state == TCP_SYN_SENT || socket.state == TCP_CLOSE_WAIT ||
		  socket.state == TCP_CLOSE || socket.state == TCP_LISTEN);
}

static uint64_t counted(void)
{
	uint64_t sum = table.peers.count + table.peers.left_out;

	for (size_t i = 0; i < table.count; i++)
		sum += table.slots[i].listeners;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	shown = 0;
	port_table_clear(&table);
	each_line(data, size, check_line);
	REQUIRE(counted() == shown);
	REQUIRE(port_table_drop(&table, IPPROTO_UDP) == 0 && counted() == shown);
	REQUIRE(port_table_drop(&table, IPPROTO_TCP) == 0 && counted() == 0);
	return 0;
}
