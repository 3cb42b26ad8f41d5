# SPDX-License-Identifier: MIT
"""Traffic as a file: what a running server was asked and answered, and the same asked again.

`exchange` is the value, `datagram` how a worker sends one, `redact` what is taken out of it, `file`
how it is kept, `replay` how it is asked again and `compare` what is held against what.
"""
