# SPDX-License-Identifier: MIT
"""Judgement: facts in, findings out. Imports nothing that could change the machine.

Checks are values in the tuple ALL. Remedies are data that only askrctl.tune knows how to carry out.
"""

from dataclasses import replace

from askrctl.checks import (
    cpu,
    environment,
    folklore,
    limits,
    memory,
    net,
    nic,
    php,
    service,
    storage,
    tls,
    traffic,
    uring,
)
from askrctl.checks.frame import Check, Context, Profile, run, select
from askrctl.checks.sources import SOURCES

_FOUND: tuple[Check, ...] = (
    *environment.CHECKS,
    *uring.CHECKS,
    *net.CHECKS,
    *traffic.CHECKS,
    *nic.CHECKS,
    *cpu.CHECKS,
    *memory.CHECKS,
    *limits.CHECKS,
    *service.CHECKS,
    *php.CHECKS,
    *tls.CHECKS,
    *storage.CHECKS,
    *folklore.CHECKS,
)
ALL = tuple(replace(check, refs=SOURCES.get(check.id, ())) for check in _FOUND)

__all__ = ["ALL", "Check", "Context", "Profile", "run", "select"]
