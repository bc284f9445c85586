/* SPDX-License-Identifier: MIT */
/* The names of the audit: files and message id that the agent writes and infinictl reads. */
#ifndef INFINISERVICE_AUDIT_H
#define INFINISERVICE_AUDIT_H

/* In state_dir, one JSON object a line; the second is the first one's predecessor. */
#define AUDIT_FILE     "audit.ndjson"
#define AUDIT_FILE_OLD "audit.ndjson.1"
/* A reader takes no more of either; the agent begins a new one at 4 MiB. */
#define AUDIT_FILE_MAX (16u << 20)

/* The message id of all records in the journal (systemd.journal-fields(7)), made for this purpose. */
#define AUDIT_MESSAGE_ID "5d0c4f3e7a1b4d62b8e90f2c6a7d1e43"

#endif
