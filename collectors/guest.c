/* SPDX-License-Identifier: MIT */
/*
 * data.guest: what machine this is. It hardly ever changes, so it stands in whole samples alone. Only what everybody
 * may read, so no serial numbers; the bytes of all texts are the host's, or the image's, as they came.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "host.h"
#include "procfs.h"
#include "table.h"

/* ------------------------------------------------------------------------------------------------------- judging */

/* What systemd-detect-virt(1) knows, by the same names. */
const char *hypervisor_of_cpuid(const char signature[12])
{
	static const struct {
		char signature[13];
		const char *name;
	} known[] = {
		{ "KVMKVMKVM\0\0", "kvm" },	 { "Linux KVM Hv", "kvm" },	  { "TCGTCGTCGTCG", "qemu" },
		{ "XenVMMXenVMM", "xen" },	 { "Microsoft Hv", "microsoft" }, { "VMwareVMware", "vmware" },
		{ "bhyve bhyve ", "bhyve" },	 { "VBoxVBoxVBox", "oracle" },	  { "ACRNACRNACRN", "acrn" },
		{ "QNXQVMBSQG\0", "qnx" },	 { "SRESRESRESRE", "sre" },	  { " lrpepyh  vr", "parallels" },
		{ "prl hyperv  ", "parallels" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (memcmp(signature, known[i].signature, 12) == 0)
			return known[i].name;
	return NULL;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

const char *hypervisor_of_dmi(const struct guest_dmi *dmi)
{
	static const struct {
		const char *begins, *name;
	} known[] = {
		{ "KVM", "kvm" },
		{ "OpenStack", "kvm" },
		{ "KubeVirt", "kvm" },
		{ "QEMU", "qemu" },
		{ "Amazon EC2", "amazon" },
		{ "VMware", "vmware" },
		{ "VMW", "vmware" },
		{ "innotek GmbH", "oracle" },
		{ "VirtualBox", "oracle" },
		{ "Xen", "xen" },
		{ "Bochs", "bochs" },
		{ "Parallels", "parallels" },
		{ "BHYVE", "bhyve" },
		{ "Hyper-V", "microsoft" },
		{ "Apple Virtualization", "apple" },
		{ "Google Compute Engine", "google" },
	};
	const char *const texts[] = { dmi->product, dmi->vendor, dmi->bios_vendor, dmi->version };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t j = 0; j < ARRAY_SIZE(known); j++)
			if (begins(texts[i], known[j].begins))
				return known[j].name;
	return NULL;
}

/* The platforms' own documents name these; the chassis tag of Azure is the same in all of its machines. */
const char *cloud_of_dmi(const struct guest_dmi *dmi)
{
	enum { VENDOR, PRODUCT, VERSION, BIOS, TAG };
	static const struct {
		unsigned in;
		const char *begins, *name;
	} known[] = {
		{ VENDOR, "Amazon EC2", "ec2" },
		{ BIOS, "Amazon EC2", "ec2" },
		{ PRODUCT, "Google Compute Engine", "gce" },
		{ TAG, "7783-7084-3265-9085-8269-3286-77", "azure" },
		{ TAG, "OracleCloud.com", "oracle" },
		{ VENDOR, "DigitalOcean", "digitalocean" },
		{ VENDOR, "Hetzner", "hetzner" },
		{ VENDOR, "Vultr", "vultr" },
		{ VENDOR, "Scaleway", "scaleway" },
		{ VENDOR, "UpCloud", "upcloud" },
		{ VENDOR, "Akamai", "akamai" },
		{ VENDOR, "Linode", "akamai" },
		{ PRODUCT, "Alibaba Cloud ECS", "aliyun" },
		{ VENDOR, "Exoscale", "exoscale" },
		{ PRODUCT, "Exoscale", "exoscale" },
		{ PRODUCT, "CloudStack", "cloudstack" },
		{ PRODUCT, "OpenStack Nova", "openstack" },
		{ PRODUCT, "OpenStack Compute", "openstack" },
		{ VENDOR, "OpenStack Foundation", "openstack" },
		{ TAG, "OpenTelekomCloud", "openstack" },
	};
	const char *const texts[] = { [VENDOR] = dmi->vendor,
				      [PRODUCT] = dmi->product,
				      [VERSION] = dmi->version,
				      [BIOS] = dmi->bios_vendor,
				      [TAG] = dmi->chassis_tag };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (begins(texts[known[i].in], known[i].begins))
			return known[i].name;
	return NULL;
}

static void whites(struct scan *text)
{
	while (text->at < text->end && strchr(" \t\r\n", *text->at) && *text->at)
		text->at++;
}

/*	{ "v1": { "datasource": "DataSourceNoCloud […]", "errors": [] } } */
bool cloud_init_failed(const char *text, size_t len)
{
	struct scan rest = scan_text(text, len);

	for (; rest.at < rest.end; rest.at++) {
		if (!scan_key(&rest, "\"errors\""))
			continue;
		whites(&rest);
		if (!scan_byte(&rest, ':'))
			continue;
		whites(&rest);
		if (!scan_byte(&rest, '['))
			return true;
		whites(&rest);
		return !scan_byte(&rest, ']');
	}
	return true;
}

bool build_info_get(const char *text, size_t len, const char *key, char *out, size_t size)
{
	struct scan rest = scan_text(text, len), line, name;

	out[0] = '\0';
	while (scan_line(&rest, &line)) {
		size_t n;

		if (!scan_until(&line, ':', &name) || !scan_equals(&name, key))
			continue;
		scan_blanks(&line);
		n = strnlen(line.at, scan_len(&line));
		while (n > 0 && (line.at[n - 1] == ' ' || line.at[n - 1] == '\r'))
			n--;
		if (n == 0 || n >= size)
			return false;
		memcpy(out, line.at, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct guest {
	struct guest_dmi dmi;
	const char *hypervisor; /* NULL: not known */
	const char *cloud;	/* NULL: none that is known */
	const char *cloud_init; /* NULL: it is not there */
	char cloud_id[GUEST_TEXT_MAX], container[GUEST_TEXT_MAX], boot_id[GUEST_TEXT_MAX];
	char image_id[HOST_TEXT_MAX], image_version[HOST_TEXT_MAX];
	char kernel_version[HOST_TEXT_MAX], machine[HOST_TEXT_MAX];
	struct os_release release;
};

/* NULL: not known; the processor is asked once, as in a guest each of its answers is the hypervisor's work. */
static const char *hypervisor_of_processor(void)
{
#if defined(__x86_64__) || defined(__i386__)
	unsigned a, b, c, d;
	char signature[12];

	if (!__get_cpuid(1, &a, &b, &c, &d))
		return NULL;
	if (!(c & 1U << 31))
		return "none";
	__cpuid(0x40000000, a, b, c, d);
	memcpy(signature, &b, 4);
	memcpy(signature + 4, &c, 4);
	memcpy(signature + 8, &d, 4);
	return hypervisor_of_cpuid(signature);
#else
	return NULL;
#endif
}

static const char *hypervisor_of_tree(const struct collect_ctx *ctx)
{
	char text[GUEST_TEXT_MAX];

	if (attr_text(ctx->sys_fd, "firmware/devicetree/base/hypervisor/compatible", text, sizeof(text)) < 0)
		return NULL;
	return strcmp(text, "linux,kvm") == 0 ? "kvm" : begins(text, "xen") ? "xen" : NULL;
}

static int guest_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	const struct {
		const char *path;
		char *to;
	} texts[] = {
		{ "class/dmi/id/sys_vendor", guest ? guest->dmi.vendor : NULL },
		{ "class/dmi/id/product_name", guest ? guest->dmi.product : NULL },
		{ "class/dmi/id/product_version", guest ? guest->dmi.version : NULL },
		{ "class/dmi/id/bios_vendor", guest ? guest->dmi.bios_vendor : NULL },
		{ "class/dmi/id/bios_version", guest ? guest->dmi.bios_version : NULL },
		{ "class/dmi/id/chassis_asset_tag", guest ? guest->dmi.chassis_tag : NULL },
	};

	if (!guest)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		attr_text(ctx->sys_fd, texts[i].path, texts[i].to, GUEST_TEXT_MAX);
	guest->hypervisor = ctx->live ? hypervisor_of_processor() : NULL;
	if (!guest->hypervisor)
		guest->hypervisor = hypervisor_of_tree(ctx);
	if (!guest->hypervisor)
		guest->hypervisor = hypervisor_of_dmi(&guest->dmi);
	guest->cloud = cloud_of_dmi(&guest->dmi);
	*ret_state = guest;
	return 0;
}

static void guest_close(void *state)
{
	free(state);
}

/* A file of the system up to 4 KiB. Its length, 0 where it is not to be had. */
static size_t file_read(const struct collect_ctx *ctx, const char *path, char text[4096])
{
	struct stat st;
	ssize_t n;

	/* Nothing but a file: a pipe would be waited for. */
	if (fstatat(ctx->root_fd, path, &st, 0) < 0 || !S_ISREG(st.st_mode))
		return 0;
	n = procfs_read_once(ctx->root_fd, path, text, 4096);
	return n > 0 ? (size_t)n : 0;
}

static bool there(const struct collect_ctx *ctx, const char *path)
{
	struct stat st;

	return fstatat(ctx->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* cloud-init writes status.json while it works and result.json at its end; its generator disables it before. */
static void cloud_init_look(struct guest *guest, const struct collect_ctx *ctx)
{
	char text[4096];
	size_t len = file_read(ctx, "run/cloud-init/result.json", text);

	if (len > 0)
		guest->cloud_init = cloud_init_failed(text, len) ? "error" : "done";
	else if (there(ctx, "run/cloud-init/disabled"))
		guest->cloud_init = "disabled";
	else
		guest->cloud_init = there(ctx, "run/cloud-init/status.json") ? "running" : NULL;
	attr_text(ctx->root_fd, "run/cloud-init/cloud-id", guest->cloud_id, sizeof(guest->cloud_id));
}

/* os-release(5): IMAGE_ID and IMAGE_VERSION; cloud images of others have a build.info. */
static void release_look(struct guest *guest, const struct collect_ctx *ctx)
{
	static const char *const paths[] = { "etc/os-release", "usr/lib/os-release" };
	char text[4096];
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		len = file_read(ctx, paths[i], text);
		if (len > 0 && os_release_parse(text, len, &guest->release))
			break;
		guest->release = (struct os_release){ .id = "" };
	}
	memcpy(guest->image_id, guest->release.image_id, sizeof(guest->image_id));
	memcpy(guest->image_version, guest->release.image_version, sizeof(guest->image_version));
	if (guest->image_id[0])
		return;
	len = file_read(ctx, "etc/cloud/build.info", text);
	build_info_get(text, len, "build_name", guest->image_id, sizeof(guest->image_id));
	build_info_get(text, len, "serial", guest->image_version, sizeof(guest->image_version));
}

static int guest_collect(void *state, const struct collect_ctx *ctx)
{
	struct guest *guest = state;
	struct utsname names;

	attr_text(ctx->proc_fd, "sys/kernel/random/boot_id", guest->boot_id, sizeof(guest->boot_id));
	attr_text(ctx->proc_fd, "sys/kernel/version", guest->kernel_version, sizeof(guest->kernel_version));
	attr_text(ctx->root_fd, "run/systemd/container", guest->container, sizeof(guest->container));
	if (ctx->live && uname(&names) == 0)
		memcpy(guest->machine, names.machine, sizeof(names.machine));
	cloud_init_look(guest, ctx);
	release_look(guest, ctx);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void guest_emit(const void *state, struct sink *out)
{
	const struct guest *guest = state;

	sink_str(out, "hypervisor", guest->hypervisor);
	attr_emit_text(out, "container", guest->container);
	sink_str(out, "cloud", guest->cloud);
	attr_emit_text(out, "cloud_id", guest->cloud_id);
	sink_str(out, "cloud_init", guest->cloud_init);
	attr_emit_text(out, "boot_id", guest->boot_id);
	sink_object_begin(out, "dmi");
	attr_emit_text(out, "vendor", guest->dmi.vendor);
	attr_emit_text(out, "product", guest->dmi.product);
	attr_emit_text(out, "version", guest->dmi.version);
	attr_emit_text(out, "bios_vendor", guest->dmi.bios_vendor);
	attr_emit_text(out, "bios_version", guest->dmi.bios_version);
	sink_object_end(out);
	sink_object_begin(out, "image");
	attr_emit_text(out, "id", guest->image_id);
	attr_emit_text(out, "version", guest->image_version);
	sink_object_end(out);
	sink_object_begin(out, "kernel");
	attr_emit_text(out, "version", guest->kernel_version);
	attr_emit_text(out, "machine", guest->machine);
	sink_object_end(out);
	sink_object_begin(out, "os");
	attr_emit_text(out, "id", guest->release.id);
	attr_emit_text(out, "version_id", guest->release.version_id);
	sink_object_end(out);
}

const struct collector collector_guest = {
	.name = "guest",
	.path = "guest",
	.whole = true,
	.period_s = 60,
	.open = guest_open,
	.close = guest_close,
	.collect = guest_collect,
	.emit = guest_emit,
};
