#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the agent from the files that lie beside this script, for hosts that push them into their virtual machines.
#
#   install-linux.sh normal [VM_ID]      $INFINISERVICE_SHARED_SECRET: the secret shared with the host, kept if not given
#   install-linux.sh uninstall [--purge] --purge: the metric log and the user too
#
# `normal` lets the host do everything, and the agent see everything (10-process-details.conf): whoever pushes files into a
# machine as root owns it already. It may be run again with a newer program or another secret. Needed beside it:
# infiniservice, infiniservice-exec (not with the portable build, which is both) and infinictl if it is wanted. Units and
# the like are at the end of this script once `make portable` has put them there, else they lie beside it.
set -eu
# Ranges like A-Z mean what they say, and cd goes where it is told.
LC_ALL=C
export LC_ALL
unset CDPATH
# Not for the programs that are started here.
secret=${INFINISERVICE_SHARED_SECRET:-}
unset INFINISERVICE_SHARED_SECRET

prefix=/usr/local
executor=$prefix/sbin/infiniservice-exec
etc=/etc/infiniservice
user=infiniservice
here=$(cd -- "$(dirname -- "$0")" && pwd)
script=$here/$(basename -- "$0")
dropin=/etc/systemd/system/infiniservice.service.d/10-process-details.conf
mark="# Written by install-linux.sh on behalf of this machine's host."

usage() {
	echo "usage: install-linux.sh normal [VM_ID] | uninstall [--purge]" >&2
	exit 2
}

fail() {
	echo "install-linux.sh: $*" >&2
	exit 1
}

say() {
	echo "infiniservice: $*"
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# ------------------------------------------------------------------------------------------------------------- files

# Prints a file of packaging/ with the paths of this installation.
part() {
	if grep -qxF "#== $1" "$script"; then
		sed -n "/^#== $1\$/,/^#== /{/^#== /!p;}" "$script"
	elif [ -f "$here/$1" ]; then
		cat "$here/$1"
	elif [ -f "$here/examples/$1" ]; then
		cat "$here/examples/$1"
	fi | sed "s|=\([-+]*\)/usr/sbin/|=\1$prefix/sbin/|; s|=\([-+]*\)/usr/libexec/|=\1$prefix/sbin/|"
}

# A file is never half written, what runs is never written over, and nothing that lies in the way is opened (-C).
put() {
	mode=$1 path=$2
	mkdir -p "$(dirname "$path")"
	rm -f "$path.new"
	(umask 077 && set -C && cat >"$path.new")
	[ -s "$path.new" ] || fail "what is to be $path is neither in this script nor beside it"
	chmod "$mode" "$path.new"
	mv -f "$path.new" "$path"
}

put_program() {
	[ ! -f "$here/$1" ] || put 755 "$2" <"$here/$1"
}

# ------------------------------------------------------------------------------------------------------------- system

# Up to 0.1.0 the state directory was the user's home: whoever took the agent over could plant units of a user's manager there.
# usermod changes nobody of whom something runs, as the agent does until it is restarted.
take_home_away() {
	if ! grep -q "^$user:.*:/nonexistent:[^:]*\$" /etc/passwd; then
		[ ! -d /run/systemd/system ] || systemctl stop "user@$(id -u $user).service" 2>/dev/null || true
		{ have usermod && usermod -d /nonexistent "$user" 2>/dev/null; } ||
			sed -i "s|^\($user:[^:]*:[^:]*:[^:]*:[^:]*:\)[^:]*:|\1/nonexistent:|" /etc/passwd
	fi
	rm -f "/var/lib/systemd/linger/$user"
	$executor prepare home || say "what lies in /var/lib/infiniservice/.config and .local should be removed"
}

make_user() {
	if ! grep -q "^$user:" /etc/group; then
		if have groupadd; then groupadd --system "$user"; else addgroup -S "$user"; fi
	fi
	if ! grep -q "^$user:" /etc/passwd; then
		shell=/usr/sbin/nologin
		[ -x "$shell" ] || shell=/sbin/nologin
		if have useradd; then
			useradd --system --gid "$user" --home-dir /nonexistent --no-create-home --shell "$shell" "$user"
		else
			adduser -S -D -H -G "$user" -h /nonexistent -s "$shell" "$user"
		fi
	fi
	take_home_away
}

# systemd: it runs, it is there but something else runs (an image being made), openrc, sysv, or none.
init_system() {
	if [ -d /run/systemd/system ]; then
		echo systemd
	elif have rc-update && [ -x /sbin/openrc-run ]; then
		echo openrc
	elif have systemctl && [ -d /etc/systemd/system ]; then
		echo systemd-image
	elif [ -d /etc/init.d ] && have start-stop-daemon; then
		echo sysv
	else
		echo none
	fi
}

port_nodes() {
	for named in /sys/class/virtio-ports/*/name; do
		[ "$(cat "$named" 2>/dev/null)" = org.infinibay.agent ] || continue
		node=${named%/name}
		echo "/dev/${node##*/}"
	done
}

