/* SPDX-License-Identifier: MIT */
/*
 * The table of units that may not be controlled, and how a unit is matched against it; see unit_rules.h,
 * systemd.unit(5), systemd.special(7).
 */
#include "agent/rules/unit_rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

/* Reasons for denying a unit. `harmful`: a unit that pulls in one of this class is denied too. */
enum class { CLASS_OWN, CLASS_SHELL, CLASS_SESSION, CLASS_MACHINE, CLASS_POWER, CLASS_KERNEL, CLASS_SYSTEM };

static const struct {
	const char *words;
	bool harmful;
} classes[] = {
	[CLASS_OWN] = { "it belongs to InfiniService itself", false },
	[CLASS_SHELL] = { "it gives a shell", true },
	[CLASS_SESSION] = { "it gives a login or a user's session", true },
	[CLASS_MACHINE] = { "it starts a container or machine", true },
	[CLASS_POWER] = { "it is for turning the machine off or round: RebootSystem and ShutdownSystem do that", true },
	[CLASS_KERNEL] = { "it loads code into the kernel", false },
	[CLASS_SYSTEM] = { "it changes what the system is made of", true },
};

/* Patterns of unit names, mostly for any suffix: a socket, timer or path of that name starts the service. */
static const struct {
	const char *pattern;
	enum class class;
} table[] = {
	{ "infiniservice*", CLASS_OWN },
	{ "infinihost*", CLASS_OWN },
	/* mostly a root shell without a password */
	{ "debug-shell[.@]*", CLASS_SHELL },
	{ "rescue[.@]*", CLASS_SHELL },
	{ "emergency[.@]*", CLASS_SHELL },
	{ "breakpoint-*", CLASS_SHELL },
	{ "runlevel[1Ss].*", CLASS_SHELL },
	{ "*sulogin*", CLASS_SHELL },
	{ "initrd-*", CLASS_SHELL },
	{ "initrd.*", CLASS_SHELL },
	{ "dracut-*", CLASS_SHELL },
	{ "container-shell@*", CLASS_SHELL },
	{ "console-shell.*", CLASS_SHELL },
	{ "rescue-ssh.*", CLASS_SHELL },
	{ "single.*", CLASS_SHELL },
	{ "sushell.*", CLASS_SHELL },
	{ "anaconda*", CLASS_SHELL },
	{ "tmux@*", CLASS_SHELL },
	{ "screen@*", CLASS_SHELL },
	{ "tmate[.@]*", CLASS_SHELL },
	{ "kbrequest.*", CLASS_SESSION },
	{ "kmscon[.@]*", CLASS_SESSION },
	/*
	 * A terminal in a browser, an unencrypted login or a remote desktop. Other network services, ssh above all,
	 * authenticate their clients and are ordinary units.
	 */
	{ "ttyd[.@]*", CLASS_SESSION },
	{ "gotty[.@]*", CLASS_SESSION },
	{ "wetty[.@]*", CLASS_SESSION },
	{ "cockpit[.@-]*", CLASS_SESSION },
	{ "webmin.*", CLASS_SESSION },
	{ "usermin.*", CLASS_SESSION },
	{ "rsh[.@]*", CLASS_SESSION },
	{ "rshd[.@]*", CLASS_SESSION },
	{ "rlogin[.@]*", CLASS_SESSION },
	{ "rlogind[.@]*", CLASS_SESSION },
	{ "rexec[.@]*", CLASS_SESSION },
	{ "rexecd[.@]*", CLASS_SESSION },
	{ "shellinabox*", CLASS_SESSION },
	{ "telnet[.@]*", CLASS_SESSION },
	{ "telnetd[.@]*", CLASS_SESSION },
	{ "*-telnetd[.@]*", CLASS_SESSION },
	{ "xrdp[.@-]*", CLASS_SESSION },
	{ "*vncserver*", CLASS_SESSION },
	{ "*vnc[.@]*", CLASS_SESSION },
	{ "gnome-remote-desktop*", CLASS_SESSION },
	{ "nxserver.*", CLASS_SESSION },
	{ "xpra[.@]*", CLASS_SESSION },
	{ "*getty[.@-]*", CLASS_SESSION },
	{ "autovt@*", CLASS_SESSION },
	{ "kmsconvt@*", CLASS_SESSION },
	{ "autologin[.@]*", CLASS_SESSION },
	{ "login@*", CLASS_SESSION },
	/* login screens, and units that start a desktop without one */
	{ "display-manager.*", CLASS_SESSION },
	{ "gdm.*", CLASS_SESSION },
	{ "gdm3.*", CLASS_SESSION },
	{ "sddm[.@]*", CLASS_SESSION },
	{ "lightdm[.@]*", CLASS_SESSION },
	{ "lxdm.*", CLASS_SESSION },
	{ "xdm.*", CLASS_SESSION },
	{ "kdm.*", CLASS_SESSION },
	{ "wdm.*", CLASS_SESSION },
	{ "slim.*", CLASS_SESSION },
	{ "nodm.*", CLASS_SESSION },
	{ "greetd[.@-]*", CLASS_SESSION },
	{ "ly[.@]*", CLASS_SESSION },
	{ "emptty.*", CLASS_SESSION },
	{ "lemurs.*", CLASS_SESSION },
	{ "entrance.*", CLASS_SESSION },
	{ "plasmalogin[.@]*", CLASS_SESSION },
	{ "cosmic-greeter.*", CLASS_SESSION },
	{ "phosh.*", CLASS_SESSION },
	{ "cage[.@]*", CLASS_SESSION },
	{ "weston[.@]*", CLASS_SESSION },
	{ "xlogin@*", CLASS_SESSION },
	{ "xinit[.@]*", CLASS_SESSION },
	{ "startx@*", CLASS_SESSION },
	{ "user@*", CLASS_SESSION },
	{ "user-runtime-dir@*", CLASS_SESSION },
	{ "capsule@*", CLASS_SESSION },
	{ "systemd-nspawn@*", CLASS_MACHINE },
	{ "systemd-vmspawn@*", CLASS_MACHINE },
	{ "lxc@*", CLASS_MACHINE },
	{ "container@*", CLASS_MACHINE },
	{ "machine@*", CLASS_MACHINE },
	{ "machines.target", CLASS_MACHINE },
	{ "modprobe@*", CLASS_KERNEL },
	{ "systemd-sysext*", CLASS_SYSTEM },
	{ "systemd-confext*", CLASS_SYSTEM },
	{ "systemd-sysupdate*", CLASS_SYSTEM },
	{ "systemd-firstboot.*", CLASS_SYSTEM },
	{ "systemd-homed-firstboot.*", CLASS_SYSTEM },
	{ "initial-setup*", CLASS_SYSTEM },
	{ "gnome-initial-setup*", CLASS_SYSTEM },
	{ "jeos-firstboot*", CLASS_SYSTEM },
	{ "YaST2-Firstboot.*", CLASS_SYSTEM },
	{ "YaST2-Second-Stage.*", CLASS_SYSTEM },
	{ "oem-config*", CLASS_SYSTEM },
	{ "systemd-repart*", CLASS_SYSTEM },
	{ "systemd-makefs@*", CLASS_SYSTEM },
	{ "systemd-mkswap@*", CLASS_SYSTEM },
	{ "systemd-volatile-root.*", CLASS_SYSTEM },
	{ "systemd-factory-reset*", CLASS_SYSTEM },
	{ "factory-reset.*", CLASS_SYSTEM },
	{ "ctrl-alt-del.*", CLASS_POWER },
	{ "sigpwr.*", CLASS_POWER },
	{ "kexec*", CLASS_POWER },
	{ "systemd-kexec*", CLASS_POWER },
	{ "systemd-hibernate*", CLASS_POWER },
	{ "systemd-initctl.*", CLASS_POWER },
	{ "runlevel[06].*", CLASS_POWER },
	{ "system-update*", CLASS_POWER },
	{ "*-offline-update.*", CLASS_POWER },
	{ "*-system-upgrade*", CLASS_POWER },
	{ "*-offline-transaction.*", CLASS_POWER },
	{ "sendsigs.*", CLASS_POWER },
	{ "killprocs.*", CLASS_POWER },
	{ "umount.*", CLASS_POWER },
	{ "umountfs.*", CLASS_POWER },
	{ "umountnfs*", CLASS_POWER },
	{ "mount-ro.*", CLASS_POWER },
	{ "umountroot.*", CLASS_POWER },
	{ "final.target", CLASS_POWER },
	{ "sleep.target", CLASS_POWER },
	{ "selinux-autorelabel*", CLASS_POWER },
	{ "bootc-fetch-apply-updates.*", CLASS_POWER },
	/* units that turn the machine off, reboot or suspend it are matched by unit_name_is_power */
};

