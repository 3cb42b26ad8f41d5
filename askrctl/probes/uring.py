# SPDX-License-Identifier: MIT
"""What io_uring can do for a given user here: proven by doing it, in a child with a time limit.

`serve` and `doctor` share this, so the log, the status and the report use the same reason codes.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace

from askrctl.model import Credentials, ProbeResult, ProbeVerdict

NOT_BUILT_FIX = "apt install liburing-dev, then install askrctl again"


def probe_verdict(
    *,
    user: Credentials | None = None,
    limits: Mapping[str, tuple[int, int]] | None = None,
    rings: int = 1,
    namespace_of: int | None = None,
    timeout_s: float = 5.0,
) -> ProbeVerdict:
    """Probe as `user` (None: as ourselves), under these limits, with a ring for each worker.

    `namespace_of`: the process whose user namespace is entered first.
    """
    order = {
        "credentials": asdict(user) if user else None,
        "limits": dict(limits or {}),
        "rings": rings,
        "namespace_of": namespace_of,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "askrctl.probes.uring_child"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return decode(done.stdout) if done.stdout else _failed(done.stderr)
    except subprocess.TimeoutExpired:
        detail = f"the probe did not end within {timeout_s:g} s"
        return ProbeVerdict("unusable", cause="probe_timeout", detail=detail)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _failed(str(error))


def _failed(why: str) -> ProbeVerdict:
    last = why.strip().splitlines()[-1] if why.strip() else "it said nothing"
    return ProbeVerdict(
        "unusable", cause="probe_failed", detail=f"the probe could not be run: {last}"
    )


def decode(text: str) -> ProbeVerdict:
    """What the child has written."""
    found = json.loads(text)
    probes = {name: ProbeResult(**result) for name, result in found.pop("probes").items()}
    return ProbeVerdict(**found, probes=probes)


def merge_build(verdict: ProbeVerdict, built: bool) -> ProbeVerdict:
    """A build without liburing cannot use it; the probes still say what the kernel offers."""
    if built:
        return verdict
    detail = "this askrctl was built without liburing"
    return replace(verdict, verdict="unusable", cause="not_built", detail=detail, fix=NOT_BUILT_FIX)
