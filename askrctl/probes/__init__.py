# SPDX-License-Identifier: MIT
"""Facts about this machine. Reads and tries; never changes anything, never judges."""
