# SPDX-License-Identifier: MIT
"""Sections of askr.toml that may stand several times: [[header]], [[redirect]], [[site]].

Each table becomes a dataclass of schema.py; what is wrong with one is told with its line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from askrctl.config import rules
from askrctl.config.kinds import KINDS
from askrctl.config.schema import (
    HEADERS_MAX,
    REDIRECTS_MAX,
    HeaderRule,
    PhpConfig,
    Redirect,
    SendfileConfig,
    Site,
    StaticConfig,
)
from askrctl.config.tables import shown
from askrctl.config.values import parse_flag, parse_text, suggest
from askrctl.model import AskrError

Kinds = Mapping[str, Callable[[object], Any]]

# Keys in askr.toml, with the field of the dataclass where it cannot have the same name.
_FIELDS = {"from": "source"}
_HEADER: Kinds = {
    "path": rules.patterns,
    "set": rules.edits,
    "add": rules.additions,
    "remove": rules.removals,
    "answers": rules.answers,
}
_REDIRECT: Kinds = {
    "from": rules.source,
    "to": rules.target,
    "status": rules.status,
    "hosts": rules.hosts,
}
_SITE: Kinds = {
    "name": rules.site_name,
    "hosts": rules.hosts,
    "root": rules.folder,
    "default": parse_flag,
    "user": parse_text,
    "group": parse_text,
}
_SITE_SECTIONS = {"php": PhpConfig, "static": StaticConfig, "sendfile": SendfileConfig}
_SITE_LISTS = ("header", "redirect")
# What one server has once.
_NOT_OF_A_SITE = {"php": ("library", "slowlog", "slow", "kill_grace")}


@dataclass(frozen=True, slots=True)
class Where:
    """A table of the file. `counts`: which of the tables of each name it is, or is in, from 1."""

    path: Path
    text: str
    name: str
    counts: tuple[tuple[str, int], ...] = ()

    def inner(self, name: str, number: int | None = None) -> "Where":
        counts = self.counts if number is None else (*self.counts, (name, number))
        return replace(self, name=name, counts=counts)

    def refuse(self, what: str, hint: str = "", key: str = "") -> AskrError:
        number = _line(self.text, self.name, dict(self.counts), key)
        line = f", line {number}" if number else ""
        return AskrError(f"{self.path}{line}: {what}", hint, code=2)


def _line(text: str, name: str, wanted: Mapping[str, int], key: str) -> int:
    """Where a table, or a key of it, stands, as far as a line-wise look can tell; 0: unknown."""
    counts: dict[str, int] = {}
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if match := re.match(r"\[\[\s*([\w.-]+)\s*\]\]", stripped):
            inside = match[1]
            counts = {k: v for k, v in counts.items() if not k.startswith(f"{inside}.")}
            counts[inside] = counts.get(inside, 0) + 1
        elif match := re.match(r"\[\s*([\w.-]+)\s*\]", stripped):
            inside = match[1]
        elif not key or not re.match(rf'"?{re.escape(key)}"?\s*=', stripped):
            continue
        elif inside == name and all(counts.get(k) == v for k, v in wanted.items()):
            return number
        if not key and inside == name and all(counts.get(k) == v for k, v in wanted.items()):
            return number
    return 0


def read_list(name: str, tables: object, path: Path, text: str) -> tuple[Any, ...]:
    """All [[name]] of a file."""
    return _read_all(name, tables, Where(path, text, name))


NAMES = ("header", "redirect", "site")


def _read_all(kind: str, tables: object, where: Where) -> tuple[Any, ...]:
    if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
        raise where.refuse(f"{where.name} must be a list of tables: [[{where.name}]]")
    read = {"header": _header, "redirect": _redirect, "site": _site}[kind]
    found = tuple(
        read(table, where.inner(where.name, number)) for number, table in enumerate(tables, 1)
    )
    limit = {"header": HEADERS_MAX, "redirect": REDIRECTS_MAX}.get(kind)
    if limit is not None and len(found) > limit:
        raise where.refuse(f"more than {limit} [[{where.name}]]")
    return found


def _read(table: Mapping[str, object], kinds: Kinds, where: Where) -> dict[str, Any]:
    found = {}
    for key, value in table.items():
        if key not in kinds:
            raise where.refuse(
                f"unknown key {where.name}.{shown(key)}", suggest(key, list(kinds)), key
            )
        try:
            found[_FIELDS.get(key, key)] = kinds[key](value)
        except ValueError as error:
            raise where.refuse(
                f"{where.name}.{key} must be {error}, not {value!r}", key=key
            ) from None
    return found


def _header(table: Mapping[str, object], where: Where) -> HeaderRule:
    rule = HeaderRule(**_read(table, _HEADER, where))
    if not (rule.set or rule.add or rule.remove):
        raise where.refuse(
            f"this [[{where.name}]] changes nothing", 'set = { X-Frame-Options = "DENY" }'
        )
    return rule


def _redirect(table: Mapping[str, object], where: Where) -> Redirect:
    for key in ("from", "to"):
        if key not in table:
            raise where.refuse(
                f"this [[{where.name}]] has no {key}", 'from = "/old/*" and to = "/new/*"'
            )
    redirect = Redirect(**_read(table, _REDIRECT, where))
    if problem := rules.redirect_problem(redirect):
        raise where.refuse(f"{where.name}.to {problem}", key="to")
    return redirect


def _site(table: Mapping[str, object], where: Where) -> Site:
    inner = {k: v for k, v in table.items() if k in _SITE_SECTIONS or k in _SITE_LISTS}
    known = {k: v for k, v in table.items() if k not in inner}
    for key in known:
        if key not in _SITE:
            names = [*_SITE, *_SITE_SECTIONS, *_SITE_LISTS]
            raise where.refuse(f"unknown key site.{shown(key)}", suggest(key, names), key)
    found = _read(known, _SITE, where)
    if "root" not in found:
        raise where.refuse("this [[site]] has no root", 'root = "/srv/shop", an application')
    for name, value in inner.items():
        if name in _SITE_LISTS:
            found[name] = _read_all(name, value, where.inner(f"site.{name}"))
        else:
            found[name] = _section(name, value, where.inner(f"site.{name}"))
    if not found.get("hosts") and not found.get("default"):
        raise where.refuse(
            "this [[site]] has no hosts, so nobody finds it", 'hosts = ["example.org"]'
        )
    found.setdefault("name", (found.get("hosts") or ("default",))[0])
    return Site(**found)


def _section(name: str, table: object, where: Where) -> tuple[tuple[str, Any], ...]:
    if not isinstance(table, dict):
        raise where.refuse(f"{where.name} must be a table: [{where.name}]")
    once = _NOT_OF_A_SITE.get(name, ())
    for key in table:
        if key in once:
            raise where.refuse(f"{where.name}.{key} cannot differ by site", f"[{name}]", key)
    keys = [item.name for item in fields(_SITE_SECTIONS[name]) if item.name not in once]
    kinds = {key: KINDS.get(f"{name}.{key}", parse_text) for key in keys}
    return tuple(_read(table, kinds, where).items())


def check_all(
    headers: tuple[HeaderRule, ...], redirects: tuple[Redirect, ...], sites: tuple[Site, ...]
) -> None:
    """What only shows when all of them are known."""
    rules.check_headers(headers, "[[header]]")
    rules.check_loops(redirects, (), "[[redirect]]")
    names: set[str] = set()
    taken: dict[str, str] = {}
    for site in sites:
        what = f'the site "{site.name}"'
        if site.name in names:
            raise AskrError(f"{what} is there twice", "give each [[site]] its own name", code=2)
        names.add(site.name)
        for host in site.hosts:
            if host in taken:
                raise AskrError(
                    f'{what} and the site "{taken[host]}" both have the host {host}',
                    "a host belongs to one site",
                    code=2,
                )
            taken[host] = site.name
        rules.check_headers((*site.header, *headers), what)
        rules.check_loops((*site.redirect, *redirects), site.hosts, what)
    defaults = [site.name for site in sites if site.default]
    if len(defaults) > 1:
        raise AskrError(
            f"{len(defaults)} sites are marked default: " + ", ".join(defaults),
            "default = true for one of them",
            code=2,
        )
