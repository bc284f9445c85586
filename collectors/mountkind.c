/* SPDX-License-Identifier: MIT */
/* Classes of mounts, by type, device and mount point; mostly tables of names. */
#include "mountinfo.h"

#include <infiniservice/cleanup.h>

static bool among(const struct scan *type, const char *const *names)
{
	for (; *names; names++)
		if (scan_equals(type, *names))
			return true;
	return false;
}

static bool begins(const struct scan *type, const char *prefix)
{
	struct scan copy = *type;

	return scan_key(&copy, prefix);
}

static bool ends(const struct scan *type, const char *suffix)
{
	size_t len = strlen(suffix);

	return scan_len(type) > len && memcmp(type->end - len, suffix, len) == 0;
}

static bool holds(const struct scan *text, const char *part)
{
	return memmem(text->at, scan_len(text), part, strlen(part)) != NULL;
}

/*
 * What follows the first of the prefixes that the path has, or that it holds anywhere; from the prefix's last '/' on.
 */
static bool below_any(const struct scan *path, const char *const *prefixes, bool anywhere, struct scan *ret_rest)
{
	for (; *prefixes; prefixes++) {
		size_t len = strlen(*prefixes);
		const char *found = anywhere		      ? memmem(path->at, scan_len(path), *prefixes, len)
				    : begins(path, *prefixes) ? path->at
							      : NULL;

		if (found) {
			*ret_rest = (struct scan){ found + len - 1, path->end };
			return true;
		}
	}
	return false;
}

/* Directories of container engines; the second list is of engines without root. */
static bool is_engines(const struct scan *path, struct scan *ret_rest)
{
	static const char *const folders[] = { "/var/lib/docker/",
					       "/var/lib/containers/storage/",
					       "/var/lib/containerd/",
					       "/var/snap/docker/",
					       "/var/lib/kubelet/",
					       "/var/lib/rancher/",
					       "/var/lib/lxc/",
					       "/var/lib/lxd/",
					       "/var/snap/lxd/",
					       "/var/lib/incus/",
					       "/run/containerd/",
					       "/run/docker/",
					       "/run/k3s/",
					       "/run/containers/",
					       NULL };
	static const char *const rootless[] = { "/.local/share/containers/storage/", "/.local/share/docker/", NULL };

	return below_any(path, folders, false, ret_rest) || below_any(path, rootless, true, ret_rest);
}

/*
 * The layers and root directories of containers, with any storage driver: devicemapper gives each a device of its own.
 */
static bool is_layer(const struct scan *below)
{
	static const char *const drivers[] = {
		"/zfs/graph/",	   "/btrfs/subvolumes/", "/overlay/",	    "/overlay2/",   "/aufs/",  "/vfs/",
		"/devicemapper/",  "/fuse-overlayfs/",	 "/containers/",    "/snapshotter", "/rootfs", "/netns/",
		"/io.containerd.", "/overlay-images/",	 "/overlay-layers/"
	};

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (holds(below, drivers[i]))
			return true;
	return false;
}

/*
 * Behind the first `part` comes what engines call a container or a layer: 64 hexadecimal digits, of a layer perhaps
 * with "-init".
 */
static bool names_by_digest(const struct scan *path, const char *part)
{
	const char *found = memmem(path->at, scan_len(path), part, strlen(part));
	size_t digits = 0;

	if (!found)
		return false;
	for (found += strlen(part);
	     found + digits < path->end && found[digits] && strchr("0123456789abcdef", found[digits]);)
		digits++;
	found += digits;
	return digits == 64 && (found == path->end || *found == '/' || *found == '-');
}

/* The same for an engine with another directory (data-root, graphroot): recognised by its names. */
static bool is_layer_elsewhere(const struct scan *mount_point)
{
	static const char *const drivers[] = { "/zfs/graph/", "/btrfs/subvolumes/", "/devicemapper/mnt/" };

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (names_by_digest(mount_point, drivers[i]))
			return true;
	return false;
}

