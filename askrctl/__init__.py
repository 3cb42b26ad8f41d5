# SPDX-License-Identifier: MIT
"""A server for PHP applications on Linux, and the toolkit around it.

Holds the version and nothing else: the build, the package metadata and the engine read it here.
"""

__version__ = "0.1.0"
