/* SPDX-License-Identifier: MIT */
/* The library of D-Bus: loaded whole or not at all, read ahead by a child, and what is told where there is none. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <ev.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/bus/bus.h"
#include "agent/bus/libsystemd.h"

#include <link.h> /* last: it defines names of ev.h anew */

#define NOW (1000 * NS_PER_S)

static int setup(void **state)
{
	(void)state;
	libsystemd_reset();
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ the loader */

/* Each entry is the function of its name, wherever the linker finds it. */
static void the_table_is_complete(void **state)
{
	(void)state;
	assert_false(libsystemd_is_open());
	assert_int_equal(libsystemd_open(NULL, NOW, NULL), 0);
	assert_true(libsystemd_is_open());
	assert_true(libsystemd_open_ns() > 0);
#define CHECK(name) assert_ptr_equal((void *)(uintptr_t)libsystemd.name, (void *)(uintptr_t)name);
	LIBSYSTEMD_FUNCTIONS(CHECK)
#undef CHECK
	assert_int_equal(libsystemd_open("libnothing.so.0", NOW, NULL), 0);
}

static void a_library_that_is_missing_is_told_with_its_package(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(libsystemd_open("libnothing.so.0", NOW, &err), -ELIBACC);
	assert_int_equal(err.code, -ELIBACC);
	assert_non_null(strstr(err.text, "libnothing.so.0"));
	assert_non_null(strstr(err.text, "package libsystemd0"));
	assert_false(libsystemd_is_open());
}

/* As one of another release may be: nothing of it is used. */
static void a_library_that_lacks_a_function_is_told_and_not_used(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(libsystemd_open("libc.so.6", NOW, &err), -ELIBACC);
	assert_non_null(strstr(err.text, "too old"));
	assert_non_null(strstr(err.text, "sd_bus_"));
	assert_false(libsystemd_is_open());
	assert_null(libsystemd.sd_bus_new);
}

static void it_is_tried_again_a_minute_after_it_failed(void **state)
{
	struct err first, again;

	(void)state;
	assert_int_equal(libsystemd_open("libnothing.so.0", NOW, &first), -ELIBACC);
	assert_int_equal(libsystemd_open(NULL, NOW + 60 * NS_PER_S - 1, &again), -ELIBACC);
	assert_string_equal(again.text, first.text);
	assert_int_equal(libsystemd_open(NULL, NOW + 60 * NS_PER_S, &again), 0);
	assert_int_equal(libsystemd_failed(NOW + 60 * NS_PER_S, NULL), 0);
}

static void nothing_can_be_given_back_before_it_is_loaded(void **state)
{
	(void)state;
	assert_null(libsystemd.sd_bus_message_unref(NULL));
	assert_null(libsystemd.sd_bus_slot_unref(NULL));
	assert_null(libsystemd.sd_bus_close_unref(NULL));
}

/* The ELF note of this very program, where the linker of the agent puts it, too. */
static int find_note(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + part->p_vaddr), *end = at + part->p_memsz;

		while (part->p_type == PT_NOTE && at + 12 < end) {
			uint32_t head[3];

			memcpy(head, at, sizeof(head));
			if (head[2] == 0x407c0c0a && strcmp(at + 12, "FDO") == 0)
				*(const char **)data = at + 12 + ((head[0] + 3) & ~3U);
			at += 12 + ((head[0] + 3) & ~3U) + ((head[1] + 3) & ~3U);
		}
	}
	return 1; /* the first is the program */
}

static void packagers_read_in_the_program_what_it_loads(void **state)
{
	const char *json = NULL;

	(void)state;
	dl_iterate_phdr(find_note, &json);
	assert_non_null(json);
	assert_non_null(strstr(json, "\"soname\":[\"libsystemd.so.0\"]"));
	assert_int_equal(json[0], '[');
	assert_int_equal(json[strlen(json) - 1], ']');
}

/* ----------------------------------------------------------------------------------------------------- reading ahead
 */

struct reading {
	struct ev_loop *loop;
	struct bus *bus;
	unsigned over;
	ev_timer guard;
};

static void on_over(void *data)
{
	struct reading *reading = data;

	reading->over++;
	ev_break(reading->loop, EVBREAK_ALL);
}

