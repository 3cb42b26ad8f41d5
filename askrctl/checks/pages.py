# SPDX-License-Identifier: MIT
"""What is to be said about each check: the source of `askrctl explain` and of docs/checks/.

Kept beside the checks and apart from them, so that a run does not read what nobody asked for.
"""

import textwrap
import tomllib
from dataclasses import dataclass
from importlib.resources import files

from askrctl.checks.frame import Check


@dataclass(frozen=True, slots=True)
class Page:
    """Why it matters, how to see it by hand, what a change risks, when to leave it alone."""

    why: str
    verify: str
    risk: str
    leave: str


def load() -> dict[str, Page]:
    """Every page by its check's id."""
    found: dict[str, Page] = {}
    for entry in sorted((files("askrctl.checks") / "pages").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            for name, table in tomllib.loads(entry.read_text()).items():
                assert name not in found, f"two pages for {name}"
                found[name] = Page(**table)
    return found


def _facts(check: Check) -> list[str]:
    facts = [f"scope: {check.scope}"]
    if check.tunable:
        facts.append("askrctl tune can change it")
    if check.host_only:
        facts.append("cannot be changed from inside a container")
    if check.sampled:
        facts.append("compares two readings of a counter")
    if check.network:
        facts.append("asks other machines: only with --network")
    return facts


def _wrap(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def markdown(check: Check, page: Page) -> str:
    """A page of docs/checks/."""
    sources = [f"* {ref}" for ref in check.refs]
    parts = [
        f"# {check.id}",
        f"{check.title}. {'; '.join(_facts(check)).capitalize()}.",
        f"## Why\n\n{_wrap(page.why)}",
        "## Source\n\n" + "\n".join(sources),
        f"## Verify by hand\n\n    {page.verify}",
        f"## Risk of a change\n\n{_wrap(page.risk)}",
        f"## When to leave it\n\n{_wrap(page.leave)}",
    ]
    return "\n\n".join(parts) + "\n"
