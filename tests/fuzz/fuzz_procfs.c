/* SPDX-License-Identifier: MIT */
/*
 * The other texts of /proc and /etc that are read as a whole: stat, meminfo, pressure/…, vmstat, net/snmp, netstat,
 * sockstat and softnet_stat, file-nr, inode-nr, loadavg, uptime, os-release, passwd, sessions of logind, utmp, what
 * cloud-init leaves, control groups and their names.
 */
#include <math.h>

#include <utmp.h>

#include "collectors/cgroup.h"
#include "collectors/cpu.h"
#include "collectors/guest.h"
#include "collectors/host.h"
#include "collectors/limits.h"
#include "collectors/memory.h"
#include "collectors/pressure.h"
#include "collectors/tcp.h"
#include "collectors/users.h"
#include "collectors/vmstat.h"
#include "require.h"

static void check_cpu(const char *text, size_t size)
{
	struct cpu_times cores[8];
	struct cpu_stat stat = { .cores = cores, .cores_max = 8 };
	struct cpu_share share;

	if (cpu_stat_parse(text, size, &stat) < 0)
		return;
	REQUIRE(stat.cores_count <= stat.cores_max && stat.cores_count <= stat.cores_seen);
	for (size_t i = 1; i < stat.cores_count; i++)
		REQUIRE(cores[i].id > cores[i - 1].id && cores[i].id <= CPU_ID_MAX);
	for (size_t i = 0; i + 1 < stat.cores_count; i++) {
		share = cpu_share_between(&cores[i], &cores[i + 1], 1000);
		REQUIRE(share.usage >= 0 && share.usage <= 100);
	}
}

static void check_host(const char *text, size_t size)
{
	struct os_release release;
	struct host_load load;
	double seconds;
	char shell[64];

	os_release_parse(text, size, &release);
	REQUIRE(memchr(release.pretty_name, '\0', sizeof(release.pretty_name)));
	REQUIRE(memchr(release.version_id, '\0', sizeof(release.version_id)));
	if (loadavg_parse(text, size, &load) == 0)
		REQUIRE(isfinite(load.load_1min) && load.load_1min >= 0);
	if (uptime_parse(text, size, &seconds) == 0)
		REQUIRE(isfinite(seconds) && seconds >= 0);
	if (passwd_root_shell(text, size, shell, sizeof(shell)))
		REQUIRE(memchr(shell, '\0', sizeof(shell)));
}

static void check_stall(const struct stall *stall)
{
	REQUIRE(stall->avg10_percent >= 0 && stall->avg10_percent <= 100);
	REQUIRE(stall->avg60_percent >= 0 && stall->avg60_percent <= 100);
	REQUIRE(stall->avg300_percent >= 0 && stall->avg300_percent <= 100);
}

static void check_pressure(const char *text, size_t size)
{
	struct pressure pressure;

	if (pressure_parse(text, size, &pressure) < 0)
		return;
	REQUIRE(pressure.some.known || pressure.full.known);
	check_stall(&pressure.some);
	check_stall(&pressure.full);
}

static void check_vmstat(const char *text, size_t size)
{
	struct vmstat vmstat;
	bool any = false;

	if (vmstat_parse(text, size, &vmstat) < 0)
		return;
	for (unsigned i = 0; i < VMSTAT_COUNTERS; i++)
		any = any || vmstat.counters[i] != VMSTAT_ABSENT;
	REQUIRE(any);
}

static void check_inet(const char *text, size_t size)
{
	static int (*const parsers[])(const char *text, size_t len,
				      struct inet_stats *out) = { inet_pairs_parse, sockstat_parse, softnet_parse };

	for (size_t i = 0; i < sizeof(parsers) / sizeof(*parsers); i++) {
		struct inet_stats stats;
		bool any = false;

		inet_stats_clear(&stats);
		if (parsers[i](text, size, &stats) < 0)
			continue;
		for (unsigned j = 0; j < INET_COUNTERS; j++)
			any = any || stats.counters[j] != INET_ABSENT;
		for (unsigned j = 0; j < INET_GAUGES; j++)
			any = any || stats.gauges[j] != INET_ABSENT;
		REQUIRE(any);
	}
}

static void check_small(const char *text, size_t size)
{
	char value[16];
	struct file_nr files;
	struct inode_nr inodes;
	struct login login;

	(void)file_nr_parse(text, size, &files);
	(void)inode_nr_parse(text, size, &inodes);
	(void)cloud_init_failed(text, size);
	if (build_info_get(text, size, "serial", value, sizeof(value)))
		REQUIRE(value[0] && memchr(value, '\0', sizeof(value)));
	if (login_parse(text, size, &login)) {
		REQUIRE(login.user[0] && memchr(login.user, '\0', sizeof(login.user)));
		REQUIRE(login.since_ms >= 0);
	}
	if (size >= sizeof(struct utmp) && utmp_login(text, &login))
		REQUIRE(memchr(login.user, '\0', sizeof(login.user)) && memchr(login.host, '\0', sizeof(login.host)));
}

static void check_cgroup(const char *text, size_t size)
{
	struct cgroup_cpu cpu;
	struct cgroup_io io;
	struct cgroup_owner owner;
	char path[256];

	if (cgroup_cpu_parse(text, size, &cpu) == 0)
		REQUIRE(cpu.usage_us != CGROUP_ABSENT);
	(void)cgroup_io_parse(text, size, &io);
	(void)cgroup_blkio_parse(text, size, &io);
	(void)cgroup_key_parse(text, size, "oom_kill");
	size = size < sizeof(path) ? size : sizeof(path) - 1;
	memcpy(path, text, size);
	path[size] = '\0';
	cgroup_owner_get(path, &owner);
	REQUIRE((owner.kind == CGROUP_CONTAINER) == (owner.runtime != NULL));
	REQUIRE(memchr(owner.id, '\0', sizeof(owner.id)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct meminfo memory;

	check_cpu((const char *)data, size);
	check_host((const char *)data, size);
	check_pressure((const char *)data, size);
	check_vmstat((const char *)data, size);
	check_inet((const char *)data, size);
	check_small((const char *)data, size);
	check_cgroup((const char *)data, size);
	(void)meminfo_parse((const char *)data, size, &memory);
	return 0;
}
