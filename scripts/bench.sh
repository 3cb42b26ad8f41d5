#!/bin/sh
# SPDX-License-Identifier: MIT
# bench.sh URL [SECONDS] [CONNECTIONS]: load a running server and check its answers. The thin form
# of `askrctl bench load`; for a comparison with a verdict see `askrctl bench run --help`.
set -eu

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
    echo "usage: bench.sh URL [SECONDS] [CONNECTIONS]" >&2
    exit 2
fi
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
askrctl=$(command -v askrctl || echo "$root/.venv/bin/askrctl")
exec "$askrctl" bench load "$1" --seconds "${2:-10}" --connections "${3:-50}"
