/* SPDX-License-Identifier: MIT */
#include "agent/rules/requests.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>

const char *const runner_environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LC_ALL=C.UTF-8",
	"HOME=/",
	"SHELL=/bin/sh",
	"TERM=dumb",
	"DEBIAN_FRONTEND=noninteractive",
	NULL,
};

const char *const runner_directories[] = {
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", NULL,
};

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

const char *const *const questions[QUESTIONS] = {
	[QUESTION_SSHD] = ARGV("sshd", "-T"),
	[QUESTION_NFT] = ARGV("nft", "-j", "list", "ruleset"),
	[QUESTION_APT] = ARGV("apt-config", "dump"),
	[QUESTION_APPARMOR] = ARGV("cat", "/sys/kernel/security/apparmor/profiles"),
	[QUESTION_IPTABLES] = ARGV("cat", "/proc/net/ip_tables_names"),
	[QUESTION_IP6TABLES] = ARGV("cat", "/proc/net/ip6_tables_names"),
};

bool question_of_action(const char *action)
{
	static const char *const actions[] = { "CheckLinuxSecurity", "GetLinuxSecurityStatus", "GetLinuxFirewallStatus",
					       "CheckFirewallStatus", "CheckSecurityModules" };

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (strcmp(actions[i], action) == 0)
			return true;
	return false;
}

#define NAMES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

/* Letters, digits, hyphens and the characters of `more`, not beginning with a hyphen or a dot. */
static bool is_name(const char *text, const char *more, size_t max)
{
	char allowed[sizeof(NAMES) + 8];
	size_t len = strlen(text);

	snprintf(allowed, sizeof(allowed), "%s%s", NAMES, more);
	return len > 0 && len <= max && *text != '-' && *text != '.' && strspn(text, allowed) == len;
}

/*
 * Any text without control characters. It may begin with a hyphen: realm gets it behind a "=" or on stdin, never as an
 * option.
 */
static bool is_line(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return len <= max;
}

bool join_part_valid(enum join_part part, const char *text)
{
	switch (part) {
	case JOIN_DOMAIN:
		return is_name(text, ".", JOIN_DOMAIN_MAX);
	case JOIN_USER:
		return *text && *text != '-' && is_line(text, JOIN_USER_MAX);
	case JOIN_PASSWORD:
		return *text && is_line(text, JOIN_PASSWORD_MAX);
	case JOIN_UNIT:
		return is_line(text, JOIN_UNIT_MAX);
	case JOIN_COMPUTER:
		return !*text || is_name(text, "", JOIN_COMPUTER_MAX);
	default:
		return false;
	}
}

bool join_parse(const char *text, size_t len, struct join_request *ret)
{
	size_t at = 0;

	for (unsigned part = 0; part < JOIN_PARTS; part++) {
		const char *end = at < len ? memchr(text + at, '\0', len - at) : NULL;

		if (!end || !join_part_valid((enum join_part)part, text + at))
			return false;
		ret->parts[part] = text + at;
		at = (size_t)(end - text) + 1;
	}
	return at == len;
}

bool kill_rule_parse(const char *text, int64_t *ret_ms)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";
	struct tm tm = { .tm_isdst = 0 };
	int64_t ms = 0, unit = 100;

	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return false;
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec) != 6)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	text += sizeof(shape) - 1;
	/* A fraction such as ".678" has any number of digits, of which three count. */
	if (*text == '.') {
		if (text[1] < '0' || text[1] > '9')
			return false;
		for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
			ms += (*text - '0') * unit;
	}
	if (strcmp(text, "Z") != 0 || tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	*ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

bool kill_rule_matches(int64_t start_ms, uint64_t start_ticks, uint64_t tick_hz, const struct moment *now)
{
	int64_t boot_ms = now->wall_ms - (int64_t)(now->boot_ns / NS_PER_MS);
	int64_t shown_ms = boot_ms + (int64_t)((double)start_ticks * 1000 / (double)tick_hz);

	return start_ms - shown_ms <= KILL_RULE_ROOM_MS && shown_ms - start_ms <= KILL_RULE_ROOM_MS;
}
