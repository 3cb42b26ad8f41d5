# SPDX-License-Identifier: MIT
"""What a generation will run, worked out before anything is started.

The one place where the configuration becomes the engine's settings and the zygote's command line.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from askrctl import engine
from askrctl.config import (
    APPS_MAX,
    FORWARDED,
    RATE_KEYS,
    SYMLINK_POLICIES,
    TRACE_ACCEPT,
    Config,
    Origin,
    RateLimit,
    Site,
    WebsocketConfig,
    parse_rate,
)
from askrctl.model import AskrError, BackendChoice, Credentials
from askrctl.probes import machine
from askrctl.probes.host import Host, open_host
from askrctl.server.accesslog import template
from askrctl.server.detect import Application
from askrctl.server.presets import Preset, choose
from askrctl.server.rules import host_names, rule_settings
from askrctl.server.sendfile import sendfile_settings
from askrctl.server.tls import Tls

_NS = 1_000_000_000
# Polling before sleeping pays for static files at low concurrency; with an application on the same
# core it takes the time the application needs (docs/decisions/0005).
_SPIN_STATIC_NS = 50_000
# The worker's 504 is due at timeouts.request, and it looks every 100 ms. The script is stopped
# after that, so that its error page does not come first.
_SOFT_STOP_MS = 200
# What gives power over the server, and no application needs.
_SECRETS = (
    "ASKR_ADMIN_TOKEN",
    "ASKR_TRACE_HEADERS",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)
_U64_MAX = (1 << 64) - 1
_INDEX_MAX = 3  # struct askr_site_config has four places, the last one NULL


@dataclass(frozen=True, slots=True)
class Php:
    """Where PHP comes from."""

    library: Path
    module: Path
    zygote: Path


@dataclass(frozen=True, slots=True)
class Plan:
    config: Config
    application: Application
    choice: BackendChoice
    credentials: Credentials | None
    cpus: tuple[int | None, ...]  # one entry for each worker; None: not pinned
    php: Php | None
    worker_script: Path | None
    tls: Tls | None = field(default=None, repr=False)
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)  # of the values
    inspect: Path | None = None  # no key of askr.toml: it is no setting for a server that serves
    site: Site | None = None  # whose plan this is
    site_index: int = 0
    first_place: int = 0  # of this site's processes among those of a worker
    sites: tuple["Plan", ...] = ()  # a plan for each [[site]]; (): this one is for every host

    @property
    def each(self) -> tuple["Plan", ...]:
        """What is served: one application, or several."""
        return self.sites or (self,)

    @property
    def check_host(self) -> str:
        """The host by which server.check asks: of the default site, or the first one's."""
        if not self.sites or any(site.site and site.site.default for site in self.sites):
            return "localhost"
        names = self.sites[0].site.hosts if self.sites[0].site is not None else ()
        return names[0].replace("*", "www")

    @property
    def site_name(self) -> str:
        return self.site.name if self.site is not None else ""

    @property
    def mode(self) -> str:
        if self.sites:
            return "sites"
        if self.php is None:
            return "static"
        return "classic" if self.worker_script is None else "worker"

    @property
    def preset(self) -> Preset:
        """What the framework wants of PHP."""
        return choose(self.config.php.preset, self.application, self.mode == "worker")

    @property
    def app_count(self) -> int:
        """Processes of each worker, at least."""
        if self.sites:
            return sum(plan.app_count for plan in self.sites)
        return self.config.php.processes if self.php is not None else 0

    @property
    def app_count_max(self) -> int:
        return max(self.app_count, self.config.php.processes_max) if self.php is not None else 0

    @property
    def place_count(self) -> int:
        """One more, for a replacement beside what it replaces."""
        if self.sites:
            return sum(plan.place_count for plan in self.sites)
        return min(APPS_MAX, self.app_count_max + 1) if self.php is not None else 0


def place_workers(config: Config, host: Host | None = None) -> tuple[int | None, ...]:
    """A core for each worker; more workers than cores share them round robin."""
    cpus = machine.usable_cpus(host or open_host())
    count = config.server.workers or len(cpus)
    return tuple(cpus[i % len(cpus)] if config.server.pin else None for i in range(count))