give_ports() {
	for node in $(port_nodes); do
		chmod 0600 "$node" && chown "$1" "$node"
	done
}

start_systemd() {
	write_rights
	for unit in infiniservice.service infiniservice-port@.service infiniservice-exec.service infiniservice-exec.socket; do
		part $unit | put 644 /etc/systemd/system/$unit
	done
	part 60-infiniservice.rules | put 644 /etc/udev/rules.d/60-infiniservice.rules
	if [ "$1" = systemd-image ]; then
		systemctl enable infiniservice.service infiniservice-exec.socket >/dev/null 2>&1 || fail "systemctl enable failed"
		say "starts with the next boot"
		return
	fi
	systemctl daemon-reload
	if have udevadm; then
		udevadm control --reload || true
		udevadm trigger --subsystem-match=virtio-ports --action=change || true
	fi
	give_ports "$user:$user"
	systemctl enable --quiet infiniservice.service infiniservice-exec.socket
	systemctl restart infiniservice-exec.socket
	systemctl stop infiniservice-exec.service
	systemctl restart infiniservice.service
	say "runs; systemctl status infiniservice"
}

# What the unit does before the start, for the others. Whatever lies in the agent's own directories, root does not touch it.
prepare_script() {
	echo "	$executor prepare directories identity ports"
	cat <<'PREPARE'
	for named in /sys/class/virtio-ports/*/name; do
		[ "$(cat "$named" 2>/dev/null)" = org.infinibay.agent ] || continue
		node=${named%/name}
		chmod 0600 "/dev/${node##*/}" && chown infiniservice:infiniservice "/dev/${node##*/}"
	done
PREPARE
}

start_openrc() {
	{
		cat <<OPENRC
#!/sbin/openrc-run
name="InfiniService guest monitoring agent"
supervisor=supervise-daemon
command=$prefix/sbin/infiniservice
command_user=$user:$user
respawn_delay=1
respawn_max=0
error_logger="logger -t infiniservice"

depend() {
	want localmount
	after localmount dev mdev udev
}

start_pre() {
OPENRC
		prepare_script
		echo "}"
	} | put 755 /etc/init.d/infiniservice
	rc-update -q add infiniservice default
	rc-service infiniservice restart || say "could not be started now; it starts with the next boot"
}

start_sysv() {
	{
		cat <<'SYSV'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          infiniservice
# Required-Start:    $local_fs
# Required-Stop:     $local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: InfiniService guest monitoring agent
### END INIT INFO
pidfile=/run/infiniservice.pid

prepare() {
SYSV
		prepare_script
		cat <<SYSV
}

start() {
	prepare
	log=/dev/null
	if [ -S /dev/log ] && command -v logger >/dev/null; then
		log=/run/infiniservice-root/log
		rm -f \$log
		mkfifo -m 600 \$log
		chown infiniservice \$log
		logger -t infiniservice <\$log &
	fi
	start-stop-daemon --start --quiet --oknodo --background --make-pidfile --pidfile \$pidfile --chuid $user:$user \\
		--startas /bin/sh -- -c "exec $prefix/sbin/infiniservice 2>\$log"
}

stop() {
	start-stop-daemon --stop --quiet --oknodo --retry TERM/15/KILL/5 --remove-pidfile --pidfile \$pidfile
}

case \$1 in
start) start ;;
stop) stop ;;
restart | force-reload) stop; start ;;
reload) start-stop-daemon --stop --signal HUP --pidfile \$pidfile ;;
status) start-stop-daemon --status --pidfile \$pidfile ;;
*) echo "usage: \$0 start|stop|restart|reload|status" >&2; exit 2 ;;
esac
SYSV
	} | put 755 /etc/init.d/infiniservice
	if have update-rc.d; then
		update-rc.d infiniservice defaults >/dev/null
	elif have chkconfig; then
		chkconfig --add infiniservice
	fi
	/etc/init.d/infiniservice restart || say "could not be started now"
}

