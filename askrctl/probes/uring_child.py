# SPDX-License-Identifier: MIT
"""The probe's child: tries, and writes a ProbeVerdict as JSON to standard output."""

import errno
import json
import sys
from dataclasses import asdict

from askrctl import engine
from askrctl.model import Backend, ProbeResult, ProbeVerdict
from askrctl.probes import uring_matrix, uring_reach

_MEMLOCK_FIX = "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited"


def _of_failure(errnum: int, sentence: str, probes: dict[str, ProbeResult]) -> ProbeVerdict:
    """A production-sized ring did not open."""
    if errnum == errno.ENOMEM:
        return ProbeVerdict("unusable", "T0", "enomem", sentence, _MEMLOCK_FIX, probes)
    if errnum in (errno.EMFILE, errno.ENFILE):
        return ProbeVerdict("unusable", "T0", "emfile", sentence, "ulimit -n 65536", probes)
    return ProbeVerdict("unusable", "T0", "open_failed", sentence, "askrctl doctor --json", probes)


def probe() -> ProbeVerdict:
    """Reach, then features, then a ring of the size the server opens."""
    cause = uring_reach.judge(uring_reach.measure())
    if cause is not None:
        return ProbeVerdict("unusable", "T0", cause.code, cause.detail, cause.fix)
    probes = uring_matrix.run()
    tier = uring_matrix.tier(probes)
    if tier == "T0":
        detail = "this kernel lacks what the server needs (multishot recv and buffer rings, 6.0)"
        return ProbeVerdict("unusable", tier, "too_old", detail, "kernel 6.1 or newer", probes)
    if engine.built(Backend.IO_URING):
        errnum, sentence = engine.try_backend(Backend.IO_URING)
        if errnum:
            return _of_failure(errnum, sentence, probes)
    return ProbeVerdict("usable", tier, probes=probes)


if __name__ == "__main__":
    json.dump(asdict(probe()), sys.stdout)
