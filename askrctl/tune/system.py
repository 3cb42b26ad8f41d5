# SPDX-License-Identifier: MIT
"""The system calls that change anything, one method each, so that a test can stop at every one."""

import os


class System:
    """The real ones. A test replaces it by one that crashes, refuses or runs out of space."""

    def put(self, path: str, data: bytes) -> None:
        """A value for the kernel: the whole of it in one write(2), as /proc/sys asks for.

        A tree has plain files in its place, which keep the rest of a longer value unless told.
        """
        plain = 0 if path.startswith(("/proc/", "/sys/")) else os.O_TRUNC
        target = os.open(path, os.O_WRONLY | os.O_CLOEXEC | plain)
        try:
            written = os.write(target, data)
        finally:
            os.close(target)
        if written != len(data):
            raise OSError(5, "the kernel took only a part of the value", path)

    def open(self, path: str, flags: int, mode: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def write(self, target: int, data: bytes) -> int:
        return os.write(target, data)

    def truncate(self, target: int, size: int) -> None:
        os.ftruncate(target, size)

    def chmod(self, target: int, mode: int) -> None:
        os.fchmod(target, mode)

    def fsync(self, target: int) -> None:
        os.fsync(target)

    def close(self, target: int) -> None:
        os.close(target)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)
