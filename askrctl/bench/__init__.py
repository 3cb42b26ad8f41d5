# SPDX-License-Identifier: MIT
"""`askrctl bench`: does a backend, a mode or another server cost less on *your* workload?

Starts servers as child processes (`askrctl serve` and peers), loads them in turn, validates what
they answer, and says win, no win or inconclusive by a threshold that was declared beforehand.
"""
