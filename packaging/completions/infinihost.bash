# SPDX-License-Identifier: MIT
# bash completion of infinihost(1)

# Actions and their parameters, as the program lists them. "=" ends a word of COMP_WORDS.
_infinihost_run() {
	local key=""
	if [ -z "$1" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(infinihost actions 2>/dev/null)" -- "$cur")
		return
	fi
	if [ "$cur" = "=" ]; then
		key=$prev cur=""
	elif [ "$prev" = "=" ]; then
		key=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [ -n "$key" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(infinihost actions "$1" 2>/dev/null | sed -n "s/^$key=//p")" -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -S = -W "$(infinihost actions "$1" 2>/dev/null | sed 's/=.*//' | sort -u)" -- "$cur")
	compopt -o nospace
}

_infinihost() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word command="" action="" at=0 i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --connect | -l | --listen | -m | --vm | -S | --socket | -P | --parallel | -s | --secret | -t | --timeout) i=$((i + 1)) ;;
		watch | run | actions | exec | raw | ping | history | vms | serve | demo)
			command=${COMP_WORDS[i]}
			at=$i
			break
			;;
		esac
	done
	[ "$at" -gt 0 ] && [ "$COMP_CWORD" -gt $((at + 1)) ] && action=${COMP_WORDS[at + 1]}
	case $prev in
	-m | --vm)
		mapfile -t COMPREPLY < <(compgen -W "$(infinihost --json vms 2>/dev/null | sed -n 's/^{"vm":"\([^"\\]*\)".*/\1/p')" -- "$cur")
		return
		;;
	-c | --connect | -l | --listen | -S | --socket | -s | --secret | --config | --state | --vms)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames
		return
		;;
	--cwd)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	-P | --parallel | -t | --timeout | --begin | --end | --limit | --count | --duration | --shell) return ;;
	esac
	case $command in
	"") word="-c --connect -l --listen -m --vm -a --all -P --parallel --fail-fast -S --socket -s --secret -t --timeout -j --json -h --help -V --version
		watch run actions exec raw ping history vms serve demo" ;;
	watch) word="--count --types" ;;
	run)
		_infinihost_run "$action"
		return
		;;
	actions) word=$([ -n "$action" ] || infinihost actions 2>/dev/null) ;;
	exec) word="--shell --timeout --cwd --" ;;
	history) word="--begin --end --limit --openmetrics" ;;
	serve) word="--config --vms --listen --socket --state --check --example" ;;
	demo) word="--duration --" ;;
	*) word="" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
}
complete -F _infinihost infinihost
