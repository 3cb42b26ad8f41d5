# SPDX-License-Identifier: MIT
"""A worker process: `python -m askrctl.server.worker SETTINGS`, exec'd by the supervisor.

SETTINGS is JSON: who to become, which core to stay on, and the fields of struct askr_worker_config.
Privileges go before the ring is made; nothing but the engine is imported, to keep memory small.
"""

import contextlib
import ctypes
import json
import os
import sys

from askrctl import engine, signals
from askrctl.model import AskrError, Credentials
from askrctl.server import slices
from askrctl.server.credentials import become, keep_from_others

_PR_SET_NAME = 15  # prctl(2)


def main(text: str) -> int:
    """The exit status of the worker."""
    settings = json.loads(text)
    # Ctrl-C reaches the whole group, and systemd's SIGTERM the whole cgroup unless KillMode=mixed;
    # when to stop is the supervisor's to say.
    signals.pass_over()
    if settings["cpu"] is not None:
        with contextlib.suppress(OSError):  # a core that has gone offline is no reason to fail
            os.sched_setaffinity(0, {settings["cpu"]})
    slices.set_own(slices.WORKER_NS)
    name = f"askr-worker {settings['engine']['index']}".encode()
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name, 0, 0, 0)
    if settings["engine"]["tls_fd"] >= 0:
        keep_from_others()
    if settings["credentials"] is not None:
        become(Credentials(**settings["credentials"]))
    try:
        engine.run_worker(settings["engine"])
    except AskrError as error:
        os.write(
            2, f"level=error event=worker_failed detail={json.dumps(error.message)}\n".encode()
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
