#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a program on a kernel that seems to have no sock_diag(7): its netlink sockets are refused, all others are not.

    without_sock_diag.py PROGRAM [ARGUMENT…]
"""
import errno
import os
import sys

from seccomp import refuse

AF_NETLINK, NETLINK_SOCK_DIAG = 16, 4

refuse({"x86_64": 41, "aarch64": 198, "riscv64": 198}, [(0, AF_NETLINK), (2, NETLINK_SOCK_DIAG)], errno.EPROTONOSUPPORT)
os.execvp(sys.argv[1], sys.argv[1:])