#define ESCAPED_WORDS "the instance of a template has an escape (\\xHH) in its name"
#define OWNER_WORDS   "the owner of this guest has denied it (commands.deny_units)"

bool unit_rules_at(size_t i, const char **pattern, const char **words)
{
	if (i >= ARRAY_SIZE(table))
		return false;
	*pattern = table[i].pattern;
	*words = classes[table[i].class].words;
	return true;
}

/* The class that denies the name, or -1. A backslash is part of a unit name, not an escape of the pattern. */
static int class_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (fnmatch(table[i].pattern, name, FNM_NOESCAPE) == 0)
			return (int)table[i].class;
	return unit_name_is_power(name) ? CLASS_POWER : -1;
}

/*
 * The host chooses what an escape in an instance name stands for, and where the unit uses it is unknown here: denied.
 */
static bool is_escaped_instance(const char *name)
{
	const char *at = strchr(name, '@');

	return at && strchr(at, '\\');
}

static bool owner_denies(const char *pattern, const char *name)
{
	char longer[UNIT_NAME_SIZE + 16];

	if (fnmatch(pattern, name, FNM_NOESCAPE) == 0)
		return true;
	snprintf(longer, sizeof(longer), "%.255s%s", pattern,
		 *pattern && pattern[strlen(pattern) - 1] == '@' ? "*" : ".service");
	return fnmatch(longer, name, FNM_NOESCAPE) == 0;
}

