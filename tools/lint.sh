#!/bin/sh
# SPDX-License-Identifier: MIT
# Everything a machine can judge without argument: no warnings under two compilers, includes that point one way, the
# static checkers quiet, scripts clean, units within their exposure. Prints each finding and ends with a count.
#
#   tools/lint.sh [BUILD]
set -u
build=${1:-build}
failed=0
passed=0
skipped=0

check() {
	name=$1
	shift
	if out=$("$@" 2>&1); then
		passed=$((passed + 1))
		echo "ok   $name"
	else
		failed=$((failed + 1))
		echo "FAIL $name"
		echo "$out" | sed 's/^/     | /'
	fi
}

skip() {
	skipped=$((skipped + 1))
	echo "skip $1: $2"
}

built_by() {
	if grep -qs "^$1 .* -Werror " "$build/.flags"; then echo "$build"; else echo "$build/lint-$1"; fi
}

# What was built with warnings as errors by that compiler already is not built once more.
compiles_with() {
	folder=$(built_by "$1")
	make -s -k BUILD="$folder" CC="$1" WERROR=1 all unit-programs >"$build/lint-$1.log" 2>&1 || {
		grep -E 'error|warning|undefined' "$build/lint-$1.log" | head -40
		return 1
	}
}

# Nobody climbs out of a folder; the public headers stand alone; and these do not turn a loop.
includes_point_one_way() {
	! {
		grep -rnE '#include "\.\./' --include='*.[ch]' agent transport collectors tools include tests
		grep -rnE '#include "' --include='*.h' include
		grep -rlE '<ev\.h>' --include='*.[ch]' collectors transport tools/infinictl tools/infinihost tools/show agent/log agent/config agent/rules agent/packages \
			agent/cleaner agent/executor agent/runner
	} | grep .
}

formatted() {
	git ls-files '*.[ch]' | xargs clang-format --dry-run -Werror 2>&1 | grep -E 'error: ' | head -40 | { ! grep .; } ||
		{ echo 'make format mends it'; return 1; }
}

libraries_use_those_below() {
	folder=$(built_by gcc)
	make -s BUILD="$folder" "$folder/libraries" && tools/links.py "$folder" "$folder/libraries"
}

no_leftovers() {
	! grep -rnE '\b(TODO|FIXME|XXX)\b|not implemented' --include='*.[ch]' --include='*.sh' --include='*.py' \
		agent collectors transport include tools tests packaging | grep -vE 'tools/lint.sh|admin::TODO' | grep .
}

# memleak: cppcheck does not know _cleanup_. varFuncNullUB: NULL is a pointer in C. internalAstError: it cannot read a ?: of
# compound literals. ctuPointerArith: it takes one past the end of an array for an overflow.
analyses() {
	cppcheck --quiet --enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
		--suppress=normalCheckLevelMaxBranches --suppress=memleak --suppress=varFuncNullUB --suppress=internalAstError \
		--suppress=ctuPointerArith --std=c11 --error-exitcode=1 -Iinclude -I. -Icollectors -Itransport -D_GNU_SOURCE \
		-DINFINISERVICE_VERSION='"0"' -DSYSCONFDIR='"/etc"' -DLIBEXECDIR='"/usr/libexec"' \
		'-Djson_object_object_foreach(object,key,value)=if(object)' agent collectors transport tools
}

tidies() {
	make -s BUILD="$build/lint-clang" CC=clang compile_commands.json || return 1
	git ls-files 'agent/*.c' 'collectors/*.c' 'transport/*.c' 'tools/*.c' |
		xargs -P 2 -n 8 clang-tidy --quiet -p . --warnings-as-errors='*' 2>/dev/null | grep -E 'warning|error' >"$build/tidy.log"
	! grep . "$build/tidy.log"
}

scripts_are_clean() {
	git ls-files '*.sh' .ci/run 'packaging/*.sh' 'packaging/debian/*.p[ro]*' | xargs shellcheck &&
		git ls-files 'packaging/completions/*.bash' | xargs shellcheck -s bash
}

pythons_compile() {
	git ls-files '*.py' tests/run | xargs /usr/bin/python3 -c '
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path).read(), path)'
}

# Ten times the exposure that each unit may have, by systemd's own reckoning.
units_are_contained() {
	command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not here"; return 1; }
	for unit in infiniservice.service:17 infiniservice-exec.service:10 infiniservice-port@.service:50; do
		systemd-analyze security --offline=true --threshold="${unit#*:}" "packaging/${unit%:*}" >"$build/security.log" 2>&1 ||
			{ tail -n 3 "$build/security.log"; return 1; }
	done
}

manuals_are_clean() {
	for page in packaging/man/*; do
		case $(head -c 3 "$page") in .so) continue ;; esac
		LC_ALL=C.UTF-8 groff -man -Tutf8 -ww -z "$page" 2>&1
	done | { ! grep .; }
}

mkdir -p "$build"
check "gcc without warnings" compiles_with gcc
check "clang without warnings" compiles_with clang
# Each version of it breaks some lines otherwise than the one before: the tree obeys that of Debian 12.
case $(clang-format --version) in
*"version 14."*) check "formatted" formatted ;;
*) skip "formatted" "this is not the clang-format of Debian 12 (14), whose output the tree is" ;;
esac
check "includes point one way" includes_point_one_way
check "libraries use those below" libraries_use_those_below
check "nothing left over" no_leftovers
check "cppcheck" analyses
check "clang-tidy" tidies
check "shellcheck" scripts_are_clean
check "python parses" pythons_compile
check "exposure of the units" units_are_contained
check "manual pages" manuals_are_clean
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
