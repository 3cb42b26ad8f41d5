# SPDX-License-Identifier: MIT
"""`askrctl serve`: find out what is to be served and how, then supervise it."""

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from askrctl.model import Backend

if TYPE_CHECKING:  # the engine is loaded when somebody serves, not by every command
    from collections.abc import Sequence

    from askrctl.config import Address
    from askrctl.server.plan import Plan
    from askrctl.server.supervisor import Supervisor
    from askrctl.server.tls import Tls

MARGIN = 12  # of the second column of the greeting
EPILOG = """
**Examples**

`askrctl serve .` — the application in this folder, on http://127.0.0.1:8000/

`askrctl serve /srv/shop --listen :80 --workers 4` — on all addresses, four workers

`askrctl serve . --worker-script public/worker.php` — booted once, kept warm (FrankenPHP's API)

`askrctl serve . --tls-self-signed` — on https://127.0.0.1:8000/, for development

`askrctl serve . --listen :443 --listen :80,redirect --tls-cert fullchain.pem --tls-key key.pem`

`askrctl serve . --io-backend io_uring` — falls back to epoll and says why when it must
"""

Listen = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="PORT (for this machine alone), HOST:PORT, [::1]:PORT, :PORT (all addresses) or "
        "unix:/path,mode=660; may be given several times. "
        "With certificates every TCP listener speaks TLS, unless one is marked `:443,tls`: then "
        "those alone. `:80,redirect` sends to https, `:80,proxy` expects the PROXY protocol first.",
    ),
]
Admin = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="Metrics, dashboard and API: unix:/path, or HOST:PORT with ASKR_ADMIN_TOKEN set.",
    ),
]
Inspect = Annotated[
    Path | None, typer.Option(hidden=True, help="For askrctl check app: a file to report to.")
]


def serve_command(
    path: Annotated[
        Path, typer.Argument(help="An application's folder, or one of files.")
    ] = Path(),
    listen: Listen = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=128, help="I/O processes. Default: one for each core.")
    ] = None,
    io_backend: Annotated[
        Backend | None,
        typer.Option(help="Default: auto, which is epoll until a bench here shows a win."),
    ] = None,
    worker_script: Annotated[
        str | None, typer.Option(help="PHP script that boots once and then handles requests.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="PHP processes of each worker. Default: 4.")
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="PEM: a certificate and its chain. More in askr.toml.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(help="PEM: its private key. Default: in the same file.")
    ] = None,
    tls_self_signed: Annotated[
        bool, typer.Option("--tls-self-signed", help="A certificate for development.")
    ] = False,
    admin: Admin = None,
    config: Annotated[Path | None, typer.Option(help="An askr.toml.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="For development: reload when files change.")
    ] = False,
    user: Annotated[
        str | None, typer.Option(help="Whom to become. Default: the owner of PATH.")
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Where the control socket goes. [env: ASKR_CONTROL]")
    ] = None,
    inspect: Inspect = None,
) -> None:
    """Serve an application or a folder of files over HTTP."""
    flags = {
        "server.listen": listen or None,
        "server.workers": workers,
        "server.io_backend": io_backend,
        "php.worker_script": worker_script,
        "php.processes": processes,
        "server.watch": "auto" if watch else None,
        "tls.cert": tls_cert,
        "tls.key": tls_key,
        "tls.self_signed": tls_self_signed or None,
        "admin.listen": admin or None,
        "server.user": user,
        "server.control": control,
    }
    raise typer.Exit(_serve(path, config, flags, inspect))


serve_command.__doc__ = f"{serve_command.__doc__}\n{EPILOG}"


def _serve(path: Path, config: Path | None, flags: dict[str, Any], inspect: Path | None) -> int:
    from askrctl import signals
    from askrctl.server import logs
    from askrctl.server.detect import logical
    from askrctl.server.launch import Request, launch, prepare

    logs.unblock()
    logs.set_up("auto")
    signals.hold_until_served()
    plan = prepare(request := Request(logical(path), config, flags, inspect, path != Path()))
    logs.set_up(plan.config.log.format)
    return launch(request, plan, _greet)


def _greet(supervisor: "Supervisor") -> None:
    """What somebody who has just started a server wants to know."""
    plan = supervisor.plan
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for line in _greeting(plan, supervisor.addresses):
        print("\n".join(folded(line, width)), flush=True)


def folded(line: str, width: int) -> list[str]:
    """For a terminal: the values of the second column stay in it. URLs are never cut."""
    return textwrap.wrap(
        line,
        max(width - 1, MARGIN + 20),
        subsequent_indent=" " * MARGIN,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _greeting(plan: "Plan", addresses: "Sequence[Address]") -> list[str]:
    choice = plan.choice
    why = f" ({choice.reason}: {choice.detail})" if choice.detail else f" ({choice.reason})"
    if choice.requested == choice.active:
        why = f" ({choice.detail})" if choice.detail else ""
    processes = f" × {plan.app_count} PHP processes" if plan.app_count else ""
    lines = [
        "",
        *(f"  {_place(item)}" for item in addresses),
        "",
        *_served(plan),
        f"  backend   {choice.active}{why}",
        f"  workers   {len(plan.cpus)}{processes}",
    ]
    if plan.tls is not None:
        lines.append(f"  tls       {_certificates(plan.tls)}")
    if choice.fix and choice.requested != choice.active:
        lines.append(f"  fix       {choice.fix}")
    urls = [address.url for address in addresses]
    return [*lines, "", *(f"  next: {line}" for line in _next(plan, urls)), ""]


def _place(address: "Address") -> str:
    if address.role == "redirect":
        return f"{address.url} redirects to https"
    return f"{address.url} and {address.reach}" if address.reach else address.url


def _served(plan: "Plan") -> list[str]:
    if not plan.sites:
        return [f"  serving   {plan.application.sentence}", f"  mode      {_mode(plan)}"]
    return [
        f"  site      {site.site_name}: {site.application.sentence}, {site.mode}"
        for site in plan.sites
    ]


def _certificates(tls: "Tls") -> str:
    shown = [f"{item.source} until {item.not_after:%Y-%m-%d}" for item in tls.identities[:3]]
    warn = any(item.source == "self-signed" for item in tls.identities)
    return ", ".join(shown) + (" (browsers will warn: for development)" if warn else "")


def _mode(plan: "Plan") -> str:
    if plan.mode == "worker":
        return f"worker: {plan.worker_script} is booted once"
    return "classic: each request runs its script" if plan.mode == "classic" else "static files"


def _next(plan: "Plan", urls: list[str]) -> list[str]:
    found = plan.application.worker_script
    lines = ["askrctl status", "askrctl doctor"]
    if plan.mode == "classic" and found is not None:
        script = found.relative_to(plan.application.path)
        lines.insert(0, f"boot it once: --worker-script {script}")
    if urls and urls[0].startswith("http"):
        insecure = "k" if urls[0].startswith("https") else ""
        lines.append(f"curl -i{insecure} {urls[0]}")
    return lines
