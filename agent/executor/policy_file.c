/* SPDX-License-Identifier: MIT */
#include "agent/executor/policy_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* FNV-1a: not collision-resistant, but only root can choose its input. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	for (int i = 0; i < 8; i++, value >>= 8)
		hash = (hash ^ (value & 0xff)) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t mix_file(uint64_t hash, int dir_fd, const char *name)
{
	struct stat st = { .st_size = 0 };

	if (fstatat(dir_fd, name, &st, 0) < 0)
		return mix(hash, 1);
	hash = mix(mix(mix(hash, st.st_ino), st.st_mode), ((uint64_t)st.st_uid << 32) | st.st_gid);
	hash = mix(mix(hash, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
	hash = mix(mix(hash, (uint64_t)st.st_mtim.tv_nsec), (uint64_t)st.st_ctim.tv_sec);
	return mix(hash, (uint64_t)st.st_ctim.tv_nsec);
}

/* A hash over the configuration file and the drop-ins, by their metadata, in the order of readdir, which is stable. */
static uint64_t fingerprint(const char *path)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	char name[4096];
	DIR *dir;

	snprintf(name, sizeof(name), "%s/infiniservice.conf", path);
	hash = mix_file(hash, AT_FDCWD, name);
	snprintf(name, sizeof(name), "%s/conf.d", path);
	dir = opendir(name);
	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		for (const char *c = entry->d_name; *c; c++)
			hash = mix(hash, (unsigned char)*c);
		if (entry->d_name[0] != '.')
			hash = mix_file(hash, dirfd(dir), entry->d_name);
	}
	if (dir)
		closedir(dir);
	return hash | 1;
}

void policy_file_init(struct policy_file *guard, const char *dir)
{
	*guard = (struct policy_file){ .dir = dir ? dir : SYSCONFDIR "/infiniservice" };
}

void policy_file_done(struct policy_file *guard)
{
	if (guard->usable)
		config_free(&guard->config);
	guard->usable = false;
}

bool policy_file_refresh(struct policy_file *guard)
{
	uint64_t now = fingerprint(guard->dir);
	struct config fresh;
	int error;

	if (now == guard->fingerprint)
		return false;
	policy_file_done(guard);
	guard->err = (struct err){ 0 };
	error = config_init(&fresh);
	if (error == 0) {
		error = config_load_dir(&fresh, guard->dir, NULL, NULL, &guard->err);
		if (error == 0)
			error = config_check(&fresh, NULL, NULL, &guard->err);
		if (error < 0)
			config_free(&fresh);
	}
	/* Taken before the files were read, so that a change meanwhile makes the next refresh read them again. */
	guard->fingerprint = now;
	guard->usable = error == 0;
	if (guard->usable)
		guard->config = fresh;
	else if (guard->err.code == 0)
		err_set(&guard->err, error, "%s: %s", guard->dir, strerror(-error));
	return true;
}
