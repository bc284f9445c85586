/* SPDX-License-Identifier: MIT */
#include "agent/cli.h"

int main(int argc, char *argv[])
{
	return service_main(argc, argv);
}
