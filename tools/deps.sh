#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that a group of targets needs and that this machine lacks: nothing else, and nothing at
# all (in a few milliseconds, silently) when all of them are there.
#
#   tools/deps.sh [GROUP…]     build (default), portable, test, lint, fuzz, bench, deb, rpm, or all
#
# Packages that would start a service are not installed: their files are unpacked below build/cache/unpacked.
#
# root installs; an ordinary user does it through sudo where that works without a question or where a terminal can ask
# it; otherwise the one command to type is printed and the exit status is 1.
set -eu

BUILD="gcc make libc6-dev libev-dev libjson-c-dev libsystemd-dev libinih-dev libzstd-dev nettle-dev libmicrohttpd-dev zlib1g-dev libncurses-dev"
PORTABLE="python3 debian-archive-keyring"
TEST="libcmocka-dev python3 iproute2 procps strace jq zstd faketime dbus-daemon zsh fish tmux less chromium"
# The guest tests: an emulator, and what makes a root file system as root or (uidmap) as an ordinary user.
GUEST="qemu-system-x86 qemu-utils mmdebstrap e2fsprogs xfsprogs btrfs-progs uidmap debian-archive-keyring"
# The other family's package manager, for tests/integration/test_dnf.py: 17 MB to fetch, 31 MB on disk, no service.
RPM="dnf rpm createrepo-c"
# The strict parser of OpenMetrics, for tests/integration/test_hub.py.
STRICT="python3-prometheus-client"
# For tests/integration/test_prometheus.py and test_hub.py, which skip what needs them where they could not be fetched.
UNPACKED_TEST="prometheus prometheus-alertmanager"
LINT="systemd clang clang-format clang-tidy cppcheck shellcheck groff-base"
FUZZ="clang llvm libclang-rt-14-dev"
# Peers to compare with, of those that start no service by being installed, and what draws the pictures of the report.
PEERS="qemu-guest-agent sysstat collectd-core gnuplot-nox"
UNPACKED_PEERS="atop prometheus-node-exporter"
DEB="build-essential dpkg-dev debhelper fakeroot lintian"

usage() {
	echo "usage: tools/deps.sh [build|portable|test|lint|fuzz|bench|deb|rpm|all]…" >&2
	exit 2
}

# What cannot be fetched is said and left out: tests skip, and the bench names what it lacks.
unpack() {
	place=$(dirname "$0")/../build/cache/unpacked
	for package in $unpacked; do
		[ ! -e "$place/.$package" ] || continue
		fetched=$(mktemp -d)
		mkdir -p "$place"
		if (cd "$fetched" && apt-get -q download "$package") >/dev/null 2>&1 && dpkg-deb -x "$fetched"/*.deb "$place"; then
			: >"$place/.$package"
		else
			echo "deps: $package could not be fetched; what needs it is left out" >&2
		fi
		rm -rf "$fetched"
	done
}

packages=""
unpacked=""
for group in "${@:-build}"; do
	case $group in
	build) packages="$packages $BUILD" ;;
	portable) packages="$packages $BUILD $PORTABLE" ;;
	test)
		packages="$packages $BUILD $TEST $STRICT $GUEST $RPM"
		unpacked="$unpacked $UNPACKED_TEST"
		;;
	lint) packages="$packages $BUILD $TEST $LINT" ;;
	fuzz) packages="$packages $BUILD $FUZZ" ;;
	bench)
		packages="$packages $BUILD $TEST $PEERS"
		unpacked="$unpacked $UNPACKED_PEERS"
		;;
	rpm) packages="$packages $BUILD $TEST $RPM" ;;
	deb) packages="$packages $BUILD libcmocka-dev $DEB" ;;
	all)
		packages="$packages $BUILD $PORTABLE $TEST $STRICT $GUEST $RPM $LINT $FUZZ $PEERS $DEB"
		unpacked="$UNPACKED_TEST $UNPACKED_PEERS"
		;;
	*) usage ;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	echo "deps: not a Debian machine; please install what these packages hold:$packages" >&2
	exit 0
fi

missing() {
	# shellcheck disable=SC2086 # a list of words
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
		sed -n 's/^installed //p' | sort -u >"$work/installed"
	# shellcheck disable=SC2086
	printf '%s\n' $packages | sort -u | comm -23 - "$work/installed" | tr '\n' ' '
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

wanted=$(missing)
wanted=${wanted% }
if [ -z "$wanted" ]; then
	unpack
	exit 0
fi

install_command="apt-get install -y --no-install-recommends $wanted"
say_what_to_type() {
	if command -v sudo >/dev/null; then
		echo "deps: please type: sudo sh -c 'apt-get update && $install_command'" >&2
	else
		echo "deps: please type: su -c 'apt-get update && $install_command'" >&2
	fi
	exit 1
}

as_root=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || say_what_to_type
	if sudo -n true 2>/dev/null; then
		as_root="sudo -n"
	elif [ -t 0 ] && [ -t 2 ]; then
		as_root="sudo"
	else
		say_what_to_type
	fi
fi

# The log is shown only when something failed. The lock is waited for: a fresh cloud machine upgrades itself.
apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$work/log" 2>&1
}

echo "deps: installing $wanted" >&2
# Lists that are missing or out of date make the first try fail; only then are they fetched.
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $wanted; then
	if ! { apt update && apt install -y --no-install-recommends $wanted; }; then
		cat "$work/log" >&2
		[ "$as_root" != sudo ] || say_what_to_type
		exit 1
	fi
fi

still=$(missing)
if [ -n "${still% }" ]; then
	echo "deps: still missing: $still" >&2
	exit 1
fi
unpack
