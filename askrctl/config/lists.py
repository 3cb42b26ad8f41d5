# SPDX-License-Identifier: MIT
"""Tables of askr.toml that may stand several times: [[header]], [[warmup]], [[limits.rate]], …

Each becomes a dataclass of schema.py; what is wrong with one is told with its line. [[site]], which
holds others, is in sites.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from askrctl.config import entries, examples, rules
from askrctl.config.schema import (
    HEADERS_MAX,
    RATE_FILL_MAX_S,
    RATES_MAX,
    REDIRECTS_MAX,
    WARMUPS_MAX,
    Certificate,
    HeaderRule,
    RateLimit,
    Redirect,
    Warmup,
)
from askrctl.config.tables import shown
from askrctl.config.values import complaint, parse_rate, suggest
from askrctl.config.where import Where

Kinds = Mapping[str, Callable[[object], Any]]

# Keys in askr.toml, with the field of the dataclass where it cannot have the same name.
_FIELDS = {"from": "source"}
HEADER_KEYS: Kinds = {
    "path": rules.patterns,
    "set": rules.edits,
    "add": rules.additions,
    "remove": rules.removals,
    "answers": rules.answers,
}
REDIRECT_KEYS: Kinds = {
    "from": rules.source,
    "to": rules.target,
    "status": rules.status,
    "hosts": rules.hosts,
}


@dataclass(frozen=True, slots=True)
class ListKind:
    """`single`: [name] is as good as [[name]] when there is only one."""

    read: Callable[[Mapping[str, object], Where], Any]
    limit: int | None = None
    single: bool = False
    check: Callable[[tuple[Any, ...], Where], None] | None = None  # of all of them


def read_tables(kind: ListKind, tables: object, where: Where) -> tuple[Any, ...]:
    """All [[name]]: where.name is the name. AskrError (2) for the first that is wrong."""
    if kind.single and isinstance(tables, dict):
        return (kind.read(tables, where),)
    if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
        raise where.refuse(
            f"{where.name} must be a list of tables: [[{where.name}]]", f"[[{where.name}]]"
        )
    if kind.limit is not None and len(tables) > kind.limit:
        raise where.refuse(
            f"more than {kind.limit} [[{where.name}]]",
            f"take {len(tables) - kind.limit} of them out",
        )
    found = tuple(
        kind.read(table, where.inner(where.name, number)) for number, table in enumerate(tables, 1)
    )
    if kind.check is not None:
        kind.check(found, where)
    return found


def read_keys(table: Mapping[str, object], kinds: Kinds, where: Where) -> dict[str, Any]:
    """The keys of one table, by the names of the dataclass."""
    found = {}
    for key, value in table.items():
        if key not in kinds:
            raise where.refuse(
                f"unknown key {where.name}.{shown(key)}", suggest(key, list(kinds)), key
            )
        try:
            found[_FIELDS.get(key, key)] = kinds[key](value)
        except ValueError as error:
            name = f"{where.name}.{key}"
            raise where.refuse(complaint(name, error, value), examples.of_file(name), key) from None
    return found


def _needs(table: Mapping[str, object], key: str, where: Where, hint: str) -> None:
    if key not in table:
        raise where.refuse(f"this [[{where.name}]] has no {key}", hint)


def _header(table: Mapping[str, object], where: Where) -> HeaderRule:
    rule = HeaderRule(**read_keys(table, HEADER_KEYS, where))
    if not (rule.set or rule.add or rule.remove):
        raise where.refuse(
            f"this [[{where.name}]] changes nothing", 'set = { X-Frame-Options = "DENY" }'
        )
    return rule


def _redirect(table: Mapping[str, object], where: Where) -> Redirect:
    found = read_keys(table, REDIRECT_KEYS, where)
    for key in ("from", "to"):
        _needs(table, key, where, 'from = "/old/*" and to = "/new/*"')
    redirect = Redirect(**found)
    if problem := rules.redirect_problem(redirect):
        raise where.refuse(f"{where.name}.to {problem}", examples.of_file("redirect.to"), "to")
    return redirect


def _warmup(table: Mapping[str, object], where: Where) -> Warmup:
    found = read_keys(table, entries.WARMUP, where)
    _needs(table, "path", where, 'path = "/"')
    return Warmup(**found)


def _rate(table: Mapping[str, object], where: Where) -> RateLimit:
    keys = read_keys(table, entries.RATE, where)
    _needs(table, "rate", where, 'path = "/login" and rate = "5/m"')
    found = RateLimit(**keys)
    count, period_s = parse_rate(found.rate)
    burst = found.burst or count
    if burst * period_s > RATE_FILL_MAX_S * count:
        raise where.refuse(
            f"the bucket of this [[{where.name}]] would take years to fill", "burst = 10", "burst"
        )
    return replace(found, burst=burst, name=found.name or f"rate{where.number or 1}")


def _check_rates(rates: tuple[RateLimit, ...], where: Where) -> None:
    names = [item.name for item in rates]
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            raise where.inner(where.name, number).refuse(
                f"the name {name!r} is there twice", "give each [[limits.rate]] its own name"
            )


def _certificate(table: Mapping[str, object], where: Where) -> Certificate:
    found = read_keys(table, entries.CERTIFICATE, where)
    _needs(table, "cert", where, 'cert = "fullchain.pem" and key = "key.pem"')
    return Certificate(**found)


HEADER = ListKind(_header, HEADERS_MAX)
REDIRECT = ListKind(_redirect, REDIRECTS_MAX)
LISTS = {"header": HEADER, "redirect": REDIRECT, "warmup": ListKind(_warmup, WARMUPS_MAX)}
# Keys of a section that are such lists.
NESTED = {
    "limits.rate": ListKind(_rate, RATES_MAX, single=True, check=_check_rates),
    "tls.certificate": ListKind(_certificate, single=True),
}
