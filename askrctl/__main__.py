# SPDX-License-Identifier: MIT
"""python -m askrctl."""

from askrctl.cli import main

if __name__ == "__main__":
    main()
