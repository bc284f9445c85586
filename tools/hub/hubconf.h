/* SPDX-License-Identifier: MIT */
/* The hub's settings: /etc/infiniservice/host.conf. One row a key; defaults, checks and the manual come from it. */
#ifndef HUB_HUBCONF_H
#define HUB_HUBCONF_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <infiniservice/err.h>

#define HUBCONF_FILE	  SYSCONFDIR "/infiniservice/host.conf"
#define HUBCONF_WORDS_MAX 64   /* folders and patterns */
#define HUBCONF_LIST_MAX  4096 /* VMs by name */

/* TEXT: any; PATH: absolute or empty; WORDS: absolute paths with spaces between; NUMBER: an integer in its range. */
#define HUBCONF_KEYS(ROW)                                                                                              \
	ROW(WORDS, vms, sockets, 0, 0, "",                                                                             \
	    "Folders and patterns (glob(7)) of the sockets of VMs' channels, absolute, with spaces between.")          \
	ROW(NUMBER, vms, interval_s, 1, 3600, "30",                                                                    \
	    "How often a VM's samples are expected until two have come; after three times that it is silent.")         \
	ROW(PATH, secrets, folder, 0, 0, "", "A folder with a file a VM, named as the VM: its secret. Mode 0600.")     \
	ROW(PATH, secrets, master, 0, 0, "",                                                                           \
	    "A file with the master secret from which that of each VM without a file is derived. Mode 0600.")          \
	ROW(TEXT, web, listen, 0, 0, "127.0.0.1:9889",                                                                 \
	    "Where metrics and the page are served: ADDRESS:PORT, [ADDRESS]:PORT, unix:/PATH, or none.")               \
	ROW(TEXT, web, names, 0, 0, "",                                                                                \
	    "Names under which a browser may ask for the page, with spaces between; addresses and localhost it may.")  \
	ROW(NUMBER, web, connections_max, 4, 1000, "64", "HTTP connections at once.")                                  \
	ROW(TEXT, access, view_group, 0, 0, "infinihost-view",                                                         \
	    "The group that may look through view.sock; empty: root.")                                                 \
	ROW(TEXT, access, control_group, 0, 0, "",                                                                     \
	    "The group that may send commands through control.sock; empty: root.")                                     \
	ROW(NUMBER, limits, bytes_per_s, 4096, 100000000, "262144",                                                    \
	    "Bytes a second that are taken from one VM; a line costs 512 more.")                                       \
	ROW(NUMBER, limits, burst_bytes, 65536, 100000000, "4194304", "Bytes that may come at once beyond that.")      \
	ROW(NUMBER, limits, series_max, 16, 1000, "1000", "Series of one VM's sample; what is more is counted.")       \
	ROW(NUMBER, limits, labels_max_bytes, 1024, 24576, "24576", "Bytes of the labels of one VM's sample.")

enum hubconf_type { HUBCONF_TEXT, HUBCONF_PATH, HUBCONF_WORDS, HUBCONF_NUMBER };

/* One of the list: a name and the path of its socket. */
struct hubconf_vm {
	char *name, *path;
};

#define HUBCONF_TEXT_FIELD			char *
#define HUBCONF_PATH_FIELD			char *
#define HUBCONF_WORDS_FIELD			char *
#define HUBCONF_NUMBER_FIELD			uint64_t
#define HUBCONF_FIELD(type, section, name, ...) HUBCONF_##type##_FIELD section##_##name;

struct hubconf {
	HUBCONF_KEYS(HUBCONF_FIELD)
	struct hubconf_vm *list;
	size_t list_len;
};

/* The defaults. 0 or -ENOMEM. */
int hubconf_init(struct hubconf *conf);
void hubconf_free(struct hubconf *conf);

/*
 * Takes the text of a file over, whose name is for errors. 0, or -EINVAL with "FILE:LINE: what and its cure" in `e`:
 * unlike the agent, the hub does not start with a key that it does not know.
 */
int hubconf_parse(struct hubconf *conf, const char *file, const char *text, size_t len, struct err *e);

/* Reads a file. As hubconf_parse, or the error of reading it. */
int hubconf_load(struct hubconf *conf, const char *path, struct err *e);

/* Sets "section.key" (of the command line). 0 or -EINVAL with a text. */
int hubconf_set(struct hubconf *conf, const char *section, const char *name, const char *value, struct err *e);

/* Adds a VM to the list. 0, -EINVAL, -EEXIST or -ENOMEM with a text. */
int hubconf_add_vm(struct hubconf *conf, const char *name, const char *path, struct err *e);

/* A whole file with every key, its help and its default. */
size_t hubconf_example(char *out, size_t size);

#endif
