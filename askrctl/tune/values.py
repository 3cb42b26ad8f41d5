# SPDX-License-Identifier: MIT
"""Kernel values as text: when two are the same, and what a wish makes of the value that is there.

The kernel does not print what was written: it puts tabs between fields, merges ranges of ports,
marks the choice in a list by brackets. So values are compared by what they mean. And a wish is
merged with what is there in such a way that nothing is lowered and nothing is taken off a list.
"""

import re
from enum import StrEnum

PORT_MAX = 65535


class Shape(StrEnum):
    NUMBERS = "numbers"  # one or several, in columns
    WORD = "word"
    PORTS = "ports"  # 80,8000-8010
    RANGE = "range"  # two numbers, low and high: raising it makes it wider
    CHOICE = "choice"  # always [madvise] never
    MASK = "mask"  # of cores, hexadecimal: 00000003 is 3


_WHOLE = (Shape.WORD, Shape.CHOICE, Shape.MASK)  # replaced, never merged


def tidy(shape: Shape, text: str) -> str:
    """The value in one spelling."""
    if shape is Shape.CHOICE:
        chosen = re.search(r"\[([^\]]*)\]", text)
        return chosen[1] if chosen else text.strip()
    if shape is Shape.PORTS:
        try:
            return ports_text(ports(text))
        except ValueError:
            return text.strip()
    if shape is Shape.MASK:
        try:
            return f"{int(text.strip().replace(',', ''), 16):x}"
        except ValueError:
            return text.strip()
    return " ".join(text.split())


def same(shape: Shape, left: str | None, right: str | None) -> bool:
    if left is None or right is None:
        return left is right
    return tidy(shape, left) == tidy(shape, right)


def numbers(text: str) -> list[int]:
    """ValueError unless the text is whole numbers of a size that a kernel could mean."""
    words = text.split()
    if not words or any(re.fullmatch(r"-?[0-9]{1,20}", word) is None for word in words):
        raise ValueError(f"{text!r} is not a number")
    return [int(word) for word in words]


def ports(text: str) -> set[int]:
    """ "80,8000-8002" as a set."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= low <= high <= PORT_MAX:
            raise ValueError(f"{part!r} is not a port or a range of ports")
        found.update(range(low, high + 1))
    return found


def ports_text(found: set[int]) -> str:
    """The way that the kernel prints a set of ports."""
    parts: list[str] = []
    for port in sorted(found):
        if port - 1 not in found:
            parts.append(str(port))
        elif port + 1 not in found:
            parts[-1] += f"-{port}"
    return ",".join(parts)


def merged(shape: Shape, before: str, asked: str, column: int | None = None) -> str:
    """What to write so that the wish is met and nothing is lowered; `before` if it is met already.

    For Shape.WORD, CHOICE and MASK the answer is the wish itself.
    """
    if shape is Shape.PORTS:
        return ports_text(ports(before) | ports(asked))
    if shape in _WHOLE:
        return asked.strip()
    have, wish = numbers(before), numbers(asked)
    if column is not None and len(wish) == 1:
        wish = [wish[0] if index == column else value for index, value in enumerate(have)]
    if len(have) != len(wish):
        raise ValueError(f"it has {len(have)} fields, not {len(wish)}")
    result = [max(pair) for pair in zip(have, wish, strict=True)]
    if shape is Shape.RANGE:
        result[0] = min(have[0], wish[0])
    return " ".join(map(str, result))


def met(shape: Shape, got: str, want: str) -> bool:
    """The value is the one wanted, or goes beyond it: a kernel may round up."""
    if same(shape, got, want):
        return True
    if shape in _WHOLE:
        return False
    try:
        return same(shape, merged(shape, got, want), got)
    except ValueError:
        return False


def between(shape: Shape, value: str, before: str, want: str) -> bool:
    """On the way from one to the other: what a kernel that clamps makes of a write."""
    if shape is not Shape.NUMBERS:
        return False
    try:
        triples = zip(numbers(value), numbers(before), numbers(want), strict=True)
        return all(min(old, new) <= now <= max(old, new) for now, old, new in triples)
    except ValueError:
        return False


def round_up(number: int) -> int:
    """To a power of two."""
    return 1 << max(number - 1, 0).bit_length()
