/* SPDX-License-Identifier: MIT */
/*
 * Detects jumps of time: the wall clock was set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET), the guest was suspended
 * (CLOCK_BOOTTIME moved ahead of CLOCK_MONOTONIC), or the kernel announces a new VM generation id. A paused VM shows in
 * none of them; it shows as a step of the wall clock once the clock is corrected.
 */
#ifndef AGENT_BASE_CLOCKWATCH_H
#define AGENT_BASE_CLOCKWATCH_H

#include <stdbool.h>
#include <stddef.h>

#include <infiniservice/moment.h>

struct clockwatch {
	int fd; /* readable when the wall clock was set; -1 when the kernel has no such timer */
	int64_t wall_minus_boot_ms;
	uint64_t boot_minus_mono_ns;
};

struct clock_change {
	int64_t stepped_ms; /* step of the wall clock besides the time suspended; 0: none */
	uint64_t slept_ms;
};

/*
 * Opens the timer and takes `now` as the reference. Never fails: without a timer clockwatch_check still detects steps.
 */
void clockwatch_init(struct clockwatch *watch, const struct moment *now);
void clockwatch_done(struct clockwatch *watch);

/*
 * Compares with the reference and renews it. True when the wall clock moved by 500 ms or more against the boot clock
 * (slewing by NTP stays far below) or the guest was suspended for 100 ms or more. Rearms the timer.
 */
bool clockwatch_check(struct clockwatch *watch, const struct moment *now, struct clock_change *change);

/*
 * A socket that becomes readable on an event that may announce a new VM generation id: since Linux 6.10 a uevent of the
 * device with NEW_VMGENID=1 (drivers/virt/vmgenid.c), where the machine has such a device. Older kernels only reseed
 * their random numbers and announce nothing. A filter in the kernel drops all events except changes of platform
 * devices, so that an idle agent is not woken. A descriptor or -errno.
 */
int vmgenid_open(void);

/* Reads pending events. True if one was a new generation id, sent by the kernel itself. */
bool vmgenid_read(int fd);

/* Whether a message (NUL-terminated parts) announces a new generation id. */
bool vmgenid_is_new(const char *event, size_t len);

#endif