def find_worker_script(config: Config, application: Application) -> Path | None:
    """The configured script, absolute; relative ones are looked for below the application."""
    if not config.php.worker_script:
        return None
    given = Path(config.php.worker_script)
    for candidate in (given if given.is_absolute() else application.path / given, given.absolute()):
        if candidate.is_file():
            return candidate.resolve()  # the release's, as the document root is
    hint = "askrctl serve PATH --worker-script public/worker.php"
    what = f"the worker script {given} does not exist"
    raise AskrError(what, hint, code=2, key="php.worker_script")


def check_php(config: Config, folder: Path) -> None:
    """What would be passed over in silence: PHP starts without a php.ini that is not there."""
    least, most = config.php.processes, config.php.processes_max
    if 0 < most < least:
        what = f"processes_max ({most}) is less than processes ({least})"
        hint = f"processes_max = {least}, or 0: never more than that"
        raise AskrError(what, hint, code=2, key="php.processes_max")
    file = folder / config.php.php_ini
    if not file.exists():
        hint = f"ls -l {file.parent}"
        raise AskrError(f"{file} does not exist", hint, code=2, key="php.php_ini")


def zygote_command(plan: Plan, control_fd: int) -> list[str]:
    """argv of the zygote."""
    assert plan.php is not None
    config = plan.config
    settings = {
        "mode": plan.mode,
        "document_root": str(plan.application.root),
        "sapi_name": config.php.sapi_name,
        "request_timeout_ms": str(round(config.timeouts.request * 1000) + _SOFT_STOP_MS),
    }
    if plan.worker_script is not None:
        settings["script"] = str(plan.worker_script)
    if plan.preset.ini:
        settings["ini_defaults"] = "\n".join(plan.preset.lines)
    if plan.inspect is not None:
        settings["inspect"] = str(plan.inspect)
    if config.php.php_ini:
        settings["php_ini"] = str(plan.application.path / config.php.php_ini)
    if config.php.ini:
        settings["ini"] = "\n".join(config.php.ini)
    command = [str(plan.php.zygote), "--control-fd", str(control_fd)]
    command += ["--module", str(plan.php.module), "--preload", str(plan.php.library)]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    return command


def without_secrets(ours: Mapping[str, str]) -> dict[str, str]:
    """The environment without what gives power over the server: its token, and systemd's socket."""
    return {name: value for name, value in ours.items() if name not in _SECRETS}


def zygote_environment(plan: Plan, ours: Mapping[str, str]) -> dict[str, str]:
    """What PHP finds in its environment: ours, and what its framework asks for."""
    return {**(plan.preset.environment or {}), **without_secrets(ours)}


