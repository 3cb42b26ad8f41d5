# SPDX-License-Identifier: MIT
"""What io_uring can do for a given user here: proven by doing it, in a child with a time limit.

`serve` and `doctor` share this, so the log, the status and the report use the same reason codes.
"""

import json
import subprocess
import sys
from dataclasses import replace

from askrctl.model import Credentials, ProbeResult, ProbeVerdict

NOT_BUILT_FIX = "apt install liburing-dev, then install askrctl again"


def probe_verdict(*, user: Credentials | None = None, timeout_s: float = 5.0) -> ProbeVerdict:
    """Run the probes as `user` (None: as ourselves)."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "askrctl.probes.uring_child"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=user.groups if user else None,
        )
        return decode(done.stdout)
    except subprocess.TimeoutExpired:
        detail = f"the probe did not end within {timeout_s:g} s"
        return ProbeVerdict("unusable", cause="probe_timeout", detail=detail)
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = f"the probe could not be run: {error}"
        return ProbeVerdict("unusable", cause="probe_failed", detail=detail)


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
