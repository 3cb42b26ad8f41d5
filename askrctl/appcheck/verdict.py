# SPDX-License-Identifier: MIT
"""From evidence to findings: what reached, or would reach, another user.

A piece of state that changed is judged by how it changed once the application is warm:

* after a request of one user something of the other is in it: it bled;
* it depends on who was served last, and a request of the other need not change that: it bled;
* an array, a kind of object or a list of handlers that only grows: it bled, memory if nothing else;
* a transaction that is open between requests, a setting that the server did not put back: bled;
* what each request replaces before it ends, a number that counts, what is different each time: a
  note. A framework that keeps the last request until the next one is of this kind.

So that a piece which only one route writes is not taken for one that each request replaces, every
round begins with a path that does not exist (PROBE).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from askrctl.appcheck.evidence import Change, Line
from askrctl.appcheck.visit import Answer

# Digested after each request, and the server leaves them alone.
_STATE = ("static", "global", "local", "superglobal")
_COUNTED = ("objects", "resources", "handlers")
_GROWS_MIN = 0.4  # of the measured rounds: in so many of them it has to have grown


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: "bled" fails the check, "restored" and "note" do not."""

    level: str
    category: str
    name: str
    why: str
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what changed until the next one."""

    answer: Answer
    changes: tuple[Change, ...]


def judge(
    answers: Sequence[Answer], lines: Sequence[Line], warm: int, rounds: int
) -> list[Finding]:
    """`warm` requests from the first on, and the `rounds` measured after them."""
    steps = _steps(answers, lines)
    found = _foreign(answers) + _found_by_requests(lines, answers)
    pieces: dict[tuple[str, str], list[tuple[int, Change]]] = defaultdict(list)
    for place, step in enumerate(steps):
        for change in step.changes:
            pieces[change.category, change.name].append((place, change))
    for (category, name), changes in sorted(pieces.items()):
        history = _History(category, name, changes, steps, warm, rounds)
        finding = history.judge()
        if finding is not None:
            found.append(finding)
    return found + _restored(answers, lines)


def _steps(answers: Sequence[Answer], lines: Sequence[Line]) -> list[Step]:
    after = {line.number: line.changes for line in lines if line.phase == "after"}
    return [Step(item, after.get(item.number, ())) for item in answers if item.number in after]


def _foreign(answers: Sequence[Answer]) -> list[Finding]:
    """What a client saw."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for answer in answers:
        if answer.foreign:
            seen[answer.foreign, answer.user].add(str(answer.route))
    return [
        Finding(
            "bled",
            "answer",
            where,
            f"user {user} was sent something of the other user",
            tuple(sorted(routes)),
        )
        for (where, user), routes in sorted(seen.items())
    ]


def _found_by_requests(lines: Sequence[Line], answers: Sequence[Answer]) -> list[Finding]:
    """What a request found in its superglobals before it did anything."""
    by_number = {answer.number: answer for answer in answers}
    names: dict[str, set[str]] = defaultdict(set)
    paths: dict[str, str] = {}
    for line in lines:
        for change in line.changes if line.phase == "begin" else ():
            if change.users and line.number in by_number:
                names[change.name].add(str(by_number[line.number].route))
                paths[change.name] = change.path
    return [
        Finding(
            "bled",
            "superglobal",
            name + paths[name],
            "a request found something of the other user in it",
            tuple(sorted(routes)),
        )
        for name, routes in sorted(names.items())
    ]


def _restored(answers: Sequence[Answer], lines: Sequence[Line]) -> list[Finding]:
    """What was still changed when the application had answered, and not any more at the next
    request. Other servers would have let it through."""
    by_number = {answer.number: answer for answer in answers}
    routes: dict[tuple[str, str], set[str]] = defaultdict(set)
    kinds: dict[tuple[str, str], str] = {}
    for line in lines:
        for change in line.changes if line.phase == "end" else ():
            answer = by_number.get(line.number)
            if answer is not None:
                routes[change.category, change.name].add(str(answer.route))
                kinds[change.category, change.name] = change.kind
    return [
        Finding(
            "restored",
            category,
            name,
            f"left as {kinds[category, name]}, put back by the server",
            tuple(sorted(of)),
        )
        for (category, name), of in sorted(routes.items())
    ]


