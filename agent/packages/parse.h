/* SPDX-License-Identifier: MIT */
/*
 * Parsers of the output of package managers: pure functions of bytes and length that fill a list. Lines that are not
 * understood are skipped; truncated output ends the list early. Each returns 0 or -ENOMEM.
 */
#ifndef AGENT_PACKAGES_PARSE_H
#define AGENT_PACKAGES_PARSE_H

#include "agent/packages/package.h"

/* Formats for dpkg-query and rpm: one package a line, fields separated by tabs, free text last. */
#define DPKG_FORMAT                                                                                                    \
	("${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status} ${db:Status-Want} "                          \
	 "${db:Status-Eflag}\\t${Installed-Size}\\t"                                                                   \
	 "${db-fsys:Last-Modified}\\t${Section}\\t${source:Package}\\t${Maintainer}\\t${binary:Summary}\\n")
#define RPM_FORMAT                                                                                                     \
	("%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SIZE}\\t%{INSTALLTIME}\\t"              \
	 "%{GROUP}\\t%{SOURCERPM}\\t%{VENDOR}\\t%{SUMMARY}\\n")
#define DNF_FORMAT "%{name}\\t%{evr}\\t%{arch}\\t%{repoid}\\t%{downloadsize}\\t%{installsize}\\t%{url}\\t%{summary}\\n"

/* dpkg-query -W -f DPKG_FORMAT: packages in any state, except removed or never installed ones. */
int dpkg_list_parse(const char *text, size_t len, struct package_list *list);

/* apt-get -s …: its Inst lines, as rows with `candidate` and, for an upgrade, `version`. */
int apt_simulation_parse(const char *text, size_t len, struct package_list *list);

/* Records of apt-cache show and search --full: rows with `candidate`, not installed. */
int apt_records_parse(const char *text, size_t len, struct package_list *list);

/* rpm -qa --qf RPM_FORMAT; dnf repoquery --qf DNF_FORMAT (rows with `candidate`). */
int rpm_list_parse(const char *text, size_t len, struct package_list *list);
int dnf_query_parse(const char *text, size_t len, struct package_list *list);

/* dnf updateinfo list --security: marks the rows of `list` that it names, with or without epoch. */
int dnf_security_parse(const char *text, size_t len, struct package_list *list);

/* apk list --installed, --upgradable or --available; apk search -v -d. */
int apk_list_parse(const char *text, size_t len, struct package_list *list);
int apk_search_parse(const char *text, size_t len, struct package_list *list);

/* /var/log/dpkg.log, events not before `since_s`. Its times are the guest's local time. */
int dpkg_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history);

/* /var/log/dnf.rpm.log of dnf 4, likewise; its times have a time zone. */
int dnf_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history);

/* Output of stat(1) with "%Y %n": the time of `path`, or -1 if it did not exist. */
int64_t stat_time(const char *text, size_t len, const char *path);

/* Why a package manager failed, as told by its output. */
enum package_fault {
	PACKAGE_FAULT_OTHER,
	PACKAGE_FAULT_LOCKED,	  /* another one is running: try again */
	PACKAGE_FAULT_PERMISSION, /* needs root */
	PACKAGE_FAULT_NOT_FOUND,
	PACKAGE_FAULT_NETWORK, /* repositories unreachable */
	PACKAGE_FAULT_SPACE,
	PACKAGE_FAULT_INTERRUPTED,  /* an interrupted dpkg has to be completed first */
	PACKAGE_FAULT_DEPENDENCIES, /* an installed or requested package has unmet dependencies */
	PACKAGE_FAULT_SCRIPT,	    /* a maintainer script failed */
	PACKAGE_FAULT_DATABASE,	    /* the manager's own data are unreadable */
	PACKAGE_FAULT_READ_ONLY,
	PACKAGE_FAULT_UNTRUSTED, /* signatures */
	PACKAGE_FAULT_PROTECTED, /* held, essential or protected packages would be changed */
	PACKAGE_FAULTS,
};
enum package_fault package_fault_of(const char *text, size_t len, int exit_code);

/*
 * Reads apt-get check and dnf check: the number of packages with unmet dependencies; the first of them in `first`, ""
 * if none. Lines of apt and dnf 4: "name : Depends: x but it is not installable" and "name-1-1.x has missing requires
 * of x".
 */
unsigned check_unmet_parse(const char *text, size_t len, char *first, size_t size);

#endif
