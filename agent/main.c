/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

int main(int argc, char *argv[])
{
	return service_main(argc, argv);
}
