# SPDX-License-Identifier: MIT
"""Where each value of the configuration comes from: the same sources as read.py, in its order."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from askrctl.config.otel import trace_defaults
from askrctl.config.read import LISTS, flag_of, is_given, line_of, sections, variable_of
from askrctl.config.schema import Config
from askrctl.config.tables import load_tables


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
    """By "section.key"; a list of tables goes by its section. `text` is the file's, and valid."""
    config = Config()
    names = [(name, key.name) for name in sections() for key in fields(getattr(config, name))]
    found = {f"{section}.{key}": Origin() for section, key in names}
    found |= dict.fromkeys(LISTS, Origin())
    plain, otel = config.trace, trace_defaults(environment)
    for item in fields(otel):
        if getattr(otel, item.name) != getattr(plain, item.name):
            found[f"trace.{item.name}"] = Origin("environment", "OTEL_*")
    for section, table in load_tables(text, str(path), "").items():
        keys: list[str | None] = [None] if section in LISTS else list(table)
        for key in keys:
            name = section if key is None else f"{section}.{key}"
            found[name] = Origin("file", f"{path}{line_of(text, section, key)}")
    for section, key in names:
        variable = variable_of(section, key)
        if variable in environment:
            found[f"{section}.{key}"] = Origin("environment", variable)
    for name, value in flags.items():
        if is_given(value):
            found[name] = Origin("flag", flag_of(name))
    return found
