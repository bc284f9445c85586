/* SPDX-License-Identifier: MIT */
/*
 * The whole agent in a folder of its own, without a port, a log or an audit, whose loop never turns: for tests of what
 * messages and timers change in it. make_agent and remove_folder are a group's setup and teardown.
 */
#ifndef TESTS_STILL_AGENT_H
#define TESTS_STILL_AGENT_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/agent.h"

static struct agent agent;
static char folder[] = "/tmp/test-agent-XXXXXX";

static inline int make_agent(void **state)
{
	static const char *const keys[] = { "agent.state_dir", "agent.runtime_dir", "log.dir" };
	static char config[64], settings[ARRAY_SIZE(keys)][128], path[128];
	static struct agent_options options = { .config_path = config, .port_spec = "none" };
	struct err e = { 0 };
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(config, sizeof(config), "%s/agent.conf", folder);
	fd = open(config, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		snprintf(settings[i], sizeof(settings[i]), "%s=%s", keys[i], folder);
		options.settings[options.setting_count++] = settings[i];
	}
	snprintf(path, sizeof(path), "socket.path=%s/agent.sock", folder);
	options.settings[options.setting_count++] = path;
	options.settings[options.setting_count++] = "log.enabled=no";
	options.settings[options.setting_count++] = "agent.vm_id=unit";
	assert_int_equal(agent_init(&agent, &options, &e), 0);
	report_set_level(-1);
	if (agent.audit.journal_fd >= 0)
		close_fd(&agent.audit.journal_fd);
	agent.audit.next_try_ns = UINT64_MAX;
	return 0;
}

static inline int remove_folder(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

#endif
