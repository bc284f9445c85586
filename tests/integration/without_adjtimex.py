#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a program that may not ask the kernel about its clock, adjtimex(2), as the service's ProtectClock= has it.

    without_adjtimex.py PROGRAM [ARGUMENT…]
"""
import errno
import os
import sys

from seccomp import refuse

# The C library's adjtimex(3) is the one or the other.
refuse({"x86_64": 159, "aarch64": 171, "riscv64": 171}, [], errno.EPERM)
refuse({"x86_64": 305, "aarch64": 266, "riscv64": 266}, [], errno.EPERM)
os.execvp(sys.argv[1], sys.argv[1:])
