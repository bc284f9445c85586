# SPDX-License-Identifier: MIT
# bash completion of infinihost(1)
_infinihost() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word command=""
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		watch | run | exec | raw | ping | demo)
			command=$word
			break
			;;
		esac
	done
	case $prev in
	-c | --connect | -l | --listen | -s | --secret)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames
		return
		;;
	--cwd)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	-t | --timeout | --count | --duration | --shell) return ;;
	esac
	case $command in
	"") word="-c --connect -l --listen -s --secret -t --timeout -j --json -h --help -V --version
		watch run exec raw ping demo" ;;
	watch) word="--count --types" ;;
	run) word="SystemInfo OsInfo ServiceList ServiceControl ProcessList ProcessTop PackageList PackageSearch UserList
		CheckDiskSpace RunAllHealthChecks CheckLinuxUpdates" ;;
	exec) word="--shell --timeout --cwd --" ;;
	demo) word="--duration --" ;;
	*) word="" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
}
complete -F _infinihost infinihost
