# SPDX-License-Identifier: MIT
"""Kinds of values that any key can have: sizes, times, texts, numbers.

A kind is a function that takes what TOML gave and returns what the program uses, or raises a
ValueError whose text completes "KEY must be …".
"""

import difflib
import re
from collections.abc import Callable
from typing import TypeVar

from askrctl.config.schema import KIB, MIB

Number = TypeVar("Number", int, float)

_SIZE = re.compile(r"(\d{1,15})\s*([kKmMgG]?)(?:i?[bB])?")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m|h)")
_RATE = re.compile(r"(\d{1,7})\s*/\s*([smhd])")
_PERIODS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE_UNITS = {"": 1, "k": KIB, "m": MIB, "g": 1024 * MIB}
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class UnfitError(ValueError):
    """What is wrong with a value, where "must be …" would not say it."""


def complaint(name: str, error: ValueError, value: object) -> str:
    """The sentence about a key and the value it was given."""
    if isinstance(error, UnfitError):
        return f"{name}: {error}"
    return f"{name} must be {error}, not {value!r:.80}"


def parse_size(value: object) -> int:
    """Bytes: 65536, "64K", "16M", "1GiB"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a size such as 65536, "64K" or "16M"')
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def parse_seconds(value: object) -> float:
    """Seconds: 30, 0.5, "500ms", "30s", "2m"."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a time such as 30, "500ms" or "2m"')
    return float(match[1]) * _DURATION_UNITS[match[2]]


def parse_rate(value: object) -> tuple[int, int]:
    """So many in a period of seconds: "10/s", "5/m", "1000/h"."""
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError('a rate such as "10/s", "5/m" or "1000/h"')
    return int(match[1]), _PERIODS_S[match[2]]


def parse_text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a string")
    return value


def parse_number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number")
    return value


def parse_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def parse_texts(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not items:
        raise ValueError("a string or a list of strings")
    return tuple(parse_text(item) for item in items)


def one_of(*names: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in names:
            raise ValueError(" or ".join(f'"{name}"' for name in names))
        return str(value)

    return parse


def between(
    parse: Callable[[object], Number], low: Number, high: Number
) -> Callable[[object], Number]:
    def checked(value: object) -> Number:
        number = parse(value)
        if not low <= number <= high:
            raise ValueError(f"between {low} and {high}")
        return number

    return checked


def suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.65)
    return f"did you mean {close[0]}?" if close else "known ones: " + ", ".join(sorted(known))
