/* SPDX-License-Identifier: MIT */
/* See systemd.unit(5) and systemd.special(7). */
#include "agent/rules/unit_rules.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

/* ----------------------------------------------------------------------------------------------------------- names */

const char *unit_name_suffix(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot : "";
}

static bool listed(const char *text, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, list[i]) == 0)
			return true;
	return false;
}

static bool alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool unit_name_make(const char *name, char out[UNIT_NAME_SIZE])
{
	static const char *const suffixes[] = { ".service", ".socket", ".timer", ".path" };
	/* Suffixes of other unit types: such names are complete, and refused. */
	static const char *const others[] = {
		".target", ".mount", ".automount", ".swap", ".slice", ".scope", ".device"
	};
	size_t len = strnlen(name, UNIT_NAME_SIZE);
	const char *at = name, *suffix = "";

	if (len >= UNIT_NAME_SIZE || (!alphanumeric(*name) && *name != '_') ||
	    listed(unit_name_suffix(name), others, ARRAY_SIZE(others)))
		return false;
	while (*at) {
		if (*at == '\\' && at[1] == 'x' && isxdigit((unsigned char)at[2]) && isxdigit((unsigned char)at[3]))
			at += 4;
		else if (alphanumeric(*at) || strchr(":_.@-", *at))
			at++;
		else
			return false;
	}
	if (!listed(unit_name_suffix(name), suffixes, ARRAY_SIZE(suffixes)))
		suffix = ".service";
	if (len + strlen(suffix) > UNIT_NAME_MAX)
		return false;
	memcpy(out, name, len);
	memcpy(out + len, suffix, strlen(suffix) + 1);
	/* "getty@.service": a template without an instance cannot run. */
	at = strchr(out, '@');
	return !at || at + 1 != unit_name_suffix(out);
}

bool unit_name_is_power(const char *name)
{
	static const char *const words[] = {
		"poweroff", "reboot",  "halt",	    "kexec",	    "soft-reboot",
		"exit",	    "suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate",
		"shutdown"
	};
	size_t len = strcspn(name, ".");

	if (strcmp(unit_name_suffix(name), ".service") != 0 && strcmp(unit_name_suffix(name), ".target") != 0)
		return false;
	if (strncmp(name, "systemd-", 8) == 0) {
		name += 8;
		len -= 8;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strlen(words[i]) == len && strncmp(words[i], name, len) == 0)
			return true;
	return false;
}

/* ------------------------------------------------------------------------------------------------------- the table */

/*
 * Patterns of unit names by the reason for denying them, mostly for any suffix: a socket, timer or path of that name
 * starts the service.
 */
