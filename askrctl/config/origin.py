# SPDX-License-Identifier: MIT
"""Where each value of the configuration comes from: the same sources as read.py, in its order."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from askrctl.config.lines import lines_of
from askrctl.config.otel import trace_defaults
from askrctl.config.read import LISTS, flag_of, is_given, sections, variable_of
from askrctl.config.schema import Config
from askrctl.model import AskrError


@dataclass(frozen=True, slots=True)
class Origin:
    """`kind`: default, file, environment or flag; `where` names the line, variable or flag."""

    kind: str = "default"
    where: str = ""

    def __str__(self) -> str:
        return self.where or self.kind


def origins(
    text: str, path: Path, environment: Mapping[str, str], flags: Mapping[str, object]
) -> dict[str, Origin]:
    """By "section.key"; "warmup" is a list of tables, "site.2.root" a key of its second one. `text`
    is the file's, and valid."""
    config = Config()
    names = [(name, key.name) for name in sections() for key in fields(getattr(config, name))]
    found = {f"{section}.{key}": Origin() for section, key in names}
    found |= dict.fromkeys(LISTS, Origin())
    plain, otel = config.trace, trace_defaults(environment)
    for item in fields(otel):
        if getattr(otel, item.name) != getattr(plain, item.name):
            found[f"trace.{item.name}"] = Origin("environment", "OTEL_*")
    for place, line in lines_of(text).items():
        name = ".".join(str(word + 1) if isinstance(word, int) else word for word in place)
        found[name] = Origin("file", f"{path}, line {line}")
    for section, key in names:
        variable = variable_of(section, key)
        if variable in environment:
            found[f"{section}.{key}"] = Origin("environment", variable)
    for name, value in flags.items():
        if is_given(value):
            found[name] = Origin("flag", flag_of(name))
    return found


@contextmanager
def to_blame(key: str) -> Iterator[None]:
    """What goes wrong is the fault of this setting, unless a narrower one is known."""
    try:
        yield
    except AskrError as error:
        error.key = error.key or key
        raise


@contextmanager
def blamed(origins: Mapping[str, Origin]) -> Iterator[None]:
    """An error that blames a setting says where its value comes from."""
    try:
        yield
    except AskrError as error:
        origin = _origin_of(error.key, origins)
        place = origin.where
        if origin.kind == "environment":
            place = f"environment, {place}"
        if origin.kind in ("file", "environment"):
            place += ": " + re.sub(r"\.\d+", "", error.key)
        if not place:
            raise
        message = f"{place}: {error.message}"
        raise AskrError(message, error.hint, code=error.code) from None


def _origin_of(key: str, origins: Mapping[str, Origin]) -> Origin:
    """Of what it is in, when it is not there itself: a site without a user of its own."""
    while key and key not in origins:
        key = key.rpartition(".")[0]
    return origins.get(key, Origin())
