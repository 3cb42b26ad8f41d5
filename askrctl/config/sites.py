# SPDX-License-Identifier: MIT
"""[[site]]: host names with an application, settings and rules of their own."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from askrctl.config import lists, rules
from askrctl.config.kinds import KINDS
from askrctl.config.schema import (
    HeaderRule,
    PhpConfig,
    Redirect,
    SendfileConfig,
    Site,
    StaticConfig,
)
from askrctl.config.tables import shown
from askrctl.config.values import parse_flag, parse_text, suggest
from askrctl.config.where import Where
from askrctl.model import AskrError

_SITE: lists.Kinds = {
    "name": rules.site_name,
    "hosts": rules.hosts,
    "root": rules.folder,
    "default": parse_flag,
    "user": parse_text,
    "group": parse_text,
}
_SECTIONS = {"php": PhpConfig, "static": StaticConfig, "sendfile": SendfileConfig}
_LISTS = {"header": lists.HEADER, "redirect": lists.REDIRECT}
# What one server has once.
_NOT_OF_A_SITE = {"php": ("library", "slowlog", "slow", "kill_grace")}


def _site(table: Mapping[str, object], where: Where) -> Site:
    inner = {key: value for key, value in table.items() if key in _SECTIONS or key in _LISTS}
    known = {key: value for key, value in table.items() if key not in inner}
    for key in known:
        if key not in _SITE:
            names = [*_SITE, *_SECTIONS, *_LISTS]
            raise where.refuse(f"unknown key site.{shown(key)}", suggest(key, names), key)
    found = lists.read_keys(known, _SITE, where)
    if "root" not in found:
        raise where.refuse("this [[site]] has no root", 'root = "/srv/shop", an application')
    for name, value in inner.items():
        if name in _LISTS:
            found[name] = lists.read_tables(_LISTS[name], value, where.inner(f"site.{name}"))
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
    keys = [item.name for item in fields(_SECTIONS[name]) if item.name not in once]
    kinds = {key: KINDS.get(f"{name}.{key}", parse_text) for key in keys}
    return tuple(lists.read_keys(table, kinds, where).items())


SITES = lists.ListKind(_site)


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
