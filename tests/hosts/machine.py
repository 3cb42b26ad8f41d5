# SPDX-License-Identifier: MIT
"""Machines to try the doctor on: a description becomes a tree with its `.probe.json`.

A description names its source, and the machine that it differs from (`base`). `[files]` are texts
by path, `[sysctl]` values below /proc/sys, `[links]` symbolic links, `[probes]` recorded answers
of system calls, netlink and PHP, `[uring]` a kernel whose io_uring is to be pretended. `expect` is
what the doctor has to find, written by hand: every finding that is neither ok nor skipped.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askrctl.probes import uring_matrix

FOLDER = Path(__file__).parent / "machines"
NOW = 1790000000.0  # 2026-09-21: captured machines are judged by their own day


@dataclass(frozen=True, slots=True)
class Machine:
    """One description, with what it inherits merged in."""

    name: str
    source: str
    options: tuple[str, ...]
    expect: tuple[str, ...]
    data: dict[str, Any]


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **own}
    for key in ("files", "sysctl", "links", "probes", "later", "uring", "php", "status"):
        merged[key] = {**base.get(key, {}), **own.get(key, {})}
    merged["php_ini"] = {**base.get("php_ini", {}), **own.get("php_ini", {})}
    return merged


def _read(name: str) -> dict[str, Any]:
    own = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    return _merge(_read(own["base"]) if "base" in own else {}, own)


def load(name: str) -> Machine:
    """A machine by the name of its description."""
    data = _read(name)
    if "recorded" in data:  # a capture: its answers as they were, in JSON
        data |= json.loads(data["recorded"])
    return Machine(
        name=name,
        source=data["source"],
        options=tuple(data.get("options", ())),
        expect=tuple(data["expect"]),
        data=data,
    )


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _uring(wish: dict[str, Any]) -> dict[str, Any]:
    """A verdict as the probe's child would write it on such a kernel."""
    cause = wish.get("cause")
    reached = cause in (None, "", "memlock", "enomem", "too_old", "not_built")
    probes: dict[str, Any] = {}
    if reached:
        for probe in uring_matrix.PROBES:
            has = _version(probe.minimum) <= _version(wish["kernel"]) and probe.name != "ktls"
            row = {"ok": has, "minimum": probe.minimum, "tier": probe.tier}
            probes[probe.name] = {**row, "detail": "" if has else "EINVAL"}
        for name in wish.get("scarce", ()):
            probes[name] |= {"ok": False, "detail": "io_uring_setup: ENOMEM"}
    tier = "T0"
    for level in ("T1", "T2", "T3"):
        if not probes or not all(p["ok"] for p in probes.values() if p["tier"] == level):
            break
        tier = level
    if reached and not cause and tier == "T0":
        cause = "too_old"
    return {
        "verdict": "unusable" if cause else "usable",
        "tier": "T0" if cause else tier,
        "cause": cause or None,
        "detail": wish.get("detail", f"because of {cause}") if cause else "",
        "fix": "a fix" if cause else "",
        "probes": probes,
    }


def _php(machine: Machine) -> dict[str, Any]:
    facts: dict[str, Any] = machine.data["php"]
    if "failed" in facts:
        return {"failed": facts["failed"], "hint": facts.get("hint", "")}
    return {**facts, "ini": machine.data["php_ini"]}


def _write(root: Path, path: str, text: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text if text.endswith("\n") or not text else text + "\n")


def build(machine: Machine, root: Path) -> Path:
    """Write the tree, and return its root."""
    data = machine.data
    removed = set(data.get("remove", ()))
    files = {**data["files"]}
    for key, value in data["sysctl"].items():
        files["/proc/sys/" + key.replace(".", "/")] = str(value)
    status = "\n".join(f"{key}:\t{value}" for key, value in data["status"].items())
    if status:
        files["/proc/self/status"] = status
    for path, text in files.items():
        if path not in removed:
            _write(root, path, text)
    for folder in data.get("folders", ()):
        if folder not in removed:
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, target in data["links"].items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    probes = dict(data["probes"])
    if "recorded" not in data:
        probes |= {"io_uring": _uring(data["uring"]), "php": _php(machine)}
    recorded = {
        "source": machine.source,
        "time": data.get("time", NOW),
        "probes": {name: value for name, value in probes.items() if name not in removed},
        "denied": data.get("denied", []),
        "later": data["later"],
    }
    (root / ".probe.json").write_text(json.dumps(recorded, indent=1))
    return root