# ------------------------------------------------------------------------------------------------------------- verbs

write_configuration() {
	part infiniservice.conf | put 644 $etc/infiniservice.conf
	{
		echo "$mark"
		[ -z "$1" ] || printf '[agent]\nvm_id = %s\n' "$1"
		printf '[commands]\nallow = observe, control, packages, power\nallow_unsafe = yes\n'
	} | put 644 $etc/conf.d/50-host.conf
	if [ -n "$secret" ]; then
		printf '%s\n' "$secret" | put 600 $etc/secret
	fi
	# The agent's alone: who may look at what it measures may not sign as the host.
	if [ -f $etc/secret ] && [ ! -L $etc/secret ]; then
		chown "$user:$user" $etc/secret
		chmod 600 $etc/secret
	fi
}

# The host owns this machine: it sees whose each process and socket is, where its program lies and what it reads and writes.
write_rights() {
	{ echo "$mark" && part 10-process-details.conf; } | put 644 $dropin
	say "the agent may see all processes and files ($dropin)"
}

remove_rights() {
	if [ -f $dropin ] && grep -qxF "$mark" $dropin; then
		rm -f $dropin
		rmdir "$(dirname $dropin)" 2>/dev/null || true
	fi
}

# Before anything is written: the portable program is made for glibc from 2.31 on, and a loader that lacks it says so in riddles.
check_libc() {
	libc=$({ getconf GNU_LIBC_VERSION || ldd --version; } 2>&1 | head -n 1) || true
	case $libc in
	*musl*) fail "the C library here is musl, which is not supported: glibc 2.31 or newer is needed" ;;
	"glibc "[0-9]*.[0-9]*) version=${libc#glibc } ;;
	*) return 0 ;; # unknown: the program itself is tried
	esac
	major=${version%%.*} minor=${version#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -ge 31 ]; } ||
		fail "the C library here is glibc $version: 2.31 or newer is needed (Debian 11, Ubuntu 20.04, RHEL 9)"
}

