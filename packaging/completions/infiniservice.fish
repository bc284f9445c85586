# SPDX-License-Identifier: MIT
complete -c infiniservice -f
complete -c infiniservice -s c -l config -r -F -d 'Read this file alone'
complete -c infiniservice -s p -l port -x -a 'virtio:org.infinibay.agent unix: listen: stdio none' -d 'Where the host is'
complete -c infiniservice -s s -l set -x -d 'Set a key of the configuration'
complete -c infiniservice -l check-config -d 'Check the configuration and exit'
complete -c infiniservice -l once -d 'Print one full metrics message and exit'
complete -c infiniservice -s v -l verbose -d 'Log debug messages too'
complete -c infiniservice -l version -d 'Print the version'
complete -c infiniservice -s h -l help -d 'Print a help text'
