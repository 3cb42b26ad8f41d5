# SPDX-License-Identifier: MIT
"""A support bundle: what a run of the doctor has read and answered, as a tree that it can replay.

Only what a check looked at is in it. Secrets are taken out unless somebody insists: the environment
of process 1 down to one word, users but the server's, what looks like a password anywhere.
"""

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from askrctl.model import AskrError
from askrctl.probes.host import RECORDED, Recorder

_SECRET = re.compile(
    r"(?i)([\w.-]*(?:password|passwd|secret|token|auth|api_?key)[\w.-]*)(\s*[=:]\s*)[^\s&;\"']+"
)
_QUOTED = r"""(?:"[^"]*"|'[^']*')"""
# trace.headers of askr.toml, all of it.
_HEADERS = re.compile(rf"""(\bheaders\s*=\s*)(?:\[(?:[^\]"']|{_QUOTED})*\]|{_QUOTED})""")
_IDENTITY = {
    "/etc/machine-id": "0" * 32,
    "/proc/sys/kernel/hostname": "redacted",
    "/proc/sys/kernel/random/boot_id": "00000000-0000-0000-0000-000000000000",
}
SUFFIX = ".tar.gz"


def redact_file(path: str, text: str, users: set[str]) -> str:
    """What of a file may leave the machine."""
    if path in _IDENTITY:
        return _IDENTITY[path] + "\n"
    if path == "/proc/1/environ":
        words = [word for word in text.split("\0") if word.startswith("container=")]
        return "\0".join(words)
    if path in ("/etc/passwd", "/etc/group"):
        rows = [line for line in text.splitlines() if line.split(":")[0] in users]
        return "\n".join(rows) + "\n"
    if path.startswith("/etc/cron"):
        return "\n".join(line for line in text.splitlines() if "drop_caches" in line)
    if path == "/etc/resolv.conf":
        return re.sub(r"(?m)^(nameserver) .*|^(search|domain) .*", r"\1 192.0.2.1", text)
    return _SECRET.sub(r"\1\2redacted", _HEADERS.sub(r'\1["x=redacted"]', text))


def redact_value(value: Any) -> Any:
    """The same for recorded answers."""
    if isinstance(value, str):
        return _SECRET.sub(r"\1\2redacted", value)
    if isinstance(value, list):
        return [redact_value(item) for item in value]
    if isinstance(value, dict):
        return {key: redact_value(item) for key, item in value.items()}
    return value


def tree(recorder: Recorder, when: float, users: set[str], *, redact: bool) -> dict[str, bytes]:
    """Path -> content, .probe.json included. A name that ends with / is a folder."""
    files = dict(recorder.files)
    recorded: dict[str, Any] = {
        "source": "captured by askrctl doctor bundle",
        "time": when,
        "probes": recorder.probes,
        "denied": sorted(recorder.denied),
        "later": recorder.later,
    }
    if redact:
        files = {path: redact_file(path, text, users) for path, text in files.items()}
        recorded["probes"] = redact_value(recorder.probes)
    found = {path.lstrip("/"): text.encode() for path, text in files.items()}
    for paths in recorder.listed.values():
        for path in paths:
            name = path.lstrip("/")
            inside = any(other.startswith(f"{name}/") for other in found)
            if name not in found and not inside and path not in recorder.links:
                found[name if Path(path).is_file() else f"{name}/"] = b""
    found[RECORDED] = json.dumps(recorded, indent=1).encode()
    return found


def write(path: Path, files: dict[str, bytes], links: dict[str, str], when: float) -> int:
    """A tar archive, written whole. Returns how many files it has."""
    from askrctl.cli.doctor_formats import write_whole

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mtime = int(when)
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        for name, target in sorted(links.items()):
            if name.lstrip("/") not in files:
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.type, entry.linkname, entry.mtime = tarfile.SYMTYPE, target, int(when)
                archive.addfile(entry)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        hint = f"ls -ld {path.parent}"
        raise AskrError(f"{path} cannot be written: {error.strerror}", hint, code=3) from None
    return len(files)


FILES_MAX = 20_000
SIZE_MAX = 256 << 20


@contextmanager
def opened(root: Path) -> Iterator[Path]:
    """The folder itself, or what a bundle holds, unpacked for as long as it is looked at."""
    if not root.name.endswith(SUFFIX):
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="askr-bundle-") as folder:
        _unpack(root, Path(folder))
        yield Path(folder)


def _unpack(bundle: Path, folder: Path) -> None:
    """Files and links, never outside of the folder: a bundle comes from somebody else."""
    hint = "askrctl doctor bundle -o support.tar.gz makes one"
    try:
        with tarfile.open(bundle) as archive:
            total = 0
            for count, entry in enumerate(archive):
                total += entry.size
                if count > FILES_MAX or total > SIZE_MAX:
                    raise AskrError(f"{bundle} is too large to be a bundle", hint, code=2)
                if entry.issym():
                    _link(folder, entry)
                elif entry.isdir():
                    _place(folder, entry.name).mkdir(parents=True, exist_ok=True)
                elif entry.isfile() and (content := archive.extractfile(entry)) is not None:
                    _file(folder, entry.name, content.read())
    except FileNotFoundError:
        raise AskrError(f"{bundle} does not exist", hint, code=2) from None
    except (OSError, EOFError, tarfile.TarError) as error:
        raise AskrError(f"{bundle} is not a bundle: {error}", hint, code=2) from None


def _place(folder: Path, name: str) -> Path:
    """Where it goes; an error when that is outside, or a link of the bundle lies on the way.

    Not left to tarfile's filters: Python has them from 3.11.4 on only."""
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()) or path.is_symlink():
        raise tarfile.TarError(f"{name} leads out of it")
    return path


def _file(folder: Path, name: str, content: bytes) -> None:
    path = _place(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _link(folder: Path, entry: tarfile.TarInfo) -> None:
    """Links are only looked at, never followed out: /proc/self/ns/pid points nowhere."""
    path = _place(folder, entry.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(entry.linkname)
