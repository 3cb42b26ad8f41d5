# SPDX-License-Identifier: MIT
"""A plan for other eyes: as a diff, and as a shell script to review and to run elsewhere."""

import difflib
import shlex

from askrctl.tune.items import Item, Kind, Plan, one_line


def as_diff(plan: Plan) -> str:
    """Values as comments, then what changes in files, as `patch -p1` takes it."""
    lines = [
        f"# {item.key}: {one_line(item.before)} -> {one_line(item.want)} ({_because(item)})\n"
        for item in plan.items
        if item.kind is not Kind.FILE
    ]
    for item in plan.items:
        if item.kind is Kind.FILE:
            old = "/dev/null" if item.before is None else f"a{item.path}"
            lines += difflib.unified_diff(
                (item.before or "").splitlines(keepends=True),
                item.want.splitlines(keepends=True),
                old,
                f"b{item.path}",
            )
    return "".join(lines)


def as_shell(plan: Plan) -> str:
    """The same steps as sh. ROOT may name a tree to do them in."""
    parts = [
        "#!/bin/sh\n"
        f"# The plan of `askrctl tune`, made {plan.made}, as a script.\n"
        "# It has no undo, unlike `askrctl tune apply`: the values before are in the comments.\n"
        "set -eu\n"
        "root=${ROOT:-}\n"
    ]
    for item in plan.items:
        parts.append(f"\n# {item.key}: {_comment(_because(item))}\n")
        parts.append(_file_steps(item) if item.kind is Kind.FILE else _value_step(item))
    if any(item.key.startswith("/etc/systemd/system/") for item in plan.items):
        parts.append(
            '\nif [ -z "$root" ] && [ -d /run/systemd/system ]; then\n'
            "    systemctl daemon-reload\n"
            "fi\n"
        )
    return "".join(parts)


def _because(item: Item) -> str:
    checks = ", ".join(item.checks)
    return f"{item.why}; {checks}" if item.why and checks else item.why or checks


def _comment(text: str) -> str:
    """One line, whatever somebody's plan file has in it."""
    return " ".join(text.split())


def _value_step(item: Item) -> str:
    return (
        f"# before: {one_line(item.before)}\n"
        f"printf '%s\\n' {shlex.quote(item.want)} >\"$root\"{shlex.quote(item.path)}\n"
    )


def _file_steps(item: Item) -> str:
    folder = item.path.rpartition("/")[0]
    before = "there is no such file" if item.before is None else "a text of askrctl, replaced"
    return (
        f"# before: {before}\n"
        f'mkdir -p "$root"{shlex.quote(folder)}\n'
        f"printf '%s' {shlex.quote(item.want)} >\"$root\"{shlex.quote(item.path)}\n"
    )
