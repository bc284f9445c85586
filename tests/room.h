/* SPDX-License-Identifier: MIT */
/* What a unit test says of the room that it runs in, see tests/room.c. */
#ifndef TESTS_ROOM_H
#define TESTS_ROOM_H

#include <stdbool.h>

/** True while this program runs where it can destroy nothing of the machine. */
bool test_in_room(void);

/** Defined by a test that could destroy something; it is then skipped where there is no room. */
extern const bool test_can_destroy;

#endif
