# SPDX-License-Identifier: MIT
"""Where PHP is: the module that was built, and the libphp it fits.

The server and the doctor ask here, so that they cannot disagree.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from askrctl.config import PhpConfig
from askrctl.model import AskrError

LIBRARY_PATTERNS = ("libphp[0-9].[0-9].so", "libphp.so")
LIBRARY_FOLDERS = ("/usr/lib", "/usr/local/lib", "/usr/lib64", "/opt/php/lib")
DESCRIBE_TIMEOUT_S = 10.0


def _packages() -> str:
    """What to install here, by this distribution's names."""
    import distro

    versions = {("debian", "12"): "8.2", ("debian", "13"): "8.4"}
    versions |= {("ubuntu", "22.04"): "8.1", ("ubuntu", "24.04"): "8.3"}
    version = versions.get((distro.id(), distro.version()), "8.2")
    return f"apt install libphp{version}-embed php{version}-dev, then install askrctl again"


def _companion(name: str) -> Path:
    """Beside the extension module, which need not be loaded to find it."""
    return Path(__file__).parents[1] / "engine" / name


def module_path() -> Path:
    """askr_php.so of this installation; AskrError says how to get it."""
    path = _companion("askr_php.so")
    if not path.exists():
        raise AskrError("this askrctl was built without PHP support", _packages())
    return path


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", path.name))


def find_libphp(wanted: str = "") -> Path:
    """The configured library, or the newest that is installed."""
    if wanted:
        if not Path(wanted).exists():
            raise AskrError(f"{wanted} does not exist", _packages(), key="php.library")
        return Path(wanted)
    for pattern in LIBRARY_PATTERNS:
        found = [path for folder in LIBRARY_FOLDERS for path in Path(folder).glob(pattern)]
        if found:
            return max(found, key=_version)
    raise AskrError("there is no libphp on this machine", _packages())


def settings(config: PhpConfig, defaults: Sequence[str] = ()) -> list[str]:
    """What the zygote is told of PHP's own configuration, as the server would; php.ini wins over
    `defaults`."""
    found = {"sapi_name": config.sapi_name}
    if defaults:
        found["ini_defaults"] = "\n".join(defaults)
    if config.php_ini:
        found["php_ini"] = config.php_ini
    if config.ini:
        found["ini"] = "\n".join(config.ini)
    return [word for key, value in found.items() for word in ("--set", f"{key}={value}")]


def describe(
    library: Path,
    module: Path,
    config: PhpConfig | None = None,
    defaults: Sequence[str] = (),
) -> dict[str, Any]:
    """Facts of PHP inside our own SAPI: only there do they hold for the server."""
    command = [str(_companion("askr-zygote")), "--describe", "--module", str(module)]
    command += ["--preload", str(library), *settings(config or PhpConfig(), defaults)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DESCRIBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AskrError(f"PHP does not start: {error}", "askrctl doctor", code=3) from None
    if done.returncode != 0:
        raise AskrError(f"PHP does not start: {done.stderr.strip()}", "askrctl doctor", code=3)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts
