/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/guest.h"
#include "collectors/table.h"
#include "subject.h"

static void hypervisors_are_known_by_their_signatures_and_by_the_machine(void **state)
{
	(void)state;
	assert_string_equal(hypervisor_of_cpuid("KVMKVMKVM\0\0\0"), "kvm");
	assert_string_equal(hypervisor_of_cpuid("TCGTCGTCGTCG"), "qemu");
	assert_string_equal(hypervisor_of_cpuid("Microsoft Hv"), "microsoft");
	assert_null(hypervisor_of_cpuid("KVMKVMKVM\0\0x"));
	assert_null(hypervisor_of_cpuid("GenuineIntel"));
	assert_string_equal(hypervisor_of_dmi(&(struct guest_dmi){ .vendor = "QEMU" }), "qemu");
	assert_string_equal(hypervisor_of_dmi(&(struct guest_dmi){ .product = "KVM Virtual Machine" }), "kvm");
	assert_string_equal(hypervisor_of_dmi(&(struct guest_dmi){ .product = "VMware Virtual Platform" }), "vmware");
	assert_null(hypervisor_of_dmi(&(struct guest_dmi){ .vendor = "Dell Inc.", .product = "PowerEdge" }));
}

static void clouds_are_known_by_what_they_say_of_themselves(void **state)
{
	static const struct {
		struct guest_dmi dmi;
		const char *want;
	} cases[] = {
		{ { .vendor = "Amazon EC2", .product = "t3.micro" }, "ec2" },
		{ { .vendor = "Google", .product = "Google Compute Engine" }, "gce" },
		{ { .vendor = "Microsoft Corporation", .chassis_tag = "7783-7084-3265-9085-8269-3286-77" }, "azure" },
		{ { .vendor = "Microsoft Corporation", .product = "Virtual Machine" }, NULL },
		{ { .vendor = "QEMU", .product = "Standard PC", .chassis_tag = "OracleCloud.com" }, "oracle" },
		{ { .vendor = "Hetzner", .product = "vServer" }, "hetzner" },
		{ { .vendor = "OpenStack Foundation", .product = "OpenStack Nova" }, "openstack" },
		{ { .vendor = "QEMU", .product = "Standard PC (Q35 + ICH9, 2009)" }, NULL },
		{ { .vendor = "" }, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *cloud = cloud_of_dmi(&cases[i].dmi);

		assert_true(cases[i].want ? cloud && strcmp(cloud, cases[i].want) == 0 : !cloud);
	}
}

static void an_error_of_cloud_init_is_anything_in_its_list(void **state)
{
	static const struct {
		const char *text;
		bool failed;
	} cases[] = {
		{ "{\"v1\": {\"datasource\": \"None\", \"errors\": []}}", false },
		{ "{\"v1\":{\"errors\" :\n [ \n ] }}", false },
		{ "{\"v1\": {\"errors\": [\"no\"]}}", true },
		{ "{\"v1\": {\"errors\": [", true },
		{ "{\"v1\": {\"errors\": 1}}", true },
		{ "{\"x\": \"errors\", \"errors\": []}", false },
		{ "{}", true },
		{ "", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cloud_init_failed(cases[i].text, strlen(cases[i].text)) != cases[i].failed)
			print_error("%s\n", cases[i].text);
		assert_int_equal(cloud_init_failed(cases[i].text, strlen(cases[i].text)), cases[i].failed);
	}
}

static void a_machine_of_a_cloud_tells_all_that_it_is(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/class/dmi/id/sys_vendor", "Hetzner\n");
	fixture_write(fixture, "sys/class/dmi/id/product_name", "vServer\n");
	fixture_write(fixture, "sys/class/dmi/id/product_version", "20171111\n");
	fixture_write(fixture, "sys/class/dmi/id/bios_vendor", "QEMU\n");
	fixture_write(fixture, "proc/sys/kernel/random/boot_id", "1d1f1b4e-2a51-4f2a-8f5e-6a1f6d9a7b11\n");
	fixture_write(fixture, "proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.99-1\n");
	fixture_write(fixture, "root/run/cloud-init/result.json", "{\"v1\": {\"errors\": []}}\n");
	fixture_write(fixture, "root/run/cloud-init/cloud-id", "hetzner\n");
	fixture_write(fixture, "root/etc/os-release",
		      "ID=debian\nNAME=x\nVERSION_ID=\"12\"\nIMAGE_ID=base\nIMAGE_VERSION=7\n");
	assert_emits(fixture, &collector_guest,
		     "\"hypervisor\":\"qemu\",\"container\":null,\"cloud\":\"hetzner\",\"cloud_id\":\"hetzner\","
		     "\"cloud_init\":\"done\",\"boot_id\":\"1d1f1b4e-2a51-4f2a-8f5e-6a1f6d9a7b11\",\"dmi\":{\"vendor\":"
		     "\"Hetzner\","
		     "\"product\":\"vServer\",\"version\":\"20171111\",\"bios_vendor\":\"QEMU\",\"bios_version\":null},"
		     "\"image\":{\"id\":\"base\",\"version\":\"7\"},\"kernel\":{\"version\":\"#1 SMP PREEMPT_DYNAMIC "
		     "Debian 6.1.99-1\",\"machine\":null},\"os\":{\"id\":\"debian\",\"version_id\":\"12\"}");
}

static void what_is_not_known_is_null(void **state)
{
	assert_emits(*state, &collector_guest,
		     "\"hypervisor\":null,\"container\":null,\"cloud\":null,\"cloud_id\":null,\"cloud_init\":null,"
		     "\"boot_id\":null,\"dmi\":{\"vendor\":null,\"product\":null,\"version\":null,\"bios_vendor\":null,"
		     "\"bios_version\":null},\"image\":{\"id\":null,\"version\":null},\"kernel\":{\"version\":null,"
		     "\"machine\":null},\"os\":{\"id\":null,\"version_id\":null}");
}

static void assert_guest_has(struct fixture *fixture, const char *want)
{
	struct capture *capture = capture_begin();
	bool good;

	assert_int_equal(collector_guest.open(&fixture->ctx, &fixture->state), 0);
	assert_int_equal(collector_guest.collect(fixture->state, &fixture->ctx), 0);
	collector_guest.emit(fixture->state, &capture->sink);
	collector_guest.close(fixture->state);
	good = capture_has(capture, want);
	if (!good)
		print_error("%s\nwithout\n%s\n", capture->text, want);
	free(capture);
	assert_true(good);
}

static void the_state_of_cloud_init_is_that_of_its_files(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "root/run/cloud-init/status.json", "{}");
	assert_guest_has(fixture, "\"cloud_init\":\"running\"");
	fixture_write(fixture, "root/run/cloud-init/disabled", "");
	assert_guest_has(fixture, "\"cloud_init\":\"disabled\"");
	fixture_write(fixture, "root/run/cloud-init/result.json", "{\"v1\": {\"errors\": [\"x\"]}}");
	assert_guest_has(fixture, "\"cloud_init\":\"error\"");
}

