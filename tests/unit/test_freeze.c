/* SPDX-License-Identifier: MIT */
/*
 * The freeze helper, with a kernel that is played: which file systems it freezes and in which order, what makes it thaw
 * them, what it tells, and what is thawed by its record when it was killed. Nothing here freezes anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/freeze/freezer.h"
#include "agent/freeze/record.h"

#define WAIT_MS	  5000
#define DEVICE(n) (UINT64_C(254) << 32 | (n))

/* "/" on 254:1, /proc, a memory, /srv on 254:2 twice, an image, btrfs, a read-only one, one in user space, a loop. */
static const char mountinfo[] = "20 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"
				"21 20 0:5 / /proc rw - proc proc rw\n"
				"22 20 0:6 / /run rw - tmpfs tmpfs rw\n"
				"23 20 254:2 /a /srv rw - xfs /dev/vda2 rw,lazytime\n"
				"no line at all\n"
				"24 23 254:2 / /srv/all\\040of\\040it rw - xfs /dev/vda2 rw,lazytime\n"
				"25 20 0:40 /@home /home rw - btrfs /dev/vda3 rw\n"
				"26 20 11:0 / /cd ro - iso9660 /dev/sr0 ro\n"
				"27 20 254:9 / /ntfs rw - fuseblk /dev/vda9 rw\n"
				"28 20 7:0 / /img rw - ext4 /dev/loop0 rw,dirsync\n"
				"29 20 254:1 /var /mnt/var rw - ext4 /dev/vda1 rw\n";

/* ------------------------------------------------------------------------------------------------------- mounts */

static void mounts_of(struct freeze_mounts *mounts, const char *const *wanted)
{
	assert_int_equal(freeze_mounts_read(mounts, mountinfo, sizeof(mountinfo) - 1, wanted), 0);
}

static const char *target(const struct freeze_mounts *mounts, size_t i)
{
	return i < mounts->target_count ? mounts->mounts[mounts->targets[i]].path : "";
}

static void each_file_system_is_taken_once_and_the_newest_first(void **state)
{
	struct freeze_mounts mounts;

	(void)state;
	mounts_of(&mounts, NULL);
	assert_int_equal(mounts.target_count, 4);
	assert_string_equal(target(&mounts, 0), "/img");
	assert_string_equal(target(&mounts, 1), "/home");
	assert_string_equal(target(&mounts, 2), "/srv");
	assert_string_equal(target(&mounts, 3), "/");
	assert_true(mounts.mounts[mounts.targets[2]].lazytime && !mounts.mounts[mounts.targets[2]].dirsync);
	assert_true(mounts.mounts[mounts.targets[0]].dirsync);
	freeze_mounts_free(&mounts);
}

static void a_list_names_mount_points_and_what_is_none_is_left_out(void **state)
{
	const char *const wanted[] = { "/srv/all of it", "/mnt/var", "/srv/a", "/proc", NULL };
	struct freeze_mounts mounts;

	(void)state;
	mounts_of(&mounts, wanted);
	assert_int_equal(mounts.target_count, 2);
	assert_string_equal(target(&mounts, 0), "/srv");
	assert_string_equal(target(&mounts, 1), "/");
	freeze_mounts_free(&mounts);
	assert_int_equal(freeze_mounts_read(&mounts, "x\ny", 3, NULL), -EBADMSG);
}

/* loop0 lies on "/", or "/" on a file below /img, which stands on a file in /home. */
static bool backing(void *data, uint64_t device, unsigned i, char *out, size_t size)
{
	const char *path = NULL;

	if (*(const int *)data == 0 && device == UINT64_C(7) << 32)
		path = i == 0 ? "/srv/images/disk" : NULL;
	else if (*(const int *)data == 1 && device == DEVICE(1))
		path = i == 0 ? "/proc/x" : i == 1 ? "/img/root" : NULL;
	else if (*(const int *)data == 1 && device == UINT64_C(7) << 32)
		path = i == 0 ? "/home/image" : NULL;
	if (path)
		snprintf(out, size, "%s", path);
	return path;
}

