# SPDX-License-Identifier: MIT
"""Findings that somebody has looked at and accepted, with a reason and a day when that ends.

They stay in every report, marked, and do not count towards the exit status. An acceptance without a
reason, or past its day, counts for nothing.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from askrctl.checks.frame import matches
from askrctl.config.tables import load_tables, shown
from askrctl.model import AskrError, Finding, Status

PATH = "/etc/askr/doctor.toml"
_KEYS = {"id", "reason", "until", "instance"}


@dataclass(frozen=True, slots=True)
class Acceptance:
    id: str
    reason: str
    until: datetime.date | None = None
    instance: str | None = None


def parse(text: str, path: str = PATH) -> tuple[Acceptance, ...]:
    """The [[accept]] tables of doctor.toml."""
    hint = '[[accept]] id = "mem.thp", reason = "...", until = 2027-06-01'
    tables = load_tables(text, path, hint)
    unknown = sorted(set(tables) - {"accept"})
    if unknown:
        raise AskrError(f"{path}: unknown key {shown(unknown[0])}", hint, code=2)
    rows = tables.get("accept", [])
    if not isinstance(rows, list):
        raise AskrError(f"{path}: accept must be a list of tables", hint, code=2)
    return tuple(_row(row, path, hint) for row in rows)


def _row(row: object, path: str, hint: str) -> Acceptance:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise AskrError(f"{path}: an [[accept]] names an id", hint, code=2)
    where = f"{path}: [[accept]] {shown(row['id'])}"
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise AskrError(f"{where}: unknown key {shown(unknown[0])}", hint, code=2)
    if not isinstance(row.get("reason"), str) or not row["reason"].strip():
        raise AskrError(f"{where} gives no reason", hint, code=2)
    until = row.get("until")
    if until is not None and not isinstance(until, datetime.date):
        raise AskrError(f"{where}: until must be a date such as 2027-06-01", hint, code=2)
    if not isinstance(row.get("instance", ""), str):
        raise AskrError(f"{where}: instance must be a string", hint, code=2)
    if isinstance(until, datetime.datetime):
        until = until.date()
    return Acceptance(row["id"], row["reason"].strip(), until, row.get("instance"))


def find(
    accepted: Iterable[Acceptance], finding: Finding, today: datetime.date
) -> Acceptance | None:
    """The acceptance that covers a finding; what is fine needs none."""
    if finding.status not in (Status.INFO, Status.WARN, Status.FAIL, Status.UNKNOWN):
        return None
    for item in accepted:
        covers = matches(finding.id, [item.id])
        same = item.instance is None or item.instance == finding.instance
        if covers and same and (item.until is None or today <= item.until):
            return item
    return None
