# SPDX-License-Identifier: MIT
"""Runs a command under a seccomp filter that answers system calls with an errno.

    python tests/seccomp.py io_uring_setup=EPERM io_uring_enter=EPERM -- COMMAND…

This is what container runtimes do to io_uring. The filter is inherited by everything the command
starts and cannot be taken off again.
"""

import ctypes
import errno
import os
import struct
import sys

# The numbers are the same on every architecture, as for all system calls since Linux 5.1.
SYSTEM_CALLS = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
# Classic BPF: load a word of struct seccomp_data, jump if equal, return.
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
OFFSET_OF_NUMBER = 0


def program(denied: dict[str, str]) -> list[tuple[int, int, int, int]]:
    """Instructions (code, skip if true, skip if false, operand) that deny these system calls."""
    instructions = [(LOAD_WORD, 0, 0, OFFSET_OF_NUMBER)]
    for name, error in denied.items():
        instructions.append((JUMP_IF_EQUAL, 0, 1, SYSTEM_CALLS[name]))
        instructions.append((RETURN, 0, 0, SECCOMP_RET_ERRNO | getattr(errno, error)))
    return [*instructions, (RETURN, 0, 0, SECCOMP_RET_ALLOW)]


def install(denied: dict[str, str]) -> None:
    """Put this process, and everything it will start, under the filter."""
    instructions = program(denied)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"prctl{arguments[:2]}")


if __name__ == "__main__":
    split = sys.argv.index("--")
    install(dict(word.split("=") for word in sys.argv[1:split]))
    os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])
