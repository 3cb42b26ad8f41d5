# SPDX-License-Identifier: MIT
"""Checks of where the server runs: distribution, container, virtual machine, security context.

Many only say what they see. That is on purpose: other checks depend on it, and a support request
without it begins with a question.
"""

import datetime
import os
from functools import partial
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, Profile, fail, info, ok, warn
from askrctl.model import Wanted
from askrctl.probes import machine
from askrctl.probes.host import CannotTell, NotApplicable, key_values
from askrctl.probes.process import UNLIMITED, processes
from askrctl.probes.uring_reach import is_emulated

WARN_DAYS = 90
# End of support without extra contracts, with the long-term support that everybody gets. Debian and
# Ubuntu: distro-info-data 0.58+deb12u7. AlmaLinux 8: almalinux.org. Others are not in the table.
END_OF_LIFE = {
    ("debian", "10"): "2024-06-30",
    ("debian", "11"): "2026-08-31",
    ("debian", "12"): "2028-06-30",
    ("debian", "13"): "2030-06-30",
    ("ubuntu", "20.04"): "2025-05-29",
    ("ubuntu", "22.04"): "2027-06-01",
    ("ubuntu", "24.04"): "2029-05-31",
    ("ubuntu", "25.04"): "2026-01-15",
    ("ubuntu", "25.10"): "2026-07-09",
    ("ubuntu", "26.04"): "2031-05-29",
    ("almalinux", "8"): "2029-03-01",
}
# Programs that write the same settings, again and again.
TUNERS = ("tuned", "bpftune", "saptune", "tlp", "ktune")


def _kernel(context: Context) -> Answer:
    release = context.host.get("/proc/sys/kernel/osrelease")
    if not release:
        raise CannotTell("/proc/sys/kernel/osrelease cannot be read")
    return ok(release, "its version decides nothing: features are tried")


def _distribution(context: Context) -> tuple[str, str]:
    """Name and version. `distro` knows the files of those without os-release."""

    def ask() -> list[str]:
        import distro

        return [distro.id(), distro.version()]

    release = key_values(context.host.get("/etc/os-release"), "=")
    if "ID" in release:
        return release["ID"], release.get("VERSION_ID", "")
    name, version = context.host.probe("distro", ask)
    return str(name), str(version)


def _distro(context: Context) -> Answer:
    name, version = _distribution(context)
    shown = f"{name} {version}".strip()
    text = END_OF_LIFE.get((name, version)) or END_OF_LIFE.get((name, version.split(".")[0]))
    if text is None:
        return ok(shown, "its end of life is not in the table of this askrctl")
    end = datetime.date.fromisoformat(text)
    today = datetime.datetime.fromtimestamp(context.host.now(), datetime.UTC).date()
    left = (end - today).days
    fix = remedy.by_hand("upgrade to a release that is supported")
    if left < 0:
        return fail(f"security support of {shown} ended on {end}", shown, fix=fix)
    if left < WARN_DAYS:
        return warn(f"security support of {shown} ends on {end}, in {left} days", shown, fix=fix)
    return ok(shown, f"security support until {end}")


def _machine(context: Context) -> str:
    from askrctl.checks.report import architecture

    return architecture(context)


def _arch(context: Context) -> Answer:
    name = _machine(context)
    if is_emulated(name, context.host.get("/proc/cpuinfo")):
        fix = remedy.by_hand("an image or package for this machine's own architecture")
        sentence = f"programs for {name} are translated here: slow, and without io_uring"
        return warn(sentence, name, fix=fix, reason="emulated")
    return ok(name)


def _init(context: Context) -> Answer:
    name = context.host.get("/proc/1/comm", "unknown")
    if machine.uses_systemd(context.host):
        return ok(name)
    return ok(name, "not systemd: units, drop-ins and socket activation are not to be had")


def _virt(context: Context) -> Answer:
    name = machine.hypervisor(context.host)
    return ok(name or "none")


def _container(context: Context) -> Answer:
    signs = machine.container_evidence(context.host)
    structural = [item.sign for item in signs if item.structural]
    answer = ok(current=machine.is_container(context.host))
    if machine.is_container(context.host):
        answer = ok(current=True, because="; ".join(structural))
    elif signs and not structural:
        sentence = f"{signs[0].sign} is there, and nothing else says that this is a container"
        answer = info(sentence, current=False)
    for item in signs:
        answer = answer.at("sign", item.sign)
    return answer


def _sandbox(context: Context) -> Answer:
    version = context.host.get("/proc/version")
    log = context.host.get("/proc/gvisor") or context.host.get("/var/log/dmesg")
    if "gVisor" in version or "Starting gVisor" in log:
        sentence = "gVisor answers the system calls: slower, and io_uring is not to be had"
        return info(sentence, "gvisor")
    if "icrosoft" in version and "WSL2" not in version:
        return info("the Windows Subsystem for Linux: measure elsewhere", "wsl")
    return ok("none")


