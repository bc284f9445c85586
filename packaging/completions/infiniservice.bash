# SPDX-License-Identifier: MIT
# bash completion of infiniservice(8)
_infiniservice() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	case $prev in
	-c | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	-p | --port)
		mapfile -t COMPREPLY < <(compgen -W "virtio:org.infinibay.agent unix: listen: stdio none" -- "$cur")
		;;
	-s | --set)
		mapfile -t COMPREPLY < <(compgen -S = -W "$(infinictl config example 2>/dev/null |
			sed -n 's/^\[\(.*\)\]$/\1/;t s;s/^#\([a-z_]*\) =.*/\1/;t k;d;:s;h;d;:k;G;s/\(.*\)\n\(.*\)/\2.\1/p')" -- "$cur")
		compopt -o nospace
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "-c --config -p --port -s --set --check-config --once -v --verbose --version
			-h --help" -- "$cur")
		;;
	esac
}
complete -F _infiniservice infiniservice
