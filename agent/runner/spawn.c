/* SPDX-License-Identifier: MIT */
#include "agent/runner/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>

#define GROUPS_MAX 256

struct spawn_user {
	bool change;
	uid_t uid;
	gid_t gid, groups[GROUPS_MAX];
	int count;
};

/*
 * A clone that shares memory returns twice on one stack: the return address must not lie where the child's calls
 * overwrite it. The C library has no such wrapper for clone3. On other architectures, and under a sanitizer that
 * shadows the stack, memory is copied.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SPAWN_COPY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPAWN_COPY 1
#endif
#endif

#if defined(__x86_64__) && !defined(SPAWN_COPY)
#define SPAWN_SHARED CLONE_VM
long spawn_clone3(struct clone_args *args, size_t size) __attribute__((returns_twice, visibility("hidden")));
__asm__(".text\n.globl spawn_clone3\n.hidden spawn_clone3\n.type spawn_clone3,@function\nspawn_clone3:\n"
	"	endbr64\n	popq %rdx\n	movl $435, %eax\n	syscall\n	pushq %rdx\n	ret\n"
	".size spawn_clone3,.-spawn_clone3\n");
#elif defined(__aarch64__) && !defined(SPAWN_COPY)
#define SPAWN_SHARED CLONE_VM
long spawn_clone3(struct clone_args *args, size_t size) __attribute__((returns_twice, visibility("hidden")));
__asm__(".text\n.globl spawn_clone3\n.hidden spawn_clone3\n.type spawn_clone3,%function\nspawn_clone3:\n"
	"	hint #34\n	mov x8, #435\n	svc #0\n	ret\n"
	".size spawn_clone3,.-spawn_clone3\n");
#else
#define SPAWN_SHARED 0
static long spawn_clone3(struct clone_args *args, size_t size)
{
	long pid = syscall(SYS_clone3, args, size);

	return pid < 0 ? -errno : pid;
}
#endif

/* Looks a user up by the name service, which may block for long: that delays only the command of this supervisor. */
static int user_find(const char *name, struct spawn_user *ret)
{
	static char text[16384];
	struct passwd entry, *found = NULL;
	int error = getpwnam_r(name, &entry, text, sizeof(text), &found);

	if (!found)
		return error ? error : ENOENT;
	ret->change = geteuid() == 0 || entry.pw_uid != geteuid();
	ret->uid = entry.pw_uid;
	ret->gid = entry.pw_gid;
	ret->count = GROUPS_MAX;
	if (getgrouplist(name, entry.pw_gid, ret->groups, &ret->count) < 0)
		return E2BIG;
	return 0;
}

/*
 * Applies limits, user, directory and oom_score_adj to this process, by system calls alone. False: failure->stage tells
 * which failed.
 */
