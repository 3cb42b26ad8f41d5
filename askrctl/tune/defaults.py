# SPDX-License-Identifier: MIT
"""What the checks would ask for by default, for a tree that holds no process to answer for.

Of this machine, and of a captured one, the checks know better: they see the limits and the
configuration of the server. A test holds this table to them.
"""

from askrctl.model import SysctlSetting, UnitSetting
from askrctl.tune.wishes import Wish

BACKLOG = 4096  # what the server asks for in listen(2)
FILES = 65536  # descriptors: two for each of 16384 connections, and as many again

_RESET = "it is off, which costs throughput on every connection that loses a packet"

WISHES = (
    Wish(
        SysctlSetting("net.core.somaxconn", str(BACKLOG)),
        "net.somaxconn",
        "a listener's queue is silently cut to this number, and a burst beyond it is dropped",
    ),
    Wish(
        SysctlSetting("net.ipv4.tcp_syncookies", "1", "set"),
        "net.syncookies",
        "with it, a listener goes on answering in a SYN flood",
    ),
    Wish(
        SysctlSetting("net.ipv4.tcp_abort_on_overflow", "0", "set"),
        "net.abort_on_overflow",
        "it resets connections of a burst that would have been served a moment later",
    ),
    Wish(SysctlSetting("net.ipv4.tcp_moderate_rcvbuf", "1", "set"), "net.moderate_rcvbuf", _RESET),
    Wish(SysctlSetting("net.ipv4.tcp_window_scaling", "1", "set"), "net.window_scaling", _RESET),
    Wish(SysctlSetting("net.ipv4.tcp_sack", "1", "set"), "net.sack", _RESET),
    Wish(SysctlSetting("net.ipv4.tcp_timestamps", "1", "set"), "net.timestamps", _RESET),
    Wish(
        SysctlSetting("fs.nr_open", str(FILES)),
        "lim.nr_open",
        "no process may have more descriptors than this, whatever its own limit says",
    ),
    Wish(
        UnitSetting("LimitNOFILE", str(FILES)),
        "lim.nofile",
        "each connection takes a descriptor or two; at the limit, new ones wait",
    ),
)