static bool is_network(const struct scan *type)
{
	static const char *const network[] = { "nfs",	   "nfs4",	     "cifs",	   "smb3",	"smbfs",
					       "9p",	   "virtiofs",	     "ceph",	   "afs",	"lustre",
					       "orangefs", "glusterfs",	     "beegfs",	   "gpfs",	"ocfs2",
					       "gfs2",	   "fuse.glusterfs", "fuse.sshfs", "fuse.ceph", NULL };

	return among(type, network);
}

/* Files of an engine that are mounted inside a container (hosts, hostname): such a mount is no storage. */
static bool is_engines_file(const struct scan *root)
{
	return holds(root, "/docker/containers/") || names_by_digest(root, "/containers/") ||
	       holds(root, "/overlay-containers/") || holds(root, "/kubelet/pods/") || holds(root, "/io.containerd.");
}

bool mount_is_noise(const struct mountinfo_line *line)
{
	bool zfs = scan_equals(&line->type, "zfs");
	struct scan below;

	/* A snapshot of ZFS is mounted when somebody looks into it; its source is "pool/dataset@name". */
	if (holds(&line->mount_point, "/.zfs/snapshot/") || (zfs && holds(&line->source, "@")))
		return true;
	if (is_engines_file(&line->root) || is_layer_elsewhere(&line->mount_point))
		return true;
	if (!is_engines(&line->mount_point, &below))
		return false;
	/* A disk or share that a container was given for its data counts as storage. */
	return is_layer(&below) || (line->device >> 32 == 0 && !is_network(&line->type));
}

enum mount_class mount_classify(const struct scan *type, uint64_t device)
{
	/* Super block figures held in memory. */
	static const char *const local[] = { "ext4",  "xfs",   "btrfs", "vfat",	    "ext2",   "ext3",	  "f2fs",
					     "exfat", "msdos", "jfs",	"reiserfs", "nilfs2", "bcachefs", "iso9660",
					     "udf",   "ntfs3", "hfs",	"hfsplus",  "minix",  "ufs",	  NULL };
	/* On no block device of their own, and storage all the same. zfs waits for ever when its pool is suspended. */
	static const char *const remote[] = { "nfs",	"nfs4", "cifs",	   "smb3",   "smbfs",	 "9p",	   "virtiofs",
					      "ceph",	"afs",	"coda",	   "lustre", "orangefs", "pvfs2",  "glusterfs",
					      "beegfs", "gpfs", "ocfs2",   "gfs2",   "zfs",	 "vboxsf", "prl_fs",
					      "vmhgfs", "fuse", "fuseblk", "ncpfs",  "acfs",	 NULL };
	/* Views of other file systems or of nothing, and the images that packages mount by the dozen. */
	static const char *const views[] = { "fuse.lxcfs",
					     "fuse.gvfsd-fuse",
					     "fuse.gvfs-fuse-daemon",
					     "fuse.kio-fuse",
					     "fuse.portal",
					     "fuse.snapfuse",
					     "fuse.fuse-overlayfs",
					     "fuse.vmware-vmblock",
					     "fuse.rofiles-fuse",
					     "fuse.rawBridge",
					     "overlay",
					     "overlayfs",
					     "aufs",
					     "unionfs",
					     "squashfs",
					     "erofs",
					     "cramfs",
					     "romfs",
					     NULL };

	if (among(type, local))
		return MOUNT_LOCAL;
	if (among(type, views) || ends(type, ".AppImage"))
		return MOUNT_NOISE;
	if (among(type, remote) || begins(type, "fuse."))
		return MOUNT_PROBED;
	/* Anonymous devices (major 0) are what the kernel gives proc, tmpfs, overlay and their like. */
	return device >> 32 != 0 ? MOUNT_PROBED : MOUNT_IGNORED;
}
