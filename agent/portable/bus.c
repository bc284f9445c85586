/* SPDX-License-Identifier: MIT */
/*
 * The bus of the portable build: there is none. A connection and an event loop cannot be made, and so nothing else of
 * sd-bus(3) and sd-event(3) is ever reached with one: the Makefile makes functions that return 0 or NULL of all the rest
 * that is used.
 */
#include <errno.h>

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
