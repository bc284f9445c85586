# SPDX-License-Identifier: MIT
"""A kernel that refuses a system call to this process and what it runs, see seccomp(2)."""
import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
# struct seccomp_data: nr, arch, instruction_pointer, args[6]
NUMBER, ARGUMENTS = 0, 16


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def refuse(numbers, arguments, error):
    """The call with this number (by machine) and these arguments, (place, value), ends with the error; all others are let through."""
    if platform.machine() not in numbers:
        sys.exit("the number of the system call on this machine is not known here")
    fields = [(NUMBER, numbers[platform.machine()])] + [(ARGUMENTS + 8 * place, value) for place, value in arguments]
    code = b""
    for number, (offset, value) in enumerate(fields):
        left = 2 * (len(fields) - number) - 2
        code += struct.pack("=HBBI", LOAD, 0, 0, offset) + struct.pack("=HBBI", EQUAL, 0, left + 1, value)
    code += struct.pack("=HBBI", RETURN, 0, 0, REFUSE | error) + struct.pack("=HBBI", RETURN, 0, 0, ALLOW)
    program = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
