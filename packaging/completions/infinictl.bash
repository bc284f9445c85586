# SPDX-License-Identifier: MIT
# bash completion of infinictl(1)
_infinictl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words
	case ${COMP_CWORD}:${COMP_WORDS[1]} in
	1:*) words="log top replay plot events report metrics status ps audit config --help --version" ;;
	*:log) words="--dir --begin --end --lines --follow -f --where --metric --process --every --calculate --summary --output --json --utc --color --no-pager --help" ;;
	*:top) words="--socket --interval --dir --utc --help" ;;
	*:replay) words="--dir --begin --end --utc --help" ;;
	*:plot) words="--dir --begin --end --follow -f --style --width --height --svg --color --utc --help $(infinictl metrics --names 2>/dev/null)" ;;
	*:events) words="--dir --records --begin --end --kind --lines --json --color --no-pager --utc --help" ;;
	*:report) words="--html --day --week --begin --end --compare --dir --records --utc --help" ;;
	*:metrics) words="--json --names --help $(infinictl metrics --names 2>/dev/null)" ;;
	*:status) words="--socket --loop --json --help" ;;
	*:ps) words="--socket --json --help" ;;
	*:audit) words="--lines --begin --end --origin --failed --id --all --utc --json --help" ;;
	2:config) words="check show example --help" ;;
	esac
	case $prev in
	--dir | --records)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--begin | --end | --compare)
		mapfile -t COMPREPLY < <(compgen -W "now today yesterday tomorrow" -- "$cur")
		return
		;;
	--origin)
		mapfile -t COMPREPLY < <(compgen -W "host uid" -- "$cur")
		return
		;;
	--metric)
		mapfile -t COMPREPLY < <(compgen -W "$(infinictl metrics --names 2>/dev/null)" -- "$cur")
		return
		;;
	--output)
		mapfile -t COMPREPLY < <(compgen -W "table json csv openmetrics" -- "$cur")
		return
		;;
	--color)
		mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$cur")
		return
		;;
	--kind)
		mapfile -t COMPREPLY < <(compgen -W "gap start reboot clock snapshot oom fault alert command refused note" -- "$cur")
		return
		;;
	--style)
		mapfile -t COMPREPLY < <(compgen -W "braille block ascii" -- "$cur")
		return
		;;
	--svg | --html)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--calculate)
		mapfile -t COMPREPLY < <(compgen -W "average min max sum last count p50 p95 p99" -- "$cur")
		return
		;;
	--interval | --lines | --id | --where | --process | --every | --width | --height) return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	# Files come after log, check and show.
	if [ ${#COMPREPLY[@]} -eq 0 ] && [ "$COMP_CWORD" -gt 1 ] && [[ $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames
	fi
}
complete -F _infinictl infinictl