static void an_image_of_a_cloud_is_known_by_its_build(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "root/etc/cloud/build.info", "build_name: server\nserial: 20250115 \n");
	assert_guest_has(fixture, "\"image\":{\"id\":\"server\",\"version\":\"20250115\"}");
	fixture_write(fixture, "root/etc/cloud/build.info", "build_name:\nserial 20250115\n");
	assert_guest_has(fixture, "\"image\":{\"id\":null,\"version\":null}");
}

static void a_tree_of_devices_names_the_hypervisor_too(void **state)
{
	struct fixture *fixture = *state;

	fixture_write_bytes(fixture, "sys/firmware/devicetree/base/hypervisor/compatible", "xen,xen-4.17\0xen,xen", 21);
	assert_guest_has(fixture, "\"hypervisor\":\"xen\"");
	fixture_write_bytes(fixture, "sys/firmware/devicetree/base/hypervisor/compatible", "linux,kvm", 10);
	assert_guest_has(fixture, "\"hypervisor\":\"kvm\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBJECT_TEST(hypervisors_are_known_by_their_signatures_and_by_the_machine),
		SUBJECT_TEST(clouds_are_known_by_what_they_say_of_themselves),
		SUBJECT_TEST(an_error_of_cloud_init_is_anything_in_its_list),
		SUBJECT_TEST(a_machine_of_a_cloud_tells_all_that_it_is),
		SUBJECT_TEST(what_is_not_known_is_null),
		SUBJECT_TEST(the_state_of_cloud_init_is_that_of_its_files),
		SUBJECT_TEST(an_image_of_a_cloud_is_known_by_its_build),
		SUBJECT_TEST(a_tree_of_devices_names_the_hypervisor_too),
	};

	return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
