# SPDX-License-Identifier: MIT
"""From what the operator asked to a running supervisor.

prepare() is everything that can be refused before a socket is opened or a process started; a reload
runs it again.
"""

import logging
import os
import resource
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from askrctl import config as configuration
from askrctl import engine, gate
from askrctl.config import Address, Config, Origin, parse_address, to_blame
from askrctl.model import AskrError, Backend, BackendChoice, Credentials
from askrctl.probes import php as php_probe
from askrctl.probes import uring
from askrctl.server import backend, credentials, sockets, tls_store
from askrctl.server import tls as certificates
from askrctl.server.admin import AdminServer, open_listeners, users_of
from askrctl.server.control import ControlServer, choose_path
from askrctl.server.detect import Application, detect
from askrctl.server.plan import Php, Plan, check_php, find_worker_script, place_workers
from askrctl.server.site_plans import Finders, check_sites, plan_sites
from askrctl.server.supervisor import Supervisor

log = logging.getLogger("askrctl")


@dataclass(frozen=True, slots=True)
class Request:
    """The words of the command line."""

    path: Path
    config_path: Path | None
    flags: Mapping[str, object]
    inspect: Path | None = None  # for `askrctl check app`: where PHP reports what requests leave
    path_given: bool = False


def _choose_backend(config: Config, who: Credentials | None) -> BackendChoice:
    requested = config.server.io_backend
    record = gate.read(configuration.bench_record_path())
    verdict = None
    if backend.wants_probe(requested, record):
        found = uring.probe_verdict(user=who, rings=len(place_workers(config)))
        verdict = uring.merge_build(found, engine.built(Backend.IO_URING))
    return backend.choose(requested, verdict, record)


def _find_php(config: Config, application: Application) -> Php | None:
    if not application.php and not config.php.worker_script:
        return None
    module = php_probe.module_path()
    library = php_probe.find_libphp(config.php.library)
    return Php(library, module, engine.companion("askr-zygote"))


def check(config: Config) -> certificates.Tls | None:
    """Refuse what no PATH could make right: certificates that do not fit, listeners that are none,
    folders that are not there. The certificates."""
    tls = certificates.load(config.tls)
    if tls is not None:
        tls_store.check(tls)
    wanted = [parse_address(text) for text in config.server.listen]
    sockets.assign_roles(wanted, tls is not None)
    sockets.check_proxies(wanted, config.server.trusted_proxies)
    if not Path(config.server.temp_dir).is_dir():
        what = f"the folder {config.server.temp_dir} is not there"
        hint = f"mkdir -p {config.server.temp_dir}"
        raise AskrError(what, hint, code=2, key="server.temp_dir")
    return tls


def check_file(config: Config) -> None:
    """What can be said of an askr.toml before anybody serves by it: `askrctl config check`."""
    check(config)
    credentials.check(config.server)
    folder = Path(config.log.access).parent
    if config.log.access not in ("", "-") and not folder.is_dir():
        what = f"the folder {folder} is not there"
        raise AskrError(what, f"mkdir -p {folder}", key="log.access")
    if config.php.library:
        php_probe.find_libphp(config.php.library)
    if not config.php.php_ini or Path(config.php.php_ini).is_absolute():
        check_php(config, Path())  # a relative one is the application's
    check_sites(config)


def origins(path: Path | None, flags: Mapping[str, object]) -> dict[str, Origin]:
    """Where the values come from."""
    text = configuration.text_of(path) if path is not None else ""
    return configuration.origins(text, path or Path(), os.environ, flags)


def prepare(request: Request) -> Plan:
    """Work out a plan, or refuse with the reason."""
    config = configuration.load(request.config_path, request.flags)
    found = origins(request.config_path, request.flags)
    with configuration.blamed(found):
        return replace(_plan(request, config), origins=found)


def _plan(request: Request, config: Config) -> Plan:
    tls = check(config)
    if config.site:
        if request.path_given:
            raise AskrError(
                "[[site]] says what is served, and so does PATH",
                "askrctl serve --config askr.toml, without PATH",
                code=2,
                key="site",
            )
        return plan_sites(config, tls, Finders(_find_php, _choose_backend))
    # Resolved for each generation anew: one serves one release from beginning to end, and a deploy
    # that turns a symlink takes effect with the reload, for all files at once.
    application = detect(request.path.resolve())
    script = find_worker_script(config, application)
    check_php(config, application.path)
    who = credentials.choose(config.server, application.path)
    return Plan(
        config=config,
        application=application,
        choice=_choose_backend(config, who),
        credentials=who,
        cpus=place_workers(config),
        php=_find_php(config, application),
        worker_script=script,
        tls=tls,
        inspect=request.inspect,
    )


def _open_listeners(plan: Plan, opened: ExitStack) -> list[tuple[socket.socket, Address]]:
    found = sockets.inherited()
    has_tls = plan.tls is not None
    if found:
        named = [address for _, address in found]
        sockets.check_proxies(named, plan.config.server.trusted_proxies)
        roles = sockets.assign_roles(named, has_tls)
        return [(listener, role) for (listener, _), role in zip(found, roles, strict=True)]
    wanted = [parse_address(text) for text in plan.config.server.listen]
    listeners = []
    with to_blame("server.listen"):
        for address in sockets.assign_roles(wanted, has_tls):
            listeners.append(sockets.open_listener(address))
            opened.callback(sockets.remove, address)
    return listeners


def _open_admin(plan: Plan) -> AdminServer:
    settings = plan.config.admin
    uid = plan.credentials.uid if plan.credentials is not None else None
    with to_blame("admin.listen"):
        listeners = open_listeners(settings.listen, settings.token)
    return AdminServer(listeners, settings.token, users_of(uid))


def _raise_file_limit() -> None:
    """Each connection is a descriptor: take what the hard limit gives (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _warn_of_root(plan: Plan) -> None:
    if os.geteuid() == 0 and plan.credentials is None:
        log.warning(
            'event=serving_as_root detail="%s belongs to root, so it is served as root" '
            'fix="--user NAME"',
            plan.application.path,
        )


def launch(request: Request, plan: Plan, on_ready: Callable[[Supervisor], None]) -> int:
    """Serve until told to stop; the exit status."""
    if plan.tls is not None or plan.config.admin.token or plan.config.trace.headers:
        credentials.keep_from_others()
    with configuration.blamed(plan.origins), ExitStack() as opened:  # nothing is left behind
        with to_blame("server.control"):
            control = ControlServer(choose_path(plan.config.server.control))
        opened.callback(control.close)
        listeners = _open_listeners(plan, opened)
        admin = _open_admin(plan)
        opened.pop_all()
    _raise_file_limit()
    _warn_of_root(plan)
    supervisor = Supervisor(
        plan, lambda: prepare(request), listeners, control, request.path, on_ready
    )
    supervisor.admin = admin
    return supervisor.run()
