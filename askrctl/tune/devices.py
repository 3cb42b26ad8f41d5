# SPDX-License-Identifier: MIT
"""How network devices spread packets over cores, for the next boot: rules of udev.

A value belongs to a device, not to its name, so a rule knows the device by its hardware address
(udev(7)). DRIVERS=="?*" leaves out VLANs and bridges, which have
the address of the device below them.

Numbers of queues, rings and offloads are no files but ethtool's: changing them can take the link
down, and a .link file of ours would switch off the distribution's own, names included. They stay
advice.
"""

import re

from askrctl.tune import keys
from askrctl.tune.disk import Disk

NO_ADDRESS = "00:00:00:00:00:00"
_ADDRESS = r"[0-9a-f]{2}(:[0-9a-f]{2}){5}"
_RULE = 'ACTION=="add", SUBSYSTEM=="net", DRIVERS=="?*", ATTR{{address}}=="{}", ATTR{{{}}}="{}"'
_LINE = re.compile(
    r'ACTION=="add", SUBSYSTEM=="net", DRIVERS=="\?\*", '
    r'ATTR\{address\}=="([^"]*)", ATTR\{([^"}]*)\}="([^"]*)"'
)


def rule_name(disk: Disk, name: str) -> str:
    """What the file is called in a rule: address and attribute; "" for a device without one."""
    match = keys.DEVICE.fullmatch(name)
    assert match is not None
    address = (disk.read(f"/sys/class/net/{match[1]}/address") or "").strip().lower()
    if re.fullmatch(_ADDRESS, address) is None or address == NO_ADDRESS:
        return ""
    return f"{address} {match[2]}"


def rule_line(name: str, value: str) -> str:
    address, _, attribute = name.partition(" ")
    return _RULE.format(address, attribute, value)


def rule_split(line: str) -> tuple[str, str] | None:
    match = _LINE.fullmatch(line)
    return (f"{match[1]} {match[2]}", match[3]) if match else None


def rule_fault(name: str, value: str) -> str:
    """Why that may not stand in a rule; "" if it may."""
    key = rule_key(name)
    if key is None or re.fullmatch(_ADDRESS, name.partition(" ")[0]) is None:
        return "tune does not write this attribute of a device"
    return key.fault(value)


def rule_key(name: str) -> keys.Key | None:
    return keys.attribute(name, name.partition(" ")[2])
