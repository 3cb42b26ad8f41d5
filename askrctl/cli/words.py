# SPDX-License-Identifier: MIT
"""Words of the commands' texts."""


def count(number: int, noun: str) -> str:
    """ "1 worker", "2 processes"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
