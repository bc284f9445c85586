/* SPDX-License-Identifier: MIT */
/* Which units are never controlled: by their names, by what PID 1 calls them, and by what they start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <systemd/sd-bus.h>

#include "agent/config/config.h"
#include "agent/executor/verbs.h"
#include "agent/rules/unit_rules.h"

static void no_unit_of_ours_and_none_that_gives_a_shell_a_session_or_power_is_controlled(void **state)
{
	static const struct {
		const char *name, *words;
	} cases[] = {
		{ "infiniservice.service", "InfiniService itself" },
		{ "infiniservice-exec.service", "InfiniService itself" },
		{ "infiniservice-exec.socket", "InfiniService itself" },
		{ "infiniservice-port@vport1p1.service", "InfiniService itself" },
		{ "infiniservice-port@zz\\x3btouch.service", "InfiniService itself" },
		{ "infiniservice-cmd-1-2.service", "InfiniService itself" },
		{ "infiniservice-detached-1-2.service", "InfiniService itself" },
		{ "infinihost.service", "InfiniService itself" },
		{ "debug-shell.service", "shell" },
		{ "rescue.service", "shell" },
		{ "rescue.target", "shell" },
		{ "emergency.service", "shell" },
		{ "emergency.target", "shell" },
		{ "runlevel1.target", "shell" },
		{ "initrd-switch-root.service", "shell" },
		{ "dracut-emergency.service", "shell" },
		{ "container-shell@x.service", "shell" },
		{ "console-shell.service", "shell" },
		{ "rescue-ssh.target", "shell" },
		{ "single.service", "shell" },
		{ "sushell.service", "shell" },
		{ "kbrequest.target", "login" },
		{ "kmscon.service", "login" },
		{ "kmscon@tty1.service", "login" },
		{ "ttyd.service", "login" },
		{ "ttyd@7681.service", "login" },
		{ "shellinabox.service", "login" },
		{ "telnet.socket", "login" },
		{ "telnet@0.service", "login" },
		{ "lxc@web.service", "container" },
		{ "user@0.service", "session" },
		{ "user@1000.service", "session" },
		{ "user-runtime-dir@0.service", "session" },
		{ "capsule@x.service", "session" },
		{ "getty@tty1.service", "login" },
		{ "autovt@tty9.service", "login" },
		{ "serial-getty@ttyS0.service", "login" },
		{ "console-getty.service", "login" },
		{ "container-getty@0.service", "login" },
		{ "getty-static.service", "login" },
		{ "modprobe@dccp.service", "kernel" },
		{ "systemd-nspawn@x.service", "container" },
		{ "systemd-vmspawn@x.service", "container" },
		{ "systemd-sysext.service", "made of" },
		{ "systemd-sysext.socket", "made of" },
		{ "systemd-confext.service", "made of" },
		{ "systemd-firstboot.service", "made of" },
		{ "systemd-makefs@dev-vdb.service", "made of" },
		{ "ctrl-alt-del.target", "turning the machine off" },
		{ "kexec.target", "turning the machine off" },
		{ "kexec-load.service", "turning the machine off" },
		{ "systemd-kexec.service", "turning the machine off" },
		{ "poweroff.target", "turning the machine off" },
		{ "systemd-poweroff.service", "turning the machine off" },
		{ "reboot.target", "turning the machine off" },
		{ "systemd-reboot.service", "turning the machine off" },
		{ "halt.service", "turning the machine off" },
		{ "systemd-soft-reboot.service", "turning the machine off" },
		{ "exit.target", "turning the machine off" },
		{ "systemd-suspend-then-hibernate.service", "turning the machine off" },
		{ "runlevel6.target", "turning the machine off" },
		{ "packagekit-offline-update.service", "turning the machine off" },
		{ "rescue@x.service", "shell" },
		{ "emergency@x.service", "shell" },
		{ "debug-shell@tty9.service", "shell" },
		{ "breakpoint-pre-basic.service", "shell" },
		{ "anaconda-shell@tty1.service", "shell" },
		{ "tmux@root.service", "shell" },
		{ "screen@root.service", "shell" },
		{ "tmate.service", "shell" },
		{ "agetty-x.service", "login" },
		{ "agetty.service", "login" },
		{ "mgetty.service", "login" },
		{ "mingetty@tty1.service", "login" },
		{ "uugetty.service", "login" },
		{ "getty-x.service", "login" },
		{ "autologin@tty1.service", "login" },
		{ "login@tty1.service", "login" },
		{ "display-manager.service", "login" },
		{ "gdm.service", "login" },
		{ "gdm3.service", "login" },
		{ "sddm.service", "login" },
		{ "lightdm.service", "login" },
		{ "lxdm.service", "login" },
		{ "xdm.service", "login" },
		{ "kdm.service", "login" },
		{ "wdm.service", "login" },
		{ "slim.service", "login" },
		{ "nodm.service", "login" },
		{ "greetd.service", "login" },
		{ "greetd-2.service", "login" },
		{ "ly.service", "login" },
		{ "ly@tty2.service", "login" },
		{ "emptty.service", "login" },
		{ "lemurs.service", "login" },
		{ "entrance.service", "login" },
		{ "plasmalogin.service", "login" },
		{ "cosmic-greeter.service", "login" },
		{ "phosh.service", "login" },
		{ "cage@tty1.service", "login" },
		{ "weston.service", "login" },
		{ "xlogin@root.service", "login" },
		{ "xinit.service", "login" },
		{ "startx@root.service", "login" },
		{ "gotty.service", "login" },
		{ "wetty.service", "login" },
		{ "cockpit.socket", "login" },
		{ "cockpit.service", "login" },
		{ "cockpit-session@0-1-2.service", "login" },
		{ "cockpit-wsinstance-https@x.service", "login" },
		{ "webmin.service", "login" },
		{ "usermin.service", "login" },
		{ "rsh.socket", "login" },
		{ "rshd@0.service", "login" },
		{ "rlogin.socket", "login" },
		{ "rlogind.service", "login" },
		{ "rexec.socket", "login" },
		{ "rexecd.service", "login" },
		{ "inetutils-telnetd.service", "login" },
		{ "xrdp.service", "login" },
		{ "xrdp-sesman.service", "login" },
		{ "vncserver@:1.service", "login" },
		{ "tigervncserver@:1.service", "login" },
		{ "vncserver-x11-serviced.service", "login" },
		{ "x11vnc.service", "login" },
		{ "xvnc.socket", "login" },
		{ "wayvnc.service", "login" },
		{ "gnome-remote-desktop.service", "login" },
		{ "gnome-remote-desktop-headless.service", "login" },
		{ "nxserver.service", "login" },
		{ "xpra.socket", "login" },
		{ "container@web.service", "container" },
		{ "machine@web.service", "container" },
		{ "umount.service", "turning the machine off" },
		{ "umount.target", "turning the machine off" },
		{ "umountnfs.service", "turning the machine off" },
		{ "umountnfs-alternative.service", "turning the machine off" },
		{ "mount-ro.service", "turning the machine off" },
		{ "systemd-homed-firstboot.service", "made of" },
		{ "initial-setup.service", "made of" },
		{ "initial-setup-graphical.service", "made of" },
		{ "gnome-initial-setup.service", "made of" },
		{ "jeos-firstboot.service", "made of" },
		{ "YaST2-Firstboot.service", "made of" },
		{ "YaST2-Second-Stage.service", "made of" },
		{ "oem-config.service", "made of" },
		{ "systemd-fsck@dev-disk-by\\x2dlabel-x.service", "escape" },
		{ "anything@\\x2e\\x2e.socket", "escape" },
		{ "a@b@\\x20.timer", "escape" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *words = unit_rules_deny(cases[i].name, NULL);

		if (!words || !strstr(words, cases[i].words))
			fail_msg("%s: %s", cases[i].name, words ? words : "(nothing speaks against it)");
	}
}

static void ordinary_units_are_left_alone_by_the_rules(void **state)
{
	static const char *const cases[] = {
		"ssh.service",
		"cron.service",
		"postgresql@15-main.service",
		"php8.2-fpm.service",
		"dbus.socket",
		"apt-daily.timer",
		"systemd-timesyncd.service",
		"systemd-logind.service",
		"systemd-udevd.service",
		"systemd-tmpfiles-clean.timer",
		"NetworkManager.service",
		"rescuetime.service",
		"my\\x2dapp.service",
		"gettyimages.service",
		"users.service",
		"user-manager.service",
		"exit-node.service",
		"rebooter.service",
		"debug-shell-history.service",
		"ssh@0-127.0.0.1:22.service",
		"foo@.bar.service",
		"systemd-resolved.service",
		"openvpn@office.service",
		"getent.service",
		"haltestelle.service",
		"emergencycall.service",
		"modprobed.service",
		"singleton.service",
		"shell-history.service",
		"lxcfs.service",
		"rc-local.service",
		"sshd.service",
		"sshd@0-10.0.0.1:22-10.0.0.2:5.service",
		"ssh.socket",
		"sshd-vsock.socket",
		"dropbear.service",
		"tailscaled.service",
		"x2goserver.service",
		"guacd.service",
		"systemd-ask-password-console.path",
		"systemd-ask-password-wall.service",
		"systemd-user-sessions.service",
		"systemd-machined.service",
		"accounts-daemon.service",
		"docker.service",
		"podman.service",
		"libvirtd.service",
		"lxd.service",
		"xinetd.service",
		"slimserver.service",
		"gdm-settings.service",
		"lyrics.service",
		"umountd.service",
		"loginctl-watch.service",
		"remount-rw.service",
		"cagefs.service",
		"weston-logs.service",
		"rescued.service",
		"emergency-mail.service",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (unit_rules_deny(cases[i], NULL))
			fail_msg("%s: %s", cases[i], unit_rules_deny(cases[i], NULL));
}

static void the_owner_adds_units_and_shortens_nothing(void **state)
{
	char one[] = "postgresql@", two[] = "backup-*", three[] = "nginx", four[] = "mail.socket",
	     five[] = "my\\x2dapp.service";
	char *more[] = { one, two, three, four, five, NULL };
	static const char *const denied[] = {
		"postgresql@15-main.service", "backup-daily.timer",  "nginx.service",	     "mail.socket",
		"my\\x2dapp.service",	      "debug-shell.service", "infiniservice.service"
	};
	static const char *const left[] = { "postgresql.service", "nginx.timer", "mail.service", "nginx-extra.service",
					    "my-app.service" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(denied); i++)
		if (!unit_rules_deny(denied[i], more))
			fail_msg("%s is controlled", denied[i]);
	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		if (unit_rules_deny(left[i], more))
			fail_msg("%s: %s", left[i], unit_rules_deny(left[i], more));
	assert_non_null(strstr(unit_rules_deny("nginx.service", more), "deny_units"));
}

static void a_pattern_that_can_match_no_unit_is_an_error_of_the_configuration(void **state)
{
	static const char *const bad[] = { "/etc/x", "a;b", "a$b", "a%i", "a'b" };
	struct config config;
	struct err err = { .code = 0 };
	char text[64];

	(void)state;
	assert_int_equal(config_init(&config), 0);
	assert_int_equal(config_set(&config, "commands.deny_units=nginx backup-*, db@ x[0-9]?.timer", NULL), 0);
	assert_int_equal(config_check(&config, NULL, NULL, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "commands.deny_units=%s", bad[i]);
		assert_int_equal(config_set(&config, text, NULL), 0);
		assert_true(config_check(&config, NULL, NULL, &err) < 0);
		assert_non_null(strstr(err.text, "commands.deny_units"));
		assert_non_null(strstr(err.text, bad[i]));
	}
	config_free(&config);
}

/* As the manual writes it: a hyphen is \-. */
static void escape(const char *pattern, char *out)
{
	for (; *pattern; pattern++) {
		if (*pattern == '-')
			*out++ = '\\';
		*out++ = *pattern;
	}
	*out = '\0';
}

