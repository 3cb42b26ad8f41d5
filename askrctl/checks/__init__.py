# SPDX-License-Identifier: MIT
"""Judgement: facts in, findings out. Imports nothing that could change the machine.

Checks are values in the tuple ALL. Remedies are data that only askrctl.tune knows how to carry out.
"""

from askrctl.checks import php, uring
from askrctl.checks.frame import Check, Context, Profile, run, select

ALL: tuple[Check, ...] = (*uring.CHECKS, *php.CHECKS)

__all__ = ["ALL", "Check", "Context", "Profile", "run", "select"]
