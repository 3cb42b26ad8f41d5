# SPDX-License-Identifier: MIT
"""Two reports of the doctor, compared by what was found and not by how long it took."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from askrctl.model import AskrError

# Figures that differ from run to run: only a different status is news.
_MOVING = ("cpu.psi", "mem.psi", "cpu.steal", "net.health", "disk.space", "disk.inodes")


def load(path: Path) -> dict[str, Any]:
    """A report; AskrError when the file is none."""
    hint = "askrctl doctor --json > A.json"
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AskrError(f"{path} cannot be read: {error}", hint, code=2) from None
    if not isinstance(report, dict) or report.get("schema") != "askr.doctor/1":
        raise AskrError(f"{path} is no report of askrctl doctor", hint, code=2)
    return report


def _rows(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["id"], row["instance"] or ""): row for row in report["results"]}


def _short(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"status": row["status"], "current": row["current"], "because": row["because"]}


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """What differs, in the order of the checks."""
    old, new = _rows(before), _rows(after)
    changes = []
    for key in dict.fromkeys([*old, *new]):
        one, other = old.get(key), new.get(key)
        if one is not None and other is not None:
            same_value = one["current"] == other["current"] or key[0] in _MOVING
            if one["status"] == other["status"] and same_value:
                continue
        row = {"id": key[0], "instance": key[1] or None}
        changes.append({**row, "before": _short(one), "after": _short(other)})
    return changes


def _side(row: dict[str, Any] | None) -> str:
    if row is None:
        return "absent"
    value = row["current"]
    return row["status"] if value is None else f"{row['status']} ({value})"


def lines(changes: list[dict[str, Any]]) -> Iterator[str]:
    """One for each difference, and why the second is as it is when it is worse."""
    for change in changes:
        name = f"{change['id']}[{change['instance']}]" if change["instance"] else change["id"]
        yield f"{name}: {_side(change['before'])} -> {_side(change['after'])}"
        after = change["after"]
        if after and after["status"] in ("fail", "warn") and after["because"]:
            yield f"    {after['because']}"
    yield f"{len(changes)} differences" if changes else "no difference"
