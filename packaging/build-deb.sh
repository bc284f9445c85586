#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Debian packages from a copy of this tree, in which packaging/debian stands at the top where dpkg wants it.
#
#   packaging/build-deb.sh DIR      the packages are in DIR afterwards; DEB_BUILD_OPTIONS as in Debian (default: nocheck)
set -eu
out=${1:?where to}
top=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^VERSION := //p' "$top/Makefile")

if [ "$(dpkg-parsechangelog -l "$top/packaging/debian/changelog" -S Version)" != "$version" ]; then
	echo "build-deb: packaging/debian/changelog is not about version $version" >&2
	exit 1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
# In a folder of its own: whatever else lies in DIR, packages of other versions included, is left alone.
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
src=$work/infiniservice-$version
mkdir "$src"
# What a commit would hold, or (without git) all but what was built.
if git -C "$top" rev-parse --git-dir >/dev/null 2>&1; then
	git -C "$top" ls-files -z --cached --others --exclude-standard
else
	(cd "$top" && find . -type f ! -path './build*' ! -path './.git/*' ! -name '*.pyc' -print0)
fi | tar -c -C "$top" --null --ignore-failed-read -T - 2>/dev/null | tar -x -C "$src"
mv "$src/packaging/debian" "$src/debian"

# The caller's variables (BUILD=…) are not meant for the build in the copy.
unset MAKEFLAGS MAKEOVERRIDES MAKELEVEL BUILD
log=$out/build.log
if ! (cd "$src" && DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS-nocheck}" dpkg-buildpackage -jauto -us -uc -b) >"$log" 2>&1; then
	tail -n 30 "$log" | cut -c 1-300 >&2
	exit 1
fi
lintian --fail-on error,warning,info --suppress-tags initial-upload-closes-no-bugs "$work"/*.changes
for made in "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo; do
	mv -f "$made" "$out"
	case $made in *.deb) echo "$out/${made##*/}" ;; esac
done
