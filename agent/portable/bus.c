/* SPDX-License-Identifier: MIT */
/*
 * The bus of the portable build: there is none. A connection and an event loop cannot be made, and so nothing else of
 * sd-bus(3) and sd-event(3) is ever reached with one; what is called with NULL, such as an unref, returns NULL. Their
 * headers are left out, since every one of these stands for functions of many shapes.
 */
#include <errno.h>

#define NEVER_REACHED(name) \
	long name(void);    \
	long name(void)     \
	{                   \
		return 0;   \
	}

int sd_bus_new(void *ret);
int sd_event_new(void *ret);
int sd_pid_get_unit(int pid, char **unit);
int sd_bus_path_encode(const char *prefix, const char *external_id, char **ret_path);

int sd_bus_new(void *ret)
{
	(void)ret;
	return -EOPNOTSUPP;
}

int sd_event_new(void *ret)
{
	(void)ret;
	return -EOPNOTSUPP;
}

int sd_pid_get_unit(int pid, char **unit)
{
	(void)pid;
	(void)unit;
	return -ENODATA;
}

int sd_bus_path_encode(const char *prefix, const char *external_id, char **ret_path)
{
	(void)prefix;
	(void)external_id;
	(void)ret_path;
	return -EOPNOTSUPP;
}

NEVER_REACHED(sd_bus_attach_event)
NEVER_REACHED(sd_bus_call_async)
NEVER_REACHED(sd_bus_call_method_async)
NEVER_REACHED(sd_bus_close_unref)
NEVER_REACHED(sd_bus_detach_event)
NEVER_REACHED(sd_bus_error_has_name)
NEVER_REACHED(sd_bus_get_current_slot)
NEVER_REACHED(sd_bus_get_events)
NEVER_REACHED(sd_bus_get_fd)
NEVER_REACHED(sd_bus_get_timeout)
NEVER_REACHED(sd_bus_is_open)
NEVER_REACHED(sd_bus_match_signal)
NEVER_REACHED(sd_bus_match_signal_async)
NEVER_REACHED(sd_bus_message_append)
NEVER_REACHED(sd_bus_message_appendv)
NEVER_REACHED(sd_bus_message_close_container)
NEVER_REACHED(sd_bus_message_enter_container)
NEVER_REACHED(sd_bus_message_exit_container)
NEVER_REACHED(sd_bus_message_get_bus)
NEVER_REACHED(sd_bus_message_get_error)
NEVER_REACHED(sd_bus_message_get_sender)
NEVER_REACHED(sd_bus_message_is_method_error)
NEVER_REACHED(sd_bus_message_new_method_call)
NEVER_REACHED(sd_bus_message_open_container)
NEVER_REACHED(sd_bus_message_read)
NEVER_REACHED(sd_bus_message_ref)
NEVER_REACHED(sd_bus_message_set_expect_reply)
NEVER_REACHED(sd_bus_message_skip)
NEVER_REACHED(sd_bus_message_unref)
NEVER_REACHED(sd_bus_negotiate_fds)
NEVER_REACHED(sd_bus_process)
NEVER_REACHED(sd_bus_send)
NEVER_REACHED(sd_bus_set_address)
NEVER_REACHED(sd_bus_set_bus_client)
NEVER_REACHED(sd_bus_set_fd)
NEVER_REACHED(sd_bus_slot_unref)
NEVER_REACHED(sd_bus_start)
NEVER_REACHED(sd_event_add_io)
NEVER_REACHED(sd_event_add_time)
NEVER_REACHED(sd_event_exit)
NEVER_REACHED(sd_event_loop)
NEVER_REACHED(sd_event_source_disable_unref)
NEVER_REACHED(sd_event_source_set_enabled)
NEVER_REACHED(sd_event_source_set_time)
NEVER_REACHED(sd_event_source_set_time_relative)
NEVER_REACHED(sd_event_source_unref)
NEVER_REACHED(sd_event_unref)
