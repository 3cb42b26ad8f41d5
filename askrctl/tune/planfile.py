# SPDX-License-Identifier: MIT
"""Plans as JSON, `askr.tune.plan/1`. A plan that is read is not trusted.

It may come from another machine or from somebody who wants a file written. So every field is held
against what tune itself would have put there: a key outside the list, a value outside its bounds,
a file that is not one of ours or not in its one spelling, a field that is not known, are refused,
each by a sentence that names the place. Whether the machine is still as the plan says is asked when
it is applied.
"""

import importlib.resources
import json
from typing import Any

from askrctl import folklore
from askrctl.model import AskrError
from askrctl.tune import devices, keys, persist, units
from askrctl.tune.items import RULES, Item, Kind, Plan, Skipped

SCHEMA = "askr.tune.plan/1"
SIZE_MAX = 512 * 1024  # bytes: all keys, with a page of text each
ITEMS_MAX = 200
TEXT_MAX = 64 * 1024  # characters: of a file of ours
WORDS_MAX = 500  # characters: of a sentence
_PLAN = {"schema", "tool", "made", "unit", "items", "skipped", "notes"}
_ITEM = {"key", "kind", "layer", "rule", "before", "want", "checks", "why"}
_SKIPPED = {"key", "check", "reason", "hint"}


