# SPDX-License-Identifier: MIT
"""Is a plan, from wherever, still right for this machine? Asked under the lock, before anything."""

from askrctl.model import AskrError
from askrctl.tune import keys, persist, sysctld, units
from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Kind, Plan
from askrctl.tune.planfile import item_fault
from askrctl.tune.planner import file_fault


def vet(disk: Disk, facts: Facts, plan: Plan, owned: dict[str, str]) -> None:
    """AskrError (1) with the first reason not to carry it out."""
    for item in plan.items:
        fault = item_fault(item, plan.unit) or _machine_fault(disk, facts, item, owned, plan.unit)
        if fault:
            raise AskrError(f"{fault}; nothing was changed", "askrctl tune plan")


def _machine_fault(disk: Disk, facts: Facts, item: Item, owned: dict[str, str], unit: str) -> str:
    if item.kind is Kind.FILE:
        return _file_fault(disk, facts, item, owned, unit)
    key = keys.find(item.key)
    if key is not None and key.host_wide and not facts.whole_machine:
        return f"{item.key} belongs to the whole machine, of which this is only a part"
    return ""


def _file_fault(disk: Disk, facts: Facts, item: Item, owned: dict[str, str], unit: str) -> str:
    if facts.own_network and item.key.startswith("/etc/sysctl.d/"):
        return f"{item.key} is for the machine, and this is a network namespace of its own"
    form = persist.paths(unit)[item.key]
    fault = file_fault(disk, item.key, form, owned)
    if fault:
        return f"{item.key} {fault}"
    if form is persist.SYSCTL_D:
        return _boot_fault(disk, _changed(form, item))
    if form is persist.UNIT_D:
        return _unit_fault(disk, unit, item)
    return ""


def _boot_fault(disk: Disk, entries: list[persist.Entry]) -> str:
    """A file that lowers at the next boot what is higher now, or what another file sets."""
    files = sysctld.files(disk)
    for entry in entries:
        key = keys.SYSCTLS[entry.name]
        if key.rule == "set":
            continue
        now = disk.read(f"/proc/sys/{key.name.replace('.', '/')}")
        boot = sysctld.boot_winner(disk, files, key.name)
        for value in (now, boot.value if boot is not None else None):
            if value is not None and _lower(key, entry.value, value):
                return f"{key.name} = {entry.value} would lower it from {value.strip()}"
    return ""


def _lower(key: keys.Key, new: str, old: str) -> bool:
    try:
        return not key.same(key.merged(old, new), new)
    except ValueError:
        return False


def _unit_fault(disk: Disk, unit: str, item: Item) -> str:
    files = units.unit_files(disk, unit)
    if not files:
        return f"there is no {unit} here"
    for entry in _changed(persist.UNIT_D, item):
        if units.DIRECTIVES[entry.name].rule != "raise":
            continue
        found = units.effective(files, entry.name)
        kept = units.merged(entry.name, found.value if found is not None else None, entry.value)
        try:
            if units.amount(kept) > units.amount(entry.value):
                return f"{entry.name}={entry.value} would lower it from {kept}"
        except ValueError:
            return f"{entry.name} is {kept}, which cannot be compared"
    return ""


def _changed(form: persist.Format, item: Item) -> list[persist.Entry]:
    """What the file will set and does not set yet."""
    old = persist.parse(form, item.before) if item.before is not None else {}
    new = persist.parse(form, item.want)
    return [
        entry for name, entry in new.items() if name not in old or old[name].value != entry.value
    ]
