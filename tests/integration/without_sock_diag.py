#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a program on a kernel that seems to have no sock_diag(7): its netlink sockets are refused, all others are not.

    without_sock_diag.py PROGRAM [ARGUMENT…]
"""
import ctypes
import errno
import os
import platform
import struct
import sys

AF_NETLINK, NETLINK_SOCK_DIAG = 16, 4
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPROTONOSUPPORT
SOCKET = {"x86_64": 41, "aarch64": 198, "riscv64": 198}
# struct seccomp_data: nr, arch, instruction_pointer, args[6]
FIELDS = ((0, SOCKET.get(platform.machine())), (16, AF_NETLINK), (32, NETLINK_SOCK_DIAG))


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def main():
    if FIELDS[0][1] is None:
        sys.exit("the number of socket(2) on this machine is not known here")
    code = b""
    for number, (offset, value) in enumerate(FIELDS):
        left = 2 * (len(FIELDS) - number) - 2
        code += struct.pack("=HBBI", LOAD, 0, 0, offset) + struct.pack("=HBBI", EQUAL, 0, left + 1, value)
    code += struct.pack("=HBBI", RETURN, 0, 0, REFUSE) + struct.pack("=HBBI", RETURN, 0, 0, ALLOW)
    program = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[1], sys.argv[1:])


main()
