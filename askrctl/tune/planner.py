# SPDX-License-Identifier: MIT
"""From wishes to a plan: what to write now, what to write for the next boot, and what not, and why.

Reads, never writes. A wish that is met already is no item; one that somebody else's later file
would undo at the next boot is not fought over: the plan names the line, and `win` is for those who
insist.
"""

from dataclasses import dataclass, field, replace

from askrctl import folklore
from askrctl.model import FileSetting, PhpSetting, SysctlSetting, UnitSetting
from askrctl.tune import devices, keys, persist, sysctld, units
from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Kind, Plan, Skipped, one_line
from askrctl.tune.keys import Key
from askrctl.tune.persist import Entry, Format
from askrctl.tune.wishes import BY_HAND, Wish

TMPFILES = f"/etc/tmpfiles.d/{persist.NAME}"


@dataclass(frozen=True, slots=True)
class Options:
    """`owned`: the files of ours and what we left in them; None when that may not be read."""

    unit: str = "askr.service"
    runtime: bool = True
    persistent: bool = True
    win: bool = False
    owned: dict[str, str] | None = field(default_factory=dict)

    def with_owned(self, owned: dict[str, str] | None) -> "Options":
        return replace(self, owned=owned)


@dataclass(slots=True)
class Draft:
    """A plan in the making. `files`: path -> what is to be in it."""

    disk: Disk
    facts: Facts
    options: Options
    items: dict[str, Item] = field(default_factory=dict)
    files: dict[str, dict[str, Entry]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sysctls: list[sysctld.File] = field(default_factory=list)
    wanted: dict[str, str] = field(default_factory=dict)  # by earlier wishes

    def skip(self, key: str, wish: Wish, reason: str, hint: str = "") -> None:
        self.skipped.append(Skipped(key, wish.check, reason, hint))

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    @property
    def name(self) -> str:
        return persist.NAME_TO_WIN if self.options.win else persist.NAME


def make(disk: Disk, facts: Facts, wishes: list[Wish], options: Options, made: str = "") -> Plan:
    """The plan for these wishes on this machine as it is now."""
    draft = Draft(disk, facts, options, sysctls=sysctld.files(disk))
    for wish in wishes:
        setting = wish.setting
        if isinstance(setting, SysctlSetting):
            _add_sysctl(draft, wish, setting)
        elif isinstance(setting, FileSetting):
            _add_sysfs(draft, wish, setting)
        elif isinstance(setting, UnitSetting):
            _add_directive(draft, wish, setting)
        elif isinstance(setting, PhpSetting):
            hint = f'[php] ini = ["{setting.name}={setting.value}"] in askr.toml'
            draft.skip(setting.name, wish, "a setting of PHP belongs into askr.toml", hint)
    files = [_file_item(draft, path) for path in sorted(draft.files)]
    items = (*draft.items.values(), *(item for item in files if item.before != item.want))
    return Plan(items, tuple(draft.skipped), tuple(draft.notes), made, options.unit)


# --- keys of the kernel ---------------------------------------------------------------------------


def _add_sysctl(draft: Draft, wish: Wish, setting: SysctlSetting) -> None:
    key = _allowed(draft, wish, keys.SYSCTLS.get(setting.key), setting.key, setting.value)
    if key is None:
        return
    asked = setting.value
    current = _current(draft, wish, key, f"/proc/sys/{key.name.replace('.', '/')}")
    if current is None:
        return
    if setting.column is not None and key.column is None and len(current.split()) > 1:
        draft.skip(key.name, wish, "tune changes no single field of it")
        return
    want = _merged(draft, wish, key, draft.wanted.get(key.name, current), asked)
    if want is None or not _beats_later_files(draft, wish, key, want):
        return
    draft.wanted[key.name] = want
    if wish.check == BY_HAND and key.rule == "raise" and key.same(current, want):
        draft.skip(key.name, wish, f"it is {one_line(current)} already; tune lowers nothing")
    if draft.options.runtime and not key.same(current, want):
        _add_item(draft, wish, Item(key.name, Kind.SYSCTL, key.rule, current, want))
    if draft.options.persistent and _needs_file(draft, key, current, want):
        path = f"/etc/sysctl.d/{draft.name}"
        if _may_persist(draft, key, want):
            _name_the_loser(draft, key, path)
            _add_entry(draft, wish, path, persist.SYSCTL_D, Entry(key.name, want))


def _add_sysfs(draft: Draft, wish: Wish, setting: FileSetting) -> None:
    known = keys.find(setting.path) if setting.path.startswith("/sys/") else None
    key = _allowed(draft, wish, known, setting.path, setting.value)
    if key is None:
        return
    current = _current(draft, wish, key, key.name)
    if current is None:
        return
    want = _merged(draft, wish, key, current, setting.value)
    if want is None or key.same(current, want):
        return
    if draft.options.runtime:
        _add_item(draft, wish, Item(key.name, Kind.SYSFS, key.rule, key.tidy(current), want))
    if draft.options.persistent and _may_persist(draft, key, want):
        if keys.device(key.name) is not None:
            _add_rule(draft, wish, key, want)
        else:
            _add_entry(draft, wish, TMPFILES, persist.TMPFILES_D, Entry(key.name, want))


def _add_rule(draft: Draft, wish: Wish, key: Key, want: str) -> None:
    """A device is known by its address when it comes up again, not by its name."""
    name = devices.rule_name(draft.disk, key.name)
    if name:
        _add_entry(draft, wish, persist.RULES, persist.UDEV_D, Entry(name, want))
    else:
        draft.note(f"{key.name} does not last: its device has no hardware address to know it by")


def _allowed(draft: Draft, wish: Wish, key: Key | None, name: str, value: str) -> Key | None:
    """The key, unless this wish is refused."""
    tale = folklore.refusal(name, value)
    if tale:
        draft.skip(name, wish, f"refused: {tale}")
        return None
    if key is None:
        draft.skip(name, wish, "tune does not write it")
        return None
    if key.host_wide and not draft.facts.whole_machine:
        where = "a container" if draft.facts.contained else "a network namespace of its own"
        draft.skip(
            name,
            wish,
            f"it belongs to the whole machine, and this is {where}",
            f"on the host: {_by_hand(name, value)}",
        )
        return None
    return key


def _by_hand(name: str, value: str) -> str:
    return f"echo {value} > {name}" if name.startswith("/") else f"sysctl -w {name}='{value}'"


def _current(draft: Draft, wish: Wish, key: Key, path: str) -> str | None:
    """The value now, unless it cannot be changed here."""
    try:
        text = draft.disk.read(path)
    except OSError as error:
        draft.skip(key.name, wish, f"it cannot be read: {error.strerror}")
        return None
    if text is None:
        draft.skip(key.name, wish, "this kernel, or this network namespace, does not have it")
        return None
    if draft.options.runtime and draft.disk.read_only(path):
        draft.skip(
            key.name,
            wish,
            "it is read-only here",
            f"on the host: {_by_hand(key.name, wish.setting.value)}",
        )
        return None
    return text.strip()


def _merged(draft: Draft, wish: Wish, key: Key, current: str, asked: str) -> str | None:
    try:
        want = key.merged(current, asked)
    except ValueError as error:
        draft.skip(key.name, wish, f"it cannot be set to {asked}: {error}")
        return None
    fault = key.fault(want)
    if fault and not key.same(current, want):
        draft.skip(key.name, wish, f"it cannot be set to {want}: {fault}")
        return None
    return want


def _beats_later_files(draft: Draft, wish: Wish, key: Key, want: str) -> bool:
    """No line that is read after ours has another mind. If one has, it is theirs to change."""
    path = f"/etc/sysctl.d/{draft.name}"
    after = sysctld.replaced(draft.sysctls, path, f"{key.name} = {want}\n")
    winner = sysctld.boot_winner(draft.disk, after, key.name)
    if winner is None or key.met(winner.value, want):
        other = sysctld.winner_of_system(draft.disk, after, key.name)
        if other is not None and not key.met(other.value, want):
            draft.notes.append(
                f"`sysctl --system` would set {key.name} to {other.value} again: {other.place}"
            )
        return True
    draft.skip(
        key.name,
        wish,
        f"{winner.place} sets it to {one_line(winner.value)} and is read after ours",
        "change that line" + ("" if draft.options.win else ", or: askrctl tune plan --win"),
    )
    return False


def _needs_file(draft: Draft, key: Key, current: str, want: str) -> bool:
    """The next boot would not leave what is wanted."""
    winner = sysctld.boot_winner(draft.disk, draft.sysctls, key.name)
    if winner is not None:
        return not key.met(winner.value, want)
    return not key.same(current, want)


def _name_the_loser(draft: Draft, key: Key, path: str) -> None:
    """Say whose line ours will overrule."""
    loser = sysctld.boot_winner(draft.disk, draft.sysctls, key.name)
    if loser is not None and loser.path != path:
        draft.notes.append(
            f"{key.name}: ours is read after {loser.place}, which sets it to "
            f"{one_line(loser.value)}"
        )


def _may_persist(draft: Draft, key: Key, want: str) -> bool:
    facts = draft.facts
    if facts.own_network:
        draft.note("this is a network namespace of its own: files in /etc are for the machine")
        return False
    if facts.contained and not facts.systemd:
        draft.note(
            "nothing in this container reads /etc at its start: give what is to last to its runtime"
        )
        draft.note(f"--sysctl {key.name}='{want}'")
        return False
    return True


def _add_item(draft: Draft, wish: Wish, item: Item) -> None:
    """Two wishes for one key make one item, with both checks."""
    known = draft.items.get(item.key)
    checks = _with(known.checks if known is not None else (), wish.check)
    why = wish.why if known is None else known.why
    draft.items[item.key] = replace(item, checks=checks, why=why)


def _with(checks: tuple[str, ...], check: str) -> tuple[str, ...]:
    return checks if check in checks else (*checks, check)


# --- files of ours --------------------------------------------------------------------------------


def _add_entry(draft: Draft, wish: Wish, path: str, form: Format, entry: Entry) -> None:
    if path not in draft.files:
        reason = file_fault(draft.disk, path, form, draft.options.owned)
        if reason:
            there = draft.disk.read(path) is not None or draft.disk.link(path) is not None
            aside = f"{persist.aside(path)} (keeps what it sets), or: mv {path} {path}.off"
            draft.skip(entry.name, wish, f"{path} {reason}", aside if there else "")
            draft.items.pop(entry.name, None)
            return
        text = draft.disk.read(path)
        draft.files[path] = persist.parse(form, text) if text is not None else {}
    known = draft.files[path].get(entry.name)
    checks = _with(known.checks if known is not None else (), wish.check)
    draft.files[path][entry.name] = replace(entry, checks=checks)


def file_fault(disk: Disk, path: str, form: Format, owned: dict[str, str] | None) -> str:
    """Why this file is not ours to write; "" when it is not there, or as we left it."""
    link = disk.link(path)
    if link is not None:
        return f"is a link to {link}"
    hidden = persist.hides(disk, path)
    if hidden:
        return f"would hide {hidden}, which has the same name"
    text = disk.read(path)
    if text is None:
        return ""
    if owned is None:  # not root: the journals cannot be read, so only its looks can be judged
        return persist.fault(form, text) and "was not written by askrctl, or edited since"
    if path not in owned:
        return "is there already and was not written by askrctl"
    if owned[path] != text:
        return f"was edited since askrctl wrote it ({persist.edits(owned[path], text)})"
    return (
        persist.fault(form, text) and "was written by another version of askrctl: revert it first"
    )


def _file_item(draft: Draft, path: str) -> Item:
    entries = draft.files[path]
    form = persist.paths(draft.options.unit)[path]
    checks = sorted({check for entry in entries.values() for check in entry.checks})
    why = (
        "takes effect at the next restart of the unit"
        if form is persist.UNIT_D
        else ("sets it again at each boot")
    )
    before = draft.disk.read(path)
    return Item(path, Kind.FILE, "own", before, persist.render(form, entries), tuple(checks), why)


# --- directives of the unit -----------------------------------------------------------------------


def _add_directive(draft: Draft, wish: Wish, setting: UnitSetting) -> None:
    name, unit = setting.directive, draft.options.unit
    label = f"{unit}: {name}"
    fault = units.fault(name, setting.value)
    if fault or setting.section != "Service":
        draft.skip(label, wish, f"refused: {fault or 'only [Service] is written'}")
        return
    if not draft.options.persistent:
        draft.skip(label, wish, "a unit has no runtime value to change", "without --runtime-only")
        return
    files = units.unit_files(draft.disk, unit)
    if not files:
        draft.skip(
            label, wish, f"there is no {unit} here", "--unit NAME when it is called otherwise"
        )
        return
    path = f"/etc/systemd/system/{unit}.d/{draft.name}"
    found = units.effective(files, name)
    before = found.value if found is not None else None
    if units.DIRECTIVES[name].open and (before is None or "~" in before):
        draft.skip(label, wish, "the unit does not restrict it by a list that could be added to")
        return
    want = units.merged(name, draft.wanted.get(label, before), setting.value)
    if want == before:
        return
    draft.wanted[label] = want
    if units.DIRECTIVES[name].rule == "append":  # a drop-in adds to what other files say
        theirs = units.effective([file for file in files if file.path != path], name)
        have = theirs.value.split() if theirs is not None else []
        want = " ".join(word for word in want.split() if word not in have)
    entry = Entry(name, want)
    after = units.effective(
        units.replaced(files, path, persist.render(persist.UNIT_D, {name: entry})), name
    )
    if after is None or after.path != path:
        where = after.path if after is not None else "a later drop-in"
        draft.skip(label, wish, f"{where} is read after ours", f"systemctl cat {unit}")
        return
    _add_entry(draft, wish, path, persist.UNIT_D, entry)
