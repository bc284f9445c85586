/* SPDX-License-Identifier: MIT */
/* The ports collector has no accessors; its state is the table of porttable.h. */
#ifndef COLLECTORS_PORTS_H
#define COLLECTORS_PORTS_H

#include "porttable.h"

#endif