def _other_tuners(context: Context) -> Answer:
    found = sorted({row["name"] for row in processes(context.host) if row["name"] in TUNERS})
    profile = context.host.get("/etc/tuned/active_profile")
    if not found:
        return ok("none")
    shown = ", ".join(found)
    fix = remedy.by_hand("decide for one of them, or leave the settings to it")
    answer = warn(f"{shown} sets some of the same values and may set them again", shown, fix=fix)
    return answer.at("/etc/tuned/active_profile", profile) if profile else answer


def _reboot(context: Context) -> Answer:
    packages = context.host.get("/run/reboot-required.pkgs").split()
    if context.host.exists("/run/reboot-required"):
        shown = ", ".join(sorted(set(packages))[:3]) or "packages"
        return info(f"{shown}: updated, and in use only after a reboot", current=True)
    return ok(current=False)


def _caps(context: Context) -> Answer:
    target = context.target
    held = ", ".join(sorted(name.removeprefix("CAP_") for name in target.capabilities)) or "none"
    if target.capabilities and not target.initial_userns:
        return info("they count in its own user namespace only", held)
    outside = context.profile is not Profile.CONTAINER  # inside one it is the rule
    if target.uid == 0 and outside and "CAP_SYS_RESOURCE" not in target.capabilities:
        return info("root without CAP_SYS_RESOURCE: hard limits cannot be raised", held)
    return ok(held)


def _seccomp(context: Context) -> Answer:
    mode = {0: "none", 1: "strict", 2: "filter"}.get(context.target.seccomp, "unknown")
    return ok(mode, "what it blocks of io_uring is told by iouring.seccomp")


def _lsm(context: Context) -> Answer:
    names = context.host.get("/sys/kernel/security/lsm")
    enforcing = context.host.get("/sys/fs/selinux/enforce") == "1"
    label = context.host.get(f"/proc/{context.pid}/attr/current").replace("\0", "")
    if not names and not enforcing:
        return ok("none")
    shown = "SELinux, enforcing" if enforcing else names
    answer = ok(shown)
    return answer.at("label", label) if label else answer


def _root(context: Context) -> Answer:
    if context.server is None and context.target.kind == "self":
        raise NotApplicable("no server is running, and no other user was named")
    if context.target.uid != 0:
        return ok(context.target.uid)
    inside = context.profile is Profile.CONTAINER and not context.target.initial_userns
    if inside:
        return ok(0, "root of a user namespace only")
    fix = remedy.unit(context, "User", "askr", "set")
    hint = remedy.by_hand("--user NAME, or give the application's folder to another user")
    chosen = fix if context.unit else hint
    return warn("a fault in the application is a fault with all rights", 0, fix=chosen)


def _entropy(context: Context) -> Answer:
    def ask() -> bool:
        try:
            return len(os.getrandom(16, os.GRND_NONBLOCK)) == 16
        except BlockingIOError:
            return False

    if context.host.probe("getrandom", ask):
        return ok(because="the generator is seeded")
    fix = remedy.by_hand("wait for the seed; give the virtual machine a virtio-rng device")
    return fail("the random generator is not seeded yet: TLS and sessions would wait", fix=fix)


def _core_dumps(context: Context) -> Answer:
    soft = context.target.soft("core")
    pattern = context.host.get("/proc/sys/kernel/core_pattern")
    if soft is None:
        raise CannotTell("the limit of core files is not known")
    if soft == 0 and not pattern.startswith("|"):
        sentence = "a crash leaves no core file to look at"
        fix = remedy.unit(context, "LimitCORE", "infinity")
        return info(sentence, 0, wanted=Wanted("!=", 0), unit="bytes", fix=fix)
    shown: Any = "unlimited" if soft == UNLIMITED else soft
    return ok(shown, f"core_pattern {pattern[:60]}", unit="bytes")


_process = partial(Check, scope="process")
CHECKS = (
    Check("env.kernel", "Kernel", _kernel),
    Check("env.distro", "Distribution", _distro),
    Check("env.arch_abi", "Architecture", _arch),
    Check("env.init", "Process 1", _init),
    Check("env.virt", "Virtual machine", _virt),
    Check("env.container", "Container", _container),
    Check("env.sandbox", "Sandboxed kernel", _sandbox),
    Check("env.other_tuners", "Other tuners", _other_tuners, host_only=True),
    Check("env.reboot_required", "Pending reboot", _reboot, host_only=True),
    _process("sec.caps", "Capabilities", _caps),
    _process("sec.seccomp", "System call filter", _seccomp),
    _process("sec.lsm", "Security modules", _lsm),
    _process("sec.root", "The server is not root", _root, tunable=True),
    Check("sec.entropy", "Random numbers", _entropy, vital=True),
    _process("sec.core_dumps", "Core dumps", _core_dumps, tunable=True),
)
