# SPDX-License-Identifier: MIT
"""[[site]]: host names with an application, settings and rules of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from askrctl.config import lists, rules
from askrctl.config.kinds import KINDS
from askrctl.config.schema import (
    Config,
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

SITE_KEYS: lists.Kinds = {
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
        if key not in SITE_KEYS:
            names = [*SITE_KEYS, *_SECTIONS, *_LISTS]
            raise where.refuse(f"unknown key site.{shown(key)}", suggest(key, names), key)
    found = lists.read_keys(known, SITE_KEYS, where)
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
        raise where.refuse(f"{where.name} must be a table", f"[{where.name}]")
    once = _NOT_OF_A_SITE.get(name, ())
    for key in table:
        if key in once:
            raise where.refuse(f"{where.name}.{key} cannot differ by site", f"[{name}]", key)
    keys = [item.name for item in fields(_SECTIONS[name]) if item.name not in once]
    kinds = {key: KINDS.get(f"{name}.{key}", parse_text) for key in keys}
    return tuple(lists.read_keys(table, kinds, where).items())


SITES = lists.ListKind(_site)


def check_all(config: Config, where: Where) -> None:
    """What only shows when all of them are known."""
    _check_rules(config.header, config.redirect, (), where)
    names: set[str] = set()
    taken: dict[str, str] = {}
    for number, site in enumerate(config.site, 1):
        here = where.inner("site", number)
        what = f'the site "{site.name}"'
        if site.name in names:
            raise here.refuse(f"{what} is there twice", "give each [[site]] its own name", "name")
        names.add(site.name)
        for host in site.hosts:
            if host in taken:
                both = f'{what} and the site "{taken[host]}" both have the host {host}'
                raise here.refuse(both, "a host belongs to one site", "hosts")
            taken[host] = site.name
        headers, redirects = (*site.header, *config.header), (*site.redirect, *config.redirect)
        _check_rules(headers, redirects, site.hosts, here)
    _check_defaults(config.site, where)


def _check_rules(
    headers: Sequence[HeaderRule],
    redirects: Sequence[Redirect],
    hosts: Sequence[str],
    where: Where,
) -> None:
    prefix = f"{where.name}." if where.name else ""
    if problem := rules.headers_problem(headers):
        hint = "one rule can have several paths and fields"
        raise where.inner(f"{prefix}header").refuse(problem, hint)
    loop = rules.find_loop(redirects, hosts)
    if loop is not None:
        raise where.inner(f"{prefix}redirect", redirects.index(loop) + 1).refuse(
            f'the redirect from "{loop.source}" leads back to itself',
            f'change to = "{loop.to}", or name the hosts it is for',
        )


def _check_defaults(sites: Sequence[Site], where: Where) -> None:
    marked = [(number, site.name) for number, site in enumerate(sites, 1) if site.default]
    if len(marked) > 1:
        raise where.inner("site", marked[1][0]).refuse(
            f"{len(marked)} sites are marked default: " + ", ".join(name for _, name in marked),
            "default = true for one of them",
            "default",
        )