# What is missing then is no reason not to install: the agent tries again every minute that it is asked.
check_libsystemd() {
	for place in /lib /lib64 /usr/lib /usr/lib64 /lib/*-linux-* /usr/lib/*-linux-*; do
		[ ! -e "$place/libsystemd.so.0" ] || return 0
	done
	say "libsystemd is not here (Debian's package libsystemd0): services, power and what needs root cannot be done without it"
}

install_agent() {
	[ -f "$here/infiniservice" ] || fail "there is no infiniservice beside this script"
	check_libc
	# Tried as a copy, since what was pushed may not be executable or lie on a file system that nothing is executed from.
	put_program infiniservice $prefix/sbin/infiniservice.try
	if ! version=$($prefix/sbin/infiniservice.try --version 2>&1); then
		rm -f $prefix/sbin/infiniservice.try
		fail "the program does not run here ($version): the portable one (make portable) needs glibc 2.31 or newer alone"
	fi
	mv -f $prefix/sbin/infiniservice.try $prefix/sbin/infiniservice
	put_program infiniservice-exec $prefix/sbin/infiniservice-exec
	# The portable program is both.
	[ -f "$here/infiniservice-exec" ] || ln -sf infiniservice $prefix/sbin/infiniservice-exec
	put_program infinictl $prefix/bin/infinictl
	make_user
	write_configuration "$1"
	if have restorecon; then
		restorecon $prefix/sbin/infiniservice $prefix/sbin/infiniservice-exec 2>/dev/null || true
	fi
	$prefix/sbin/infiniservice --check-config >/dev/null || fail "the configuration is not valid"
	say "$version is installed"
	check_libsystemd
	init=$(init_system)
	case $init in
	systemd*) start_systemd "$init" ;;
	openrc) start_openrc ;;
	sysv) start_sysv ;;
	none)
		# Whatever starts it will do so as root, which takes no secret that another user could change.
		[ ! -f $etc/secret ] || chown root:root $etc/secret
		say "nothing here starts services: have $prefix/sbin/infiniservice started at every boot, as root"
		;;
	esac
}

uninstall_agent() {
	case $(init_system) in
	systemd*)
		systemctl disable --quiet --now infiniservice.service infiniservice-exec.socket 2>/dev/null || true
		systemctl stop infiniservice-exec.service 2>/dev/null || true
		if [ -d /run/systemd/system ]; then
			systemctl stop 'infiniservice-detached-*.service' 2>/dev/null || true
			systemctl stop infiniservice.slice 'system-infiniservice\x2dport.slice' 2>/dev/null || true
		fi
		;;
	openrc)
		rc-service -q infiniservice stop || true
		rc-update -q del infiniservice || true
		;;
	sysv) [ ! -x /etc/init.d/infiniservice ] || /etc/init.d/infiniservice stop || true ;;
	esac
	rm -f /etc/systemd/system/infiniservice.service /etc/systemd/system/infiniservice-port@.service \
		/etc/systemd/system/infiniservice-exec.service /etc/systemd/system/infiniservice-exec.socket \
		/etc/systemd/system/multi-user.target.wants/infiniservice.service \
		/etc/systemd/system/sockets.target.wants/infiniservice-exec.socket \
		/etc/udev/rules.d/60-infiniservice.rules /etc/init.d/infiniservice \
		$prefix/sbin/infiniservice $prefix/sbin/infiniservice-exec $prefix/bin/infinictl
	remove_rights
	rm -f "/var/lib/systemd/linger/$user"
	rm -rf $etc /var/lib/infiniservice /run/infiniservice /run/infiniservice-exec /run/infiniservice-root
	if have update-rc.d; then update-rc.d infiniservice remove >/dev/null 2>&1 || true; fi
	give_ports root:root
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
		if have udevadm; then
			udevadm control --reload || true
			udevadm trigger --subsystem-match=virtio-ports --action=change || true
		fi
	fi
	if [ "${1:-}" = --purge ]; then
		rm -rf /var/log/infiniservice
		if have userdel; then userdel $user 2>/dev/null || true; elif have deluser; then deluser $user 2>/dev/null || true; fi
		if have groupdel; then groupdel $user 2>/dev/null || true; elif have delgroup; then delgroup $user 2>/dev/null || true; fi
	fi
	say "removed"
}

case ${1:-} in
normal)
	[ $# -le 2 ] || usage
	case ${2:-} in
	*[!A-Za-z0-9._:-]*) fail "a VM_ID has letters, digits, '.', '_', ':' and '-' only" ;;
	esac
	[ ${#2} -le 128 ] 2>/dev/null || [ $# -eq 1 ] || fail "a VM_ID has at most 128 characters"
	verb=install
	;;
uninstall)
	case ${2:-} in "" | --purge) ;; *) usage ;; esac
	verb=uninstall
	;;
*) usage ;;
esac
[ "$(id -u)" -eq 0 ] || fail "has to be run as root"
umask 022
if have dpkg-query && dpkg-query -W -f '${db:Status-Status}' infiniservice 2>/dev/null | grep -q '^installed'; then
	[ "$verb" = install ] || fail "the Debian package is installed: apt purge infiniservice"
	executor=/usr/libexec/infiniservice-exec
	make_user
	write_configuration "${2:-}"
	write_rights
	systemctl daemon-reload
	systemctl enable --quiet --now infiniservice-exec.socket
	systemctl restart infiniservice.service
	say "the Debian package is here already: only its configuration was written"
	exit 0
fi
case $verb in
install) install_agent "${2:-}" ;;
uninstall) uninstall_agent "${2:-}" ;;
esac
exit 0
