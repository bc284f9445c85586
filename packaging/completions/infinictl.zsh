#compdef infinictl
# SPDX-License-Identifier: MIT
_infinictl_metrics() {
	local -a names
	names=(${(f)"$(infinictl metrics --names 2>/dev/null)"})
	compadd -a names
}
_infinictl() {
	local state line
	_arguments -C '--help[print a help text]' '--version[print the version]' \
		'1:subcommand:((log\:"print the metric log" top\:"the machine on a live screen" replay\:"the same screen over the log" plot\:"metrics over time" events\:"what happened" report\:"a page of charts and tables" metrics\:"the metrics there are" status\:"ask the running agent" ps\:"commands that run or wait" audit\:"what hosts asked" config\:"the configuration"))' \
		'*::argument:->rest'
	[[ $state == rest ]] || return
	case $line[1] in
	log)
		_arguments '--dir[the log of another directory]:directory:_files -/' '--begin[from this time on]:time:(now today yesterday tomorrow)' \
			'--end[up to this time]:time:(now today yesterday tomorrow)' '(-f --follow)'{-f,--follow}'[go on with what is being written]' \
			'--lines[the newest alone]:number:' '--where[the samples for which this holds]:condition:' '--process[what is known of a process]:name:' \
			'--every[one row for each span]:span:(1m 5m 1h 1d)' '--calculate[what the row of a span holds]:function:(average min max sum last count p50 p95 p99)' \
			'--summary[count, average, percentiles of all samples]' '--output[form of what is printed]:form:(table json csv openmetrics)' \
			'--color[colours]:when:(auto always never)' '--no-pager[print straight to the terminal]' \
			'*--metric[print this value]:path:_infinictl_metrics' '--json[print the lines as they are]' '--utc[times in UTC]' '*:file:_files'
		;;
	top)
		_arguments '--socket[the socket of the agent]:socket:_files' '--interval[ask for a sample that often]:span:(1s 2s 5s)' \
			'--dir[the newest sample of this log]:directory:_files -/' '--utc[times in UTC]'
		;;
	replay)
		_arguments '--dir[the log of another directory]:directory:_files -/' '--begin[start at this time]:time:(now today yesterday tomorrow)' \
			'--end[up to this time]:time:(now today yesterday tomorrow)' '--utc[times in UTC]' '*:file:_files'
		;;
	plot)
		_arguments '--dir[the log of another directory]:directory:_files -/' '--begin[from this time on]:time:(now today yesterday tomorrow)' \
			'--end[up to this time]:time:(now today yesterday tomorrow)' '(-f --follow)'{-f,--follow}'[draw anew as samples come]' \
			'--style[characters of the charts]:style:(braille block ascii)' '--width[columns]:number:' '--height[rows of all charts together]:number:' \
			'--svg[an SVG file instead]:file:_files' '--color[colours]:when:(auto always never)' '--utc[times in UTC]' '*:metric:_infinictl_metrics'
		;;
	events)
		_arguments '--dir[the log of another directory]:directory:_files -/' '--records[the audit records of another directory]:directory:_files -/' \
			'--begin[from this time on]:time:(now today yesterday tomorrow)' '--end[up to this time]:time:(now today yesterday tomorrow)' \
			'--kind[these alone]:kind:(gap start reboot clock snapshot oom fault alert command refused note)' '--lines[the newest alone]:number:' \
			'--json[print JSON]' '--color[colours]:when:(auto always never)' '--no-pager[print straight to the terminal]' '--utc[times in UTC]' '*:file:_files'
		;;
	report)
		_arguments '--html[the page]:file:_files' '--day=-[the local day of a time]::time:' '--week=-[the week of a time]::time:' \
			'--begin[from this time on]:time:(now today yesterday tomorrow)' '--end[up to this time]:time:(now today yesterday tomorrow)' \
			'--compare[beside it the span that begins then]:time:(yesterday)' '--dir[the log of another directory]:directory:_files -/' \
			'--records[the audit records of another directory]:directory:_files -/' '--utc[times in UTC]' '*:file:_files'
		;;
	metrics)
		_arguments '--json[print JSON]' '--names[the names alone]' '1:pattern:_infinictl_metrics'
		;;
	status)
		_arguments '--socket[the socket of the agent]:socket:_files' '--loop[what the turns of its loop cost]' '--json[print JSON]'
		;;
	ps)
		_arguments '--socket[the socket of the agent]:socket:_files' '--json[print JSON]'
		;;
	audit)
		_arguments '--lines[at most the last records]:number:' '--begin[from this time on]:time:(now today yesterday tomorrow)' \
			'--end[up to this time]:time:(now today yesterday tomorrow)' '--origin[what this one asked]:origin:(host uid)' \
			'--failed[what was refused or failed]' '--id[those of one command]:id:' '--all[the looks of infinictl as well]' '--utc[times in UTC]' '--json[print JSON]'
		;;
	config)
		_arguments '1:what:(check show example)' '2:file:_files'
		;;
	esac
}
_infinictl "$@"