static void what_stands_on_a_file_comes_before_what_holds_the_file(void **state)
{
	struct freeze_mounts mounts;
	int way = 0;

	(void)state;
	mounts_of(&mounts, NULL);
	freeze_mounts_order(&mounts, backing, &way);
	assert_string_equal(target(&mounts, 0), "/img"); /* as it was */
	way = 1;
	freeze_mounts_order(&mounts, backing, &way);
	assert_string_equal(target(&mounts, 0), "/");
	assert_string_equal(target(&mounts, 1), "/img");
	assert_string_equal(target(&mounts, 2), "/home");
	assert_string_equal(target(&mounts, 3), "/srv");
	assert_true(freeze_mounts_device_at(&mounts, "/srv/all of it/x") == DEVICE(2));
	assert_true(freeze_mounts_device_at(&mounts, "/srvx") == DEVICE(1));
	freeze_mounts_free(&mounts);
}

static void sysfs_put(const char *root, const char *path, const char *text)
{
	char command[512];

	snprintf(command, sizeof(command), "mkdir -p %s/$(dirname %s) && printf '%s\\n' >%s/%s", root, path, text, root,
		 path);
	assert_int_equal(system(command), 0);
}

static void files_under_devices_are_found_through_partitions_and_mappings(void **state)
{
	char root[] = "/tmp/test-freeze-XXXXXX", out[64], command[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(root));
	sysfs_put(root, "dev/block/7:0/loop/backing_file", "/a file");
	sysfs_put(root, "block/loop1/loop/backing_file", "/b");
	sysfs_put(root, "block/loop1/loop1p1/partition", "1");
	sysfs_put(root, "dev/block/253:0/slaves/loop2/loop/backing_file", "/c");
	sysfs_put(root, "dev/block/253:0/slaves/loop3/loop/backing_file", "/d");
	sysfs_put(root, "dev/block/254:1/size", "1");
	snprintf(out, sizeof(out), "%s/dev/block/259:1", root);
	assert_int_equal(symlink("../../block/loop1/loop1p1", out), 0);
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(freeze_backing_sysfs(&fd, UINT64_C(7) << 32, 0, out, sizeof(out)));
	assert_string_equal(out, "/a file");
	assert_false(freeze_backing_sysfs(&fd, UINT64_C(7) << 32, 1, out, sizeof(out)));
	assert_true(freeze_backing_sysfs(&fd, UINT64_C(259) << 32 | 1, 0, out, sizeof(out)));
	assert_string_equal(out, "/b");
	assert_true(freeze_backing_sysfs(&fd, UINT64_C(253) << 32, 0, out, sizeof(out)) && *out == '/');
	assert_true(freeze_backing_sysfs(&fd, UINT64_C(253) << 32, 1, out, sizeof(out)) && *out == '/');
	assert_false(freeze_backing_sysfs(&fd, UINT64_C(253) << 32, 2, out, sizeof(out)));
	assert_false(freeze_backing_sysfs(&fd, DEVICE(1), 0, out, sizeof(out)));
	close(fd);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

/* ---------------------------------------------------------------------------------------------- a played kernel */

/* Shared with the helper, which is a child. */
struct played {
	char log[256]; /* "f/srv", "t/srv": frozen and thawed, in order; "!": refused */
	char busy[16], broken[16], thawed_meanwhile[16], unable[16];
	bool frozen[64]; /* by descriptor */
	char paths[64][32];
};

struct fixture {
	char root[64], mounts[96];
	int root_fd, agent, executor, helper_fds[2];
	struct played *played;
	struct freeze_kernel kernel;
	pid_t helper;
	uint64_t limit_ns;
};

static void note(struct played *played, char what, int fd)
{
	size_t len = strlen(played->log), more = strlen(played->paths[fd]);

	assert_true(len + more + 3 <= sizeof(played->log));
	played->log[len] = what;
	memcpy(played->log + len + 1, played->paths[fd], more);
	memcpy(played->log + len + 1 + more, " ", 2);
}

static int played_lock(void *data)
{
	(void)data;
	return 0;
}

/* The mount 23 of /srv is hidden by another one. */
static int played_open(void *data, const struct freeze_mount *mount)
{
	struct played *played = data;
	int fd = mount->id == 23 ? -ESTALE : open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		snprintf(played->paths[fd], sizeof(played->paths[fd]), "%s", mount->path);
	return fd;
}

static int played_freeze(void *data, int fd)
{
	struct played *played = data;
	const char *path = played->paths[fd];

	if (strcmp(path, played->busy) == 0)
		return -EBUSY;
	if (strcmp(path, played->unable) == 0)
		return -EOPNOTSUPP;
	if (strcmp(path, played->broken) == 0)
		return -EIO;
	played->frozen[fd] = true;
	note(played, 'f', fd);
	return 0;
}

static int played_thaw(void *data, int fd)
{
	struct played *played = data;

	if (strcmp(played->paths[fd], played->thawed_meanwhile) == 0)
		return -EINVAL;
	played->frozen[fd] = false;
	note(played, 't', fd);
	return 0;
}

static bool played_is_frozen(void *data, int fd, const struct freeze_mount *mount)
{
	const struct played *played = data;

	(void)mount;
	return played->frozen[fd] && strcmp(played->paths[fd], played->thawed_meanwhile) != 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->root, "/tmp/test-freeze-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	f->root_fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(f->root_fd, "run", 0755), 0);
	assert_int_equal(mkdirat(f->root_fd, "sys", 0755), 0);
	snprintf(f->mounts, sizeof(f->mounts), "%s/mountinfo", f->root);
	fd = open(f->mounts, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, mountinfo, sizeof(mountinfo) - 1), sizeof(mountinfo) - 1);
	close(fd);
	f->played = mmap(NULL, sizeof(*f->played), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(f->played != MAP_FAILED);
	f->kernel = (struct freeze_kernel){ played_lock, played_open,	   played_freeze,
					    played_thaw, played_is_frozen, f->played };
	f->agent = f->executor = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];

	if (f->helper > 0) {
		kill(f->helper, SIGKILL);
		waitpid(f->helper, NULL, 0);
	}
	close_fd(&f->agent);
	close_fd(&f->executor);
	close(f->root_fd);
	munmap(f->played, sizeof(*f->played));
	snprintf(command, sizeof(command), "rm -r %s", f->root);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* Starts a helper with this order; the test is the agent and the executor. */
static void helper_start(struct fixture *f, const char *argument)
{
	static struct freeze_order order;
	int agent[2], executor[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, agent), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, executor), 0);
	assert_true(freeze_order_fill(&order, 100, argument) >= 0);
	assert_int_equal(send(executor[0], &order, sizeof(order), 0), sizeof(order));
	f->helper = fork();
	if (f->helper == 0) {
		struct freezer_options options = { .agent_fd = agent[1],
						   .executor_fd = executor[1],
						   .root_fd = f->root_fd,
						   .mounts_path = f->mounts,
						   .limit_ns = f->limit_ns,
						   .kernel = &f->kernel };

		close(agent[0]);
		close(executor[0]);
		child_end(freezer_run(&options));
	}
	close(agent[1]);
	close(executor[1]);
	f->agent = agent[0];
	f->executor = executor[0];
}

