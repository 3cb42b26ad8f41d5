# SPDX-License-Identifier: MIT
"""The cffi build script: run by cffi-gen-src from meson.build, never imported or installed.

Linking is meson's: cffi-gen-src only writes the C source of the binding.
"""

from pathlib import Path

from cffi import FFI

declarations = Path(__file__).parent / "include/askr/api.cdef.h"

ffibuilder = FFI()
ffibuilder.cdef(declarations.read_text())
ffibuilder.set_source("askrctl.engine._engine", '#include "askr/api.h"')
