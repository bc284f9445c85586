/* SPDX-License-Identifier: MIT */
/* The effective configuration, as the programs themselves print it; see security.h. That of nft: security_nft.c. */
#include "agent/actions/security.h"

#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>

/*
 * A line for each setting, in lower case, as it is after all files. Match blocks are not in it: what the files said of
 * them stays.
 */
void security_take_sshd(struct security_facts *facts, const char *text, size_t len)
{
	struct sshd_settings settings = { .match_blocks = facts->sshd.match_blocks,
					  .match_passwords = facts->sshd.match_passwords };
	bool whole = facts->sshd_readable && !*facts->sshd_unread.what;

	sshd_settings_parse(&settings, text, len, NULL, NULL);
	if (!*settings.permit_root_login || !*settings.password_authentication)
		return;
	facts->sshd = settings;
	facts->sshd_asked = true;
	facts->sshd_readable = true;
	if (whole)
		return;
	/* Outside of Match blocks all settings are known now; those inside are not. */
	if (!*facts->sshd_unread.what)
		security_unread(&facts->sshd_unread, "/etc/ssh/sshd_config");
}

void security_take_apt(struct security_facts *facts, const char *text, size_t len)
{
	struct apt_periodic settings = { .enable = "" };

	facts->apt_asked = true;
	apt_periodic_parse(&settings, text, len);
	apt_periodic_judge(facts, &settings);
}

void security_take_apt_whole(struct security_facts *facts, const char *text, size_t len)
{
	facts->apt_unread = (struct security_unread){ .what = "" };
	security_take_apt(facts, text, len);
}