static struct freeze_message hear(struct fixture *f)
{
	struct freeze_message message = { .kind = 0 };
	struct pollfd watched = { .fd = f->agent, .events = POLLIN };

	assert_int_equal(poll(&watched, 1, WAIT_MS), 1);
	assert_int_equal(recv(f->agent, &message, sizeof(message), 0), sizeof(message));
	return message;
}

static int helper_end(struct fixture *f)
{
	int status;

	assert_int_equal(waitpid(f->helper, &status, 0), f->helper);
	f->helper = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool record_is_there(const struct fixture *f)
{
	return faccessat(f->root_fd, "run/" FREEZE_RECORD_DIR "/" FREEZE_RECORD_NAME, F_OK, 0) == 0;
}

static void all_is_frozen_and_thawed_in_the_reverse_order_when_it_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct freeze_message message;

	helper_start(f, "");
	message = hear(f);
	assert_int_equal(message.kind, FREEZE_FROZEN);
	assert_int_equal(message.count, 4);
	assert_int_equal(message.other, 0);
	/* Of /srv the first mount is hidden, so it is reached by its other one. */
	assert_string_equal(f->played->log, "f/img f/home f/srv/all of it f/ ");
	assert_true(record_is_there(f));
	assert_int_equal(send(f->agent, "S", 1, 0), 1);
	message = hear(f);
	assert_int_equal(message.kind, FREEZE_STATUS);
	assert_int_equal(message.count, 4);
	*f->played->log = '\0';
	assert_int_equal(send(f->agent, "T", 1, 0), 1);
	message = hear(f);
	assert_int_equal(message.kind, FREEZE_THAWED);
	assert_int_equal(message.reason, FREEZE_ASKED);
	assert_int_equal(message.count, 4);
	assert_false(record_is_there(f)); /* it is gone when the agent is told */
	assert_string_equal(f->played->log, "t/ t/srv/all of it t/home t/img ");
	assert_int_equal(helper_end(f), 0);
}