def dump(plan: Plan, version: str) -> dict[str, Any]:
    """The plan as it goes into a file."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "askrctl", "version": version},
        "made": plan.made,
        "unit": plan.unit,
        "items": [
            {
                "key": item.key,
                "kind": item.kind.value,
                "layer": item.layer,
                "rule": item.rule,
                "before": item.before,
                "want": item.want,
                "checks": list(item.checks),
                "why": item.why,
            }
            for item in plan.items
        ],
        "skipped": [
            {"key": skip.key, "check": skip.check, "reason": skip.reason, "hint": skip.hint}
            for skip in plan.skipped
        ],
        "notes": list(plan.notes),
    }


def schema_text() -> str:
    """The JSON Schema of a plan."""
    return importlib.resources.files(__package__).joinpath("plan-1.schema.json").read_text()


class _RefusedError(Exception):
    """The sentence, without the name of the file."""


def read(data: bytes, name: str, unit: str) -> Plan:
    """The plan in that text. AskrError (2) unless tune could have written every part of it."""
    try:
        return _plan(_json(data), unit)
    except _RefusedError as refusal:
        raise AskrError(
            f"{name}: {refusal}; nothing was changed",
            "askrctl tune plan --format json > FILE makes one for this machine",
            code=2,
        ) from None


def _json(data: bytes) -> Any:
    if len(data) > SIZE_MAX:
        raise _RefusedError(f"it has more than {SIZE_MAX} bytes")
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(f"it is not JSON: {str(error)[:WORDS_MAX]}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("an object has the same key twice")
    return found


def _no_constant(text: str) -> Any:
    raise _RefusedError(f"{text} is no number")


def _object(value: Any, known: set[str], where: str) -> dict[str, Any]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise _RefusedError(f"{where} must be an object")
    for key in value:
        if key not in known:
            raise _RefusedError(f"{where} has the unknown key {key[:80]!r}")
    for key in sorted(known):
        if key not in value:
            raise _RefusedError(f"{where} lacks {key}")
    return value


def _text(value: Any, where: str, size_max: int = WORDS_MAX) -> str:
    if not isinstance(value, str) or len(value) > size_max:
        raise _RefusedError(f"{where} must be a string of at most {size_max} characters")
    if not all(character.isprintable() or character in "\n\t" for character in value):
        raise _RefusedError(f"{where} holds characters that no plan has")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > ITEMS_MAX:
        raise _RefusedError(f"{where} must be a list of at most {ITEMS_MAX}")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(item, where) for item in _list(value, where))


def _plan(value: Any, unit: str) -> Plan:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise _RefusedError(f'it is no plan: "schema" must be "{SCHEMA}"')
    plan = _object(value, _PLAN, "the plan")
    tool = _object(plan["tool"], {"name", "version"}, "tool")
    for key in ("name", "version"):
        _text(tool[key], f"tool.{key}")
    if plan["unit"] != unit:
        raise _RefusedError(f"it is for the unit {str(plan['unit'])[:80]!r}, not {unit}")
    items = tuple(
        _item(entry, f"items[{index}]", unit)
        for index, entry in enumerate(_list(plan["items"], "items"))
    )
    if len({item.key for item in items}) != len(items):
        raise _RefusedError("it has two items for the same key")
    return Plan(
        items,
        tuple(_skipped(entry) for entry in _list(plan["skipped"], "skipped")),
        _texts(plan["notes"], "notes"),
        _text(plan["made"], "made"),
        unit,
    )


def _skipped(value: Any) -> Skipped:
    entry = _object(value, _SKIPPED, "an entry of skipped")
    key, check, reason, hint = (_text(entry[k], k) for k in ("key", "check", "reason", "hint"))
    return Skipped(key, check, reason, hint)


def _item(value: Any, where: str, unit: str) -> Item:
    entry = _object(value, _ITEM, where)
    key = _text(entry["key"], f"{where}.key")
    kind, rule = entry["kind"], entry["rule"]
    if kind not in list(Kind) or rule not in RULES:
        raise _RefusedError(f"{where}: kind and rule must be some that tune has")
    before = entry["before"]
    item = Item(
        key,
        Kind(kind),
        rule,
        None if before is None else _text(before, f"{where}.before", TEXT_MAX),
        _text(entry["want"], f"{where}.want", TEXT_MAX),
        _texts(entry["checks"], f"{where}.checks"),
        _text(entry["why"], f"{where}.why"),
    )
    if entry["layer"] != item.layer:
        raise _RefusedError(f"{where}.layer must be {item.layer!r}")
    fault = item_fault(item, unit)
    if fault:
        raise _RefusedError(f"{where}: {fault}")
    return item


def item_fault(item: Item, unit: str) -> str:
    """Why tune would never write this item, on any machine; "" if it might."""
    if item.kind is Kind.FILE:
        return _file_fault(item, unit)
    table = keys.SYSCTLS if item.kind is Kind.SYSCTL else None
    key = table.get(item.key) if table is not None else _sysfs(item.key)
    tale = folklore.refusal(item.key, item.want)
    if tale:
        return f"{item.key} = {item.want[:80]} is folklore: {tale}"
    if key is None:
        return f"{item.key[:80]!r} is not a key that tune writes"
    if item.rule != key.rule or item.before is None:
        return f"{item.key} has the rule {key.rule!r} and a value before"
    fault = key.fault(item.want)
    if fault:
        return f"{item.key} cannot be {item.want[:80]!r}: {fault}"
    return _lowers(key, item.before, item.want)


def _sysfs(name: str) -> keys.Key | None:
    return keys.find(name) if name.startswith("/sys/") else None


def _lowers(key: keys.Key, before: str, want: str) -> str:
    """ "" unless the value would be less than it was."""
    if key.rule == "set":
        return ""
    try:
        kept = key.same(key.merged(before, want), want)
    except ValueError as error:
        return f"{key.name} was {before[:80]!r}: {error}"
    return "" if kept else f"{key.name} would be lowered from {before[:80]!r} to {want!r}"


def _file_fault(item: Item, unit: str) -> str:
    form = persist.paths(unit).get(item.key)
    if form is None:
        return f"{item.key[:80]!r} is not a file that tune writes"
    if item.rule != "own":
        return f"{item.key} has the rule 'own'"
    fault = persist.fault(form, item.want)
    if fault:
        return f"{item.key} is not a text that tune writes: {fault}"
    entries = persist.parse(form, item.want)
    for entry in entries.values():
        tale = folklore.refusal(entry.name, entry.value)
        if tale:
            return f"{entry.name} = {entry.value} is folklore: {tale}"
    if not entries:
        return f"{item.key} would have no setting in it"
    return "" if item.before is None else _loses(form, item, entries)


def _loses(form: persist.Format, item: Item, entries: dict[str, persist.Entry]) -> str:
    """ "" unless the file would set less than before."""
    assert item.before is not None
    try:
        old = persist.parse(form, item.before)
    except ValueError as error:
        return f"{item.key} was not written by askrctl: {error}"
    for name, entry in old.items():
        if name not in entries:
            return f"{item.key} would no longer set {name}"
        fault = _entry_lowers(form, entry, entries[name])
        if fault:
            return fault
    return ""


def _entry_lowers(form: persist.Format, old: persist.Entry, new: persist.Entry) -> str:
    if form is persist.UNIT_D:
        rule = units.DIRECTIVES[new.name].rule if not form.fault(old.name, old.value) else "set"
        if rule == "set" or units.merged(new.name, new.value, old.value) == new.value:
            return ""
        return f"{new.name} would be lowered from {old.value} to {new.value}"
    key = devices.rule_key(new.name) if form is persist.UDEV_D else keys.find(new.name)
    return _lowers(key, old.value, new.value) if key is not None else ""