static bool command_dress(const struct runner_command *command, const struct spawn_user *user,
			  volatile struct spawn_failure *failure)
{
	static const int resources[RUNNER_LIMITS] = { RLIMIT_AS, RLIMIT_FSIZE, RLIMIT_CPU, RLIMIT_NPROC,
						      RLIMIT_NOFILE };

	if (command->run.oom_score_adj) {
		_cleanup_(closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
		char text[8];
		int len = snprintf(text, sizeof(text), "%d", command->run.oom_score_adj);

		/* Failure is ignored: lowering the value needs privilege, and the command can run without. */
		if (fd >= 0 && write(fd, text, (size_t)len) < 0)
			errno = 0;
	}
	failure->stage = RUNNER_STAGE_LIMITS;
	for (int i = 0; i < RUNNER_LIMITS; i++) {
		struct rlimit limit = { .rlim_cur = command->run.limits[i], .rlim_max = command->run.limits[i] };

		if (command->run.limits[i] && setrlimit((__rlimit_resource_t)resources[i], &limit) < 0)
			return false;
	}
	failure->stage = RUNNER_STAGE_USER;
	if (user->change &&
	    (setgroups((size_t)user->count, user->groups) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
	     setresuid(user->uid, user->uid, user->uid) < 0))
		return false;
	failure->stage = RUNNER_STAGE_CWD;
	return !command->cwd || chdir(command->cwd) == 0;
}

/*
 * Runs in the child, which may share the parent's memory: only system calls are allowed. `failure` is shared with the
 * parent.
 */
static void child_run(const struct runner_command *command, const struct spawn_io *io, const struct spawn_user *user,
		      pid_t parent, volatile struct spawn_failure *failure)
{
	const int from[] = { io->in, io->out, io->err, io->input };
	int fds[ARRAY_SIZE(from)], count = io->input < 0 ? RUNNER_INPUT_FD : RUNNER_INPUT_FD + 1;
	sigset_t none;

	failure->stage = RUNNER_STAGE_RESOURCE;
	setsid();
	/* Descriptors of any numbers, including 0 to 3, are moved out of the way first. */
	for (int i = 0; i < count; i++)
		fds[i] = fcntl(from[i], F_DUPFD, (int)ARRAY_SIZE(from));
	for (int i = 0; i < count; i++)
		if (dup2(fds[i], i) < 0)
			goto fail;
	if (close_range((unsigned)count, ~0U, 0) < 0 || !command_dress(command, user, failure))
		goto fail;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* after setresuid, which clears the death signal */
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	failure->stage = RUNNER_STAGE_EXEC;
	/* Not execve(3): a build that counts lines would write them there, and count none in the parent any more. */
	syscall(SYS_execve, command->argv[0], command->argv, command->envp);
fail:
	failure->error = errno;
	_exit(127);
}

/* CLONE_VFORK suspends the parent until the child has executed or ended, so `failure` is final when this returns. */
static long clone_run(const struct runner_command *command, const struct spawn_io *io, const struct spawn_user *user,
		      volatile struct spawn_failure *failure)
{
	struct clone_args args = { .flags = CLONE_VFORK | SPAWN_SHARED, .exit_signal = SIGCHLD };
	pid_t parent = getpid();
	long pid;

	pid = spawn_clone3(&args, sizeof(args));
	if (pid == 0)
		child_run(command, io, user, parent, failure);
	if (pid != -ENOSYS && pid != -EPERM)
		return pid;
	/* No clone3: before Linux 5.3, or in a sandbox that does not know it. */
	pid = syscall(SYS_clone, (unsigned long)(CLONE_VFORK | SIGCHLD), 0UL, 0UL, 0UL, 0UL);
	if (pid == 0)
		child_run(command, io, user, parent, failure);
	return pid < 0 ? -errno : pid;
}

pid_t spawn_command(const struct runner_command *command, const struct spawn_io *io, struct spawn_failure *ret_failure)
{
	static volatile struct spawn_failure *shared;
	static struct spawn_user user;
	int error;
	long pid;

	user.change = false;
	error = command->user ? user_find(command->user, &user) : 0;
	*ret_failure = (struct spawn_failure){ error, RUNNER_STAGE_USER };
	if (error)
		return -1;
	ret_failure->stage = RUNNER_STAGE_RESOURCE;
	if (!shared) {
		void *page = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		ret_failure->error = page == MAP_FAILED ? errno : 0;
		if (ret_failure->error)
			return -1;
		shared = page;
	}
	shared->error = 0;
	pid = clone_run(command, io, &user, shared);
	if (pid < 0) {
		ret_failure->error = (int)-pid;
		return -1;
	}
	if (shared->error == 0)
		return (pid_t)pid;
	while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
		;
	*ret_failure = (struct spawn_failure){ shared->error, shared->stage };
	return -1;
}

void spawn_signals_default(void)
{
	/* The kernel's own struct sigaction (rt_sigaction(2), asm-generic/signal.h); all zero is SIG_DFL. */
	const struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} action = { 0 };

	for (int sig = 1; sig < NSIG; sig++)
		syscall(SYS_rt_sigaction, sig, &action, NULL, sizeof(action.mask));
}

void spawn_replace(const struct runner_command *command, int input, int keep_fd, struct spawn_failure *ret_failure)
{
	static struct spawn_user user;
	int null_fd, error = command->user ? user_find(command->user, &user) : 0;
	sigset_t none;

	*ret_failure = (struct spawn_failure){ error, RUNNER_STAGE_USER };
	if (error)
		return;
	ret_failure->stage = RUNNER_STAGE_RESOURCE;
	spawn_signals_default();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 &&
	    (input < 0 || (input == RUNNER_INPUT_FD ? fcntl(input, F_SETFD, 0) : dup2(input, RUNNER_INPUT_FD)) >= 0) &&
	    fcntl(keep_fd, F_SETFD, FD_CLOEXEC) == 0 && command_dress(command, &user, ret_failure)) {
		ret_failure->stage = RUNNER_STAGE_EXEC;
		execve(command->argv[0], command->argv, command->envp);
	}
	ret_failure->error = errno;
}
