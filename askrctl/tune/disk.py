# SPDX-License-Identifier: MIT
"""Files below a root: this machine's, or those of a tree that stands for one.

Links of a tree are followed inside the tree, as chroot(2) would, so a captured machine's
`99-sysctl.conf -> /etc/sysctl.conf` never leads to the files of the machine that looks at it.
A file is written so that it is at all times either the old one or the new one: a temporary file in
the same folder, fsync, rename, fsync of the folder. What a crash leaves of that is one file with a
known name that no reader of the folder looks at.
"""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from askrctl.model import AskrError
from askrctl.tune.system import System

FILE_SIZE_MAX = 1024 * 1024  # bytes; more is no configuration file
LINKS_MAX = 40  # as the kernel: then ELOOP
TEMPORARY = ".askr-tmp"
NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class Disk:
    root: Path = Path("/")
    system: System = field(default_factory=System)

    @property
    def live(self) -> bool:
        """This machine, not a tree."""
        return self.root == Path("/")

    def at(self, path: str, follow: bool = True) -> str:
        """Where that is for the system. `follow`: also the last part, when it is a link."""
        if self.live:
            return path
        parts = [part for part in path.split("/") if part not in ("", ".")][::-1]
        here: list[str] = []
        links = 0
        while parts:
            part = parts.pop()
            if part == "..":
                here = here[:-1]
                continue
            place = os.path.join(self.root, *here, part)
            if os.path.islink(place) and (follow or parts):
                links += 1
                if links > LINKS_MAX:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(place)
                here = [] if target.startswith("/") else here
                parts += [name for name in target.split("/") if name not in ("", ".")][::-1]
            else:
                here.append(part)
        return os.path.join(self.root, *here)

    # --- reading ----------------------------------------------------------------------------------

    def read(self, path: str) -> str | None:
        """The text, or None when there is no such file."""
        try:
            with open(self.at(path), "rb") as file:
                data = file.read(FILE_SIZE_MAX + 1)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise
        if len(data) > FILE_SIZE_MAX:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return data.decode(errors="surrogateescape")

    def link(self, path: str) -> str | None:
        """Where a link points; None when it is none."""
        try:
            return os.readlink(self.at(path, follow=False))
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.at(path, follow=False))

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; nothing when it is not there."""
        try:
            return sorted(os.listdir(self.at(folder)))
        except OSError as error:
            if error.errno in NOT_THERE:
                return []
            raise

    def read_only(self, path: str) -> bool:
        """Not even root could write it here. Unknown to anybody but root: then no."""
        return os.geteuid() == 0 and not os.access(self.at(path), os.W_OK)

    # --- writing ----------------------------------------------------------------------------------

    def put(self, path: str, value: str) -> None:
        """A value for the kernel."""
        self.system.put(self.at(path), f"{value}\n".encode())

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace a file, or make it. Its mode stays what it was."""
        target = self.at(path, follow=False)
        if os.path.islink(target):
            raise AskrError(f"{path} is a symbolic link, not a file of askrctl", f"ls -l {path}")
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(os.lstat(target).st_mode)
        temporary = self.temporary(path)
        try:
            self._fill(temporary, text.encode(errors="surrogateescape"), mode)
            self.system.rename(temporary, target)
        except OSError:
            with contextlib.suppress(OSError):
                self.system.unlink(temporary)
            raise
        self.sync_folder(os.path.dirname(path))

    def _fill(self, path: str, data: bytes, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        file = self.system.open(path, flags, 0o600)
        try:
            self._write_all(file, data)
            self.system.chmod(file, mode)
            self.system.fsync(file)
        finally:
            self.system.close(file)

    def _write_all(self, file: int, data: bytes) -> None:
        while data:
            data = data[self.system.write(file, data) :]

    def append(self, path: str, size: int, text: str) -> None:
        """Add to a file that has `size` good bytes; what comes after them is cut off."""
        file = self.system.open(self.at(path, follow=False), os.O_WRONLY, 0)
        try:
            if os.fstat(file).st_size != size:
                self.system.truncate(file, size)
            os.lseek(file, size, os.SEEK_SET)
            self._write_all(file, text.encode())
            self.system.fsync(file)
        finally:
            self.system.close(file)

    def remove(self, path: str) -> None:
        self.system.unlink(self.at(path, follow=False))
        self.sync_folder(os.path.dirname(path))

    def clear_temporary(self, path: str) -> None:
        """What a crash may have left of a write to that path."""
        if os.path.lexists(self.temporary(path)):
            self.system.unlink(self.temporary(path))

    def temporary(self, path: str) -> str:
        folder, name = os.path.split(self.at(path, follow=False))
        return os.path.join(folder, f".{name}{TEMPORARY}")

    def sync_folder(self, path: str) -> None:
        folder = self.system.open(self.at(path), os.O_RDONLY | os.O_DIRECTORY, 0)
        try:
            self.system.fsync(folder)
        finally:
            self.system.close(folder)

    def missing_folders(self, path: str) -> list[str]:
        """Folders that have to be made before that file can be, outermost first."""
        missing: list[str] = []
        folder = os.path.dirname(path)
        while folder != "/" and not os.path.isdir(self.at(folder)):
            missing.insert(0, folder)
            folder = os.path.dirname(folder)
        return missing

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """Make it unless it is there."""
        with contextlib.suppress(FileExistsError):
            self.system.mkdir(self.at(path), mode)
        self.sync_folder(os.path.dirname(path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder of ours, unless somebody has put something into it."""
        try:
            self.system.rmdir(self.at(path))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, *NOT_THERE):
                raise
            return
        self.sync_folder(os.path.dirname(path))
