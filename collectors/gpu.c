/* SPDX-License-Identifier: MIT */
/*
 * data.gpu: the graphics processors of the guest (virtual ones, and those that were passed through), as far as sysfs
 * tells: how busy they are and their memory, which of the drivers in the kernel amdgpu says
 * (Documentation/gpu/amdgpu/thermal.rst, driver-misc.rst), and their temperature (hwmon). A card that sleeps is not
 * woken.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "table.h"

#define CARDS_MAX 8
#define NAME_LEN  32

struct card {
	unsigned number;
	char driver[NAME_LEN], vendor[NAME_LEN], device[NAME_LEN]; /* PCI ids, "0x1af4" */
	bool asleep;
	uint64_t busy_percent, memory_used, memory_total; /* bytes */
	int error;					  /* of the first of these */
	int64_t millidegrees;
	int temperature_error;
};

struct gpu {
	struct card cards[CARDS_MAX];
	unsigned count, left_out;
};

static int gpu_open(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	*ret_state = calloc(1, sizeof(struct gpu));
	return *ret_state ? 0 : -ENOMEM;
}

static void gpu_close(void *state)
{
	free(state);
}

/* ---------------------------------------------------------------------------------------------------- collecting */

/* The last part of the link `driver`; "" where there is none. */
static void driver_read(int sys_fd, const char *device, char out[NAME_LEN])
{
	char path[64], target[256];
	const char *name;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/driver", device);
	n = readlinkat(sys_fd, path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	name = strrchr(target, '/');
	snprintf(out, NAME_LEN, "%.*s", NAME_LEN - 1, name ? name + 1 : target);
}

static void temperature_read(struct card *card, int sys_fd, const char *device)
{
	char path[96];
	unsigned chip;
	int total;

	card->temperature_error = -ENOENT;
	snprintf(path, sizeof(path), "%s/hwmon", device);
	total = attr_numbers(sys_fd, path, "hwmon", "", &chip, 1);
	if (total < 1)
		return;
	snprintf(path, sizeof(path), "%s/hwmon/hwmon%u/temp1_input", device, chip);
	card->temperature_error = attr_i64(sys_fd, path, &card->millidegrees);
}

static int number_read(int sys_fd, const char *device, const char *name, uint64_t *ret)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", device, name);
	return attr_u64(sys_fd, path, ret);
}

static void card_read(struct card *card, int sys_fd)
{
	char device[48], path[80], status[NAME_LEN];

	snprintf(device, sizeof(device), "class/drm/card%u/device", card->number);
	driver_read(sys_fd, device, card->driver);
	snprintf(path, sizeof(path), "%s/vendor", device);
	attr_text(sys_fd, path, card->vendor, sizeof(card->vendor));
	snprintf(path, sizeof(path), "%s/device", device);
	attr_text(sys_fd, path, card->device, sizeof(card->device));
	snprintf(path, sizeof(path), "%s/power/runtime_status", device);
	attr_text(sys_fd, path, status, sizeof(status));
	card->asleep = strcmp(status, "suspended") == 0;
	card->busy_percent = card->memory_used = card->memory_total = ATTR_ABSENT;
	if (card->asleep)
		return;
	card->error = number_read(sys_fd, device, "gpu_busy_percent", &card->busy_percent);
	if (card->busy_percent > 100 && card->error == 0) {
		card->busy_percent = ATTR_ABSENT;
		card->error = -EBADMSG;
	}
	number_read(sys_fd, device, "mem_info_vram_used", &card->memory_used);
	number_read(sys_fd, device, "mem_info_vram_total", &card->memory_total);
	temperature_read(card, sys_fd, device);
}

static int gpu_collect(void *state, const struct collect_ctx *ctx)
{
	unsigned numbers[CARDS_MAX];
	struct gpu *gpu = state;
	int total = attr_numbers(ctx->sys_fd, "class/drm", "card", "", numbers, CARDS_MAX);

	gpu->count = total < 0 ? 0 : total < CARDS_MAX ? (unsigned)total : CARDS_MAX;
	gpu->left_out = total > CARDS_MAX ? (unsigned)total - CARDS_MAX : 0;
	for (unsigned i = 0; i < gpu->count; i++) {
		gpu->cards[i] = (struct card){ .number = numbers[i] };
		card_read(&gpu->cards[i], ctx->sys_fd);
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void card_emit(struct sink *out, const struct card *card)
{
	bool warm = !card->asleep && card->temperature_error == 0;
	char name[NAME_LEN];

	snprintf(name, sizeof(name), "card%u", card->number);
	sink_object_begin(out, NULL);
	sink_str(out, "name", name);
	attr_emit_text(out, "driver", card->driver);
	attr_emit_text(out, "vendor", card->vendor);
	attr_emit_text(out, "device", card->device);
	attr_emit(out, "busy_percent", card->busy_percent);
	attr_emit(out, "memory_used_bytes", card->memory_used);
	attr_emit(out, "memory_total_bytes", card->memory_total);
	if (warm)
		sink_real(out, "celsius", (double)card->millidegrees / 1000, 1);
	else
		sink_null(out, "celsius");
	if (card->asleep)
		sink_str(out, "reason", "suspended");
	else if (card->error < 0 || !warm)
		sink_str(out, "reason", attr_reason(card->error < 0 ? card->error : card->temperature_error));
	sink_object_end(out);
}

static void gpu_emit(const void *state, struct sink *out)
{
	const struct gpu *gpu = state;

	sink_array_begin(out, "cards");
	for (unsigned i = 0; i < gpu->count; i++)
		card_emit(out, &gpu->cards[i]);
	sink_array_end(out);
	if (gpu->left_out > 0)
		sink_uint(out, "left_out", gpu->left_out);
}

const struct collector collector_gpu = {
	.name = "gpu",
	.path = "gpu",
	.period_s = 30,
	.open = gpu_open,
	.close = gpu_close,
	.collect = gpu_collect,
	.emit = gpu_emit,
};
