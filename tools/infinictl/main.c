/* SPDX-License-Identifier: MIT */
/* The program is libctl; this is its entry. */
#include "tools/infinictl/cli.h"

int main(int argc, char **argv)
{
	return infinictl_main(argc, argv);
}
