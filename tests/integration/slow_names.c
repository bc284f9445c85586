/* SPDX-License-Identifier: MIT */
/*
 * A directory service that does not answer: in front of the C library's own functions (LD_PRELOAD), each question to
 * the name service or the resolver is written down, with the process that asked it, and takes SLOW_NAMES_S seconds.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void ask(const char *what)
{
	const char *path = getenv("SLOW_NAMES_LOG"), *seconds = getenv("SLOW_NAMES_S");
	struct timespec wait = { .tv_sec = seconds ? atoi(seconds) : 10 };
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;

	if (fd >= 0) {
		dprintf(fd, "%d %s\n", (int)getpid(), what);
		close(fd);
	}
	nanosleep(&wait, NULL);
}

#define SLOW(type, name, parameters, ...)                                                                              \
	type name parameters                                                                                           \
	{                                                                                                              \
		type(*real) parameters = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                  \
                                                                                                                       \
		ask(#name);                                                                                            \
		return real(__VA_ARGS__);                                                                              \
	}

SLOW(struct passwd *, getpwnam, (const char *name), name)
SLOW(struct passwd *, getpwuid, (uid_t uid), uid)
SLOW(int, getpwnam_r, (const char *name, struct passwd *entry, char *text, size_t size, struct passwd **ret), name,
     entry, text, size, ret)
SLOW(int, getpwuid_r, (uid_t uid, struct passwd *entry, char *text, size_t size, struct passwd **ret), uid, entry, text,
     size, ret)
SLOW(struct group *, getgrnam, (const char *name), name)
SLOW(struct group *, getgrgid, (gid_t gid), gid)
SLOW(int, getgrnam_r, (const char *name, struct group *entry, char *text, size_t size, struct group **ret), name, entry,
     text, size, ret)
SLOW(int, getgrgid_r, (gid_t gid, struct group *entry, char *text, size_t size, struct group **ret), gid, entry, text,
     size, ret)
SLOW(int, getgrouplist, (const char *user, gid_t group, gid_t *groups, int *count), user, group, groups, count)
SLOW(int, initgroups, (const char *user, gid_t group), user, group)
SLOW(struct passwd *, getpwent, (void))
SLOW(struct group *, getgrent, (void))
SLOW(struct hostent *, gethostbyname, (const char *name), name)
SLOW(int, getaddrinfo, (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret),
     node, service, hints, ret)
SLOW(int, getnameinfo,
     (const struct sockaddr *address, socklen_t len, char *host, socklen_t host_len, char *service,
      socklen_t service_len, int flags),
     address, len, host, host_len, service, service_len, flags)
