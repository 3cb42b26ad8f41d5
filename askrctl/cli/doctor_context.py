# SPDX-License-Identifier: MIT
"""For whom and for what the doctor answers: from the command line, a running server, the machine.

The default is the server that is running; without one it is whoever asks.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from askrctl import config as configuration
from askrctl.checks.frame import Context, Listener, Profile, Server
from askrctl.config import Config
from askrctl.model import AskrError
from askrctl.probes import machine, process
from askrctl.probes.host import CannotTell, Host
from askrctl.probes.process import Target

CONFIG_PATH = "/etc/askr/askr.toml"
UNIT = "askr.service"
_TARGET_HINT = "--target self, user:NAME, unit:NAME or pid:N"


@dataclass(frozen=True, slots=True)
class Words:
    """What was asked for."""

    target: str = "auto"
    profile: str = "auto"
    config: Path | None = None
    path: Path | None = None
    control: str = ""
    certificates: tuple[str, ...] = ()
    network: bool = False
    timeout_s: float = 10.0


def build(host: Host, words: Words) -> tuple[Context, str]:
    """The context, and why it has its profile."""
    status = _running(host, words)
    config = _config(host, words)
    if status is not None:
        config = _as_running(config, status)
    listeners = _listeners(config, status)
    profile, why = _profile(host, words, listeners)
    root = _docroot(words, status)
    target = _target(host, words, config, status)
    workers = len(status["workers"]) if status else config.server.workers
    return (
        Context(
            host=host,
            target=target,
            config=config,
            profile=profile,
            workers=workers or len(machine.usable_cpus(host)),
            listeners=listeners,
            server=_server(status) if status else None,
            docroot=root,
            unit=target.name if target.kind == "unit" else _unit(host),
            certificates=_certificates(host, words, config, status),
            network=words.network,
            timeout_s=words.timeout_s,
        ),
        why,
    )


# --- the server -----------------------------------------------------------------------------------


def _running(host: Host, words: Words) -> dict[str, Any] | None:
    """The status of the server that runs here; None without one, or with more than one."""

    def ask() -> dict[str, Any] | None:
        from askrctl.server import control

        given = words.control or os.environ.get("ASKR_CONTROL", "")
        found = [Path(given)] if given else control.running()
        return control.ask(found[0], "status") if len(found) == 1 else None

    try:
        answer: dict[str, Any] | None = host.probe("server", ask)
    except CannotTell:
        return None
    except AskrError:
        if words.control:
            raise
        return None
    return answer


def _server(status: dict[str, Any]) -> Server:
    workers = [w for w in status["workers"] if w["pid"]]
    return Server(
        pid=status["pid"],
        user=status["user"],
        workers=tuple(w["pid"] for w in workers),
        apps=tuple(app["pid"] for w in workers for app in w["apps"] if app["pid"]),
        backend=status["io_backend"]["active"],
        reason=status["io_backend"]["reason"],
    )


def _as_running(config: Config, status: dict[str, Any]) -> Config:
    """What flags and the environment of the running server changed."""
    from askrctl.model import Backend

    requested = Backend(status["io_backend"]["requested"])
    return replace(config, server=replace(config.server, io_backend=requested))


def _config(host: Host, words: Words) -> Config:
    if words.config is not None:
        return configuration.read_file(words.config)
    try:
        text = host.read(CONFIG_PATH)
    except (FileNotFoundError, CannotTell):
        return Config()
    with suppress(AskrError):  # cfg.valid reports what is wrong with it
        return configuration.read_text(text, Path(CONFIG_PATH))
    return Config()


def _listeners(config: Config, status: dict[str, Any] | None) -> tuple[Listener, ...]:
    texts = config.server.listen
    if status is not None:  # a server that is older names no addresses
        texts = status.get("addresses") or tuple(map(_strip, status["listeners"]))
    found = []
    for text in texts:
        with suppress(ValueError):
            address = configuration.parse_address(text)
            host = address.host or ("" if address.path else "0.0.0.0")
            found.append(Listener(host, address.port, address.path))
    return tuple(found)


def _strip(url: str) -> str:
    return url.removeprefix("http://").removeprefix("https://").rstrip("/")


def _docroot(words: Words, status: dict[str, Any] | None) -> str:
    if words.path is not None:
        public = words.path / "public"
        return str((public if public.is_dir() else words.path).absolute())
    return str(status["application"]["root"]) if status else ""


def _certificates(
    host: Host, words: Words, config: Config, status: dict[str, Any] | None
) -> tuple[tuple[str, str], ...]:
    """Those that are named, and those that the server has, or would have. Keys may be ""."""
    found = [_named(host, text) for text in words.certificates]
    if status is not None:
        shown = status.get("certificates", [])
        found += [(item.get("cert_file", ""), item.get("key_file", "")) for item in shown]
    else:
        tls = config.tls
        found.append((tls.cert, tls.key or tls.cert))
        found += [
            (item.cert, "" if item.passphrase_file else item.key or item.cert)
            for item in tls.certificate
        ]
    return tuple(dict.fromkeys(pair for pair in found if pair[0]))


def _named(host: Host, text: str) -> tuple[str, str]:
    certificate, _, key = text.partition(",")
    for path in filter(None, (certificate, key)):
        try:
            host.read_secret(path)
        except OSError as error:
            message = f"--certificate {path} cannot be read: {error.strerror or 'it is not there'}"
            raise AskrError(message, f"ls -l {path}", code=2) from None
        except CannotTell:
            continue
    return certificate, key


def _unit(host: Host) -> str:
    return UNIT if process.unit_files(host, UNIT) else ""


# --- profile and target ---------------------------------------------------------------------------


def _profile(host: Host, words: Words, listeners: tuple[Listener, ...]) -> tuple[Profile, str]:
    if words.profile != "auto":
        try:
            return Profile(words.profile), "--profile"
        except ValueError:
            names = ", ".join(["auto", *Profile])
            message = f"--profile {words.profile}: there is no such profile"
            raise AskrError(message, f"it can be {names}", code=2) from None
    if machine.is_container(host):
        signs = [item.sign for item in machine.container_evidence(host) if item.structural]
        return Profile.CONTAINER, signs[0]
    public = next((item for item in listeners if not item.is_local), None)
    if public is not None:
        return Profile.PRODUCTION, f"listener {public}"
    return Profile.DEVELOPMENT, "only this machine can connect"


def _target(
    host: Host, words: Words, config: Config, status: dict[str, Any] | None
) -> process.Target:
    kind, _, name = words.target.partition(":")
    if kind == "auto":
        return _auto_target(host, config, status)
    if kind == "self" and not name:
        return process.of_process(host, None)
    if kind == "user" and name:
        base = process.of_process(host, None)
        return process.as_user(process.find_user(host, name), base)
    if kind == "unit" and name:
        return process.of_unit(host, name if "." in name else f"{name}.service")
    if kind == "pid" and name.isdigit():
        return process.of_process(host, int(name))
    raise AskrError(f"--target {words.target} is not understood", _TARGET_HINT, code=2)


def _auto_target(host: Host, config: Config, status: dict[str, Any] | None) -> Target:
    base = process.of_process(host, None)
    if status is not None:
        pids = [worker["pid"] for worker in status["workers"] if worker["pid"]]
        with suppress(AskrError):  # another user's server: we may not look into it
            found = process.of_process(host, pids[0] if pids else status["pid"])
            return replace(found, name=status["user"])
        return process.as_user(process.find_user(host, status["user"]), base)
    if process.unit_files(host, UNIT):
        with suppress(AskrError):  # a unit that cannot be understood: sd.unit says so
            return process.of_unit(host, UNIT)
    if config.server.user and base.uid == 0:
        return process.as_user(process.find_user(host, config.server.user), base)
    return base
