# SPDX-License-Identifier: MIT
"""Proposals as lines of askr.toml: a fragment, or a difference against a file that is there.

The file is never written. Its text is changed line by line, so that comments and order stay, and
what comes out is parsed again: if it does not say what it should, there is no difference to show.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from askrctl.bench.sizing import Sizing
from askrctl.config import Config
from askrctl.model import AskrError

Tables = Mapping[str, Mapping[str, Any]]


def tables(sizing: Sizing, config: Config) -> Tables:
    """Section -> key -> value, of what is to change."""
    found: dict[str, dict[str, Any]] = {}
    lines = {item.key: item.want for item in sizing.proposals if item.ini and item.changes}
    for item in sizing.proposals:
        if item.changes and not item.ini:
            section, key = item.key.split(".")
            found.setdefault(section, {})[key] = int(item.want)
    if lines:
        kept = [line for line in config.php.ini if line.partition("=")[0].strip() not in lines]
        ours = [f"{key}={value}" for key, value in lines.items()]
        found.setdefault("php", {})["ini"] = [*kept, *ours]
    return found


def _line(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def render(found: Tables) -> str:
    """The fragment; a comment when nothing is to change."""
    if not found:
        return "# Nothing to change: what is measured fits what is configured.\n"
    parts = []
    for section, values in found.items():
        lines = [f"[{section}]", *(_line(key, value) for key, value in values.items())]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def as_diff(path: Path | None, found: Tables) -> str:
    """Against that askr.toml, or against none; "" when nothing is to change."""
    if not found:
        return ""
    name = str(path) if path is not None else "askr.toml"
    old = path.read_text() if path is not None else ""
    new = merged(old, found)
    return "".join(
        difflib.unified_diff(
            old.splitlines(keepends=True),
            new.splitlines(keepends=True),
            name if path is not None else "/dev/null",
            name,
        )
    )


def merged(text: str, found: Tables) -> str:
    """The text with these values in it; AskrError when it is spelt in a way that lines miss."""
    lines = text.splitlines()
    for section, values in found.items():
        for key, value in values.items():
            lines = _put(lines, section, key, value)
    new = "\n".join(lines) + "\n"
    wanted = tomllib.loads(text) if text else {}
    for section, values in found.items():
        wanted[section] = {**wanted.get(section, {}), **values}
    try:
        right = tomllib.loads(new) == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise AskrError(
            "that file is spelt in a way that a line-wise change does not fit",
            "askrctl tune app --format toml, and put its lines in by hand",
        )
    return new


def _put(lines: list[str], section: str, key: str, value: Any) -> list[str]:
    """One key, in its section: in its place, else behind the section's head, else at the end."""
    heads = [number for number, line in enumerate(lines) if _is_head(line, section)]
    if not heads:
        gap = [""] if lines and lines[-1].strip() else []
        return [*lines, *gap, f"[{section}]", _line(key, value)]
    first = heads[0] + 1
    rest = (n for n in range(first, len(lines)) if lines[n].lstrip().startswith("["))
    last = next(rest, len(lines))
    for number in range(first, last):
        if re.match(rf'\s*"?{re.escape(key)}"?\s*=', lines[number]):
            return [*lines[:number], _line(key, value), *lines[_end(lines, number) :]]
    return [*lines[:first], _line(key, value), *lines[first:]]


def _is_head(line: str, section: str) -> bool:
    return re.match(rf"\s*\[\s*{re.escape(section)}\s*\]\s*(#|$)", line) is not None


def _end(lines: list[str], number: int) -> int:
    """Behind the last line of the value that begins there: an array may have several."""
    for end in range(number + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[number:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return number + 1
