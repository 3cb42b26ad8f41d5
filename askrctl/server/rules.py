# SPDX-License-Identifier: MIT
"""Rules of askr.toml as the engine is told them: struct askr_header_rule, struct askr_redirect."""

from collections.abc import Sequence
from typing import Any

from askrctl import engine
from askrctl.config import ANSWERS, HeaderRule, Redirect, split_pattern


def rule_settings(headers: Sequence[HeaderRule], redirects: Sequence[Redirect]) -> dict[str, Any]:
    """The fields of struct askr_site_config that are about rules."""
    return {
        "headers": [_header(rule) for rule in headers],
        "header_count": len(headers),
        "redirects": [_redirect(redirect) for redirect in redirects],
        "redirect_count": len(redirects),
    }


def _pattern(text: str) -> dict[str, Any]:
    before, behind = split_pattern(text)
    return {"before": before, "behind": behind}


def _header(rule: HeaderRule) -> dict[str, Any]:
    edits = [
        *({"edit": engine.EDIT_REMOVE, "name": name, "value": ""} for name in rule.remove),
        *({"edit": engine.EDIT_SET, "name": name, "value": value} for name, value in rule.set),
        *({"edit": engine.EDIT_ADD, "name": name, "value": value} for name, value in rule.add),
    ]
    return {
        "paths": [_pattern(text) for text in rule.path],
        "path_count": len(rule.path),
        "edits": edits,
        "edit_count": len(edits),
        "answers": ANSWERS.index(rule.answers),
    }


def _redirect(redirect: Redirect) -> dict[str, Any]:
    return {
        "source": _pattern(redirect.source),
        "target": _pattern(redirect.to),
        "hosts": host_names(redirect.hosts),
        "host_count": len(redirect.hosts),
        "status": redirect.status,
    }


def host_names(hosts: Sequence[str]) -> list[str]:
    """ "*.example.org" as the engine reads it."""
    return [host.removeprefix("*") for host in hosts]
