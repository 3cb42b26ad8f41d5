# SPDX-License-Identifier: MIT
"""Settings from lists on the net that do nothing, or harm: named, with the reason, never advised.

Those of sysctls are in askrctl.folklore, which tune refuses by.
"""

import re

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, ok, warn
from askrctl.folklore import TALES, Tale
from askrctl.probes import sysctl_files
from askrctl.probes.host import CannotTell, NotApplicable
from askrctl.probes.process import UNLIMITED, processes


def _setters(context: Context, key: str) -> str:
    """Where it is set, for the one who wants to remove it."""
    found = sysctl_files.setters(sysctl_files.assignments(context.host), key)
    return found[-1].place if found else ""


def _check(tale: Tale) -> Check:
    def judge(context: Context) -> Answer:
        return _judge(context, tale)

    return Check(f"folk.{tale.name}", tale.title, judge)


def _judge(context: Context, tale: Tale) -> Answer:
    place = _setters(context, tale.key)
    text = context.host.get("/proc/sys/" + tale.key.replace(".", "/"))
    if not text:
        if place:
            fix = remedy.by_hand(f"remove the line {place}")
            return warn(f"{tale.reason}; this kernel does not have it any more", fix=fix)
        raise NotApplicable(f"this kernel has no {tale.key}, and no file sets it")
    value = int(text.split()[-1])
    if tale.found is None or not tale.found(value):
        return ok(value)
    fix = remedy.by_hand(f"remove the line {place}" if place else f"remove {tale.key}")
    return warn(tale.reason, value, fix=fix)


def _cmdline(context: Context, pattern: str, why: str) -> Answer:
    found = re.search(pattern, context.host.get("/proc/cmdline"))
    if found is None:
        return ok("not set")
    fix = remedy.by_hand("remove it from the kernel's command line; askrctl never edits that")
    return warn(why, found[0], fix=fix)


def _mitigations(context: Context) -> Answer:
    why = "a few percent for every fault of the processor that is known, open to every process"
    return _cmdline(context, r"\b(mitigations=off|nopti|nospectre_v[12])\b", why)


def _security_off(context: Context) -> Answer:
    why = "a wall less around the application; a rule for what it needs is the remedy"
    return _cmdline(context, r"\b(selinux=0|apparmor=0|enforcing=0|security=none)\b", why)


def _isolcpus(context: Context) -> Answer:
    why = "the scheduler does not balance these cores, and a server gains nothing from it"
    return _cmdline(context, r"\bisolcpus=\S+", why)


def _drop_caches(context: Context) -> Answer:
    paths = ["/etc/crontab", *context.host.glob("/etc/cron.d/*")]
    for folder in ("hourly", "daily", "weekly"):
        paths += context.host.glob(f"/etc/cron.{folder}/*")
    for path in paths:
        if "drop_caches" in context.host.get(path):
            fix = remedy.by_hand(f"remove it from {path}")
            sentence = (
                "it empties the file cache, which makes the next requests slow; the kernel gives "
                "that memory back by itself when somebody needs it"
            )
            return warn(sentence, path, fix=fix)
    return ok("not found")


def _nofile(context: Context) -> Answer:
    hard = context.target.hard("nofile")
    if hard is None:
        raise CannotTell("the limit of open files is not known")
    if hard == UNLIMITED or hard > 1 << 24:
        shown = "unlimited" if hard == UNLIMITED else hard
        fix = remedy.by_hand("LimitNOFILE=524288, systemd's own default")
        sentence = "programs that close every possible descriptor take seconds or gigabytes"
        return warn(sentence, shown, fix=fix)
    return ok(hard)


def _entropy(context: Context) -> Answer:
    found = sorted(
        {row["name"] for row in processes(context.host) if row["name"] in ("haveged", "rngd")}
    )
    if not found:
        return ok("not running")
    sentence = "the kernel's generator never waits once it is seeded: the program does nothing"
    return warn(sentence, ", ".join(found), fix=remedy.by_hand(f"apt remove {found[0]}"))


def _nobarrier(context: Context) -> Answer:
    for line in context.host.get("/proc/mounts").splitlines():
        words = line.split()
        if len(words) > 3 and {"nobarrier", "barrier=0"} & set(words[3].split(",")):
            fix = remedy.by_hand(f"remove it from the line of {words[1]} in /etc/fstab")
            sentence = "a power cut loses what the disk said it had written"
            return warn(sentence, words[1], fix=fix)
    return ok("not set")


CHECKS = (
    *(_check(tale) for tale in TALES if tale.name),
    Check("folk.mitigations_off", "Mitigations are off", _mitigations, host_only=True),
    Check("folk.security_off", "Security modules are off", _security_off, host_only=True),
    Check("folk.isolcpus", "isolcpus", _isolcpus, host_only=True),
    Check("folk.drop_caches", "drop_caches in cron", _drop_caches),
    Check("folk.nofile_infinite", "Unlimited open files", _nofile, "process"),
    Check("folk.entropy_daemon", "Entropy daemons", _entropy, host_only=True),
    Check("folk.nobarrier", "nobarrier", _nobarrier, host_only=True),
)
