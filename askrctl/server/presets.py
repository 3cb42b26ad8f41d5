# SPDX-License-Identifier: MIT
"""Settings of PHP that a framework wants in production, chosen by what was detected.

They are defaults: php.ini and `[php] ini` win over them, and `[php] preset = "off"` leaves them
out. What holds for every application is not here but in engine/php/settings.c.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from askrctl.server.detect import Application

# Kinds of detect(), with the name their preset goes by.
NAMES = {"Laravel": "laravel", "Symfony": "symfony", "WordPress": "wordpress"}


@dataclass(frozen=True, slots=True)
class Directive:
    name: str
    value: str
    why: str

    @property
    def line(self) -> str:
        return f"{self.name}={self.value}"


# A framework has some ten thousand files with its packages. PHP's defaults (128 MiB, 10,000 files,
# 8 MiB of strings) are full before a large application is loaded, and a full OPcache compiles the
# rest anew for each request.
_FRAMEWORK = (
    Directive("opcache.memory_consumption", "256", "MiB for compiled scripts"),
    Directive("opcache.interned_strings_buffer", "16", "MiB for strings they share"),
    Directive("opcache.max_accelerated_files", "20000", "scripts that may be cached"),
    Directive("realpath_cache_ttl", "600", "seconds; a generation serves one release"),
)
# A worker script holds its code in memory for life, so looking whether files have changed finds
# what nobody would use. Classic mode goes on looking: not every edit is a deploy.
_WORKER = (
    Directive("opcache.validate_timestamps", "0", "worker mode: a reload brings new code, no edit"),
)


@dataclass(frozen=True, slots=True)
class Preset:
    name: str = ""  # "": none
    ini: tuple[Directive, ...] = ()
    environment: Mapping[str, str] | None = None  # for PHP; the server's own wins

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(directive.line for directive in self.ini)


def choose(wanted: str, application: Application, worker_mode: bool) -> Preset:
    """`wanted` is `[php] preset`: "auto" or "off"."""
    name = NAMES.get(application.kind, "") if wanted == "auto" else ""
    ini = (*_FRAMEWORK, *(_WORKER if worker_mode else ())) if name else ()
    return Preset(name, ini, _octane(application) if worker_mode else None)


def _octane(application: Application) -> dict[str, str] | None:
    """What Octane's worker script cannot start without, whatever the preset."""
    if application.kind != "Laravel":
        return None
    return {
        "APP_BASE_PATH": str(application.path),
        "APP_PUBLIC_PATH": str(application.root),
        "LARAVEL_OCTANE": "1",
    }