/* clang-format off */
static const char *const own_units[] = {
	"infiniservice*", "infinihost*", NULL,
};
static const char *const shell_units[] = {
	/* mostly a root shell without a password */
	"debug-shell[.@]*", "rescue[.@]*", "emergency[.@]*", "breakpoint-*", "runlevel[1Ss].*", "*sulogin*",
	"initrd-*", "initrd.*", "dracut-*", "container-shell@*", "console-shell.*", "rescue-ssh.*", "single.*",
	"sushell.*", "anaconda*", "tmux@*", "screen@*", "tmate[.@]*", NULL,
};
static const char *const session_units[] = {
	"kbrequest.*", "kmscon[.@]*",
	/*
	 * A terminal in a browser, an unencrypted login or a remote desktop. Other network services, ssh above all,
	 * authenticate their clients and are ordinary units.
	 */
	"ttyd[.@]*", "gotty[.@]*", "wetty[.@]*", "cockpit[.@-]*", "webmin.*", "usermin.*", "rsh[.@]*", "rshd[.@]*",
	"rlogin[.@]*", "rlogind[.@]*", "rexec[.@]*", "rexecd[.@]*", "shellinabox*", "telnet[.@]*", "telnetd[.@]*",
	"*-telnetd[.@]*", "xrdp[.@-]*", "*vncserver*", "*vnc[.@]*", "gnome-remote-desktop*", "nxserver.*",
	"xpra[.@]*", "*getty[.@-]*", "autovt@*", "kmsconvt@*", "autologin[.@]*", "login@*",
	/* login screens, and units that start a desktop without one */
	"display-manager.*", "gdm.*", "gdm3.*", "sddm[.@]*", "lightdm[.@]*", "lxdm.*", "xdm.*", "kdm.*", "wdm.*",
	"slim.*", "nodm.*", "greetd[.@-]*", "ly[.@]*", "emptty.*", "lemurs.*", "entrance.*", "plasmalogin[.@]*",
	"cosmic-greeter.*", "phosh.*", "cage[.@]*", "weston[.@]*", "xlogin@*", "xinit[.@]*", "startx@*", "user@*",
	"user-runtime-dir@*", "capsule@*", NULL,
};
static const char *const machine_units[] = {
	"systemd-nspawn@*", "systemd-vmspawn@*", "lxc@*", "container@*", "machine@*", "machines.target", NULL,
};
static const char *const kernel_units[] = {
	"modprobe@*", NULL,
};
static const char *const system_units[] = {
	"systemd-sysext*", "systemd-confext*", "systemd-sysupdate*", "systemd-firstboot.*",
	"systemd-homed-firstboot.*", "initial-setup*", "gnome-initial-setup*", "jeos-firstboot*",
	"YaST2-Firstboot.*", "YaST2-Second-Stage.*", "oem-config*", "systemd-repart*", "systemd-makefs@*",
	"systemd-mkswap@*", "systemd-volatile-root.*", "systemd-factory-reset*", "factory-reset.*", NULL,
};
static const char *const power_units[] = {
	"ctrl-alt-del.*", "sigpwr.*", "kexec*", "systemd-kexec*", "systemd-hibernate*", "systemd-initctl.*",
	"runlevel[06].*", "system-update*", "*-offline-update.*", "*-system-upgrade*", "*-offline-transaction.*",
	"sendsigs.*", "killprocs.*", "umount.*", "umountfs.*", "umountnfs*", "mount-ro.*", "umountroot.*",
	"final.target", "sleep.target", "selinux-autorelabel*", "bootc-fetch-apply-updates.*", NULL,
};
/* clang-format on */

enum class { CLASS_OWN, CLASS_SHELL, CLASS_SESSION, CLASS_MACHINE, CLASS_KERNEL, CLASS_SYSTEM, CLASS_POWER };

/* `harmful`: a unit that pulls in one of this class is denied too. */
static const struct {
	const char *words;
	bool harmful;
	const char *const *patterns;
} classes[] = {
	[CLASS_OWN] = { "it belongs to InfiniService itself", false, own_units },
	[CLASS_SHELL] = { "it gives a shell", true, shell_units },
	[CLASS_SESSION] = { "it gives a login or a user's session", true, session_units },
	[CLASS_MACHINE] = { "it starts a container or machine", true, machine_units },
	[CLASS_KERNEL] = { "it loads code into the kernel", false, kernel_units },
	[CLASS_SYSTEM] = { "it changes what the system is made of", true, system_units },
	/* units that turn the machine off, reboot or suspend it are matched by unit_name_is_power */
	[CLASS_POWER] = { "it is for turning the machine off or round: RebootSystem and ShutdownSystem do that", true,
			  power_units },
};

bool unit_rules_at(size_t i, const char **pattern, const char **words)
{
	for (size_t class = 0; class < ARRAY_SIZE(classes); class ++)
		for (const char *const *at = classes[class].patterns; *at; at++)
			if (i-- == 0) {
				*pattern = *at;
				*words = classes[class].words;
				return true;
			}
	return false;
}

/* The class that denies the name, or -1. A backslash is part of a unit name, not an escape of the pattern. */
static int class_of(const char *name)
{
	for (size_t class = 0; class < ARRAY_SIZE(classes); class ++)
		for (const char *const *pattern = classes[class].patterns; *pattern; pattern++)
			if (fnmatch(*pattern, name, FNM_NOESCAPE) == 0)
				return (int)class;
	return unit_name_is_power(name) ? CLASS_POWER : -1;
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
			return "the owner of this guest has denied it (commands.deny_units)";
	return NULL;
}

const char *unit_rules_deny(const char *name, char *const *more)
{
	int class = class_of(name);
	const char *instance = strchr(name, '@');

	if (class >= 0)
		return classes[class].words;
	/*
	 * The host chooses what an escape in an instance name stands for, and where the unit uses it is unknown here:
	 * denied.
	 */
	if (instance && strchr(instance, '\\'))
		return "the instance of a template has an escape (\\xHH) in its name";
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
