# SPDX-License-Identifier: MIT
"""The folders of [sendfile] as the engine is told them, and what it says of files it did not send.

Applications name files by the path they know, which may go by a symlink that a deploy turns; both
that path and where it leads are taken for the folder.
"""

import logging
import os
from pathlib import Path
from typing import Any

from askrctl.config import SendfileConfig
from askrctl.model import AskrError

log = logging.getLogger("askrctl")

ROOTS_MAX = 64  # SENDFILE_ROOTS_MAX of the engine

# enum sendfile_problem: a word, and what to do.
_PROBLEMS = {
    1: ("off", 'name its folder: [sendfile] roots = ["…"]'),
    2: ("outside", "name its folder in [sendfile], or find out who made the application say this"),
    3: ("denied", "a hidden file, a symlink that leads out, or one the worker's user cannot read"),
    4: ("missing", "the file is not there, or is of a kind that is never served (docs/sites.md)"),
    5: ("failed", "askrctl doctor: descriptors or memory"),
}


def sendfile_settings(config: SendfileConfig, application: Path) -> dict[str, Any]:
    """The fields of struct askr_site_config that are about sendfile."""
    found: dict[tuple[str, bool], str] = {}
    mapping = []
    for text in config.roots:
        folder = _folder(application, text, "sendfile.roots")
        for name in (str(folder), os.path.realpath(folder)):
            found.setdefault((name, False), str(folder))
    for prefix, text in config.internal:
        folder = _folder(application, text, "sendfile.internal")
        found[(prefix.rstrip("/"), True)] = str(folder)
        mapping.append(f"{folder}/={prefix}")
    longest_first = sorted(found.items(), key=lambda item: len(item[0][0]), reverse=True)
    if len(found) > ROOTS_MAX:
        what = f"more than {ROOTS_MAX} folders"
        raise AskrError(what, "name their parent", code=2, key="sendfile.roots")
    kind = "X-Sendfile" if config.roots else "X-Accel-Redirect"
    return {
        "sendfile": [
            {"prefix": prefix, "root": root, "internal": int(internal)}
            for (prefix, internal), root in longest_first
        ],
        "sendfile_count": len(found),
        "sendfile_type": kind if found else None,
        "sendfile_mapping": ",".join(mapping) if mapping and not config.roots else None,
    }


def _folder(application: Path, text: str, key: str) -> Path:
    folder = Path(os.path.normpath(application / text))
    if not folder.is_dir():
        raise AskrError(f"the folder {folder} is not there", f"mkdir -p {folder}", code=2, key=key)
    if os.path.realpath(folder) == "/":
        raise AskrError("/ would let every file be sent", "name a folder", code=2, key=key)
    return folder


def report(worker: int, problem: int, name: str) -> None:
    """A line of the log."""
    word, fix = _PROBLEMS.get(problem, ("unknown", ""))
    shown = "".join(c if c.isprintable() and c != '"' else "?" for c in name)
    log.warning(
        'event=sendfile_refused worker=%d reason=%s file="%s" fix="%s"', worker, word, shown, fix
    )
