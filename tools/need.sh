#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails, with the way to get them, when there is no compiler or when it does not find a header.
#
#   tools/need.sh "CC FLAG…" HEADER…
set -u
compiler=$1
shift

command -v "${compiler%% *}" >/dev/null || {
	echo "make: there is no compiler ${compiler%% *}: please type \`make deps\`, which installs what is needed" >&2
	exit 1
}

missing=""
for header; do
	# The first four are what cmocka.h wants to stand before it.
	printf '#include <%s>\n' stddef.h stdarg.h stdint.h setjmp.h "$header" |
		$compiler -E -x c - >/dev/null 2>&1 || missing="$missing $header"
done
[ -z "$missing" ] || {
	echo "make: missing:$missing: please type \`make deps\`, which installs what is needed" >&2
	exit 1
}
