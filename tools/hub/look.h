/* SPDX-License-Identifier: MIT */
/*
 * What the page is and asks for: routes whose `arg` is a struct routes. They answer browsers that asked for this hub,
 * and no other site.
 */
#ifndef HUB_LOOK_H
#define HUB_LOOK_H

#include "tools/hub/web.h"

void look_page(void *arg, struct web_request *request);
/* {"vms":[…]}, each as tell_row: in parts. */
void look_vms(void *arg, struct web_request *request);
/* ?vm=NAME: tell_vm, hours_tell. */
void look_vm(void *arg, struct web_request *request);
void look_hour(void *arg, struct web_request *request);

#endif
