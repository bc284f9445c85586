/* SPDX-License-Identifier: MIT */
/*
 * libsystemd, loaded at the first use of D-Bus: with its dependencies it takes most of a megabyte of memory, which an
 * idle guest saves. The functions used are in a table, and macros with their names call its entries, so calls look as
 * usual. Before libsystemd_open has succeeded only the three functions that release a message, a slot or a connection
 * may be called, with NULL.
 *
 * With LIBSYSTEMD_DIRECT the names are the library's own, which then has to be linked: for tests that play the other
 * end of a connection.
 */
#ifndef AGENT_BUS_LIBSYSTEMD_H
#define AGENT_BUS_LIBSYSTEMD_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <systemd/sd-login.h>

#include <infiniservice/err.h>

#define LIBSYSTEMD_FILE	   "libsystemd.so.0"
#define LIBSYSTEMD_PACKAGE "libsystemd0" /* Debian's name */
#define LIBSYSTEMD_RETRY_S 60		 /* seconds after a failure */

/* One function a line. */
/* clang-format off */
#define LIBSYSTEMD_FUNCTIONS(F) \
	F(sd_bus_attach_event) \
	F(sd_bus_call) \
	F(sd_bus_call_async) \
	F(sd_bus_call_method_async) \
	F(sd_bus_close_unref) \
	F(sd_bus_detach_event) \
	F(sd_bus_error_has_name) \
	F(sd_bus_get_current_slot) \
	F(sd_bus_get_events) \
	F(sd_bus_get_fd) \
	F(sd_bus_get_timeout) \
	F(sd_bus_is_open) \
	F(sd_bus_match_signal) \
	F(sd_bus_message_append) \
	F(sd_bus_message_appendv) \
	F(sd_bus_message_close_container) \
	F(sd_bus_message_enter_container) \
	F(sd_bus_message_exit_container) \
	F(sd_bus_message_get_bus) \
	F(sd_bus_message_get_error) \
	F(sd_bus_message_is_method_error) \
	F(sd_bus_message_new_method_call) \
	F(sd_bus_message_open_container) \
	F(sd_bus_message_read) \
	F(sd_bus_message_ref) \
	F(sd_bus_message_set_expect_reply) \
	F(sd_bus_message_skip) \
	F(sd_bus_message_unref) \
	F(sd_bus_negotiate_fds) \
	F(sd_bus_new) \
	F(sd_bus_path_encode) \
	F(sd_bus_process) \
	F(sd_bus_send) \
	F(sd_bus_set_address) \
	F(sd_bus_set_bus_client) \
	F(sd_bus_set_fd) \
	F(sd_bus_slot_unref) \
	F(sd_bus_start) \
	F(sd_event_add_io) \
	F(sd_event_add_time) \
	F(sd_event_exit) \
	F(sd_event_loop) \
	F(sd_event_new) \
	F(sd_event_source_disable_unref) \
	F(sd_event_source_set_enabled) \
	F(sd_event_source_set_time) \
	F(sd_event_source_set_time_relative) \
	F(sd_event_source_unref) \
	F(sd_event_unref) \
	F(sd_pid_get_unit)
/* clang-format on */

struct libsystemd {
#define LIBSYSTEMD_ENTRY(name) __typeof__(name) *name;
	LIBSYSTEMD_FUNCTIONS(LIBSYSTEMD_ENTRY)
#undef LIBSYSTEMD_ENTRY
};

extern struct libsystemd libsystemd;

/*
 * Fills the table, from LIBSYSTEMD_FILE unless `file` is another. It reads the disk: the event loop uses bus_ready. 0
 * (also if it was filled before), or -ELIBACC with the reason and the package's name in `err` (may be NULL); within
 * LIBSYSTEMD_RETRY_S of a failure, by `now_ns` (CLOCK_MONOTONIC), the same error without another try.
 */
int libsystemd_open(const char *file, uint64_t now_ns, struct err *err);

/* The failure that delays another try at `now_ns`: -ELIBACC with the reason in `err`, or 0. */
int libsystemd_failed(uint64_t now_ns, struct err *err);

