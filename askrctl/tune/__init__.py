# SPDX-License-Identifier: MIT
"""Reversible changes to the machine: plan, apply, verify, revert.

The only part of the project that writes to /proc/sys, /sys and /etc. The order that makes it safe:
every old value is on disk before the first write; every write is read back; an undo restores a
value only where ours still stands; and whatever a crash left behind is undone by the next command.
"""