class _History:
    """One piece of state over all requests."""

    def __init__(
        self,
        category: str,
        name: str,
        changes: Sequence[tuple[int, Change]],
        steps: Sequence[Step],
        warm: int,
        rounds: int,
    ) -> None:
        self._category = category
        self._name = name
        self._changes = changes
        self._steps = steps
        self._rounds = rounds
        self._measured = [(place, change) for place, change in changes if place >= warm]
        self._warm = warm

    def judge(self) -> Finding | None:
        survived = self._survived()
        if survived is not None:
            return survived
        if self._category == "transaction":
            return self._open()
        if not self._measured:
            return None  # what was made once, for all
        if self._category in _COUNTED:
            return self._grows()
        if self._category in _STATE:
            return self._grows() or self._depends()
        last = self._measured[-1][1].kind
        return self._bled(f"stays changed between requests: {last}")

    def _survived(self) -> Finding | None:
        """Something of a user, after a request of the other."""
        at = dict(self._changes)
        now: Change | None = None
        for place, step in enumerate(self._steps):
            now = at.get(place, now)
            others = (now.users if now is not None else "").replace(step.answer.user, "")
            if now is not None and others:
                where = f", at {now.path}" if now.path else ""
                return self._bled(
                    f"something of user {others[0]} is in it after a request of user "
                    f"{step.answer.user}{where}"
                )
        return None

    def _bled(self, why: str) -> Finding:
        return Finding("bled", self._category, self._name, why, self._routes())

    def _routes(self) -> tuple[str, ...]:
        """Those after which it was different, if it was not after all of them."""
        changes = self._measured or self._changes
        changed = {str(self._steps[place].answer.route) for place, _ in changes}
        every = {str(step.answer.route) for step in self._steps}
        return tuple(sorted(changed)) if changed < every else ()

    def _open(self) -> Finding | None:
        if all(change.kind == "0" for _, change in self._changes):
            return None
        return self._bled("a transaction is open when the request has ended")

    def _grows(self) -> Finding | None:
        """Counts, or elements of an array, that never become fewer."""
        counts = [_count(change.kind) for _, change in self._measured]
        known = [count for count in counts if count is not None]
        if len(known) < max(2.0, _GROWS_MIN * self._rounds) or len(known) < len(counts):
            return None
        steps = [after - before for before, after in pairwise(known)]
        if any(step < 0 for step in steps) or sum(step > 0 for step in steps) < 2:
            return None
        return self._bled(f"grows: from {known[0]} to {known[-1]}")

    def _depends(self) -> Finding:
        """On what, then?"""
        after = self._digests_after()
        if all(len(by_user) > 1 and _stable(by_user) for by_user in after.values()):
            differing = [by_user for by_user in after.values() if _differ(by_user)]
            kind = self._measured[-1][1].kind
            if differing and len(differing) < len(after):
                return self._bled(f"depends on who was served last: {kind}")
            if differing:
                return self._note(f"each request replaces it: {kind}")
            return self._note("depends on which route was served last")
        kinds = [change.kind for _, change in self._measured]
        if all(re.fullmatch(r"int -?\d+", kind) for kind in kinds):
            return self._note(f"a number that changes: {kinds[-1]}")
        held = " and has something of its user in it" if self._measured[-1][1].users else ""
        return self._note(f"is different after each request{held}: {kinds[-1]}")

    def _note(self, why: str) -> Finding:
        return Finding("note", self._category, self._name, why, self._routes())

    def _digests_after(self) -> Mapping[str, Mapping[str, set[str]]]:
        """By route and user, once it is warm."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        at = {place: change.digest for place, change in self._changes}
        digest = ""
        for place, step in enumerate(self._steps):
            digest = at.get(place, digest)
            if place >= self._warm:
                found[str(step.answer.route)][step.answer.user].add(digest)
        return found


def _stable(by_user: Mapping[str, set[str]]) -> bool:
    return all(len(digests) == 1 for digests in by_user.values())


def _differ(by_user: Mapping[str, set[str]]) -> bool:
    return len(set.union(*by_user.values())) > 1


def _count(kind: str) -> int | None:
    """Of "array(3)" or "17"."""
    match = re.fullmatch(r"array\((\d+)\)|(\d+)", kind)
    return int(match[1] or match[2]) if match else None
