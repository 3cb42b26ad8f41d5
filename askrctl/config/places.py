# SPDX-License-Identifier: MIT
"""Where files lie that more than one part of the product reads."""

import os
from pathlib import Path


def bench_record_path() -> Path:
    """Where `askrctl bench --gate` leaves its verdict for `auto`; its format is gate.py's."""
    named = os.environ.get("ASKR_BENCH_RECORD")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/askr/bench.json")
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(state) / "askr/bench.json"
