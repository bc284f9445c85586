/* SPDX-License-Identifier: MIT */
/*
 * A sample in a hot loop, in this process: the agent's collect and encode against the floor of the same data. Rounds
 * alternate, medians are compared. `sample_cost [ROUNDS [SAMPLES]]` prints, for the system alone and for everything,
 * the nanoseconds of the floor, of collecting and of encoding, the ratio and the bytes of the line.
 * `sample_cost subjects [ROUNDS [SAMPLES]]` prints, for each collector alone, the nanoseconds of collecting and of
 * encoding beyond those of an empty sample, the bytes it adds, and the seconds of its period.
 */
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "agent/metrics/sampling.h"
#include "floor.h"

#define ROUNDS_MAX 200

static const struct {
	const char *name, *off;
} names[] = {
#define NAME(name, fallback, help) { #name, "collectors." #name "=no" },
	COLLECTORS(NAME)
#undef NAME
};

static void ignore_change(void *data, const struct collector *collector, int error)
{
	(void)data;
	fprintf(stderr, "%s: %s\n", collector->name, strerror(-error));
}

static struct loop loop; /* its time, which agent_round turns */

static struct sampling *sampling_make(const char *const *switched_off)
{
	static const struct identity id = { .vm_id = "bench", .boot_id = "00000000000000000000000000000000" };
	static struct config config;
	struct sampling *sampling;
	struct err e;

	if (config_init(&config) < 0)
		give_up("config");
	for (; *switched_off; switched_off++)
		if (config_set(&config, *switched_off, &e) < 0)
			give_up(*switched_off);
	loop.now = moment_now();
	sampling = sampling_new(
		&(struct sampling_config){ .loop = &loop, .id = &id, .first_seq = 1, .changed = ignore_change },
		&config);
	if (!sampling)
		give_up("sampling");
	config_free(&config);
	return sampling;
}

static double floor_round(struct floor *floor, bool full, unsigned samples)
{
	uint64_t begin_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

	for (unsigned i = 0; i < samples; i++) {
		if (full)
			floor_read_full(floor);
		else
			floor_read_system(floor);
	}
	return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_ns) / samples;
}

struct cost {
	double collect_ns, encode_ns;
	size_t bytes;
};

static struct cost agent_round(struct sampling *sampling, unsigned samples)
{
	uint64_t collect_ns = 0, begin_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct cost cost = { 0 };

	for (unsigned i = 0; i < samples; i++) {
		uint64_t before_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		struct line *line;

		loop.now = moment_now();
		sampling_collect_due(sampling);
		collect_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before_ns;
		line = sampling_encode(sampling);
		if (!line)
			give_up("sampling_encode");
		cost.bytes = line->len;
		line_unref(line);
	}
	cost.collect_ns = (double)collect_ns / samples;
	cost.encode_ns = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_ns) / samples - cost.collect_ns;
	return cost;
}

static void compare(const char *name, struct floor *floor, struct sampling *sampling, bool full, unsigned rounds,
		    unsigned samples)
{
	double floors[ROUNDS_MAX], collects[ROUNDS_MAX], encodes[ROUNDS_MAX], ratios[ROUNDS_MAX];
	struct cost cost;

	floor_round(floor, full, 3);
	agent_round(sampling, 3);
	for (unsigned i = 0; i < rounds; i++) {
		floors[i] = floor_round(floor, full, samples);
		cost = agent_round(sampling, samples);
		collects[i] = cost.collect_ns;
		encodes[i] = cost.encode_ns;
		ratios[i] = (cost.collect_ns + cost.encode_ns) / floors[i];
	}
	printf("%s %.0f %.0f %.0f %.3f %zu\n", name, median(floors, rounds), median(collects, rounds),
	       median(encodes, rounds), median(ratios, rounds), cost.bytes);
}

/* The medians over the rounds of a sample with this collector alone; NULL: with none. */
static struct cost alone(const struct collector *collector, unsigned rounds, unsigned samples)
{
	const char *switched_off[ARRAY_SIZE(names) + 1] = { NULL };
	double collects[ROUNDS_MAX], encodes[ROUNDS_MAX];
	struct sampling *sampling;
	struct cost cost;
	unsigned count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!collector || strcmp(names[i].name, collector->name) != 0)
			switched_off[count++] = names[i].off;
	sampling = sampling_make(switched_off);
	agent_round(sampling, 3);
	for (unsigned i = 0; i < rounds; i++) {
		cost = agent_round(sampling, samples);
		collects[i] = cost.collect_ns;
		encodes[i] = cost.encode_ns;
	}
	sampling_free(sampling);
	return (struct cost){ median(collects, rounds), median(encodes, rounds), cost.bytes };
}

static int print_subjects(unsigned rounds, unsigned samples)
{
	struct cost empty = alone(NULL, rounds, samples);

	printf("%-12s %10s %10s %6s %6s\n", "subject", "collect_ns", "encode_ns", "bytes", "period");
	for (unsigned i = 0; collectors[i]; i++) {
		struct cost cost = alone(collectors[i], rounds, samples);

		printf("%-12s %10.0f %10.0f %6zu %6u\n", collectors[i]->name, cost.collect_ns - empty.collect_ns,
		       cost.encode_ns - empty.encode_ns, cost.bytes - empty.bytes, collectors[i]->period_s);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	/* What is beside data.system, but the agent itself. */
	static const char *const system_off[] = {
		"collectors.processes=no", "collectors.ports=no", "collectors.tcp=no",	  "collectors.limits=no",
		"collectors.clock=no",	   "collectors.guest=no", "collectors.users=no",  "collectors.units=no",
		"collectors.sensors=no",   "collectors.gpu=no",	  "collectors.cgroup=no", NULL
	};
	static const char *const none_off[] = { NULL };
	static struct floor floor;
	unsigned rounds = argument(argc, argv, 1, 15, ROUNDS_MAX), samples = argument(argc, argv, 2, 300, 1000000);
	struct sampling *system, *full;

	if (argc > 1 && strcmp(argv[1], "subjects") == 0)
		return print_subjects(argument(argc, argv, 2, 11, ROUNDS_MAX), argument(argc, argv, 3, 200, 1000000));
	floor_open(&floor);
	system = sampling_make(system_off);
	compare("system", &floor, system, false, rounds, samples);
	sampling_free(system);
	full = sampling_make(none_off);
	compare("full", &floor, full, true, rounds, samples / 10 + 1);
	sampling_free(full);
	return EXIT_SUCCESS;
}
