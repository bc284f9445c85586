# SPDX-License-Identifier: MIT
# The word behind run or actions, once it is whole.
function __infinihost_action
	set -l words (commandline -opc)
	set -l i 2
	while test $i -le (count $words)
		switch $words[$i]
			case -c --connect -l --listen -m --vm -S --socket -P --parallel -s --secret -t --timeout
				set i (math $i + 1)
			case run actions
				set -q words[(math $i + 1)]; or return 1
				echo $words[(math $i + 1)]
				return 0
		end
		set i (math $i + 1)
	end
	return 1
end

set -l none 'not __fish_seen_subcommand_from watch run actions exec raw ping history vms serve demo'
complete -c infinihost -n $none -f
complete -c infinihost -n $none -s c -l connect -r -F -d 'Connect to a socket'
complete -c infinihost -n $none -s l -l listen -r -F -d 'Listen on a socket'
complete -c infinihost -n $none -s m -l vm -x -a '(infinihost --json vms 2>/dev/null | sed -n \'s/^{"vm":"\([^"\\\\]*\)".*/\1/p\')' -d 'A VM of the hub'
complete -c infinihost -n $none -s a -l all -d 'All VMs of the hub'
complete -c infinihost -n $none -s P -l parallel -x -d 'So many at once'
complete -c infinihost -n $none -l fail-fast -d 'Begin no more after a failure'
complete -c infinihost -n $none -s S -l socket -r -F -d 'Socket of the hub'
complete -c infinihost -n $none -s s -l secret -r -F -d 'Sign with the secret in this file'
complete -c infinihost -n $none -s t -l timeout -x -d 'Seconds to wait'
complete -c infinihost -n $none -s j -l json -d 'Print the messages as they came'
complete -c infinihost -n $none -s h -l help -d 'Print a help text'
complete -c infinihost -n $none -s V -l version -d 'Print the version'
complete -c infinihost -n $none -a watch -d 'Print what arrives'
complete -c infinihost -n $none -a run -d 'Send a SafeCommand'
complete -c infinihost -n $none -a actions -d 'List the actions, or the parameters of one'
complete -c infinihost -n '__fish_seen_subcommand_from run actions; and not __infinihost_action >/dev/null' -f -a '(infinihost actions 2>/dev/null)'
complete -c infinihost -n '__fish_seen_subcommand_from run; and __infinihost_action >/dev/null' -f -a '(infinihost actions (__infinihost_action) 2>/dev/null)'
complete -c infinihost -n '__fish_seen_subcommand_from watch ping' -f
complete -c infinihost -n $none -a exec -d 'Run a command in the guest'
complete -c infinihost -n $none -a raw -d 'Send lines as they are'
complete -c infinihost -n $none -a ping -d 'Time a keep-alive'
complete -c infinihost -n $none -a history -d 'Samples of the guest\'s log'
complete -c infinihost -n '__fish_seen_subcommand_from history' -l begin -x -d 'From this time'
complete -c infinihost -n '__fish_seen_subcommand_from history' -l end -x -d 'To this time'
complete -c infinihost -n '__fish_seen_subcommand_from history' -l limit -x -d 'At most so many'
complete -c infinihost -n '__fish_seen_subcommand_from history' -l openmetrics -d 'For backfilling Prometheus'
complete -c infinihost -n $none -a vms -d 'The VMs of the hub'
complete -c infinihost -n $none -a serve -d 'Be the hub of all VMs'
complete -c infinihost -n '__fish_seen_subcommand_from serve' -l config -r -F -d 'Read this file'
complete -c infinihost -n '__fish_seen_subcommand_from serve' -l vms -r -F -d 'Where the sockets are'
complete -c infinihost -n '__fish_seen_subcommand_from serve' -l listen -x -d 'Where metrics are served'
complete -c infinihost -n '__fish_seen_subcommand_from serve' -l socket -r -F -d 'Socket of the hub'
complete -c infinihost -n '__fish_seen_subcommand_from serve' -l state -r -F -d 'Folder of what is kept'
complete -c infinihost -n '__fish_seen_subcommand_from serve' -l check -d 'Judge the configuration'
complete -c infinihost -n '__fish_seen_subcommand_from serve' -l example -d 'Print a configuration'
complete -c infinihost -n $none -a demo -d 'An agent and its host on this machine'
complete -c infinihost -n '__fish_seen_subcommand_from watch' -l count -x -d 'End after so many'
complete -c infinihost -n '__fish_seen_subcommand_from watch' -l types -d 'Only the types'
complete -c infinihost -n '__fish_seen_subcommand_from exec' -l shell -x -a 'sh bash' -d 'Run it by this shell'
complete -c infinihost -n '__fish_seen_subcommand_from exec' -l timeout -x -d 'Seconds'
complete -c infinihost -n '__fish_seen_subcommand_from exec' -l cwd -x -d 'Directory in the guest'
complete -c infinihost -n '__fish_seen_subcommand_from demo' -l duration -x -d 'Seconds'
