# SPDX-License-Identifier: MIT
"""Where we are: which boot, whose network namespace, in a container, with or without systemd."""

import os
from dataclasses import dataclass

from askrctl.tune.disk import Disk

# Inode numbers of the first user and process namespace (Linux, include/uapi/linux/nsfs.h: fixed).
FIRST_USER_NAMESPACE = "user:[4026531837]"
FIRST_PROCESS_NAMESPACE = "pid:[4026531836]"

# Registered for the first network namespace alone (Linux, net/core/sysctl_net_core.c).
ONLY_IN_FIRST_NETWORK = "/proc/sys/net/core/netdev_max_backlog"


@dataclass(frozen=True, slots=True)
class Facts:
    """`boot` and `network` tell whether a value that was read earlier can still stand."""

    boot: str = ""
    network: str = ""
    own_network: bool = False  # a network namespace other than that of process 1
    contained: bool = False  # not in the machine's first user and process namespaces
    systemd: bool = False

    @property
    def whole_machine(self) -> bool:
        """Keys that belong to the machine as a whole are ours to change."""
        return not self.own_network and not self.contained


def gather(disk: Disk) -> Facts:
    """Of a tree only what it holds: it has no namespaces."""
    boot = (disk.read("/proc/sys/kernel/random/boot_id") or "").strip()
    systemd = disk.exists("/run/systemd/system")
    if not disk.live:
        return Facts(boot, systemd=systemd)
    network = _namespace("self", "net")
    contained = (
        _namespace("self", "user") != FIRST_USER_NAMESPACE
        or _namespace("self", "pid") != FIRST_PROCESS_NAMESPACE
    )
    return Facts(boot, network, _own_network(disk, network), contained, systemd)


def _own_network(disk: Disk, network: str) -> bool:
    """Another namespace than that of process 1, or, where that is hidden, than the first one."""
    first = _namespace("1", "net")
    return first != network if first else not disk.exists(ONLY_IN_FIRST_NETWORK)


def _namespace(process: str, kind: str) -> str:
    """ "" when it may not be asked for."""
    try:
        return os.readlink(f"/proc/{process}/ns/{kind}")
    except OSError:
        return ""
