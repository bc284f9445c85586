/* SPDX-License-Identifier: MIT */
/* What stands in for libsystemd and for the name service in the portable build, beside the real ones. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

static const char *real_to_string(sd_id128_t id, char text[SD_ID128_STRING_MAX])
{
	return sd_id128_to_string(id, text);
}

static int real_app_specific(sd_id128_t app, sd_id128_t *ret)
{
	return sd_id128_get_machine_app_specific(app, ret);
}

static int real_boot(sd_id128_t *ret)
{
	return sd_id128_get_boot(ret);
}

static int real_passwd(const char *name, struct passwd *entry, char *text, size_t size, struct passwd **ret)
{
	return getpwnam_r(name, entry, text, size, ret);
}

int portable_notify(int unset, const char *state);
int portable_notifyf(int unset, const char *format, ...) __attribute__((format(printf, 2, 3)));
int portable_watchdog(int unset, uint64_t *usec);
int portable_listen(int unset);
int portable_listen_names(int unset, char ***names);
int portable_is_socket(int fd, int family, int type, int listening);
int portable_is_unix(int fd, int type, int listening, const char *path, size_t length);
int portable_app_specific(sd_id128_t app, sd_id128_t *ret);
int portable_boot(sd_id128_t *ret);
char *portable_to_string(sd_id128_t id, char text[SD_ID128_STRING_MAX]);
int portable_getpwnam_r(const char *name, struct passwd *entry, char *text, size_t size, struct passwd **ret);
int portable_getpwuid_r(uid_t uid, struct passwd *entry, char *text, size_t size, struct passwd **ret);
struct passwd *portable_getpwnam(const char *name);
int portable_getgrouplist(const char *user, gid_t first, gid_t *groups, int *count);

#define sd_notify			  portable_notify
#define sd_notifyf			  portable_notifyf
#define sd_watchdog_enabled		  portable_watchdog
#define sd_listen_fds			  portable_listen
#define sd_listen_fds_with_names	  portable_listen_names
#define sd_is_socket			  portable_is_socket
#define sd_is_socket_unix		  portable_is_unix
#define sd_id128_get_machine_app_specific portable_app_specific
#define sd_id128_get_boot		  portable_boot
#define sd_id128_to_string		  portable_to_string
#define getpwnam_r			  portable_getpwnam_r
#define getpwuid_r			  portable_getpwuid_r
#define getpwnam			  portable_getpwnam
#define getgrouplist			  portable_getgrouplist
#include "agent/portable/systemd.c"
#include "agent/portable/users.c"

/* A datagram socket at `address`, named by $NOTIFY_SOCKET. */
static int manager_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(
		bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void expect_datagram(int fd, const char *wanted)
{
	char text[128] = "";

	assert_true(recv(fd, text, sizeof(text) - 1, 0) >= 0);
	assert_string_equal(text, wanted);
}

static void a_manager_hears_what_it_is_told(void **state)
{
	char dir[] = "/tmp/infini-XXXXXX", name[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/notify", dir);
	fd = manager_at(name);
	assert_int_equal(portable_notify(0, "READY=1"), 1);
	expect_datagram(fd, "READY=1");
	assert_int_equal(portable_notifyf(1, "STATUS=%d of %s", 3, "x"), 1);
	expect_datagram(fd, "STATUS=3 of x");
	assert_null(getenv("NOTIFY_SOCKET"));
	close(fd);
	unlink(name);
	rmdir(dir);
}

static void a_manager_in_the_abstract_namespace_hears_it_too(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@infini-test-%d", (int)getpid());
	fd = manager_at(name);
	assert_int_equal(portable_notify(1, "WATCHDOG=1"), 1);
	expect_datagram(fd, "WATCHDOG=1");
	close(fd);
}

static void without_a_manager_nothing_is_said(void **state)
{
	char name[200];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(portable_notify(0, "READY=1"), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(portable_notify(0, "READY=1"), -EINVAL);
	memset(name, '/', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(portable_notify(0, "READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	assert_int_equal(portable_notify(0, "READY=1"), -ENOENT);
	unsetenv("NOTIFY_SOCKET");
}

static void a_watchdog_is_ours_only_by_our_pid(void **state)
{
	uint64_t usec = 0;
	char pid[24];

	(void)state;
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(portable_watchdog(0, &usec), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(portable_watchdog(0, &usec), 1);
	assert_int_equal(usec, 30000000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(portable_watchdog(0, &usec), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(portable_watchdog(0, NULL), 1);
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(portable_watchdog(0, &usec), 0);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void sockets_are_passed_to_our_pid_alone(void **state)
{
	char pid[24];
	int kept = fcntl(3, F_DUPFD_CLOEXEC, 10), fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_true(fd == 3 || dup2(fd, 3) == 3);
	setenv("LISTEN_FDS", "1", 1);
	unsetenv("LISTEN_PID");
	assert_int_equal(portable_listen(0), 0);
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(portable_listen(0), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	assert_int_equal(portable_listen(1), 1);
	assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC);
	assert_null(getenv("LISTEN_FDS"));
	if (fd != 3)
		close(fd);
	if (kept >= 0)
		dup2(kept, 3);
	else
		close(3);
	if (kept >= 0)
		close(kept);
}

static void names_of_passed_descriptors_are_cut_at_their_colons(void **state)
{
	static const struct {
		const char *text;
		const char *names[4];
	} cases[] = {
		{ "port:half-line:socket", { "port", "half-line", "socket" } },
		{ "port::socket:too:many", { "port", "unknown", "socket" } },
		{ "port", { "port", "unknown", "unknown" } },
		{ NULL, { "unknown", "unknown", "unknown" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char **names = names_split(cases[i].text, 3);

		assert_non_null(names);
		for (int j = 0; j < 3; j++)
			assert_string_equal(names[j], cases[i].names[j]);
		assert_null(names[3]);
		names_free(names, 3);
	}
}

static void the_kind_of_a_socket_is_told(void **state)
{
	struct sockaddr_un nameless = { .sun_family = AF_UNIX };
	int stream = socket(AF_UNIX, SOCK_STREAM, 0), null = open("/dev/null", O_RDONLY);

	(void)state;
	assert_int_equal(portable_is_unix(stream, SOCK_STREAM, 0, NULL, 0), 1);
	assert_int_equal(portable_is_unix(stream, SOCK_STREAM, 1, NULL, 0), 0);
	assert_int_equal(portable_is_unix(stream, SOCK_SEQPACKET, -1, NULL, 0), 0);
	assert_int_equal(portable_is_socket(stream, AF_INET, 0, -1), 0);
	assert_int_equal(portable_is_socket(null, AF_UNIX, 0, -1), 0);
	/* bound to a name of the kernel's choice */
	assert_int_equal(bind(stream, (struct sockaddr *)&nameless, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(stream, 1), 0);
	assert_int_equal(portable_is_unix(stream, SOCK_STREAM, 1, NULL, 0), 1);
	close(stream);
	close(null);
}

static void ids_are_those_of_libsystemd(void **state)
{
	sd_id128_t app = SD_ID128_MAKE(1, 23, 45, 67, 89, ab, cd, ef, 01, 23, 45, 67, 89, ab, cd, ef), real, ours;
	char real_text[SD_ID128_STRING_MAX], text[SD_ID128_STRING_MAX];

	(void)state;
	if (real_app_specific(app, &real) >= 0) {
		assert_int_equal(portable_app_specific(app, &ours), 0);
		assert_memory_equal(&ours, &real, sizeof(real));
	}
	assert_true(real_boot(&real) >= 0);
	assert_int_equal(portable_boot(&ours), 0);
	assert_memory_equal(&ours, &real, sizeof(real));
	assert_string_equal(portable_to_string(ours, text), real_to_string(real, real_text));
}

static void ids_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = { "",
					   "0",
					   "uninitialized\n",
					   "00112233445566778899aabbccddeef",
					   "00112233445566778899aabbccddeeff0",
					   "0011223344556677 8899aabbccddeeff",
					   "00112233445566778899aabbccddeegg" };
	sd_id128_t id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(id_parse(bad[i], &id), -EINVAL);
	assert_int_equal(id_parse("00112233-4455-6677-8899-AABBCCDDEEFF\n", &id), 0);
	assert_int_equal(id.bytes[15], 0xff);
	assert_int_equal(id.bytes[0], 0);
}

static void users_are_those_of_the_files(void **state)
{
	struct passwd real, ours, *found;
	char real_text[4096], text[4096], tiny[4];

	(void)state;
	assert_int_equal(real_passwd("root", &real, real_text, sizeof(real_text), &found), 0);
	assert_int_equal(portable_getpwnam_r("root", &ours, text, sizeof(text), &found), 0);
	assert_ptr_equal(found, &ours);
	assert_string_equal(ours.pw_dir, real.pw_dir);
	assert_int_equal(portable_getpwuid_r(0, &ours, text, sizeof(text), &found), 0);
	assert_string_equal(found->pw_name, "root");
	assert_int_equal(portable_getpwnam("root")->pw_uid, 0);
	assert_int_equal(portable_getpwnam_r("no-such-user", &ours, text, sizeof(text), &found), 0);
	assert_null(found);
	assert_null(portable_getpwnam("no-such-user"));
	assert_int_equal(portable_getpwnam_r("root", &ours, tiny, sizeof(tiny), &found), ERANGE);
}

static void groups_begin_with_the_first_and_are_counted(void **state)
{
	gid_t groups[8];
	int count = 8;

	(void)state;
	assert_true(portable_getgrouplist("no-such-user", 4711, groups, &count) == 1);
	assert_int_equal(groups[0], 4711);
	assert_int_equal(count, 1);
	count = 0;
	assert_int_equal(portable_getgrouplist("no-such-user", 4711, groups, &count), -1);
	assert_int_equal(count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manager_hears_what_it_is_told),
		cmocka_unit_test(a_manager_in_the_abstract_namespace_hears_it_too),
		cmocka_unit_test(without_a_manager_nothing_is_said),
		cmocka_unit_test(a_watchdog_is_ours_only_by_our_pid),
		cmocka_unit_test(sockets_are_passed_to_our_pid_alone),
		cmocka_unit_test(names_of_passed_descriptors_are_cut_at_their_colons),
		cmocka_unit_test(the_kind_of_a_socket_is_told),
		cmocka_unit_test(ids_are_those_of_libsystemd),
		cmocka_unit_test(ids_that_are_none_are_refused),
		cmocka_unit_test(users_are_those_of_the_files),
		cmocka_unit_test(groups_begin_with_the_first_and_are_counted),
	};

	return cmocka_run_group_tests_name("portable", tests, NULL, NULL);
}
