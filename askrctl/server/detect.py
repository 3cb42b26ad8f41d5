# SPDX-License-Identifier: MIT
"""What lies at a path: which framework, where its document root is, which script answers.

Looks at file names only: no application code is run or read.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from askrctl.model import AskrError

PUBLIC_FOLDERS = ("public", "web", "htdocs", "www")
WORKER_SCRIPTS = ("frankenphp-worker.php", "worker.php")  # beside the front controller


@dataclass(frozen=True, slots=True)
class Application:
    """`front` is relative to `root`; "" when no script answers for what is no file."""

    kind: str
    sentence: str
    path: Path
    root: Path
    front: str = ""
    php: bool = False
    worker_script: Path | None = None  # one that is there, to be suggested


def _check(path: Path) -> None:
    hint = "askrctl serve PATH, where PATH is the folder of an application or of files"
    if not path.exists():
        raise AskrError(f"{path} does not exist", hint, code=2)
    if not path.is_dir():
        raise AskrError(f"{path} is not a folder", f"askrctl serve {path.parent}", code=2)
    if not os.access(path, os.R_OK | os.X_OK):
        raise AskrError(f"{path} cannot be read by this user", f"ls -ld {path}", code=2)


def _worker_script(root: Path) -> Path | None:
    return next((root / name for name in WORKER_SCRIPTS if (root / name).is_file()), None)


def _has_php(folder: Path) -> bool:
    return any(item.suffix == ".php" for item in folder.iterdir())


def _public(path: Path) -> Path | None:
    """The folder below the application that is meant to be served."""
    for name in PUBLIC_FOLDERS:
        if (path / name / "index.php").is_file():
            return path / name
    return None


def _framework(path: Path) -> str:
    if (path / "artisan").is_file():
        return "Laravel"
    if (path / "bin/console").is_file():
        return "Symfony"
    return "PHP"


def _at_root(path: Path) -> str:
    """The kind of an application whose scripts lie in the folder itself."""
    if (path / "wp-load.php").is_file() or (path / "wp-config-sample.php").is_file():
        return "WordPress"
    if (path / "doku.php").is_file():
        return "DokuWiki"
    return "PHP"


def logical(path: Path) -> Path:
    """Absolute, with the symlinks by which the shell came here: `serve .` below a symlink that a
    deploy turns must see where it leads later."""
    folder = Path(os.environ.get("PWD", ""))
    if path.is_absolute() or not folder.is_absolute():
        return path.absolute()
    try:
        return folder / path if folder.samefile(".") else path.absolute()
    except OSError:
        return path.absolute()


def detect(path: Path) -> Application:
    """Decide; AskrError when there is nothing to serve."""
    path = path.absolute()
    _check(path)
    public = _public(path)
    if public is not None:
        kind = _framework(path)
        sentence = f"{kind} application: {public}/index.php answers what is no file"
        return Application(kind, sentence, path, public, "index.php", True, _worker_script(public))
    if (path / "index.php").is_file():
        kind = _at_root(path)
        # These route by script name; their index.php does not know other paths.
        front = "" if kind == "DokuWiki" else "index.php"
        sentence = f"{kind} application in {path}"
        return Application(kind, sentence, path, path, front, True, _worker_script(path))
    if _has_php(path):
        return Application("PHP", f"PHP scripts in {path}", path, path, "", True)
    return Application("static", f"files in {path}, no PHP", path, path)