/* Records a failure of the caller as one of libsystemd_open. Returns -ELIBACC with the reason in `err`. */
int libsystemd_fail(uint64_t now_ns, const char *words, struct err *err);

/* Whether the table is filled, and how long that took; 0: not filled. */
bool libsystemd_is_open(void);
uint64_t libsystemd_open_ns(void);

/* Unloads the library and clears a failure: for tests. */
void libsystemd_reset(void);

#ifndef LIBSYSTEMD_DIRECT
/* clang-format off */
#define sd_bus_attach_event libsystemd.sd_bus_attach_event
#define sd_bus_call libsystemd.sd_bus_call
#define sd_bus_call_async libsystemd.sd_bus_call_async
#define sd_bus_call_method_async libsystemd.sd_bus_call_method_async
#define sd_bus_close_unref libsystemd.sd_bus_close_unref
#define sd_bus_detach_event libsystemd.sd_bus_detach_event
#define sd_bus_error_has_name libsystemd.sd_bus_error_has_name
#define sd_bus_get_current_slot libsystemd.sd_bus_get_current_slot
#define sd_bus_get_events libsystemd.sd_bus_get_events
#define sd_bus_get_fd libsystemd.sd_bus_get_fd
#define sd_bus_get_timeout libsystemd.sd_bus_get_timeout
#define sd_bus_is_open libsystemd.sd_bus_is_open
#define sd_bus_match_signal libsystemd.sd_bus_match_signal
#define sd_bus_message_append libsystemd.sd_bus_message_append
#define sd_bus_message_appendv libsystemd.sd_bus_message_appendv
#define sd_bus_message_close_container libsystemd.sd_bus_message_close_container
#define sd_bus_message_enter_container libsystemd.sd_bus_message_enter_container
#define sd_bus_message_exit_container libsystemd.sd_bus_message_exit_container
#define sd_bus_message_get_bus libsystemd.sd_bus_message_get_bus
#define sd_bus_message_get_error libsystemd.sd_bus_message_get_error
#define sd_bus_message_is_method_error libsystemd.sd_bus_message_is_method_error
#define sd_bus_message_new_method_call libsystemd.sd_bus_message_new_method_call
#define sd_bus_message_open_container libsystemd.sd_bus_message_open_container
#define sd_bus_message_read libsystemd.sd_bus_message_read
#define sd_bus_message_ref libsystemd.sd_bus_message_ref
#define sd_bus_message_set_expect_reply libsystemd.sd_bus_message_set_expect_reply
#define sd_bus_message_skip libsystemd.sd_bus_message_skip
#define sd_bus_message_unref libsystemd.sd_bus_message_unref
#define sd_bus_negotiate_fds libsystemd.sd_bus_negotiate_fds
#define sd_bus_new libsystemd.sd_bus_new
#define sd_bus_path_encode libsystemd.sd_bus_path_encode
#define sd_bus_process libsystemd.sd_bus_process
#define sd_bus_send libsystemd.sd_bus_send
#define sd_bus_set_address libsystemd.sd_bus_set_address
#define sd_bus_set_bus_client libsystemd.sd_bus_set_bus_client
#define sd_bus_set_fd libsystemd.sd_bus_set_fd
#define sd_bus_slot_unref libsystemd.sd_bus_slot_unref
#define sd_bus_start libsystemd.sd_bus_start
#define sd_event_add_io libsystemd.sd_event_add_io
#define sd_event_add_time libsystemd.sd_event_add_time
#define sd_event_exit libsystemd.sd_event_exit
#define sd_event_loop libsystemd.sd_event_loop
#define sd_event_new libsystemd.sd_event_new
#define sd_event_source_disable_unref libsystemd.sd_event_source_disable_unref
#define sd_event_source_set_enabled libsystemd.sd_event_source_set_enabled
#define sd_event_source_set_time libsystemd.sd_event_source_set_time
#define sd_event_source_set_time_relative libsystemd.sd_event_source_set_time_relative
#define sd_event_source_unref libsystemd.sd_event_source_unref
#define sd_event_unref libsystemd.sd_event_unref
#define sd_pid_get_unit libsystemd.sd_pid_get_unit
/* clang-format on */
#endif

#endif