static void only_the_mount_points_of_a_list_are_frozen(void **state)
{
	struct fixture *f = *state;

	helper_start(f, "/home\n/img\n/nowhere");
	assert_int_equal(hear(f).count, 2);
	assert_string_equal(f->played->log, "f/img f/home ");
}

static void what_cannot_be_frozen_is_skipped_and_what_another_froze_is_told_and_left(void **state)
{
	struct fixture *f = *state;
	struct freeze_message message;

	strcpy(f->played->unable, "/img");
	strcpy(f->played->busy, "/home");
	helper_start(f, "");
	message = hear(f);
	assert_int_equal(message.kind, FREEZE_FROZEN);
	assert_int_equal(message.count, 2);
	assert_int_equal(message.other, 1);
	assert_string_equal(message.text, "/home");
	assert_int_equal(send(f->agent, "T", 1, 0), 1);
	assert_int_equal(hear(f).count, 2);
	assert_null(strstr(f->played->log, "t/home"));
}

static void a_failure_thaws_what_was_frozen_before_it_and_names_the_place(void **state)
{
	struct fixture *f = *state;
	struct freeze_message message;

	strcpy(f->played->broken, "/");
	helper_start(f, "");
	message = hear(f);
	assert_int_equal(message.kind, FREEZE_FAILED);
	assert_int_equal(message.error, EIO);
	assert_string_equal(message.text, "/ cannot be frozen");
	assert_non_null(strstr(f->played->log, "t/srv/all of it t/home t/img "));
	assert_int_equal(helper_end(f), 1);
	assert_false(record_is_there(f));
}

static void expect_thaw(struct fixture *f, enum freeze_reason reason)
{
	struct freeze_message message = hear(f);

	assert_int_equal(message.kind, FREEZE_THAWED);
	assert_int_equal(message.reason, reason);
	assert_int_equal(message.count, 4);
	assert_int_equal(helper_end(f), 0);
	assert_false(record_is_there(f));
}

static void the_end_of_the_agent_thaws(void **state)
{
	struct fixture *f = *state;

	helper_start(f, "");
	hear(f);
	close_fd(&f->agent);
	assert_int_equal(helper_end(f), 0);
	assert_non_null(strstr(f->played->log, "t/ t/srv/all of it t/home t/img "));
	assert_false(record_is_there(f));
}

static void the_end_of_the_executor_thaws(void **state)
{
	struct fixture *f = *state;

	helper_start(f, "");
	hear(f);
	close_fd(&f->executor);
	expect_thaw(f, FREEZE_EXECUTOR_GONE);
}

static void the_time_limit_thaws(void **state)
{
	struct fixture *f = *state;
	uint64_t before = clock_ns(CLOCK_MONOTONIC);

	f->limit_ns = 200 * NS_PER_MS;
	helper_start(f, "");
	hear(f);
	expect_thaw(f, FREEZE_TIME_LIMIT);
	assert_true(clock_ns(CLOCK_MONOTONIC) - before >= 200 * NS_PER_MS);
}

static void a_stopped_unit_thaws(void **state)
{
	struct fixture *f = *state;

	helper_start(f, "");
	hear(f);
	kill(f->helper, SIGTERM);
	expect_thaw(f, FREEZE_STOPPED);
}

static void what_another_program_thawed_meanwhile_is_told(void **state)
{
	struct fixture *f = *state;
	struct freeze_message message;

	helper_start(f, "");
	hear(f);
	strcpy(f->played->thawed_meanwhile, "/home");
	assert_int_equal(send(f->agent, "S", 1, 0), 1);
	message = hear(f);
	assert_int_equal(message.count, 3);
	assert_int_equal(message.other, 1);
	assert_int_equal(send(f->agent, "T", 1, 0), 1);
	message = hear(f);
	assert_int_equal(message.count, 3);
	assert_int_equal(message.other, 1);
	assert_int_equal(helper_end(f), 0);
}

static void what_a_killed_helper_left_is_thawed_by_its_record(void **state)
{
	struct fixture *f = *state;

	strcpy(f->played->busy, "/home");
	helper_start(f, "");
	hear(f);
	kill(f->helper, SIGKILL);
	waitpid(f->helper, NULL, 0);
	f->helper = 0;
	assert_true(record_is_there(f));
	*f->played->log = '\0';
	assert_int_equal(freezer_thaw_recorded(f->root_fd, f->mounts, &f->kernel), 0);
	/* Not what another program had frozen. */
	assert_string_equal(f->played->log, "t/ t/srv/all of it t/img ");
	assert_false(record_is_there(f));
	*f->played->log = '\0';
	assert_int_equal(freezer_thaw_recorded(f->root_fd, f->mounts, &f->kernel), 0);
	assert_string_equal(f->played->log, "");
}

