/* SPDX-License-Identifier: MIT */
/*
 * The services of the guest, from the two lists of the service manager: loaded units, and unit files on the disk that
 * may never have been loaded. Rows point into the replies, which the table holds references to.
 */
#ifndef AGENT_ACTIONS_SERVICE_TABLE_H
#define AGENT_ACTIONS_SERVICE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/bus/libsystemd.h"

#define SERVICE_TABLE_MAX 20000

struct service_row {
	const char *name;			       /* "ssh.service" */
	const char *description, *load, *active, *sub; /* NULL: not loaded */
	const char *file_state; /* "enabled", "disabled", "static", "masked", …; NULL: it has no file */
};

/* Zeroed is empty. */
struct service_table {
	sd_bus_message *units, *files;
	struct service_row *rows;
	size_t count, size;
};

void service_table_done(struct service_table *table);

/*
 * Adds the reply of ListUnits, a(ssssssouso). Services that exist only as a reference in other units are left out. 0 or
 * -errno.
 */
int service_table_add_units(struct service_table *table, sd_bus_message *reply);

/*
 * Adds the reply of ListUnitFiles, a(ss). Templates are left out, and so are aliases, as their targets are listed. To
 * be called after service_table_add_units. 0 or -errno.
 */
int service_table_add_files(struct service_table *table, sd_bus_message *reply);

/* One of "running", "exited", "stopped", "failed", "starting", "stopping", "reloading". */
const char *service_row_status(const struct service_row *row);

/* True if the manager would accept a job for the service: it is loaded and not masked. */
bool service_row_usable(const struct service_row *row);

#endif