def worker_settings(plan: Plan, index: int, **fds: Any) -> dict[str, Any]:
    """What askrctl.server.worker is told; `fds` are the fields that differ for each worker."""
    config, limits, times = plan.config, plan.config.limits, plan.config.timeouts
    compression = config.compression
    settings = {
        "index": index,
        "count": len(plan.cpus),
        "backend": engine.backend_id(plan.choice.active),
        "sites": [_site_settings(site) for site in plan.each],
        "site_count": len(plan.each),
        "default_site": _default_site(plan),
        "unknown_host": config.server.unknown_host,
        "hold_listeners": 1,  # until the generation has proven itself
        "server_header": config.server.server_header,
        "temp_dir": config.server.temp_dir,
        "head_size_max": limits.head_size,
        "target_size_max": limits.target_size,
        "fields_max": limits.fields,
        "body_size_max": limits.body_size,
        "queue_max": limits.queue,
        "connections_max": limits.connections,
        "connections_per_address": limits.connections_per_address,
        "requests_per_connection": limits.requests_per_connection,
        "rates": [_rate(rule) for rule in limits.rate],
        "rate_count": len(limits.rate),
        "streams_max": limits.streams if config.server.http2 else 0,
        "body_rate_min": limits.body_rate,
        "hsts": config.tls.hsts or None,
        "proxy_timeout_ns": round(times.proxy * _NS),
        "handshake_timeout_ns": round(times.handshake * _NS),
        "head_timeout_ns": round(times.head * _NS),
        "body_timeout_ns": round(times.body * _NS),
        "keepalive_timeout_ns": round(times.keepalive * _NS),
        "write_timeout_ns": round(times.write * _NS),
        "queue_timeout_ns": round(times.queue * _NS),
        "request_timeout_ns": round(times.request * _NS),
        "kill_grace_ns": round((config.php.kill_grace + _SOFT_STOP_MS / 1000) * _NS),
        "drain_timeout_ns": round(times.drain * _NS),
        "log_template": template(config.log)[0],
        "log_json": int(template(config.log)[1]),
        "encodings": " ".join(compression.encodings) if compression.enabled else None,
        "encoding_types": " ".join(compression.types),
        "encoding_size_min": compression.min_size,
        "health_path": config.server.health_path,
        **_websocket_settings(config.websocket),
        "trusted_proxies": " ".join(config.server.trusted_proxies),
        "forwarded": FORWARDED.index(config.server.forwarded)
        if config.server.trusted_proxies
        else 0,
        "server_timing": ("off", "on", "trusted").index(config.log.server_timing),
        "route_patterns": " ".join(config.routes.patterns),
        "route_segments": config.routes.segments,
        "trace_accept": TRACE_ACCEPT.index(config.trace.accept),
        "trace_parent_based": int(config.trace.parent_based),
        "trace_bound": min(_U64_MAX, round(config.trace.ratio * (1 << 64))),
        "spin_ns": 0 if plan.php is not None else _SPIN_STATIC_NS,
        **fds,
    }
    credentials = asdict(plan.credentials) if plan.credentials is not None else None
    return {"cpu": plan.cpus[index], "credentials": credentials, "engine": settings}


def _rate(rule: RateLimit) -> dict[str, Any]:
    """struct askr_rate."""
    kind, _, name = rule.key.partition(":")
    count, period_s = parse_rate(rule.rate)
    return {
        "name": rule.name,
        "path": rule.path,
        "key": RATE_KEYS.index(kind),
        "key_name": name,
        "count": count,
        "period_s": period_s,
        "burst": rule.burst,
    }


def _websocket_settings(websocket: WebsocketConfig) -> dict[str, Any]:
    return {
        "websocket_echo": websocket.echo or None,
        "websocket_message_max": websocket.message_size,
        "websocket_frame_max": websocket.frame_size,
        "websocket_memory_max": websocket.memory,
        "websocket_ping_ns": round(websocket.ping * _NS),
        "websocket_pong_ns": round(websocket.pong * _NS),
        "websocket_close_ns": round(websocket.close * _NS),
        "websocket_idle_ns": round(websocket.idle * _NS),
        "websocket_bits": 0 if websocket.deflate == "off" else websocket.window_bits,
        "websocket_forget": int(websocket.deflate == "stateless"),
    }


def _site_settings(plan: Plan) -> dict[str, Any]:
    """The fields of struct askr_site_config."""
    config, application = plan.config, plan.application
    hosts = plan.site.hosts if plan.site is not None else ()
    return {
        "name": plan.site_name,
        "hosts": host_names(hosts),
        "host_count": len(hosts),
        "root": str(application.root),
        "front": _front(plan),
        "worker_script": str(plan.worker_script) if plan.worker_script else None,
        "index_files": list(config.static.index[:_INDEX_MAX]),
        "application": str(application.path),
        "symlinks": SYMLINK_POLICIES.index(config.static.symlinks),
        "precompressed": int(config.static.precompressed),
        "scripts": int(plan.php is not None),
        "no_scripts": list(config.php.no_scripts),
        "app_count": plan.place_count,
        **rule_settings(config.header, config.redirect),
        **sendfile_settings(config.sendfile, application.path),
    }


def _default_site(plan: Plan) -> int:
    """The index of the site for hosts that none has; -1: there is none."""
    chosen = (site.site_index for site in plan.sites if site.site and site.site.default)
    return next(chosen, -1)


def _front(plan: Plan) -> str | None:
    if plan.worker_script is not None and not plan.application.front:
        return "index.php"  # a name for SCRIPT_NAME; the worker script answers
    return plan.application.front or None
