// SPDX-License-Identifier: MIT
// The initramfs of the guest tests: loads the modules listed in /modules/order, mounts /dev/vda, copies /overlay over
// it and becomes its init. The disk is a throw-away snapshot, so what is copied is gone with the guest. Linked
// statically; there is no shell and no library beside it.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "guest init: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void load_module(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "/modules/%s", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
		die(path);
	close(fd);
}

static void load_modules(void)
{
	char name[200];
	FILE *order = fopen("/modules/order", "re");

	if (!order)
		die("/modules/order");
	while (fgets(name, sizeof(name), order)) {
		name[strcspn(name, "\n")] = '\0';
		load_module(name);
	}
	fclose(order);
}

static void wait_for_disk(void)
{
	for (int tries = 0; access("/dev/vda", F_OK) != 0; tries++) {
		if (tries == 1000)
			die("/dev/vda");
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

static void copy_file(const char *from, const char *to, const struct stat *st)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		die(from);
	unlink(to);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		die(to);
	for (off_t left = st->st_size; left > 0;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);
		if (n <= 0)
			die(to);
		left -= n;
	}
	if (fchown(out, st->st_uid, st->st_gid) != 0 || fchmod(out, st->st_mode & 07777) != 0)
		die(to);
	close(out);
	close(in);
}

static void copy_link(const char *from, const char *to)
{
	char target[1024];
	ssize_t n = readlink(from, target, sizeof(target) - 1);

	if (n < 0)
		die(from);
	target[n] = '\0';
	unlink(to);
	if (symlink(target, to) != 0)
		die(to);
}

static void copy_tree(const char *from, const char *to)
{
	DIR *dir = opendir(from);

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		char src[1024], dst[1024];
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(src, sizeof(src), "%s/%s", from, e->d_name);
		snprintf(dst, sizeof(dst), "%s/%s", to, e->d_name);
		if (lstat(src, &st) != 0)
			die(src);
		if (S_ISDIR(st.st_mode)) {
			if (mkdir(dst, st.st_mode & 07777) != 0 && errno != EEXIST)
				die(dst);
			copy_tree(src, dst);
		} else if (S_ISLNK(st.st_mode)) {
			copy_link(src, dst);
		} else {
			copy_file(src, dst, &st);
		}
	}
	closedir(dir);
}

int main(void)
{
	mkdir("/dev", 0755);
	mkdir("/root", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	load_modules();
	wait_for_disk();
	if (mount("/dev/vda", "/root", "ext4", 0, NULL) != 0)
		die("mount /dev/vda");
	copy_tree("/overlay", "/root");
	// As switch_root does: the new root is moved over the old one
	// (Documentation/filesystems/ramfs-rootfs-initramfs).
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) != 0 || chdir("/root") != 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
		die("switch root");
	execl("/sbin/init", "/sbin/init", (char *)NULL);
	die("/sbin/init");
}
