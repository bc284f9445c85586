/* SPDX-License-Identifier: MIT */
/*
 * The verbs of infiniservice-exec for commands of the QEMU guest agent's language that change the guest. Each runs in a
 * unit of its own, as root. `argv` begins with the verb; each returns the exit status, and says on stderr what it could
 * not do. What is secret comes in the command's input (RUNNER_INPUT_FD), never as an argument: texts, each ended by
 * NUL.
 */
#ifndef AGENT_EXECUTOR_GUEST_VERBS_H
#define AGENT_EXECUTOR_GUEST_VERBS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * `settime NANOSECONDS`: sets the clock, in nanoseconds since 1970, and the hardware clock by it. `settime rtc`: sets
 * the clock by the hardware clock, which keeps UTC unless /etc/adjtime says LOCAL (hwclock(8)).
 */
int settime_main(int argc, char *argv[]);

/* `vcpus N-on|N-off …`: turns processors on and off, in this order, until one fails; prints how many it turned. */
int vcpus_main(int argc, char *argv[]);
int vcpus_set(int sysfs_fd, int argc, char *argv[]);

/*
 * `password any-user|keep-root [crypted]`, with the input USER, PASSWORD: sets the password by chpasswd(8), which gets
 * the pair through a pipe. keep-root: not of a user with uid 0. crypted: it is a hash, as in shadow(5).
 */
int password_main(int argc, char *argv[]);

/*
 * `keys get|add|reset|remove`, with the input USER, KEY …: ~/.ssh/authorized_keys of the user, as that user. get prints
 * its lines; add leaves out keys that are there; reset first removes all others. Folder 0700, file 0600. Users of the
 * system (uid below 1000, and nobody) are refused.
 */
int keys_main(int argc, char *argv[]);
/* The same for a home that is open and this process's own. `words` from the verb's word on; `keys` end with NULL. */
int keys_do(int home_fd, const char *word, const char *const *keys);

/*
 * `become [input] [merged] -- PROGRAM ARGUMENT …`: becomes the program, searched in PATH; input: the command's input is
 * its stdin; merged: stderr goes where stdout does.
 */
int become_main(int argc, char *argv[]);

#endif
