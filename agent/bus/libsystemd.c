/* SPDX-License-Identifier: MIT */
#define LIBSYSTEMD_DIRECT
#include "agent/bus/libsystemd.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

static sd_bus_message *no_message(sd_bus_message *message)
{
	return message;
}

static sd_bus_slot *no_slot(sd_bus_slot *slot)
{
	return slot;
}

static sd_bus *no_connection(sd_bus *bus)
{
	return bus;
}

/* Before loading there can be no object to release. */
#define NOT_LOADED                                                                                                     \
	{                                                                                                              \
		.sd_bus_message_unref = no_message, .sd_bus_slot_unref = no_slot, .sd_bus_close_unref = no_connection  \
	}

struct libsystemd libsystemd = NOT_LOADED;

static struct {
	bool open, failed;
	uint64_t failed_ns, took_ns;
	struct err err; /* of the last failure */
} state;

static const struct {
	const char *name;
	size_t at;
} functions[] = {
#define FUNCTION(name) { #name, offsetof(struct libsystemd, name) },
	LIBSYSTEMD_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/*
 * Declares the library loaded at run time for packaging and image tools: the "FDO" ELF note that systemd documents
 * (ELF_DLOPEN_METADATA).
 */
#define NOTE_VENDOR "FDO"
#define NOTE_TYPE   0x407c0c0aU
#define NOTE_JSON                                                                                                      \
	"[{\"feature\":\"bus\",\"description\":\"Services, power and units over D-Bus\","                              \
	"\"priority\":\"recommended\",\"soname\":[\"" LIBSYSTEMD_FILE "\"]}]"

__attribute__((used, section(".note.dlopen"))) _Alignas(uint32_t) static const struct {
	uint32_t name_size, json_size, type;
	char name[sizeof(NOTE_VENDOR)];
	_Alignas(uint32_t) char json[sizeof(NOTE_JSON)];
} dlopen_note = { sizeof(NOTE_VENDOR), sizeof(NOTE_JSON), NOTE_TYPE, NOTE_VENDOR, NOTE_JSON };

int libsystemd_fail(uint64_t now_ns, const char *words, struct err *err)
{
	state.failed = true;
	state.failed_ns = now_ns;
	err_set(&state.err, -ELIBACC, "D-Bus cannot be used without libsystemd: %.300s (Debian's package %s)", words,
		LIBSYSTEMD_PACKAGE);
	if (err)
		*err = state.err;
	return -ELIBACC;
}

int libsystemd_failed(uint64_t now_ns, struct err *err)
{
	if (!state.failed || now_ns - state.failed_ns >= LIBSYSTEMD_RETRY_S * NS_PER_S)
		return 0;
	if (err)
		*err = state.err;
	return -ELIBACC;
}

static const char *fill(void *library, struct libsystemd *table)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *function = dlsym(library, functions[i].name);

		if (!function)
			return functions[i].name;
		memcpy((char *)table + functions[i].at, &function, sizeof(function));
	}
	return NULL;
}

int libsystemd_open(const char *file, uint64_t now_ns, struct err *err)
{
	uint64_t begun_ns = clock_ns(CLOCK_MONOTONIC);
	struct libsystemd table;
	const char *missing;
	void *library;
	char words[100];

	if (state.open || libsystemd_failed(now_ns, err) < 0)
		return state.open ? 0 : -ELIBACC;
	library = dlopen(file ? file : LIBSYSTEMD_FILE, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return libsystemd_fail(now_ns, dlerror(), err);
	missing = fill(library, &table);
	if (missing) {
		dlclose(library);
		snprintf(words, sizeof(words), "it is too old: there is no %s in it", missing);
		return libsystemd_fail(now_ns, words, err);
	}
	libsystemd = table;
	state.open = true;
	state.failed = false;
	state.took_ns = clock_ns(CLOCK_MONOTONIC) - begun_ns;
	return 0;
}

bool libsystemd_is_open(void)
{
	return state.open;
}

uint64_t libsystemd_open_ns(void)
{
	return state.took_ns;
}

void libsystemd_reset(void)
{
	memset(&state, 0, sizeof(state));
	libsystemd = (struct libsystemd)NOT_LOADED;
}
