/* SPDX-License-Identifier: MIT */
/*
 * What package managers print, parsed: pure functions of bytes and length into a list. A line that is not understood is
 * passed over; output that was cut off ends the list early. Each returns 0 or -ENOMEM.
 */
#ifndef AGENT_PACKAGES_PARSE_H
#define AGENT_PACKAGES_PARSE_H

#include "agent/packages/package.h"

/* The format of dpkg-query and rpm queries: tabs between, one line a package, what may hold anything last. */
#define DPKG_FORMAT                                                                                                    \
	("${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status} ${db:Status-Want} "                          \
	 "${db:Status-Eflag}\\t${Installed-Size}\\t"                                                                   \
	 "${db-fsys:Last-Modified}\\t${Section}\\t${source:Package}\\t${Maintainer}\\t${binary:Summary}\\n")
#define RPM_FORMAT                                                                                                     \
	("%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SIZE}\\t%{INSTALLTIME}\\t"              \
	 "%{GROUP}\\t%{SOURCERPM}\\t%{VENDOR}\\t%{SUMMARY}\\n")
#define DNF_FORMAT "%{name}\\t%{evr}\\t%{arch}\\t%{repoid}\\t%{downloadsize}\\t%{installsize}\\t%{url}\\t%{summary}\\n"

/* dpkg-query -W -f DPKG_FORMAT: rows that are there in whatever state, but not those that are gone or never came. */
int dpkg_list_parse(const char *text, size_t len, struct package_list *list);

/* apt-get -s …: its Inst lines, as rows with `candidate` and, when something older is there, `version`. */
int apt_simulation_parse(const char *text, size_t len, struct package_list *list);

/* Records of apt-cache show and search --full: rows with `candidate`, not installed. */
int apt_records_parse(const char *text, size_t len, struct package_list *list);

/* rpm -qa --qf RPM_FORMAT; dnf repoquery --qf DNF_FORMAT (rows with `candidate`). */
int rpm_list_parse(const char *text, size_t len, struct package_list *list);
int dnf_query_parse(const char *text, size_t len, struct package_list *list);

/* dnf updateinfo list --security: marks those rows of `list` that it names, with their epoch or without. */
int dnf_security_parse(const char *text, size_t len, struct package_list *list);

/* apk list --installed, --upgradable or --available; apk search -v -d. */
int apk_list_parse(const char *text, size_t len, struct package_list *list);
int apk_search_parse(const char *text, size_t len, struct package_list *list);

/* /var/log/dpkg.log, events not before `since_s`. Its times are the guest's local time. */
int dpkg_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history);

/* /var/log/dnf.rpm.log of dnf 4, likewise; its times carry their zone. */
int dnf_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history);

/* "%Y %n" of stat(1): the time of `path`, or -1 if it was not there. */
int64_t stat_time(const char *text, size_t len, const char *path);

/* Why a run of a package manager failed, from what it printed. */
enum package_fault {
	PACKAGE_FAULT_OTHER,
	PACKAGE_FAULT_LOCKED,	  /* another one is at work: try again */
	PACKAGE_FAULT_PERMISSION, /* needs root */
	PACKAGE_FAULT_NOT_FOUND,
	PACKAGE_FAULT_NETWORK, /* repositories out of reach */
	PACKAGE_FAULT_SPACE,
	PACKAGE_FAULT_INTERRUPTED,  /* dpkg has to be let finish first */
	PACKAGE_FAULT_DEPENDENCIES, /* something that is installed, or was asked for, lacks what it needs */
	PACKAGE_FAULT_SCRIPT,	    /* one of a package's own failed */
	PACKAGE_FAULT_DATABASE,	    /* the manager's own data cannot be read */
	PACKAGE_FAULT_READ_ONLY,
	PACKAGE_FAULT_UNTRUSTED, /* signatures */
	PACKAGE_FAULT_PROTECTED, /* held, essential or protected packages would have to change */
	PACKAGE_FAULTS,
};
enum package_fault package_fault_of(const char *text, size_t len, int exit_code);

/*
 * Of apt-get check and dnf check: how many packages lack what they need; the first of them in `first`, "" if none. Of
 * version 4 of dnf and of apt, "name : Depends: x but it is not installable" and "name-1-1.x has missing requires of
 * x".
 */
unsigned check_unmet_parse(const char *text, size_t len, char *first, size_t size);

#endif
