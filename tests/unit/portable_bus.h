/* SPDX-License-Identifier: MIT */
/*
 * With PORTABLE_BUS a test of the bus is built once more, with that of the portable build, whose functions have other
 * names there (see the Makefile): what comes after this line uses those, what comes before it is libsystemd.
 */
#ifdef PORTABLE_BUS
extern __typeof__(sd_bus_message_append) portable_sd_bus_message_append;
extern __typeof__(sd_bus_message_read) portable_sd_bus_message_read;
extern __typeof__(sd_bus_message_unref) portable_sd_bus_message_unref;
#define sd_bus_message_append portable_sd_bus_message_append
#define sd_bus_message_read   portable_sd_bus_message_read
#define sd_bus_message_unref  portable_sd_bus_message_unref
#endif
