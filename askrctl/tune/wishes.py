# SPDX-License-Identifier: MIT
"""What somebody would like to have changed: from the doctor's findings, or asked for by hand."""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from askrctl import folklore
from askrctl.model import AskrError, FileSetting, Finding, Setting, Status, SysctlSetting
from askrctl.tune import keys

BY_HAND = "by-hand"
_OPEN = (Status.INFO, Status.WARN, Status.FAIL)


@dataclass(frozen=True, slots=True)
class Wish:
    """A setting, the check that would be content with it, and why."""

    setting: Setting
    check: str
    why: str


def from_findings(findings: Iterable[Finding], only: Sequence[str] = ()) -> list[Wish]:
    """Remedies of findings. Without `only`: those that are safe to apply unasked."""
    wishes = []
    for finding in findings:
        fix = finding.fix
        if fix is None or finding.status not in _OPEN:
            continue
        if named(finding.id, only) if only else fix.default_plan:
            wishes += [Wish(setting, finding.id, finding.because) for setting in fix.settings]
    return wishes


def named(check: str, only: Sequence[str]) -> bool:
    """An id, a group, or a pattern such as net.*"""
    return any(
        fnmatch.fnmatchcase(check, pattern) or check.startswith(f"{pattern}.") for pattern in only
    )


def by_hand(assignment: str) -> Wish:
    """KEY=VALUE, as on the command line. Folklore is refused here, with its reason."""
    name, equals, value = assignment.partition("=")
    name, value = name.strip(), " ".join(value.split())
    if not name.startswith("/sys/"):
        name = name.replace("/", ".")
    if not equals or not name or not value:
        raise AskrError(f"--set {assignment}: it must be KEY=VALUE", "askrctl tune keys", code=2)
    reason = folklore.refusal(name, value)
    if reason:
        raise AskrError(
            f"{name} = {value} is refused: {reason}; nothing was changed", "askrctl tune plan"
        )
    key = keys.find(name)
    if key is not None and key.name.startswith("/sys/"):
        return Wish(FileSetting(name, value, key.rule), BY_HAND, "asked for by hand")
    if key is None:
        raise AskrError(f"{name} is not a key that tune writes", "askrctl tune keys", code=2)
    return Wish(SysctlSetting(name, value, key.rule, key.column), BY_HAND, "asked for by hand")
