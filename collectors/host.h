/* SPDX-License-Identifier: MIT */
/* The identity, uptime and load of this guest: parsers, and typed facts for SystemInfo and OsInfo. */
#ifndef COLLECTORS_HOST_H
#define COLLECTORS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_TEXT_MAX	  256
#define HOST_MANAGERS_MAX 12

/* The keys of os-release(5) that are used; NUL-terminated, "" where absent. Bytes are as found: hostile ones too. */
struct os_release {
	char id[HOST_TEXT_MAX];
	char name[HOST_TEXT_MAX];	   /* NAME, "Debian GNU/Linux" */
	char pretty_name[HOST_TEXT_MAX];   /* PRETTY_NAME, "Debian GNU/Linux 12 (bookworm)" */
	char version[HOST_TEXT_MAX];	   /* VERSION, "12 (bookworm)" */
	char version_id[HOST_TEXT_MAX];	   /* VERSION_ID, "12"; BUILD_ID where there is none ("rolling") */
	char variant[HOST_TEXT_MAX];	   /* VARIANT, "Server Edition" */
	char variant_id[HOST_TEXT_MAX];	   /* VARIANT_ID, "server" */
	char image_id[HOST_TEXT_MAX];	   /* IMAGE_ID: of the image that the machine was made from */
	char image_version[HOST_TEXT_MAX]; /* IMAGE_VERSION */
};

/*
 * Parses os-release text: shell quoting and escapes, comments, no expansion; the last of equal keys wins; a byte-order
 * mark before the first line is passed over. Never fails; false when it has neither a name nor an id.
 */
bool os_release_parse(const char *text, size_t len, struct os_release *out);

struct host_load {
	double load_1min, load_5min, load_15min;
	uint64_t running, threads; /* runnable now / existing kernel scheduling entities */
};

/*
 * Returns how many of the five values, in their order, the text of /proc/loadavg has before the first invalid one; the
 * others are 0.
 */
unsigned loadavg_scan(const char *text, size_t len, struct host_load *out);

/* All five. 0 or -EBADMSG (*out untouched). */
int loadavg_parse(const char *text, size_t len, struct host_load *out);

/* /proc/uptime: seconds since boot, suspends included. 0 or -EBADMSG (*out untouched). */
int uptime_parse(const char *text, size_t len, double *out);

/*
 * The login shell of root in passwd(5) text, NUL-terminated into `out`. Root with none has /bin/sh. False when there is
 * none that fits, or no root.
 */
bool passwd_root_shell(const char *text, size_t len, char *out, size_t size);

/*
 * The facts of SystemInfo, OsInfo and the samples, which have no other source. Texts are NUL-terminated, never NULL
 * ("" if unknown), valid until the next collect.
 */
struct host_facts {
	const char *os_type;	    /* "Linux" */
	const char *os_name;	    /* NAME of os-release, else "Linux", as os-release(5) has it */
	const char *version;	    /* VERSION_ID of os-release */
	const char *linux_distro;   /* PRETTY_NAME of os-release, else its NAME, else "Linux" */
	const char *architecture;   /* uname -m */
	const char *kernel_version; /* uname -r */
	const char *hostname;	    /* "" also for "(none)", which a kernel says that was given no name */
	const char *default_shell;  /* root's login shell; "" where it is not known */
	const char *const *package_managers;
	size_t package_managers_count;
};

/* Fills *ret from the state of collector_host after a collect. */
void host_facts_get(const void *state, struct host_facts *ret);

#endif
