/* SPDX-License-Identifier: MIT */
/* The rules; see advice.h. "p95" is the share that 95 % of the samples do not exceed: a rare peak buys no hardware. */
#include "agent/metrics/advice.h"

#include <math.h>
#include <stdio.h>

#define CPU_BUSY	85.0 /* percent at p95: too few cores */
#define CPU_IDLE	20.0 /* below: too many */
#define CPU_AIM		60.0 /* where p95 should be after the change */
#define MEMORY_FULL	90.0
#define MEMORY_IDLE	35.0
#define MEMORY_AIM	70.0
#define MEMORY_STEP_MB	256.0
#define MEMORY_LEAST_MB 512.0
#define DISK_FULL	90.0
#define DISK_AIM	70.0
#define DISK_DAYS	30.0

static bool advise_cpu(const struct trend *trend, struct advice *advice)
{
	double p95 = trend_share_percentile(&trend->cpu, 95), cores = trend->cores;
	double wanted = ceil(cores * p95 / CPU_AIM);

	if (wanted < 1)
		wanted = 1;
	if (trend->cpu.count == 0 || cores < 1 || (p95 < CPU_BUSY && p95 > CPU_IDLE) || wanted == cores)
		return false;
	*advice = (struct advice){ .resource = "cpu", .current = cores, .recommended = wanted, .unit = "cores" };
	advice->savings_percent = wanted < cores ? (cores - wanted) * 100 / cores : 0;
	snprintf(advice->reason, sizeof(advice->reason),
		 "CPU use was at most %.0f %% in 95 %% of the samples (average %.0f %%, peak %.0f %%)", p95,
		 trend_share_average(&trend->cpu), trend->cpu.max);
	return true;
}

static bool advise_memory(const struct trend *trend, struct advice *advice)
{
	double p95 = trend_share_percentile(&trend->memory, 95), total_mb = (double)trend->memory_kb / 1024;
	double wanted = ceil(total_mb * p95 / MEMORY_AIM / MEMORY_STEP_MB) * MEMORY_STEP_MB;
	bool full = p95 >= MEMORY_FULL, idle = p95 <= MEMORY_IDLE && trend->memory.max < MEMORY_AIM;

	if (wanted < MEMORY_LEAST_MB)
		wanted = MEMORY_LEAST_MB;
	if (trend->memory.count == 0 || (!full && !(idle && wanted < total_mb * 0.9)))
		return false;
	*advice = (struct advice){
		.resource = "memory", .current = round(total_mb), .recommended = wanted, .unit = "MB"
	};
	advice->savings_percent = wanted < total_mb ? (total_mb - wanted) * 100 / total_mb : 0;
	snprintf(advice->reason, sizeof(advice->reason),
		 "memory use was at most %.0f %% in 95 %% of the samples (average %.0f %%, peak %.0f %%)", p95,
		 trend_share_average(&trend->memory), trend->memory.max);
	return true;
}

static bool advise_disk(const struct trend_mount *mount, struct advice *advice)
{
	double used = mount->last_total_gb > 0 ? mount->last_used_gb * 100 / mount->last_total_gb : 0;
	double days = trend_mount_days_left(mount);
	bool filling = days >= 0 && days < DISK_DAYS;
	double needed = mount->last_used_gb;

	if (used < DISK_FULL && !filling)
		return false;
	if (filling)
		needed += (mount->last_total_gb - mount->last_used_gb) * DISK_DAYS / fmax(days, 1);
	*advice = (struct advice){ .current = mount->last_total_gb,
				   .recommended = ceil(needed * 100 / DISK_AIM),
				   .unit = "GB" };
	snprintf(advice->resource, sizeof(advice->resource), "disk:%s", mount->path);
	if (filling)
		snprintf(advice->reason, sizeof(advice->reason),
			 "%.0f %% used; full in %.0f days if it goes on as in this time", used, days);
	else
		snprintf(advice->reason, sizeof(advice->reason), "%.0f %% used", used);
	return true;
}

size_t advice_make(const struct trend *trend, struct advice out[ADVICE_MAX])
{
	size_t count = 0;

	if (!trend_enough(trend))
		return 0;
	count += advise_cpu(trend, &out[count]);
	count += advise_memory(trend, &out[count]);
	for (uint32_t i = 0; i < trend->mounts_count && i < TREND_MOUNTS; i++)
		count += advise_disk(&trend->mounts[i], &out[count]);
	return count;
}
