# SPDX-License-Identifier: MIT
"""The probe's child: becomes the server's user, tries, and writes a ProbeVerdict as JSON.

Everything is imported before the user changes, because the server's user need not be able to read
this installation. The rings are opened after it, since io_uring accounts them to the user.
"""

import ctypes
import encodings.idna  # noqa: F401 sockets load it late, when we may no longer read files
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from askrctl.model import Backend, Credentials, ProbeResult, ProbeVerdict
from askrctl.probes import uring, uring_matrix, uring_memory, uring_reach

try:
    from askrctl import engine
except ImportError:  # a build whose engine cannot be loaded: the kernel can still be asked
    engine = None  # type: ignore[assignment]

_CLONE_NEWUSER = 0x10000000  # include/uapi/linux/sched.h
OVERFLOW_ID = 65534  # of an id that a namespace does not know (proc_sys_kernel(5), overflowuid)
LIMITS = {"nofile": resource.RLIMIT_NOFILE, "memlock": resource.RLIMIT_MEMLOCK}


def take_limits(limits: dict[str, list[int]]) -> list[str]:
    """Set them, as far as we may; what could not be raised is returned."""
    refused = []
    for name, (soft, hard) in limits.items():
        if name not in LIMITS:
            continue
        try:
            resource.setrlimit(LIMITS[name], (soft, hard))
        except (OSError, ValueError):
            now = resource.getrlimit(LIMITS[name])
            refused.append(f"{name} stays at {now[0]}: only CAP_SYS_RESOURCE raises a hard limit")
    return refused


def enter_namespace(pid: int, wanted: Credentials) -> Credentials:
    """Join its user namespace, where the limits of locked memory and the rights of root are others
    (user_namespaces(7)). User and group are returned as that namespace counts them.
    """
    maps = [
        [[int(word) for word in line.split()] for line in file.read_text().splitlines()]
        for file in (Path(f"/proc/{pid}/uid_map"), Path(f"/proc/{pid}/gid_map"))
    ]
    with Path(f"/proc/{pid}/ns/user").open() as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), _CLONE_NEWUSER) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), f"the user namespace of process {pid}")
    return Credentials(_inside(maps[0], wanted.uid), _inside(maps[1], wanted.gid))


def _inside(rows: list[list[int]], number: int) -> int:
    """What an id outside is called inside: lines of first inside, first outside, count."""
    for first, outside, count in rows:
        if outside <= number < outside + count:
            return first + number - outside
    return OVERFLOW_ID


def become(wanted: Credentials, namespace_of: int | None) -> None:
    """Give up root, as the server's workers do."""
    os.setgroups(wanted.groups)  # first: most user namespaces forbid it
    if namespace_of is not None:
        wanted = enter_namespace(namespace_of, wanted)
    os.setresgid(wanted.gid, wanted.gid, wanted.gid)
    os.setresuid(wanted.uid, wanted.uid, wanted.uid)


def _engine_failure() -> tuple[int, str]:
    if engine is None or not engine.built(Backend.IO_URING):
        return 0, ""
    return engine.try_backend(Backend.IO_URING)


def probe(rings: int) -> ProbeVerdict:
    """Reach, then features, then as many rings of the server's size as it will have workers."""
    cause = uring_reach.judge(uring_reach.measure())
    if cause is not None:
        return ProbeVerdict("unusable", "T0", cause.code, cause.detail, cause.fix)
    probes = uring_matrix.run()
    tier = uring_matrix.tier(probes)
    proof = uring_memory.prove(rings)
    probes["production_rings"] = ProbeResult(proof.all_full, "5.1", "", proof.sentence)
    failure = proof.failure or uring_memory.of_errno(*_engine_failure())
    if failure is not None:
        return ProbeVerdict(
            "unusable", "T0", failure.code, failure.detail, failure.fix, probes=probes
        )
    if tier == "T0":
        lacks = ", ".join(name for name, p in probes.items() if p.tier == "T1" and not p.ok)
        detail = f"this kernel's io_uring lacks {lacks}"
        return ProbeVerdict("unusable", tier, "too_old", detail, "kernel 6.1 or newer", probes)
    return ProbeVerdict("usable", tier, probes=probes)


def main(order: dict[str, Any]) -> ProbeVerdict:
    """Take on the limits and the user that the parent named, then probe."""
    refused = take_limits(order.get("limits") or {})
    if order.get("credentials"):
        fields = order["credentials"]
        wanted = Credentials(fields["uid"], fields["gid"], tuple(fields["groups"]))
        become(wanted, order.get("namespace_of"))
    built = engine is None or engine.built(Backend.IO_URING)
    verdict = uring.merge_build(probe(int(order.get("rings", 1))), built)
    for sentence in refused:
        verdict.probes[f"limit_{sentence.split()[0]}"] = ProbeResult(False, detail=sentence)
    return verdict


if __name__ == "__main__":
    json.dump(asdict(main(json.load(sys.stdin))), sys.stdout)
