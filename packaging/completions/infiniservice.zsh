#compdef infiniservice
# SPDX-License-Identifier: MIT
_arguments -s \
	'(-c --config)'{-c,--config}'[read this file alone]:file:_files' \
	'(-p --port)'{-p,--port}'[where the host is]:port:(virtio\:org.infinibay.agent unix\: listen\: stdio none)' \
	'*'{-s,--set}'[set a key of the configuration]:section.key=value:' \
	'--check-config[check the configuration and exit]' \
	'--once[print one full metrics message and exit]' \
	'(-v --verbose)'{-v,--verbose}'[log debug messages too]' \
	'--version[print the version]' \
	'(-h --help)'{-h,--help}'[print a help text]'