static void what_is_mounted_no_more_keeps_nothing_else_frozen(void **state)
{
	static const char rest[] = "20 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n";
	struct fixture *f = *state;
	int fd;

	helper_start(f, "");
	hear(f);
	kill(f->helper, SIGKILL);
	waitpid(f->helper, NULL, 0);
	f->helper = 0;
	fd = open(f->mounts, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, rest, sizeof(rest) - 1), sizeof(rest) - 1);
	close(fd);
	*f->played->log = '\0';
	assert_int_equal(freezer_thaw_recorded(f->root_fd, f->mounts, &f->kernel), 0);
	assert_string_equal(f->played->log, "t/ ");
	assert_false(record_is_there(f));
}

static void a_record_that_makes_no_sense_is_refused_and_stays(void **state)
{
	struct fixture *f = *state;
	struct record record;
	uint64_t device = DEVICE(7), read;
	int fd;

	assert_int_equal(record_create(&record, f->root_fd, &device, 1), 0);
	assert_int_equal(record_create(&record, f->root_fd, &device, 1), -EEXIST);
	assert_int_equal(record_read(f->root_fd, &read, 1), 0);
	fd = openat(f->root_fd, "run/" FREEZE_RECORD_DIR "/" FREEZE_RECORD_NAME, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "f", 1, 0), 1);
	assert_int_equal(record_read(f->root_fd, &read, 1), 1);
	assert_true(read == DEVICE(7));
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(record_read(f->root_fd, &read, 1), -EBADMSG);
	assert_int_equal(freezer_thaw_recorded(f->root_fd, f->mounts, &f->kernel), 1);
	close(fd);
	assert_true(record_is_there(f));
	/* Nor is a directory that another user could have filled. */
	assert_int_equal(fchmodat(f->root_fd, "run/" FREEZE_RECORD_DIR, 0777, 0), 0);
	assert_int_equal(record_read(f->root_fd, &read, 1), -EPERM);
}

static void an_order_holds_absolute_mount_points_alone(void **state)
{
	static struct freeze_order order;
	static char longest[sizeof(order.text) + 2] = "/";

	(void)state;
	assert_int_equal(freeze_order_fill(&order, 5, "/a\n/b c"), 8);
	assert_memory_equal(order.text, "/a\0/b c", 8);
	assert_int_equal(freeze_order_fill(&order, 5, ""), 0);
	assert_int_equal(freeze_order_fill(&order, 5, "/a\nb"), -1);
	memset(longest + 1, 'x', sizeof(order.text) - 2);
	assert_int_equal(freeze_order_fill(&order, 5, longest), sizeof(order.text));
	longest[sizeof(order.text) - 1] = 'x';
	assert_int_equal(freeze_order_fill(&order, 5, longest), -1);
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_file_system_is_taken_once_and_the_newest_first),
		cmocka_unit_test(a_list_names_mount_points_and_what_is_none_is_left_out),
		cmocka_unit_test(what_stands_on_a_file_comes_before_what_holds_the_file),
		cmocka_unit_test(files_under_devices_are_found_through_partitions_and_mappings),
		IN_FIXTURE(all_is_frozen_and_thawed_in_the_reverse_order_when_it_is_asked_for),
		IN_FIXTURE(only_the_mount_points_of_a_list_are_frozen),
		IN_FIXTURE(what_cannot_be_frozen_is_skipped_and_what_another_froze_is_told_and_left),
		IN_FIXTURE(a_failure_thaws_what_was_frozen_before_it_and_names_the_place),
		IN_FIXTURE(the_end_of_the_agent_thaws),
		IN_FIXTURE(the_end_of_the_executor_thaws),
		IN_FIXTURE(the_time_limit_thaws),
		IN_FIXTURE(a_stopped_unit_thaws),
		IN_FIXTURE(what_another_program_thawed_meanwhile_is_told),
		IN_FIXTURE(what_a_killed_helper_left_is_thawed_by_its_record),
		IN_FIXTURE(what_is_mounted_no_more_keeps_nothing_else_frozen),
		IN_FIXTURE(a_record_that_makes_no_sense_is_refused_and_stays),
		cmocka_unit_test(an_order_holds_absolute_mount_points_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
