/* SPDX-License-Identifier: MIT */
/*
 * A host that speaks the QEMU guest agent's language, on a port of its own beside the agent's: its port's events, and
 * what its commands need of the agent.
 */
#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/base/notify.h"
#include "collectors/table.h"

#define QEMU_AGENT "/usr/sbin/qemu-ga"

/* ------------------------------------------------------------------------------------------------------------ port */

static void on_connected(void *data)
{
	struct agent *agent = data;

	report(LOG_DEBUG, "port %s: host connected", port_where(agent->qga_port));
	qga_host_left(agent->qga);
	standing_clear(&agent->standing, "qga", "", "the port of [qga] can be used");
}

static void on_renewed(void *data, uint64_t gone_ns)
{
	qga_border(((struct agent *)data)->qga, gone_ns);
}

static void on_received(void *data, const char *bytes, size_t len)
{
	qga_receive(((struct agent *)data)->qga, bytes, len);
}

static void on_disconnected(void *data)
{
	struct agent *agent = data;

	report(LOG_DEBUG, "port %s: host gone", port_where(agent->qga_port));
	qga_host_left(agent->qga);
}

/* A port that another program holds stays that program's: it is looked at again, ever more rarely. */
static void on_fault(void *data, const struct port_fault *fault)
{
	struct agent *agent = data;
	const char *cure = "";

	if (fault->error == -EBUSY)
		cure = access(QEMU_AGENT, F_OK) == 0 ? ": qemu-guest-agent holds it (cure: remove that package, or set "
						       "qga.spec = none)"
						     : ": another program holds it";
	report_limited(&agent->qga_topic, agent->loop.now.mono_ns, fault->error == -ENOENT ? LOG_INFO : LOG_WARNING,
		       "port of [qga]: %s%s", fault->text, cure);
	if (*cure)
		standing_set(&agent->standing, REPLY_WARN, "qga", "", "port of [qga]: %s%s", fault->text, cure);
}

static const struct port_events events = {
	.connected = on_connected,
	.renewed = on_renewed,
	.received = on_received,
	.disconnected = on_disconnected,
	.fault = on_fault,
};

/* --------------------------------------------------------------------------------------------- what commands need */

static void send_text(void *data, const char *text, size_t len)
{
	struct agent *agent = data;
	struct line *line = line_new(LINE_REPLY, text, len);

	if (!line || port_send(agent->qga_port, line) < 0)
		report_limited(&agent->qga_topic, agent->loop.now.mono_ns, LOG_WARNING,
			       "port of [qga]: an answer was lost: the host reads none");
	line_unref(line);
}

static void record(void *data, const struct audit_record *entry)
{
	struct agent *agent = data;

	if (entry->phase == AUDIT_REFUSED && !audit_takes_refusal(&agent->audit, &agent->loop.now, AUDIT_HOST))
		return;
	record_entry(&agent->commands.record, entry);
}

static bool records_read(void *data)
{
	struct agent *agent = data;

	return agent->config.commands.audit_reads && audit_takes_read(&agent->audit, &agent->loop.now, AUDIT_HOST);
}

static bool demands_signatures(void *data)
{
	return peers_demand_signature(&((struct agent *)data)->peers);
}

static bool has_executor(void *data)
{
	enum exec_state state = exec_state(((struct agent *)data)->privileged);

	return state == EXEC_STATE_IDLE || state == EXEC_STATE_READY;
}

static int power(void *data, enum qga_power how, struct err *e)
{
	static const enum runner_operation operations[] = { [QGA_POWER_DOWN] = RUNNER_OPERATION_POWER_OFF,
							    [QGA_POWER_HALT] = RUNNER_OPERATION_HALT,
							    [QGA_POWER_REBOOT] = RUNNER_OPERATION_REBOOT };
	struct agent *agent = data;

	if (power_schedule(&agent->actions.power, operations[how], 0, "guest-shutdown", GROUP_CONTROL) < 0)
		return err_set(e, -EALREADY, "a reboot or shutdown is already pending");
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- the life */

int qgalink_build(struct agent *agent, struct err *e)
{
	struct port_kept kept = { .fd = notify_kept(NOTIFY_QGA_PORT), .input_fd = -1 };
	struct port_config config = { .spec = agent->config.qga.spec,
				      .queue_bytes = agent->config.port.queue_bytes,
				      .bare = true,
				      .kept = &kept };
	struct collect_ctx files = sampling_context(agent->sampling, &collector_memory);
	struct qga_env env = { .loop = &agent->loop,
			       .config = &agent->config,
			       .probers = agent->prober,
			       .writer = &agent->writer,
			       .check = &agent->peers.parser.check,
			       .proc_fd = files.proc_fd,
			       .sys_fd = files.sys_fd,
			       .root_fd = files.root_fd,
			       .root = agent->privileged,
			       .freeze = &agent->freeze,
			       .send = send_text,
			       .record = record,
			       .records_read = records_read,
			       .signatures = demands_signatures,
			       .executor = has_executor,
			       .power = power,
			       .data = agent };

	if (strcmp(config.spec, "none") == 0) {
		close_fd(&kept.fd);
		return 0;
	}
	agent->qga = qga_new(&env);
	if (!agent->qga)
		return err_set(e, -ENOMEM, "out of memory");
	return port_new(&config, &events, agent, (uint32_t)agent->loop.now.mono_ns, &agent->qga_port, e);
}

void qgalink_hand_over(struct agent *agent)
{
	int fd = port_keep(agent->qga_port);

	if (fd >= 0)
		notify_keep(NOTIFY_QGA_PORT, fd);
}

void qgalink_report(const struct agent *agent, struct sink *out)
{
	const struct port_stats *stats = agent->qga_port ? port_stats(agent->qga_port) : NULL;

	sink_object_begin(out, "qga");
	sink_str(out, "spec", agent->config.qga.spec);
	if (stats) {
		sink_str(out, "state", port_state_name(port_state(agent->qga_port)));
		sink_str(out, "where", port_where(agent->qga_port));
		sink_uint(out, "sessions", stats->sessions);
		sink_uint(out, "faults", stats->faults);
		qga_report(agent->qga, out);
	}
	sink_object_end(out);
}
