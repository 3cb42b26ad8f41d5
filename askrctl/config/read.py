# SPDX-License-Identifier: MIT
"""OTEL_* of the environment < askr.toml < ASKR_* of the environment < flags.

A key that is not known, or a value that is not of its kind, is an error that names the line, the
variable or the flag, and the key, and shows what would do: a setting that is silently ignored is
found in production, by its absence.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from askrctl.config import examples, lists, sites
from askrctl.config.kinds import KINDS
from askrctl.config.otel import trace_defaults
from askrctl.config.schema import Config
from askrctl.config.tables import TEXT_SIZE_MAX, load_tables, shown
from askrctl.config.values import complaint, parse_text, suggest
from askrctl.config.where import Where
from askrctl.model import AskrError

ENVIRONMENT_PREFIX = "ASKR_"
LISTS = {**lists.LISTS, "site": sites.SITES}  # sections that are lists of tables


def sections() -> list[str]:
    """Those that are tables of keys; the others are lists of tables."""
    config = Config()
    return [item.name for item in fields(Config) if is_dataclass(getattr(config, item.name))]


def keys_of(section: str) -> list[str]:
    return [item.name for item in fields(getattr(Config(), section))]


def _with_key(config: Config, section: str, key: str, value: object) -> Config:
    part: Any = getattr(config, section)
    changed: Config = replace(config, **{section: replace(part, **{key: value})})
    return changed


def _apply(config: Config, name: str, value: object) -> Config:
    """ValueError: it is not of its kind."""
    section, key = name.split(".")
    return _with_key(config, section, key, KINDS.get(name, parse_text)(value))


def _unknown_section(section: str, value: object, where: Where) -> AskrError:
    known = [*sections(), *LISTS]
    if isinstance(value, (dict, list)):
        return where.refuse(f"unknown section [{shown(section)}]", suggest(section, known))
    owners = [name for name in sections() if section in keys_of(name)]
    hint = f"[{owners[0]}] goes above it" if owners else "known sections: " + ", ".join(known)
    return where.refuse(f"{shown(section)} stands outside of any section", hint)


def _apply_table(config: Config, section: str, table: object, where: Where) -> Config:
    if section in LISTS:
        found: Any = lists.read_tables(LISTS[section], table, where)
        changed: Config = replace(config, **{section: found})
        return changed
    if section not in sections():
        raise _unknown_section(section, table, where)
    if not isinstance(table, dict):
        raise where.refuse(f"{section} must be a table", f"[{section}]")
    keys = keys_of(section)
    for key, value in table.items():
        if key not in keys:
            raise where.refuse(f"unknown key {section}.{shown(key)}", suggest(key, keys), key)
        config = _apply_from_file(config, section, key, value, where)
    return config


def _apply_from_file(config: Config, section: str, key: str, value: object, where: Where) -> Config:
    name = f"{section}.{key}"
    if name in lists.NESTED:
        found = lists.read_tables(lists.NESTED[name], value, where.inner(name))
        return _with_key(config, section, key, found)
    try:
        return _apply(config, name, value)
    except ValueError as error:
        what = complaint(name, error, value)
        raise where.refuse(what, examples.of_file(name), key) from None


def read_text(text: str, path: Path, config: Config | None = None) -> Config:
    """Parse the text of an askr.toml; `path` is for messages."""
    tables = load_tables(text, str(path), "docs/configuration.md shows how it is written")
    config = config or Config()
    for section, table in tables.items():
        config = _apply_table(config, section, table, Where(path, text, section))
    sites.check_all(config, Where(path, text, ""))
    return config


def text_of(path: Path) -> str:
    """Of an askr.toml."""
    try:
        with path.open("rb") as stream:  # it may be a device without an end
            return stream.read(TEXT_SIZE_MAX + 1).decode()
    except UnicodeDecodeError as error:
        raise AskrError(f"{path} is not valid UTF-8 at byte {error.start}", code=2) from None
    except OSError as error:
        raise AskrError(
            f"{path} cannot be read: {error.strerror}", f"ls -l {path}", code=2
        ) from None


def read_file(path: Path, config: Config | None = None) -> Config:
    """Parse an askr.toml."""
    return read_text(text_of(path), path, config)


def with_environment(config: Config, environment: Mapping[str, str]) -> Config:
    """ASKR_SERVER_WORKERS=2 and the like. Lists are separated by spaces."""
    for section in sections():
        for key in fields(getattr(config, section)):
            variable, name = variable_of(section, key.name), f"{section}.{key.name}"
            if variable not in environment:
                continue
            value = _from_text(environment[variable], getattr(getattr(config, section), key.name))
            try:
                config = _apply(config, name, value)
            except ValueError as error:
                what = complaint(name, error, value)
                hint = examples.of_environment(name, variable)
                raise AskrError(f"environment, {variable}: {what}", hint, code=2) from None
    return config


def variable_of(section: str, key: str) -> str:
    """The environment variable that sets a key."""
    return f"{ENVIRONMENT_PREFIX}{section}_{key}".upper()


def _from_text(text: str, like: object) -> object:
    """A value of the environment, as TOML would have given it."""
    if isinstance(like, tuple):
        return text.split()
    if isinstance(like, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if isinstance(like, int) and re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if isinstance(like, float) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    return text


def with_flags(config: Config, flags: Mapping[str, object]) -> Config:
    """`flags` maps "section.key" to a value; None and empty lists were not given."""
    for name, value in flags.items():
        if not is_given(value):
            continue
        try:
            config = _apply(config, name, value)
        except ValueError as error:
            what = complaint(name, error, value)
            hint = examples.of_flag(name, flag_of(name))
            raise AskrError(f"{flag_of(name)}: {what}", hint, code=2) from None
    return config


def is_given(value: object) -> bool:
    """A flag that was not given is None, or an empty list."""
    return not (value is None or value == [] or value == ())


def flag_of(name: str) -> str:
    """The option that sets "section.key"."""
    if name == "admin.listen":
        return "--admin"
    section, key = name.split(".")
    flag = {"tls": f"tls-{key}", "admin": "admin"}.get(section, key)
    return f"--{flag.replace('_', '-')}"


def load(path: Path | None, flags: Mapping[str, object]) -> Config:
    """The configuration that counts."""
    config = Config(trace=trace_defaults(os.environ))
    if path is not None:
        config = read_file(path, config)
    return with_flags(with_environment(config, os.environ), flags)
