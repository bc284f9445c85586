/* SPDX-License-Identifier: MIT */
/* The programs that a host had started by guest-exec, until it has asked for their end. */
#ifndef AGENT_QGA_PROGRAMS_H
#define AGENT_QGA_PROGRAMS_H

/* Running at once, and remembered; of more the oldest that have ended are forgotten. */
#define QGA_PROGRAMS_RUNNING 8
#define QGA_PROGRAMS_KEPT    64

struct qga_programs;

/* NULL: out of memory. */
struct qga_programs *qga_programs_new(void);

/* Forgets them; those that run go on. Accepts NULL. Returns NULL. */
struct qga_programs *qga_programs_free(struct qga_programs *programs);

#endif
