/* SPDX-License-Identifier: MIT */
/*
 * The page for people, tools/hub/page.html: one file that needs no other and may load none, by a policy that lets the
 * browser run and apply what is in it and nothing else. Its numbers it gets from /api/vms and /api/vm.
 */
#ifndef HUB_PAGE_H
#define HUB_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#define PAGE_POLICY_SIZE 512

/* The file, made into the program by the Makefile. */
extern const char page_html[];

/*
 * The Content-Security-Policy of a page: none of anything, but the style and the script that stand in it, by their
 * hashes (CSP3, 8.2), and requests to where it came from. 0, or -EINVAL when it has not one of each.
 */
int page_policy(const char *html, char out[PAGE_POLICY_SIZE]);

/*
 * True if a browser that asks with this Host header (RFC 9110, 7.2) asked for this hub, and was not sent here by
 * somebody else's name that was made to point here: an address, localhost, or one of `names` (spaces between), each
 * with any port or none.
 */
bool page_host_is_ours(const char *host, const char *names);

#endif