static void on_guard(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

static void begin(struct reading *reading, const char *file, double read_s)
{
	*reading = (struct reading){ .loop = ev_default_loop(0) };
	ev_now_update(reading->loop); /* it may not have run for a while */
	reading->bus =
		bus_new(reading->loop,
			&(struct bus_config){
				.library = file, .library_read_s = read_s, .ready = on_over, .ready_data = reading });
	assert_non_null(reading->bus);
	ev_timer_init(&reading->guard, on_guard, 5, 0);
	ev_timer_start(reading->loop, &reading->guard);
}

static void end(struct reading *reading)
{
	ev_timer_stop(reading->loop, &reading->guard);
	bus_free(reading->bus);
}

static void it_is_loaded_only_after_a_child_has_read_it(void **state)
{
	struct reading reading;

	(void)state;
	begin(&reading, NULL, 0);
	assert_int_equal(bus_ready(reading.bus), -EINPROGRESS);
	assert_int_equal(bus_ready(reading.bus), -EINPROGRESS);
	assert_false(libsystemd_is_open());
	ev_run(reading.loop, 0);
	assert_int_equal(reading.over, 1);
	assert_true(libsystemd_is_open());
	assert_int_equal(bus_ready(reading.bus), 0);
	end(&reading);
}

static void expect_failure(struct reading *reading, const char *words)
{
	assert_int_equal(bus_ready(reading->bus), -EINPROGRESS);
	ev_run(reading->loop, 0);
	assert_int_equal(reading->over, 1);
	assert_int_equal(bus_ready(reading->bus), -ELIBACC);
	assert_non_null(strstr(bus_fault(reading->bus), words));
	assert_non_null(strstr(bus_fault(reading->bus), "package libsystemd0"));
	assert_int_equal(bus_state(reading->bus), BUS_UNUSABLE);
}

static void what_the_child_cannot_load_is_told_and_tried_again_a_minute_later(void **state)
{
	struct reading reading;

	(void)state;
	begin(&reading, "libnothing.so.0", 0);
	expect_failure(&reading, "libnothing.so.0");
	assert_int_equal(libsystemd_failed(clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S, NULL), 0);
	end(&reading);
}

/* A library whose file is never given: what it holds up is the child alone. */
static void a_disk_that_hangs_is_given_up(void **state)
{
	char dir[] = "/tmp/infini-XXXXXX", path[64];
	uint64_t begun_ns = clock_ns(CLOCK_MONOTONIC);
	struct reading reading;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo.so", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	begin(&reading, path, 0.05);
	expect_failure(&reading, "in time");
	assert_true(clock_ns(CLOCK_MONOTONIC) - begun_ns >= 50 * NS_PER_MS);
	end(&reading);
	close(open(path, O_RDWR | O_NONBLOCK));
	unlink(path);
	rmdir(dir);
}

static void a_bus_is_ready_when_its_library_is_and_says_so(void **state)
{
	struct reading reading = { .loop = ev_default_loop(0) };
	struct bus_config config = { .ready = on_over, .ready_data = &reading };
	struct bus *bus = bus_new(reading.loop, &config);
	sd_bus_message *message = NULL;

	(void)state;
	assert_int_equal(bus_state(bus), BUS_UNUSED);
	assert_int_equal(bus_message(bus, "a.b", "/", "a.b", "C", &message), -EINPROGRESS);
	assert_int_equal(bus_state(bus), BUS_READING);
	ev_run(reading.loop, 0);
	assert_int_equal(reading.over, 1);
	assert_int_equal(bus_state(bus), BUS_READY);
	assert_int_equal(bus_ready(bus), 0);
	bus_free(bus);
}

static void a_bus_without_its_library_says_which_package_it_wants(void **state)
{
	struct reading reading = { .loop = ev_default_loop(0) };
	struct bus_config config = { .library = "libnothing.so.0", .ready = on_over, .ready_data = &reading };
	struct bus *bus = bus_new(reading.loop, &config);
	sd_bus_message *message = NULL;

	(void)state;
	assert_int_equal(bus_ready(bus), -EINPROGRESS);
	assert_string_equal(bus_fault(bus), "");
	ev_run(reading.loop, 0);
	assert_int_equal(bus_message(bus, "a.b", "/", "a.b", "C", &message), -ELIBACC);
	assert_non_null(strstr(bus_fault(bus), "package libsystemd0"));
	assert_int_equal(bus_state(bus), BUS_UNUSABLE);
	bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_table_is_complete, setup),
		cmocka_unit_test_setup(a_library_that_is_missing_is_told_with_its_package, setup),
		cmocka_unit_test_setup(a_library_that_lacks_a_function_is_told_and_not_used, setup),
		cmocka_unit_test_setup(it_is_tried_again_a_minute_after_it_failed, setup),
		cmocka_unit_test_setup(nothing_can_be_given_back_before_it_is_loaded, setup),
		cmocka_unit_test_setup(packagers_read_in_the_program_what_it_loads, setup),
		cmocka_unit_test_setup(it_is_loaded_only_after_a_child_has_read_it, setup),
		cmocka_unit_test_setup(what_the_child_cannot_load_is_told_and_tried_again_a_minute_later, setup),
		cmocka_unit_test_setup(a_disk_that_hangs_is_given_up, setup),
		cmocka_unit_test_setup(a_bus_is_ready_when_its_library_is_and_says_so, setup),
		cmocka_unit_test_setup(a_bus_without_its_library_says_which_package_it_wants, setup),
	};

	return cmocka_run_group_tests_name("libsystemd", tests, NULL, NULL);
}