static const char *owner_words(const char *name, char *const *more)
{
	for (; more && *more; more++)
		if (owner_denies(*more, name))
			return OWNER_WORDS;
	return NULL;
}

const char *unit_rules_deny(const char *name, char *const *more)
{
	int class = class_of(name);

	if (class >= 0)
		return classes[class].words;
	if (is_escaped_instance(name))
		return ESCAPED_WORDS;
	return owner_words(name, more);
}

/*
 * ------------------------------------------------------------------------------------------------ properties of a unit
 */

/*
 * How a unit in a property of the judged unit is related to it, see org.freedesktop.systemd1(5): another of its names;
 * a unit that it triggers; one started with it or at its end; one stopped by its start or stop.
 */
enum relation { RELATION_NAME, RELATION_TRIGGER, RELATION_PULLS_IN, RELATION_TAKES_ALONG };

static const struct {
	const char *property;
	enum relation relation;
	const char *words;
} relations[] = {
	{ "Names", RELATION_NAME, "it is also called" },
	{ "Triggers", RELATION_TRIGGER, "it triggers" },
	{ "Requires", RELATION_PULLS_IN, "it requires" },
	{ "Requisite", RELATION_PULLS_IN, "it requires" },
	{ "Wants", RELATION_PULLS_IN, "it wants" },
	{ "BindsTo", RELATION_PULLS_IN, "it is bound to" },
	{ "Upholds", RELATION_PULLS_IN, "it upholds" },
	{ "OnFailure", RELATION_PULLS_IN, "when it fails it starts" },
	{ "OnSuccess", RELATION_PULLS_IN, "when it has done its work it starts" },
	{ "RequiredBy", RELATION_TAKES_ALONG, "its stop stops" },
	{ "BoundBy", RELATION_TAKES_ALONG, "its stop stops" },
	{ "ConsistsOf", RELATION_TAKES_ALONG, "its stop stops" },
	{ "PropagatesStopTo", RELATION_TAKES_ALONG, "its stop stops" },
	{ "Conflicts", RELATION_TAKES_ALONG, "its start stops" },
	{ "ConflictedBy", RELATION_TAKES_ALONG, "its start stops" },
};

static const char *deny_by_relation(enum relation relation, const char *other, char *const *more)
{
	int class = class_of(other);

	switch (relation) {
	case RELATION_NAME:
	case RELATION_TRIGGER:
		return unit_rules_deny(other, more);
	case RELATION_PULLS_IN:
		return class >= 0 && classes[class].harmful ? classes[class].words : NULL;
	case RELATION_TAKES_ALONG:
		if (class == CLASS_OWN)
			return classes[class].words;
		/*
		 * Every unit conflicts with shutdown.target: an owner's pattern matching that must not deny all units.
		 */
		return strcmp(unit_name_suffix(other), ".target") == 0 ? NULL : owner_words(other, more);
	}
	return NULL;
}