static void the_manual_lists_every_pattern_of_the_table(void **state)
{
	static char manual[262144];
	_cleanup_(fclosep) FILE *file = fopen("packaging/man/infiniservice.8", "re");
	const char *pattern, *words;
	char escaped[64];

	(void)state;
	assert_non_null(file);
	manual[fread(manual, 1, sizeof(manual) - 1, file)] = '\0';
	for (size_t i = 0; unit_rules_at(i, &pattern, &words); i++) {
		escape(pattern, escaped);
		if (!strstr(manual, escaped))
			fail_msg("infiniservice(8) does not say %s", pattern);
	}
}

/*
 * ------------------------------------------------------------------------------------------------- what PID 1 says of
 * it
 */

static sd_bus *bus;

static int connect_bus(void **state)
{
	int ends[2];

	(void)state;
	if (libsystemd_open(NULL, 0, NULL) < 0 || sd_bus_new(&bus) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	return sd_bus_set_fd(bus, ends[0], ends[0]) < 0 || sd_bus_start(bus) < 0 ? -1 : 0;
}

static int close_bus(void **state)
{
	(void)state;
	bus = sd_bus_close_unref(bus);
	return 0;
}

/* A unit with two names, one more list of units, and what else such a reply holds. */
static struct unit_facts facts_of(const char *id, const char *alias, const char *property, const char *other,
				  const char *load, const char *action, char *const *more)
{
	sd_bus_message *m = NULL;
	struct unit_facts facts;

	assert_true(sd_bus_message_new_signal(bus, &m, "/x", "x.y", "z") >= 0);
	assert_true(sd_bus_message_append(m, "a{sv}", 7, "Description", "s", "text", "Id", "s", id, "Names", "as", 2,
					  id, alias, property, "as", 2, "sysinit.target", other, "SuccessAction", "s",
					  action, "LoadError", "(ss)", "org.example.E", "words", "LoadState", "s",
					  load) >= 0);
	assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
	assert_int_equal(unit_facts_read(m, more, &facts), 0);
	sd_bus_message_unref(m);
	return facts;
}

static void a_unit_is_judged_by_all_its_names_and_by_what_it_starts(void **state)
{
	static const struct {
		const char *id, *alias, *property, *other, *words;
	} cases[] = {
		{ "debug-shell.service", "nice.service", "After", "a.service", "shell" },
		{ "nice.service", "debug-shell.service", "After", "a.service", "also called debug-shell.service" },
		{ "nice.service", "ctrl-alt-del.target", "After", "a.service", "turning" },
		{ "nice.timer", "nice.timer", "Triggers", "debug-shell.service", "it triggers debug-shell.service" },
		{ "nice.socket", "nice.socket", "Triggers", "x@\\x2f.service", "escape" },
		{ "nice.path", "nice.path", "Triggers", "infiniservice.service", "InfiniService" },
		{ "nice.timer", "nice.timer", "Triggers", "reboot.target", "turning" },
		{ "nice.timer", "nice.timer", "Triggers", "mine.service", "deny_units" },
		{ "nice.service", "nice.service", "ConsistsOf", "mine.service", "deny_units" },
		{ "nice.service", "nice.service", "PropagatesStopTo", "mine.service", "deny_units" },
		{ "nice.service", "nice.service", "BoundBy", "mine.service", "deny_units" },
		{ "nice.service", "nice.service", "Requires", "rescue.service", "it requires rescue.service" },
		{ "nice.service", "nice.service", "Wants", "getty@tty1.service", "it wants" },
		{ "nice.service", "nice.service", "BindsTo", "user@0.service", "it is bound to" },
		{ "nice.service", "nice.service", "Upholds", "debug-shell.service", "it upholds" },
		{ "nice.service", "nice.service", "OnFailure", "emergency.target", "when it fails" },
		{ "nice.service", "nice.service", "OnSuccess", "poweroff.target", "when it has done" },
		{ "nice.service", "nice.service", "RequiredBy", "infiniservice.service", "its stop stops" },
		{ "nice.service", "nice.service", "BoundBy", "infiniservice-exec.service", "its stop stops" },
		{ "nice.service", "nice.service", "Conflicts", "infiniservice.service", "its start stops" },
	};
	char mine[] = "mine";
	char *more[] = { mine, NULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct unit_facts facts = facts_of(cases[i].id, cases[i].alias, cases[i].property, cases[i].other,
						   "loaded", "none", more);
		char words[UNIT_RULES_WORDS_SIZE] = "";
		const char *error = unit_facts_error(&facts, "asked.service", words);

		if (!error || strcmp(error, UNIT_ERROR_DENIED) != 0 || !strstr(words, cases[i].words) ||
		    !strstr(words, "asked.service"))
			fail_msg("%s %s %s: %s", cases[i].id, cases[i].property, cases[i].other, words);
	}
}

static void what_turns_the_machine_off_at_its_end_is_power_whatever_its_name_is(void **state)
{
	struct unit_facts facts =
		facts_of("nice.service", "nice.service", "After", "a.service", "loaded", "poweroff-force", NULL);

	(void)state;
	assert_true(facts.denied);
	assert_non_null(strstr(facts.words, "poweroff-force"));
}

static void what_ordinary_units_depend_on_speaks_against_none_of_them(void **state)
{
	static const char *const cases[][2] = {
		{ "Conflicts", "shutdown.target" },
		{ "Wants", "modprobe@drm.service" },
		{ "Wants", "infiniservice.service" },
		{ "Requires", "system.slice" },
		{ "Wants", "user.slice" },
		{ "Triggers", "ssh.service" },
		{ "RequiredBy", "getty@tty1.service" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct unit_facts facts =
			facts_of("ssh.service", "sshd.service", cases[i][0], cases[i][1], "loaded", "none", NULL);

		if (facts.denied)
			fail_msg("%s %s: %s", cases[i][0], cases[i][1], facts.words);
	}
}

static void a_unit_that_cannot_be_loaded_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *load, *error, *words;
	} cases[] = {
		{ "not-found", "org.freedesktop.systemd1.NoSuchUnit", "Unit asked.service not found." },
		{ "masked", "org.freedesktop.systemd1.UnitMasked", "masked" },
		{ "bad-setting", UNIT_ERROR_NOT_LOADED, "words" },
		{ "error", UNIT_ERROR_NOT_LOADED, "words" },
		{ "something-new", UNIT_ERROR_NOT_LOADED, "something-new" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct unit_facts facts =
			facts_of("a.service", "a.service", "After", "b.service", cases[i].load, "none", NULL);
		char words[UNIT_RULES_WORDS_SIZE];

		assert_string_equal(unit_facts_error(&facts, "asked.service", words), cases[i].error);
		assert_non_null(strstr(words, cases[i].words));
	}
}

static void an_answer_without_the_units_own_name_is_no_answer(void **state)
{
	sd_bus_message *m = NULL;
	struct unit_facts facts;

	(void)state;
	assert_true(sd_bus_message_new_signal(bus, &m, "/x", "x.y", "z") >= 0);
	assert_true(sd_bus_message_append(m, "a{sv}", 1, "LoadState", "s", "loaded") >= 0);
	assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
	assert_true(unit_facts_read(m, NULL, &facts) < 0);
	sd_bus_message_unref(m);
}

/*
 * --------------------------------------------------------------------------------------------------- the port's helper
 */

static void the_name_of_a_port_is_data_and_nothing_else_is_taken(void **state)
{
	static const char *const good[] = { "vport0p1", "vport1p1", "vport12p31" };
	static const char *const bad[] = {
		"",
		"vport",
		"vport1",
		"vport1p",
		"vportp1",
		"vport01p1",
		"vport1p01",
		"vport1p1;id",
		"vport1p1\n",
		"../vport1p1",
		"vport1p1/x",
		"sda",
		"vport1p1 vport1p2",
		"vport-1p1",
		"vport1p1$(id)",
		"vport9999999999p1",
		"/dev/vport1p1",
		"Vport1p1",
		"vport1p1\\x3b",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(port_name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (port_name_valid(bad[i]))
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(port_give(AT_FDCWD, bad[i], getuid(), getgid()), -EINVAL);
	}
}

static void put(int root_fd, const char *path, const char *text)
{
	_cleanup_(closep) int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void a_port_is_wanted_when_the_configuration_names_it(void **state)
{
	char dir[] = "/tmp/test_port.XXXXXX", command[64];
	static const char *const dirs[] = { "sys", "sys/class", "sys/class/virtio-ports",
					    "sys/class/virtio-ports/vport1p1", "sys/class/virtio-ports/vport1p2" };
	_cleanup_(closep) int root_fd = -1;
	struct config config;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(dir));
	root_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		assert_int_equal(mkdirat(root_fd, dirs[i], 0755), 0);
	put(root_fd, "sys/class/virtio-ports/vport1p1/name", "org.infinibay.agent\n");
	put(root_fd, "sys/class/virtio-ports/vport1p2/name", "org.qemu.guest_agent.0\n");
	assert_int_equal(config_init(&config), 0);
	assert_true(port_is_wanted(root_fd, "vport1p1", &config));
	assert_false(port_is_wanted(root_fd, "vport1p2", &config));
	assert_false(port_is_wanted(root_fd, "vport1p3", &config));
	assert_false(port_is_wanted(root_fd, "../vport1p1", &config));
	assert_int_equal(config_set(&config, "qga.spec=virtio:org.qemu.guest_agent.0", &e), 0);
	assert_int_equal(config_set(&config, "port.spec=none", &e), 0);
	assert_true(port_is_wanted(root_fd, "vport1p2", &config));
	assert_false(port_is_wanted(root_fd, "vport1p1", &config));
	/* A wanted port without its node is told; one that is not wanted is not looked at. */
	assert_int_equal(prepare_ports(root_fd, &config, getuid(), getgid()), -ENODEV);
	assert_int_equal(config_set(&config, "qga.spec=none", &e), 0);
	assert_int_equal(prepare_ports(root_fd, &config, getuid(), getgid()), 0);
	config_free(&config);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void only_the_node_of_the_port_itself_is_given_away(void **state)
{
	char dir[] = "/tmp/test_port.XXXXXX";
	static const char *const dirs[] = { "dev", "sys", "sys/class", "sys/class/virtio-ports",
					    "sys/class/virtio-ports/vport1p1" };
	_cleanup_(closep) int root_fd = -1;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	root_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		assert_int_equal(mkdirat(root_fd, dirs[i], 0755), 0);
	assert_int_equal(port_give(root_fd, "vport1p1", getuid(), getgid()), -ENODEV);
	put(root_fd, "sys/class/virtio-ports/vport1p1/dev", "1:3\n");
	assert_int_equal(port_give(root_fd, "vport1p1", getuid(), getgid()), -ENOENT);
	put(root_fd, "dev/vport1p1", "");
	assert_int_equal(port_give(root_fd, "vport1p1", getuid(), getgid()), -ENODEV);
	assert_int_equal(fstatat(root_fd, "dev/vport1p1", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(unlinkat(root_fd, "dev/vport1p1", 0), 0);
	assert_int_equal(symlinkat("/dev/null", root_fd, "dev/vport1p1"), 0); /* the right number, by another name */
	assert_int_equal(port_give(root_fd, "vport1p1", getuid(), getgid()), -ENODEV);
	assert_int_equal(unlinkat(root_fd, "dev/vport1p1", 0), 0);
	if (mknodat(root_fd, "dev/vport1p1", S_IFCHR | 0666, makedev(1, 3)) == 0) { /* root alone can make one */
		assert_int_equal(port_give(root_fd, "vport1p1", 12345, 12345), 0);
		assert_int_equal(fstatat(root_fd, "dev/vport1p1", &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(unlinkat(root_fd, "dev/vport1p1", 0), 0);
	}
	unlinkat(root_fd, "sys/class/virtio-ports/vport1p1/dev", 0);
	for (size_t i = ARRAY_SIZE(dirs); i-- > 0;)
		assert_int_equal(unlinkat(root_fd, dirs[i], AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_unit_of_ours_and_none_that_gives_a_shell_a_session_or_power_is_controlled),
		cmocka_unit_test(ordinary_units_are_left_alone_by_the_rules),
		cmocka_unit_test(the_owner_adds_units_and_shortens_nothing),
		cmocka_unit_test(a_pattern_that_can_match_no_unit_is_an_error_of_the_configuration),
		cmocka_unit_test(the_manual_lists_every_pattern_of_the_table),
		cmocka_unit_test(a_unit_is_judged_by_all_its_names_and_by_what_it_starts),
		cmocka_unit_test(what_turns_the_machine_off_at_its_end_is_power_whatever_its_name_is),
		cmocka_unit_test(what_ordinary_units_depend_on_speaks_against_none_of_them),
		cmocka_unit_test(a_unit_that_cannot_be_loaded_is_refused_with_the_reason),
		cmocka_unit_test(an_answer_without_the_units_own_name_is_no_answer),
		cmocka_unit_test(the_name_of_a_port_is_data_and_nothing_else_is_taken),
		cmocka_unit_test(a_port_is_wanted_when_the_configuration_names_it),
		cmocka_unit_test(only_the_node_of_the_port_itself_is_given_away),
	};

	return cmocka_run_group_tests_name("unit_rules", tests, connect_bus, close_bus);
}
