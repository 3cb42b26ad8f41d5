# SPDX-License-Identifier: MIT
"""TOML that somebody else wrote: its tables, or one sentence about what is wrong with it."""

import re
import tomllib
from typing import Any

from askrctl.model import AskrError

TEXT_SIZE_MAX = 1 << 20  # bytes; a configuration has a few thousand


def load_tables(text: str, name: str, hint: str) -> dict[str, Any]:
    """The tables of a TOML text; AskrError (2) with `name` and `hint` when it is none."""
    if len(text) > TEXT_SIZE_MAX:
        raise AskrError(f"{name} has more than {TEXT_SIZE_MAX} characters", hint, code=2)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # tomllib names the line of every fault but one.
        last_line = len(text.rstrip().splitlines())
        what = str(error).replace("at end of document", f"at the end, line {last_line}")
        what = re.sub(r"Cannot declare \((.*?),?\) twice", _twice, what)
    except RecursionError:
        what = "its arrays or tables are nested too deeply"
    except ValueError:  # int() has a limit of its own
        what = "a number in it has too many digits"
    raise AskrError(f"{name} is not valid TOML: {what}", hint, code=2)


def _twice(found: re.Match[str]) -> str:
    """tomllib names a table by the tuple of its keys."""
    return f"[{found[1].replace(', ', '.').replace(chr(39), '')}] is there twice"


def shown(key: str) -> str:
    """A key as a message names it: TOML's quoted keys can be anything, a line end too."""
    return key if re.fullmatch(r"[\w.-]{1,80}", key) else repr(key[:80])
