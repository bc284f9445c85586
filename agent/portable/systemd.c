/* SPDX-License-Identifier: MIT */
/*
 * What the programs use of libsystemd beside the bus (wire.h), for the portable build: there is no static libsystemd.
 * The datagrams of sd_notify(3), the passed sockets of sd_listen_fds(3) and the ids of sd-id128(3) are small and the
 * same.
 */
#include <errno.h>
#include <fcntl.h>
#include <nettle/hmac.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define NOTIFY_FDS_MAX 16

/* ---------------------------------------------------------------------------------------------------- sd_notify(3) */

/* Whoever is named by $NOTIFY_SOCKET. 1, 0: nobody is; or -errno. */
static int manager_address(struct sockaddr_un *address, socklen_t *ret_len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	if (len == 0)
		return 0;
	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(address->sun_path))
		return -EINVAL;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, len);
	if (path[0] == '@') /* the abstract namespace */
		address->sun_path[0] = '\0';
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 1;
}

static int manager_tell(const char *state, const int *fds, unsigned count)
{
	union {
		char bytes[CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
		struct cmsghdr head;
	} control = { 0 };
	struct sockaddr_un address;
	struct iovec iov = { .iov_len = strlen(state) };
	struct msghdr message = { .msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1 };
	_cleanup_(closep) int fd = -1;
	int r = count > NOTIFY_FDS_MAX ? -E2BIG : manager_address(&address, &message.msg_namelen);

	if (r <= 0)
		return r;
	memcpy(&iov.iov_base, &state, sizeof(state)); /* it is only read */
	if (count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 1;
}

int sd_notify(int unset_environment, const char *state)
{
	int r = manager_tell(state, NULL, 0);

	if (r > 0 && unset_environment)
		unsetenv("NOTIFY_SOCKET");
	return r;
}

/* Only about itself does the program ever speak: `pid` is 0. */
int sd_pid_notify_with_fds(pid_t pid, int unset_environment, const char *state, const int *fds, unsigned n_fds)
{
	int r = pid ? -EOPNOTSUPP : manager_tell(state, fds, n_fds);

	if (r > 0 && unset_environment)
		unsetenv("NOTIFY_SOCKET");
	return r;
}

int sd_notifyf(int unset_environment, const char *format, ...)
{
	char state[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(state, sizeof(state), format, args);
	va_end(args);
	return sd_notify(unset_environment, state);
}

/* A number in the environment that belongs to this process alone, by the pid in another variable. */
static unsigned long long number_for_us(const char *name, const char *pid_name)
{
	const char *text = getenv(name), *pid = getenv(pid_name);
	char *end;
	unsigned long long number;

	if (!text || (pid && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	number = strtoull(text, &end, 10);
	return *end ? 0 : number;
}

int sd_watchdog_enabled(int unset_environment, uint64_t *ret_usec)
{
	unsigned long long usec = number_for_us("WATCHDOG_USEC", "WATCHDOG_PID");

	(void)unset_environment;
	if (usec == 0)
		return 0;
	if (ret_usec)
		*ret_usec = usec;
	return 1;
}

/* ------------------------------------------------------------------------------------------------ sd_listen_fds(3) */

int sd_listen_fds(int unset_environment)
{
	unsigned long long count = getenv("LISTEN_PID") ? number_for_us("LISTEN_FDS", "LISTEN_PID") : 0;

	if (count > 64)
		return -EINVAL;
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + (int)count; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	if (unset_environment) {
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		unsetenv("LISTEN_FDNAMES");
	}
	return (int)count;
}

static char **names_free(char **names, int count)
{
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return NULL;
}

/* "NAME:NAME"; an fd without one is "unknown", as it is to the manager. */
static char **names_split(const char *text, int count)
{
	char **names = calloc((size_t)count + 1, sizeof(*names));

	for (int i = 0; names && i < count; i++) {
		size_t len = text ? strcspn(text, ":") : 0;

		names[i] = len ? strndup(text, len) : strdup("unknown");
		if (!names[i])
			return names_free(names, i);
		text = text && text[len] ? text + len + 1 : NULL;
	}
	return names;
}

int sd_listen_fds_with_names(int unset_environment, char ***names)
{
	const char *text = getenv("LISTEN_FDNAMES");
	_cleanup_(freep) char *copy = text ? strdup(text) : NULL;
	int count = sd_listen_fds(unset_environment);

	if (count <= 0)
		return count;
	*names = names_split(copy, count);
	return *names ? count : -ENOMEM;
}

int sd_is_socket(int fd, int family, int type, int listening)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address), size = sizeof(int);
	int value;

	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) < 0)
		return errno == ENOTSOCK ? 0 : -errno;
	if ((family != AF_UNSPEC && address.ss_family != family) || (type != 0 && value != type))
		return 0;
	if (listening < 0)
		return 1;
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) < 0)
		return -errno;
	return !value == !listening;
}

