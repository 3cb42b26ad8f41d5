# SPDX-License-Identifier: MIT
"""What the doctor's checks would have tune do, and whether they are content afterwards.

Only checks whose remedies tune can carry out are run. In a tree that holds no process to answer
for they cannot be: there the safe defaults of askrctl.tune.defaults stand in for them.
"""

from collections.abc import Sequence
from pathlib import Path

from askrctl.checks import ALL, Check, Context, run, select
from askrctl.cli import doctor_context
from askrctl.model import AskrError, Finding
from askrctl.probes.host import open_host
from askrctl.tune import defaults, wishes
from askrctl.tune.items import Skipped
from askrctl.tune.wishes import Wish

# Their remedies are lines of php.ini, which belong into askr.toml: never a part of the safe plan.
NEVER_DEFAULT = "php"


def answers_for(root: Path, unit: str) -> Context | None:
    """The server that runs here, or its unit, or else whoever asks. None: a tree without any."""
    words = doctor_context.Words()
    if unit != doctor_context.UNIT:
        words = doctor_context.Words(target=f"unit:{unit}")
    try:
        return doctor_context.build(open_host(root), words)[0]
    except AskrError:
        if root == Path("/"):
            raise
        return None


def wanted(root: Path, unit: str, only: Sequence[str]) -> tuple[list[Wish], list[Skipped]]:
    """Wishes, and for checks that were named and have none, why not."""
    context = answers_for(root, unit)
    known = [check for check in ALL if check.tunable] if context is not None else []
    rest = list(defaults.WISHES) if context is None else []
    if not only:
        chosen: Sequence[Check] = [check for check in known if check.group != NEVER_DEFAULT]
        return [*wishes.from_findings(_run(chosen, context)), *rest], []
    rest = [wish for wish in rest if wishes.named(wish.check, only)]
    chosen = select(known, only, (), network=False)
    for pattern in only:
        _refuse_unknown(pattern, [*(check.id for check in chosen), *(w.check for w in rest)])
    found = _run(chosen, context)
    asked = wishes.from_findings(found, only)
    with_wish = {wish.check for wish in asked}
    idle = [_idle(finding) for finding in found if finding.id not in with_wish]
    return [*asked, *rest], idle


def _idle(finding: Finding) -> Skipped:
    """A check that was named and wants nothing of tune; what a person can do, if there is that."""
    by_hand = finding.fix.manual[0] if finding.fix is not None and finding.fix.manual else ""
    said = finding.because or "there is nothing to do"
    return Skipped(finding.id, str(finding.status), said, by_hand)


def _refuse_unknown(pattern: str, names: list[str]) -> None:
    if any(wishes.named(name, [pattern]) for name in names):
        return
    raise AskrError(
        f"--only {pattern}: no check of that name has a remedy that tune can apply",
        "askrctl doctor list, or by hand: askrctl tune plan --set KEY=VALUE",
        code=2,
    )


def again(root: Path, unit: str, names: set[str]) -> list[Finding]:
    """The checks that asked, after it was done."""
    chosen = [check for check in ALL if check.id in names]
    return _run(chosen, answers_for(root, unit)) if chosen else []


def _run(checks: Sequence[Check], context: Context | None) -> list[Finding]:
    return list(run(checks, context)) if context is not None else []
