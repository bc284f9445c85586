/* SPDX-License-Identifier: MIT */
/* The texts are read in pieces, as they may be many megabytes, and counted by port on the way. */
#include "procnet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <infiniservice/cleanup.h>

#include "procfs.h"

#define PIECE_SIZE (64U << 10)

/* Hexadecimal digits, `digits` of them. */
static bool scan_hex(struct scan *field, unsigned digits, uint32_t *ret)
{
	uint32_t value = 0;

	if (scan_len(field) < digits)
		return false;
	for (; digits > 0; digits--, field->at++) {
		char c = *field->at;
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*ret = value;
	return true;
}

/* "0100007F:0016": each 32 bits of the address printed as a number of this machine, then the port. */
static bool address_parse(struct scan field, struct port_socket *socket)
{
	size_t digits = scan_len(&field);
	uint32_t word, port;

	socket->family = digits == 13 ? AF_INET : AF_INET6;
	if (digits != 13 && digits != 37)
		return false;
	for (size_t i = 0; i < (digits - 5) / 8; i++) {
		if (!scan_hex(&field, 8, &word))
			return false;
		memcpy(socket->address + 4 * i, &word, sizeof(word));
	}
	if (!scan_byte(&field, ':') || !scan_hex(&field, 4, &port))
		return false;
	socket->port = (uint16_t)port;
	return true;
}

/*
 *	  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode …
 *	   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17463 …
 */
int procnet_parse_line(const char *text, size_t len, struct port_socket *out)
{
	struct scan line = scan_text(text, len), field;
	struct port_socket socket = { 0 }, remote = { 0 };
	uint64_t inode;
	uint32_t state;

	if (!scan_skip(&line, 1) || !scan_field(&line, &field) || !address_parse(field, &socket))
		return -EBADMSG;
	if (!scan_field(&line, &field) || !address_parse(field, &remote) || !scan_field(&line, &field) ||
	    scan_len(&field) != 2 || !scan_hex(&field, 2, &state))
		return -EBADMSG;
	if (!scan_skip(&line, 5) || !scan_u64(&line, &inode) || inode > UINT32_MAX)
		return -EBADMSG;
	socket.remote_port = remote.port;
	socket.state = (uint8_t)state;
	socket.inode = (uint32_t)inode;
	*out = socket;
	return 0;
}

static int text_take(struct port_table *table, struct scan *text)
{
	struct port_socket socket;
	struct scan line;
	int r = 0;

	while (r == 0 && scan_line(text, &line))
		if (procnet_parse_line(line.at, scan_len(&line), &socket) == 0)
			r = port_table_add(table, &socket);
	return r;
}

/* The bytes after the last newline are stored for the next piece. */
static int file_take(struct port_table *table, int fd, char *piece)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = read(fd, piece + len, PIECE_SIZE - len);
		const char *newline;
		struct scan text;
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		newline = memrchr(piece, '\n', len);
		text = scan_text(piece, n == 0 ? len : newline ? (size_t)(newline + 1 - piece) : 0);
		r = text_take(table, &text);
		if (r < 0 || n == 0)
			return r;
		/* A line as long as the piece is none. */
		if (!newline && len == PIECE_SIZE)
			len = 0;
		if (newline) {
			len -= (size_t)(newline + 1 - piece);
			memmove(piece, newline + 1, len);
		}
	}
}

static int compare_slots(const void *a, const void *b)
{
	const struct port_slot *left = a, *right = b;

	return left->port < right->port ? -1 : left->port > right->port;
}

static int answer_write(const struct port_table *table, unsigned char *data, size_t size)
{
	struct procnet_answer answer = { .total = (uint32_t)table->count,
					 .peers_total = (uint32_t)(table->peers.count + table->peers.left_out) };
	size_t room = (size - sizeof(answer)) / sizeof(*table->slots), len;

	answer.count = (uint32_t)(table->count < room ? table->count : room);
	len = sizeof(answer) + answer.count * sizeof(*table->slots);
	room = (size - len) / sizeof(*table->peers.items);
	answer.peers = (uint32_t)(table->peers.count < room ? table->peers.count : room);
	if (table->count > 0)
		qsort(table->slots, table->count, sizeof(*table->slots), compare_slots);
	memcpy(data, &answer, sizeof(answer));
	if (answer.count > 0)
		memcpy(data + sizeof(answer), table->slots, answer.count * sizeof(*table->slots));
	if (answer.peers > 0)
		memcpy(data + len, table->peers.items, answer.peers * sizeof(*table->peers.items));
	return (int)(len + answer.peers * sizeof(*table->peers.items));
}

int procnet_read(int proc_fd, uint8_t protocol, unsigned char *data, size_t size)
{
	static const char *const paths[][2] = { { "net/tcp", "net/tcp6" }, { "net/udp", "net/udp6" } };
	_cleanup_(port_table_free) struct port_table table = { .protocol = protocol };
	_cleanup_(freep) char *piece = malloc(PIECE_SIZE);
	unsigned opened = 0;

	if (!piece)
		return -ENOMEM;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_(closep) int fd = openat(proc_fd, paths[protocol == IPPROTO_UDP][i], O_RDONLY | O_CLOEXEC);
		int r;

		/* Without IPv6 there is no second text. */
		if (fd < 0 && errno == ENOENT)
			continue;
		r = fd < 0 ? -errno : file_take(&table, fd, piece);
		if (r < 0)
			return r;
		opened++;
	}
	return opened ? answer_write(&table, data, size) : -ENOENT;
}