/* The path is never asked for by the agent. */
int sd_is_socket_unix(int fd, int type, int listening, const char *path, size_t length)
{
	(void)path;
	(void)length;
	return sd_is_socket(fd, AF_UNIX, type, listening);
}

/* ---------------------------------------------------------------------------------------------------- sd-id128(3) */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 hex digits, dashes passed over. */
static int id_parse(const char *text, sd_id128_t *ret)
{
	sd_id128_t id = { 0 };
	unsigned digits = 0;

	for (; *text && *text != '\n' && digits < 32; text++) {
		int value = hex_value(*text);

		if (*text == '-')
			continue;
		if (value < 0)
			return -EINVAL;
		id.bytes[digits / 2] = (uint8_t)(id.bytes[digits / 2] << 4 | value);
		digits++;
	}
	if (digits != 32 || (*text && *text != '\n'))
		return -EINVAL;
	*ret = id;
	return 0;
}

static int id_read(const char *path, sd_id128_t *ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[64];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return id_parse(text, ret);
}

int sd_id128_get_machine(sd_id128_t *ret)
{
	return id_read("/etc/machine-id", ret);
}

/* As libsystemd does it: the id is the key, and the result is dressed as a random UUID (RFC 4122, version 4). */
static int app_specific(int r, sd_id128_t id, sd_id128_t app_id, sd_id128_t *ret)
{
	struct hmac_sha256_ctx context;

	if (r < 0)
		return r;
	hmac_sha256_set_key(&context, sizeof(id.bytes), id.bytes);
	hmac_sha256_update(&context, sizeof(app_id.bytes), app_id.bytes);
	hmac_sha256_digest(&context, sizeof(ret->bytes), ret->bytes);
	ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x40);
	ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80);
	return 0;
}

int sd_id128_get_machine_app_specific(sd_id128_t app_id, sd_id128_t *ret)
{
	sd_id128_t machine = { 0 };
	int r = sd_id128_get_machine(&machine);

	return app_specific(r, machine, app_id, ret);
}

int sd_id128_get_boot_app_specific(sd_id128_t app_id, sd_id128_t *ret)
{
	sd_id128_t boot = { 0 };
	int r = sd_id128_get_boot(&boot);

	return app_specific(r, boot, app_id, ret);
}

int sd_id128_get_boot(sd_id128_t *ret)
{
	return id_read("/proc/sys/kernel/random/boot_id", ret);
}

char *sd_id128_to_string(sd_id128_t id, char s[SD_ID128_STRING_MAX])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < 16; i++) {
		s[2 * i] = digits[id.bytes[i] >> 4];
		s[2 * i + 1] = digits[id.bytes[i] & 15];
	}
	s[32] = '\0';
	return s;
}

/* ---------------------------------------------------------------------------------------------- sd_pid_get_unit(3) */

/*
 * "0::/system.slice/infiniservice-exec.service", or "1:name=systemd:/…" under the older hierarchy: what stands below
 * the last slice.
 */
static int unit_of(const char *path, char **unit)
{
	const char *at = path, *slash;

	for (const char *next = path; (slash = strchr(next, '/')); next = slash + 1)
		if (slash - next >= 6 && memcmp(slash - 6, ".slice", 6) == 0)
			at = slash;
	while (*at == '/')
		at++;
	if (*at == '_') /* put before a name that looks like a file of the kernel's */
		at++;
	*unit = strndup(at, strcspn(at, "/\n"));
	if (!*unit)
		return -ENOMEM;
	if (**unit)
		return 0;
	free(*unit);
	*unit = NULL;
	return -ENODATA;
}

int sd_pid_get_unit(pid_t pid, char **unit)
{
	_cleanup_(fclosep) FILE *file = pid ? NULL : fopen("/proc/self/cgroup", "re");
	char line[4096];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "0::", 3) == 0 && line[3] == '/' && line[4] != '\n')
			return unit_of(line + 3, unit);
		if (strstr(line, ":name=systemd:/"))
			return unit_of(strstr(line, ":name=systemd:/") + 14, unit);
	}
	return -ENODATA;
}
