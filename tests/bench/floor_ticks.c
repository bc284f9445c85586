/* SPDX-License-Identifier: MIT */
/*
 * The floor as a process that ticks: `floor_ticks system|full INTERVAL_MS` reads its data at every interval until it is
 * killed, and writes a dot after each tick so that its ticks can be counted.
 */
#include <time.h>

#include "floor.h"

int main(int argc, char **argv)
{
	static struct floor floor;
	unsigned interval_ms = argument(argc, argv, 2, 1000, 3600000);
	bool full = argc > 1 && strcmp(argv[1], "full") == 0;
	struct timespec due;

	floor_open(&floor);
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (;;) {
		due.tv_nsec += interval_ms % 1000 * 1000000L;
		due.tv_sec += interval_ms / 1000 + due.tv_nsec / 1000000000L;
		due.tv_nsec %= 1000000000L;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
		if (full)
			floor_read_full(&floor);
		else
			floor_read_system(&floor);
		send_text(STDOUT_FILENO, ".", 1);
	}
}
