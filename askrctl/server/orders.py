# SPDX-License-Identifier: MIT
"""What `askrctl top` asks of a server and tells it to do, over the control socket.

`view` hands over the status memory itself, read-only, so that whoever looks reads the workers'
counters from where they write them: no worker and no request has a part in it, however busy they
are. The rest is done to one worker or one application process, named by its pid.
"""

import logging
import os
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askrctl import engine
from askrctl.server import credentials
from askrctl.server.control import Parcel
from askrctl.server.forensics import collect
from askrctl.server.slowlog import SlowEntry, now_text

if TYPE_CHECKING:
    from askrctl.server.generation import Generation
    from askrctl.server.supervisor import Supervisor

log = logging.getLogger("askrctl")

BACKTRACES_MAX = 16  # kept for whoever asked


@dataclass(slots=True)
class _Backtrace:
    ticket: int
    entry: SlowEntry | None = None


class Orders:
    """Called in the supervisor's loop."""

    def __init__(self, supervisor: "Supervisor", status_fd: int) -> None:
        self._supervisor = supervisor
        self._status_fd = status_fd
        self._backtraces: deque[_Backtrace] = deque(maxlen=BACKTRACES_MAX)
        self._tickets = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any] | Parcel:
        """To a command that is none of the supervisor's own."""
        command = request.get("command")
        if command == "view":
            return self._view()
        if command in ("drain", "recycle"):
            return self._act(command, request.get("worker"), request.get("pid"))
        if command == "backtrace":
            return self._backtrace(request.get("pid"))
        if command == "backtrace_state":
            return self._backtrace_state(request.get("ticket"))
        return {"error": f"unknown command {command!r}"}

    # --- looking ----------------------------------------------------------------------------------

    def _view(self) -> dict[str, Any] | Parcel:
        """What does not change while a generation serves, and where its workers' pages are."""
        server = self._supervisor
        try:  # by a way on which nobody writes
            flags = os.O_RDONLY | os.O_CLOEXEC
            memory = os.open(f"/proc/self/fd/{self._status_fd}", flags)
        except OSError as error:
            return {"error": f"the status memory cannot be opened: {error.strerror}"}
        choice, plan = server.plan.choice, server.plan
        answer = {
            "schema": "askr.view/1",
            "ok": True,
            "version": engine.version(),
            "stride": engine.STATUS_STRIDE,
            "pid": os.getpid(),
            "started_s": server.started,
            "mode": plan.mode,
            "kind": plan.application.kind,
            "root": str(plan.application.root),
            "listeners": [address.url for address in server.addresses],
            "user": credentials.name_of(plan.credentials),
            "io_backend": {
                "requested": str(choice.requested),
                "active": str(choice.active),
                "reason": choice.reason,
                "detail": choice.detail,
            },
            "generations": [_describe(item, state) for state, item in server.generations()],
        }
        return Parcel(answer, memory)

    # --- doing ------------------------------------------------------------------------------------

    def _act(self, command: str, worker: object, pid: object) -> dict[str, Any]:
        server = self._supervisor
        if isinstance(pid, int) and command == "recycle":
            done = any(item.applications.recycle_app(pid) for _, item in server.generations())
            return {"ok": True} if done else {"error": f"process {pid} cannot be replaced now"}
        if not isinstance(worker, int):
            return {"error": "which worker?"}
        act = server.drain_worker if command == "drain" else server.recycle_worker
        return {"ok": True} if act(worker) else {"error": f"worker {worker} is not serving now"}

    def _backtrace(self, pid: object) -> dict[str, Any]:
        self._tickets += 1
        wanted = _Backtrace(self._tickets)

        def told(entry: SlowEntry) -> None:
            wanted.entry = entry

        for _, generation in self._supervisor.generations():
            for worker in generation.workers.values():
                if worker.pid == pid:
                    told(_of_worker(generation.number, worker.index, worker.pid))
            if wanted.entry is not None or generation.applications.examine(pid, told):
                self._backtraces.append(wanted)
                return {"ok": True, "ticket": wanted.ticket}
        return {"error": f"process {pid} cannot be looked at now"}

    def _backtrace_state(self, ticket: object) -> dict[str, Any]:
        """`entry` is null until it is known."""
        found = next((item for item in self._backtraces if item.ticket == ticket), None)
        if found is None:
            return {"error": "there is no such backtrace"}
        return {"ok": True, "entry": None if found.entry is None else found.entry.as_dict()}


def _of_worker(generation: int, index: int, pid: int) -> SlowEntry:
    """It runs none of the application's code: what the kernel says is all there is."""
    return SlowEntry(now_text(), "asked", generation, index, pid, 0.0, "", (), collect(pid))


def _describe(generation: "Generation", state: str) -> dict[str, Any]:
    return {
        "number": generation.number,
        "state": state,
        "slots": [generation.slots.start, generation.slots.stop],
        "cpus": list(generation.plan.cpus),
        # Whose places of a worker's processes are: in their order, with how many each has.
        "sites": [[site.site_name, site.place_count] for site in generation.plan.sites],
    }