static void deny(struct unit_facts *facts, const char *how, const char *other, const char *why)
{
	if (facts->denied)
		return;
	facts->denied = true;
	snprintf(facts->words, sizeof(facts->words), "%s%s%.200s: %s", how, *how ? " " : "", other, why);
}

static int read_units(sd_bus_message *reply, size_t relation, char *const *more, struct unit_facts *facts)
{
	const char *other, *why;
	int r = sd_bus_message_enter_container(reply, 'v', "as");

	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(reply, "s", &other)) > 0) {
		why = deny_by_relation(relations[relation].relation, other, more);
		if (why)
			deny(facts, relations[relation].words, other, why);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(reply);
	return r < 0 ? r : sd_bus_message_exit_container(reply);
}

static int read_fact(sd_bus_message *reply, char *const *more, struct unit_facts *facts)
{
	const char *name, *text, *words;
	int r = sd_bus_message_read(reply, "s", &name);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(relations); i++)
		if (strcmp(name, relations[i].property) == 0)
			return read_units(reply, i, more, facts);
	if (strcmp(name, "Id") == 0) {
		r = sd_bus_message_read(reply, "v", "s", &text);
		if (r >= 0 && (words = unit_rules_deny(text, more)))
			deny(facts, "", text, words);
		if (r >= 0)
			snprintf(facts->id, sizeof(facts->id), "%s", text);
	} else if (strcmp(name, "LoadState") == 0) {
		r = sd_bus_message_read(reply, "v", "s", &text);
		if (r >= 0)
			snprintf(facts->load_state, sizeof(facts->load_state), "%s", text);
	} else if (strcmp(name, "LoadError") == 0) {
		r = sd_bus_message_read(reply, "v", "(ss)", &text, &words);
		if (r >= 0)
			snprintf(facts->load_error, sizeof(facts->load_error), "%s", words);
	} else if (strcmp(name, "SuccessAction") == 0 || strcmp(name, "FailureAction") == 0 ||
		   strcmp(name, "StartLimitAction") == 0) {
		r = sd_bus_message_read(reply, "v", "s", &text);
		if (r >= 0 && *text && strcmp(text, "none") != 0)
			deny(facts, "at its end it does", text, classes[CLASS_POWER].words);
	} else {
		r = sd_bus_message_skip(reply, "v");
	}
	return r;
}

int unit_facts_read(sd_bus_message *reply, char *const *more, struct unit_facts *ret)
{
	struct unit_facts facts = { .denied = false };
	int r = sd_bus_message_enter_container(reply, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
		r = read_fact(reply, more, &facts);
		if (r >= 0)
			r = sd_bus_message_exit_container(reply);
	}
	if (r < 0)
		return r;
	*ret = facts;
	return *facts.id && *facts.load_state ? 0 : -EBADMSG;
}

/*
 * -------------------------------------------------------------------------------------------------------------- errors
 */

const char *unit_name_error(const char *name, char *const *more, char words[UNIT_RULES_WORDS_SIZE])
{
	const char *why = unit_rules_deny(name, more);

	if (why)
		snprintf(words, UNIT_RULES_WORDS_SIZE, "%.200s is not controlled: %s", name, why);
	return why ? UNIT_ERROR_DENIED : NULL;
}

const char *unit_facts_error(const struct unit_facts *facts, const char *name, char words[UNIT_RULES_WORDS_SIZE])
{
	if (facts->denied) {
		snprintf(words, UNIT_RULES_WORDS_SIZE, "%.100s is not controlled: %.250s", name, facts->words);
		return UNIT_ERROR_DENIED;
	}
	if (strcmp(facts->load_state, "loaded") == 0)
		return NULL;
	if (strcmp(facts->load_state, "not-found") == 0) {
		snprintf(words, UNIT_RULES_WORDS_SIZE, "Unit %s not found.", name);
		return "org.freedesktop.systemd1.NoSuchUnit";
	}
	if (strcmp(facts->load_state, "masked") == 0) {
		snprintf(words, UNIT_RULES_WORDS_SIZE, "Unit %s is masked.", name);
		return "org.freedesktop.systemd1.UnitMasked";
	}
	snprintf(words, UNIT_RULES_WORDS_SIZE, "Unit %.100s could not be loaded (%s)%s%s", name, facts->load_state,
		 *facts->load_error ? ": " : "", facts->load_error);
	return UNIT_ERROR_NOT_LOADED;
}
