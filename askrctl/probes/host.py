# SPDX-License-Identifier: MIT
"""A machine, seen through a root directory: this one, or one that was captured.

Files are read below the root. What is no file (system calls, netlink, processes, PHP) is asked
through `probe`, and a captured tree answers it from `.probe.json`, so every check can be replayed.
A Host with a `Recorder` keeps what was read and answered: that is what a support bundle is.

Nothing here judges, and nothing here writes below the root.
"""

import glob
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

RECORDED = ".probe.json"
READ_SIZE_MAX = 4 * 1024 * 1024  # more than any file that a check judges by
# One read(2): /proc/sys copies through a buffer of the size asked for, and fails for a large one.
CHUNK_SIZE = 64 * 1024


class CannotTell(Exception):  # noqa: N818 an outcome, not an error
    """The fact should be there and could not be read: the sentence says why."""


class NotApplicable(Exception):  # noqa: N818
    """The fact does not exist on this machine: the sentence says why."""


@dataclass(slots=True)
class Recorder:
    """What a run has read. `files` maps paths to text, `denied` and `missing` are paths."""

    files: dict[str, str] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    listed: dict[str, list[str]] = field(default_factory=dict)
    probes: dict[str, Any] = field(default_factory=dict)

    def add(self, other: "Recorder") -> None:
        """What a part of the run has read."""
        self.files.update(other.files)
        self.later.update(other.later)
        self.links.update(other.links)
        self.denied |= other.denied
        self.listed.update(other.listed)
        self.probes.update(other.probes)


@dataclass(frozen=True, slots=True)
class Host:
    """`recorded` is the content of .probe.json; None means: ask this machine."""

    root: Path = Path("/")
    recorded: Mapping[str, Any] | None = None
    recorder: Recorder | None = None
    answers: dict[str, Any] = field(default_factory=dict, compare=False)  # one run asks once

    @property
    def live(self) -> bool:
        return self.recorded is None

    def _at(self, path: str) -> Path:
        """Where a file lies. A captured tree's links never lead out of it, to files of ours."""
        place = self.root / path.lstrip("/")
        if self.recorded is None:
            return place
        real = Path(os.path.realpath(place))
        root = Path(os.path.realpath(self.root))
        if real == root or root in real.parents:
            return place
        return root / str(real).lstrip("/") if real.is_absolute() else place

    def read(self, path: str) -> str:
        """The text, stripped. FileNotFoundError when there is none; CannotTell when forbidden."""
        return self.whole(path).strip()

    def whole(self, path: str) -> str:
        """The text as it stands, for those who count its lines."""
        if self.recorded is not None and path in self.recorded.get("denied", ()):
            raise CannotTell(f"{path} may not be read by this user")
        try:
            text = self._read_raw(path)
        except PermissionError:
            if self.recorder is not None:
                self.recorder.denied.add(path)
            raise CannotTell(f"{path} may not be read by this user") from None
        except (IsADirectoryError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except FileNotFoundError:
            raise FileNotFoundError(path) from None
        except OSError as error:  # EINVAL, EIO: the file is there and the kernel refuses to tell
            raise CannotTell(f"{path} cannot be read: {error.strerror}") from None
        if self.recorder is not None:
            self.recorder.files.setdefault(path, text)
        return text

    def read_secret(self, path: str) -> str:
        """The text of a private key: never recorded, so never in a bundle."""
        return replace(self, recorder=None).read(path)

    def _read_raw(self, path: str) -> str:
        data = bytearray()
        with self._at(path).open("rb", buffering=0) as file:
            while len(data) < READ_SIZE_MAX and (chunk := file.read(CHUNK_SIZE)):
                data += chunk
        return data.decode(errors="replace")

    def read_again(self, path: str) -> str:
        """A counter's text later in the same run. A captured tree has it under `later`."""
        if self.recorded is not None and path in self.recorded.get("later", {}):
            text = str(self.recorded["later"][path]).strip()
        else:
            text = self.read(path)
        if self.recorder is not None:
            self.recorder.later[path] = text
        return text

    def get(self, path: str, default: str = "") -> str:
        """The text, or the default when there is no such file or it may not be read."""
        try:
            return self.read(path)
        except (FileNotFoundError, CannotTell):
            return default

    def exists(self, path: str) -> bool:
        place = self._at(path)
        found = place.exists() or (self.root / path.lstrip("/")).is_symlink()
        if self.recorder is not None and found:
            self.recorder.listed.setdefault(path, [path])
        return found

    def readable(self, path: str) -> bool:
        """There, and for us to read."""
        try:
            self.read(path)
        except (FileNotFoundError, CannotTell):
            return False
        return True

    def link(self, path: str) -> str:
        """Where a symbolic link points; "" when it is none."""
        try:
            target = os.readlink(self.root / path.lstrip("/"))
        except OSError:
            return ""
        if self.recorder is not None:
            self.recorder.links[path] = target
        return target

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted, as the machine itself would name them."""
        base = str(self.root).rstrip("/")
        found = sorted(path[len(base) :] for path in glob.glob(base + pattern))
        if self.recorder is not None:
            self.recorder.listed[pattern] = found
        return found

    def probe(self, name: str, ask: Callable[[], Any]) -> Any:
        """What `ask` finds out about this machine, or what it once found out about that one."""
        if self.recorded is not None:
            if name not in self.recorded.get("probes", {}):
                raise CannotTell(f"this capture has no {name}")
            answer = self.recorded["probes"][name]
        elif name in self.answers:
            answer = self.answers[name]
        else:
            answer = self.answers[name] = _answer(ask)
        if self.recorder is not None:
            self.recorder.probes[name] = answer
        if isinstance(answer, dict) and "cannot_tell" in answer:
            raise CannotTell(str(answer["cannot_tell"]))
        return answer

    def now(self) -> float:
        """Seconds since the epoch: a captured machine is judged by its own day."""
        if self.recorded is not None and "time" in self.recorded:
            return float(self.recorded["time"])
        return time.time()


def _answer(ask: Callable[[], Any]) -> Any:
    """The answer as JSON will carry it, so that live and replayed runs see the same types."""
    try:
        return json.loads(json.dumps(ask()))
    except (OSError, ValueError, CannotTell) as error:
        return {"cannot_tell": str(error) or type(error).__name__}


def open_host(root: Path = Path("/"), recorder: Recorder | None = None) -> Host:
    """This machine, or the tree of another one."""
    if root == Path("/"):
        return Host(root, None, recorder)
    try:
        recorded = json.loads((root / RECORDED).read_bytes())
    except FileNotFoundError:
        recorded = {}
    if not isinstance(recorded, dict):
        raise ValueError(f"{root / RECORDED} holds no JSON object")
    return Host(root, recorded, recorder)


def key_values(text: str, separator: str = ":") -> dict[str, str]:
    """`Key: value` lines, as in /proc/PID/status and os-release."""
    pairs = (line.partition(separator) for line in text.splitlines() if separator in line)
    return {key.strip(): value.strip().strip('"') for key, _, value in pairs}
