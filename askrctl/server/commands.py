# SPDX-License-Identifier: MIT
"""What the control socket's commands do: one method for each that is more than a call.

Called in the supervisor's loop, so nothing here may wait. Whoever has to know how a reload ends
gets a ticket, and asks again.
"""

from typing import TYPE_CHECKING, Any

from askrctl.config import url_path
from askrctl.server.control import Parcel
from askrctl.server.explained import explain
from askrctl.server.orders import Orders
from askrctl.server.reloads import describe, shortfall

if TYPE_CHECKING:
    from askrctl.server.supervisor import Supervisor

Answer = dict[str, Any]

SLOWLOG_LINES = 10  # for who does not say how many


class Commands:
    def __init__(self, supervisor: "Supervisor", orders: Orders) -> None:
        self._supervisor = supervisor
        self._orders = orders

    def answer(self, request: Answer, fds: list[int]) -> Answer | Parcel:
        """`fds` came with the request: who wants one takes it out of the list."""
        supervisor = self._supervisor
        match request.get("command"):
            case "status":
                return supervisor.report().as_dict()
            case "slowlog":
                lines = request.get("lines")
                return supervisor.slowlog.answer(lines if isinstance(lines, int) else SLOWLOG_LINES)
            case "record":
                return supervisor.recording.answer(request, fds)
            case "reload":
                return self._reload(request)
            case "reload_state":
                return self._reload_state(request.get("ticket"))
            case "rollback":
                return self._roll_back()
            case "config":
                plan = supervisor.plan
                return explain(plan.config, plan.origins, plan.application, plan.preset)
            case "stop":
                supervisor.request_stop()
                return {"ok": True}
            case _:
                return self._orders.answer(request)

    def _reload(self, request: Answer) -> Answer:
        supervisor = self._supervisor
        try:
            check = url_path(request.get("check") or "")
        except ValueError as error:
            return {"error": f"check must be {error}"}
        answer: Answer = {"ok": True, "generation": supervisor.number}
        if request.get("verify"):
            supervisor.request_reload()
            answer["ticket"] = supervisor.tickets.add(check).ident
            return answer
        why_not = supervisor.reload_now()
        if why_not:
            return {"error": f"{why_not}; generation {supervisor.number} serves on"}
        return answer

    def _reload_state(self, ident: object) -> Answer:
        """waiting → starting → draining → proven, or failed: then the old generation serves on."""
        supervisor = self._supervisor
        ticket, current = supervisor.tickets.find(ident), supervisor.current
        if ticket is None or current is None:
            return {"error": "there is no such reload"}
        about = describe(current, supervisor.memory)
        if ticket.rolled_back_from:
            about["from"], about["switched_ms"] = ticket.rolled_back_from, ticket.switched_ms
            about["path_leads_to"] = str(supervisor.path.resolve())
        if ticket.failed:
            return {"state": "failed", "detail": ticket.failed, **about}
        if current.number < ticket.generation or not ticket.generation:
            return {"state": "starting" if ticket.generation else "waiting", "detail": "", **about}
        if not supervisor.is_settled():
            return {"state": "draining", "detail": "the old generation finishes", **about}
        path = None if ticket.rolled_back_from else supervisor.path
        missing = shortfall(current, supervisor.memory, path)
        return {"state": "draining" if missing else "proven", "detail": missing, **about}

    def _roll_back(self) -> Answer:
        begun = self._supervisor.roll_back()
        if isinstance(begun, str):
            return {"error": begun}
        return {"ok": True, "generation": begun.generation, "ticket": begun.ident}
