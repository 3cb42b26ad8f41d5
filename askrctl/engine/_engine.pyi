# SPDX-License-Identifier: MIT
"""What the compiled module looks like to a type checker: cffi's two objects."""

from typing import Any

ffi: Any
lib: Any
