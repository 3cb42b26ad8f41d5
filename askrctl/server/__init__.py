# SPDX-License-Identifier: MIT
"""The control plane of the application server: starts, watches and replaces processes.

It never touches a request and never loads application code.
"""
