#compdef infinihost
# SPDX-License-Identifier: MIT
_infinihost_vms() {
	compadd -- ${(f)"$(infinihost --json vms 2>/dev/null | sed -n 's/^{"vm":"\([^"\\]*\)".*/\1/p')"}
}
_infinihost() {
	local state line
	_arguments -C \
		'(-c --connect)'{-c,--connect}'[connect to a socket]:socket:_files' \
		'(-l --listen)'{-l,--listen}'[listen on a socket]:socket:_files' \
		'(-m --vm)'{-m,--vm}'[a VM of the hub]:VM:_infinihost_vms' \
		'(-a --all)'{-a,--all}'[all VMs of the hub]' '(-P --parallel)'{-P,--parallel}'[so many at once]:number:' '--fail-fast[begin no more after a failure]' \
		'(-S --socket)'{-S,--socket}'[socket of the hub]:socket:_files' \
		'(-s --secret)'{-s,--secret}'[sign with the secret in this file]:file:_files' \
		'(-t --timeout)'{-t,--timeout}'[seconds to wait]:seconds:' \
		'(-j --json)'{-j,--json}'[print the messages as they came]' \
		'(-h --help)'{-h,--help}'[print a help text]' '(-V --version)'{-V,--version}'[print the version]' \
		'1:command:(watch run actions exec raw ping history vms serve demo)' '*::argument:->rest'
	[[ $state == rest ]] || return
	case $line[1] in
	watch) _arguments '--count[end after so many]:number:' '--types[only the types]' ;;
	run)
		if ((CURRENT == 2)); then
			compadd -- ${(f)"$(infinihost actions 2>/dev/null)"}
		else
			compadd -S '' -- ${(f)"$(infinihost actions $words[2] 2>/dev/null)"}
		fi
		;;
	actions) ((CURRENT == 2)) && compadd -- ${(f)"$(infinihost actions 2>/dev/null)"} ;;
	exec) _arguments '--shell[run it by this shell]:shell:(sh bash)' '--timeout[seconds]:seconds:' '--cwd[directory in the guest]:directory:' ;;
	history) _arguments '--begin[from this time]:time:' '--end[to this time]:time:' '--limit[at most so many]:number:' '--openmetrics[for backfilling Prometheus]' ;;
	serve) _arguments '--config[read this file]:file:_files' '--vms[where the sockets are]:paths:_files' '--listen[where metrics are served]:address:' \
		'--socket[the hub'"'"'s socket]:socket:_files' '--state[folder of what is kept]:folder:_files -/' '--check[judge the configuration]' '--example[print a configuration]' ;;
	demo) _arguments '--duration[seconds]:seconds:' '*:agent:_files' ;;
	esac
}
_infinihost "$@"
