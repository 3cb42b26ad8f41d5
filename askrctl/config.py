# SPDX-License-Identifier: MIT
"""Configuration: askr.toml < environment < flags. Every default and limit is named here, once.

A key that is not known, or a value that is not of its kind, is an error that names the file and the
key: a setting that is silently ignored is found in production, by its absence.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from askrctl.model import AskrError, Backend

KIB = 1024
MIB = 1024 * KIB
WORKERS_MAX = 128  # half of the status pages: two generations live side by side during a reload
TOKEN_SIZE_MIN = 16  # characters of admin.token: fewer can be guessed
APPS_MAX = 64  # application processes of one worker, ASKR_APPS_MAX of the engine
SYMLINK_POLICIES = ("beneath", "application", "follow", "never")  # enum askr_symlinks, in its order
FORWARDED = ("off", "x-forwarded", "forwarded")  # enum askr_forwarded, in its order
# What tools and frameworks write while they run.
WATCH_IGNORE = (
    *(".git", ".hg", ".svn", ".idea", "node_modules", "/storage", "/var", "/bootstrap/cache"),
    *("/wp-content/cache", "/wp-content/uploads"),
    *("*.log", "*.sqlite*", "*.db-journal", "*~", ".*.sw?", "4913", ".#*", "#*#"),
)
ENVIRONMENT_PREFIX = "ASKR_"
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    listen: tuple[str, ...] = ("127.0.0.1:8000",)
    workers: int = 0  # 0: one for each usable core
    user: str = ""  # "": the owner of the served path
    group: str = ""
    io_backend: Backend = Backend.AUTO
    server_header: str = "askrctl"  # "": no Server field
    control: str = ""  # "": /run/askr/control.sock or below XDG_RUNTIME_DIR
    temp_dir: str = "/tmp"  # where large bodies and answers wait
    pin: bool = True  # each worker to its core
    http2: bool = True  # by ALPN under TLS, by prior knowledge in clear; beside HTTP/1.1
    # A path that each worker of a new generation has to answer with less than 500 before it takes
    # over from the old one; "": none is asked.
    check: str = ""
    # For development: reload when files below PATH change. "auto": by inotify, by looking at all
    # files where that does not work; "poll": by looking, for folders the kernel does not watch.
    watch: str = "off"
    # Changes that are none: names at any depth, or paths below PATH when there is a slash.
    watch_ignore: tuple[str, ...] = WATCH_IGNORE
    health_path: str = ""  # answered 200 by the engine while it can serve, else 503; "": none
    trusted_proxies: tuple[str, ...] = ()  # networks that are believed, or "unix": docs/proxy.md
    # Which fields of theirs say who the client is: "x-forwarded" (-For, -Proto, -Host, -Port),
    # "forwarded" (RFC 7239) or "off". One kind: a proxy passes the other on as clients send it.
    forwarded: str = "x-forwarded"


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    head_size: int = 16 * KIB  # bytes; more is 431
    target_size: int = 8 * KIB  # bytes; RFC 9112 section 3 asks for 8000; more is 414
    fields: int = 100  # more is 431
    body_size: int = 64 * MIB  # bytes; more is 413
    queue: int = 1024  # requests of one worker waiting for an application; more is 503
    connections: int = 16384  # of one worker; more wait in the kernel's backlog
    body_rate: int = 240  # bytes per second that a body, or a reader, must keep up with
    # Requests of one HTTP/2 connection at a time; more are refused, to be asked again. RFC 9113
    # section 6.5.2 wants at least 100; each costs up to 4 KiB while it is served.
    streams: int = 100


@dataclass(frozen=True, slots=True)
class TimeoutsConfig:
    """Seconds."""

    proxy: float = 5.0  # for the head of the PROXY protocol, from the connect
    handshake: float = 10.0  # of TLS, from the connect
    head: float = 15.0  # from the first byte, or the connect, to the end of the head
    body: float = 30.0  # a period in which a body must make progress
    keepalive: float = 75.0
    write: float = 60.0  # a period in which the client must take something
    queue: float = 30.0  # in the queue; then 503
    request: float = 60.0  # in the application; then 504, and the script is stopped
    drain: float = 30.0  # for what runs at a stop or a reload
    boot: float = 30.0  # for a new generation to be ready


@dataclass(frozen=True, slots=True)
class PhpConfig:
    worker_script: str = ""  # "": classic mode
    processes: int = 4  # of each worker, always
    processes_max: int = 0  # of each worker, while requests wait; 0: never more than `processes`
    grow_after: float = 0.1  # seconds a request waits before another process is started
    idle_ttl: float = 60.0  # seconds without a request until one beyond `processes` leaves
    library: str = ""  # "": the libphp that askr_php.so was built for
    php_ini: str = ""
    ini: tuple[str, ...] = ()  # further lines, as in php.ini
    sapi_name: str = "frankenphp"
    # When a process is replaced, between two requests and by one that is ready; 0: never.
    max_requests: int = 0
    max_age: float = 0.0  # seconds
    max_rss: int = 0  # bytes, shared memory included
    max_pss: int = 0  # bytes, with its share of shared memory; a look costs a millisecond
    memory_samples: int = 3  # seconds in a row above max_rss or max_pss
    max_leak: int = 0  # bytes that it grows per request, over the last half minute
    # Seconds a script that was stopped at timeouts.request gets to end; then its process is killed.
    kill_grace: float = 5.0
    slow: float = 5.0  # seconds after which a request is noted in the slow log; 0: none is
    slowlog: str = ""  # a file for the slow log, one JSON object a line; "": memory only


@dataclass(frozen=True, slots=True)
class StaticConfig:
    index: tuple[str, ...] = ("index.php", "index.html")
    precompressed: bool = True  # serve x.br, x.zst and x.gz beside x
    # Where a symlink in the document root may lead: "application": anywhere beneath the served
    # PATH, as Laravel's storage:link needs; "beneath": not out of the document root; "follow":
    # anywhere; "never": nowhere. Whichever: never to PHP source, dotfiles or backups.
    symlinks: str = "application"


# Media types that get smaller; "type/*" and "*+suffix" are patterns. Pictures, video, WOFF and
# archives are compressed already.
COMPRESSED_TYPES = (
    *("text/*", "application/json", "application/javascript", "application/xml", "*+json", "*+xml"),
    *("application/x-ndjson", "application/graphql", "application/yaml", "application/wasm"),
    *("font/ttf", "font/otf", "application/vnd.ms-fontobject", "image/bmp", "image/x-icon"),
)
ENCODINGS = ("zstd", "br", "gzip")  # enum encoding of the engine knows no others


@dataclass(frozen=True, slots=True)
class CompressionConfig:
    """Of applications' answers. docs/compression.md says when not to."""

    enabled: bool = True
    # In the server's order of preference, which decides between those that a client likes equally:
    # zstd takes less than half of br's processor time, br leaves the least.
    encodings: tuple[str, ...] = ENCODINGS
    min_size: int = 1024  # bytes; below that an answer is one packet either way
    types: tuple[str, ...] = COMPRESSED_TYPES  # never text/event-stream


@dataclass(frozen=True, slots=True)
class Certificate:
    """One [[tls.certificate]]: PEM files."""

    cert: str  # the certificate, then its chain
    key: str = ""  # "": in the same file
    passphrase_file: str = ""  # for a key that is encrypted


@dataclass(frozen=True, slots=True)
class TlsConfig:
    cert: str = ""  # of the first certificate, which unknown names are shown; more in `certificate`
    key: str = ""  # "": in the same file
    certificate: tuple[Certificate, ...] = ()
    self_signed: bool = False  # for development: made at each start
    min_version: str = "1.2"
    client_auth: str = "off"  # "optional": a certificate is verified if there is one; "required"
    client_ca: str = ""  # PEM: authorities of client certificates
    strict_names: bool = False  # refuse names that no certificate has
    hsts: str = ""  # value of Strict-Transport-Security; "": none
    ticket_lifetime: float = 43200.0  # seconds a session can be resumed; keys rotate as often


@dataclass(frozen=True, slots=True)
class LogConfig:
    format: str = "auto"  # of the server's own log: text, or journald's under systemd
    access: str = ""  # a file, or "-" for stdout; "": no access log
    access_format: str = "combined"  # or "json", or a template (docs/observability.md)
    server_timing: str = "off"  # "on"; "trusted": for trusted_proxies


@dataclass(frozen=True, slots=True)
class AdminConfig:
    listen: tuple[str, ...] = ()  # as server.listen, and never the same; (): no admin listener
    token: str = ""  # who may ask over TCP has it: "Authorization: Bearer TOKEN"


@dataclass(frozen=True, slots=True)
class Config:
    server: ServerConfig = field(default_factory=ServerConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    timeouts: TimeoutsConfig = field(default_factory=TimeoutsConfig)
    php: PhpConfig = field(default_factory=PhpConfig)
    static: StaticConfig = field(default_factory=StaticConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)


# --- values ---------------------------------------------------------------------------------------

_SIZE = re.compile(r"(\d{1,15})\s*([kKmMgG]?)(?:i?[bB])?")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m|h)")
_SIZE_UNITS = {"": 1, "k": KIB, "m": MIB, "g": 1024 * MIB}
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(value: object) -> int:
    """Bytes: 65536, "64K", "16M", "1GiB"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a size such as 65536, "64K" or "16M"')
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def parse_seconds(value: object) -> float:
    """Seconds: 30, 0.5, "500ms", "30s", "2m"."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a time such as 30, "500ms" or "2m"')
    return float(match[1]) * _DURATION_UNITS[match[2]]


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a string")
    return value


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _texts(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not items:
        raise ValueError("a string or a list of strings")
    return tuple(_text(item) for item in items)


def _hsts(value: object) -> str:
    text = _text(value)
    if text and not re.fullmatch(r"max-age=\d{1,12}(; ?[A-Za-z]{1,30})*", text):
        raise ValueError('a value such as "max-age=31536000; includeSubDomains"')
    return text


def _certificates(value: object) -> tuple[Certificate, ...]:
    known = [item.name for item in fields(Certificate)]
    example = 'a table such as { cert = "a.pem", key = "a.key" }'
    found = []
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(item, dict) or "cert" not in item:
            raise ValueError(example)
        for key in item:
            if key not in known:
                raise ValueError(f"{example}; {key!r} is unknown, {_suggest(key, known)}")
        found.append(Certificate(**{key: _text(text) for key, text in item.items()}))
    return tuple(found)


def _one_of(*names: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in names:
            raise ValueError(" or ".join(f'"{name}"' for name in names))
        return str(value)

    return parse


def _backend(value: object) -> Backend:
    return Backend(_one_of(*Backend)(value))


def _between(
    parse: Callable[[object], Number], low: Number, high: Number
) -> Callable[[object], Number]:
    def checked(value: object) -> Number:
        number = parse(value)
        if not low <= number <= high:
            raise ValueError(f"between {low} and {high}")
        return number

    return checked


def _encodings(value: object) -> tuple[str, ...]:
    names = _texts(value)
    if len(set(names)) != len(names) or not set(names) <= set(ENCODINGS):
        raise ValueError("a list of " + ", ".join(f'"{name}"' for name in ENCODINGS))
    return names


def _media_types(value: object) -> tuple[str, ...]:
    types = _texts(value)
    word = r"[A-Za-z0-9!#$&^_.+-]+"
    for text in types:
        if not re.fullmatch(rf"{word}/({word}|\*)|\*\+{word}", text):
            raise ValueError('media types such as "text/html", "text/*" or "*+json"')
    return types


def _networks(value: object) -> tuple[str, ...]:
    networks = _texts(value)
    for text in networks:
        if text != "unix":
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise ValueError('networks such as "10.0.0.0/8", "::1" or "unix"') from None
    return networks


def _token(value: object) -> str:
    text = _text(value)
    if text and (len(text) < TOKEN_SIZE_MIN or not re.fullmatch(r"[!-~]+", text)):
        raise ValueError(f"at least {TOKEN_SIZE_MIN} printable characters")
    return text


def url_path(value: object) -> str:
    text = _text(value)
    if text and not re.fullmatch(r"/[!-~]*", text):
        raise ValueError('a path such as "/healthz"')
    return text


ACCESS_VARIABLES = (
    *("remote_addr", "remote_port", "time_iso8601", "time_local", "request", "method", "target"),
    *("protocol", "host", "referer", "user_agent", "request_id", "status", "bytes", "outcome"),
    *("worker", "total", "read", "queue", "app_wall", "app_cpu", "write", "client"),
)


def _access_format(value: object) -> str:
    text = _text(value)
    if text in ("combined", "json"):
        return text
    names = re.findall(r"\$([a-z0-9_]*)", text)
    unknown = [name for name in names if name not in ACCESS_VARIABLES]
    if not names or unknown or "\n" in text:
        raise ValueError(
            '"combined", "json" or a line with variables of: $'
            + " $".join(sorted(ACCESS_VARIABLES))
        )
    return text


_period = _between(parse_seconds, 0.01, 86400.0)

# Kinds of the keys; a key that is missing here is a string.
_KINDS: dict[str, Callable[[object], Any]] = {
    "server.listen": _texts,
    "server.workers": _between(_number, 0, WORKERS_MAX),
    "server.io_backend": _backend,
    "server.pin": _flag,
    "server.http2": _flag,
    "server.watch": _one_of("off", "auto", "poll"),
    "server.watch_ignore": _texts,
    "limits.head_size": _between(parse_size, 256, 32 * KIB),
    "limits.target_size": _between(parse_size, 64, 8 * KIB),
    "limits.fields": _between(_number, 1, 100),
    "limits.body_size": _between(parse_size, 0, 1 << 50),
    "limits.queue": _between(_number, 0, 1 << 20),
    "limits.connections": _between(_number, 1, 1 << 20),
    "limits.body_rate": _between(_number, 0, 1 << 30),
    "limits.streams": _between(_number, 1, 1000),
    **{f"timeouts.{item.name}": _period for item in fields(TimeoutsConfig)},
    "php.processes": _between(_number, 1, APPS_MAX),
    "php.ini": _texts,
    "php.processes_max": _between(_number, 0, APPS_MAX),
    "php.grow_after": _between(parse_seconds, 0.0, 3600.0),
    "php.idle_ttl": _between(parse_seconds, 0.1, 86400.0),
    "php.max_requests": _between(_number, 0, 1 << 31),
    "php.max_age": _between(parse_seconds, 0.0, 10.0**8),
    "php.max_rss": _between(parse_size, 0, 1 << 50),
    "php.max_pss": _between(parse_size, 0, 1 << 50),
    "php.memory_samples": _between(_number, 1, 30),
    "php.max_leak": _between(parse_size, 0, 1 << 30),
    "php.kill_grace": _between(parse_seconds, 0.0, 3600.0),
    "php.slow": _between(parse_seconds, 0.0, 86400.0),
    "tls.certificate": _certificates,
    "tls.self_signed": _flag,
    "tls.min_version": _one_of("1.2", "1.3"),
    "tls.client_auth": _one_of("off", "optional", "required"),
    "tls.strict_names": _flag,
    "tls.hsts": _hsts,
    "tls.ticket_lifetime": _between(parse_seconds, 60.0, 86400.0),
    "static.index": _texts,
    "static.precompressed": _flag,
    "static.symlinks": _one_of(*SYMLINK_POLICIES),
    "compression.enabled": _flag,
    "compression.encodings": _encodings,
    "compression.min_size": _between(parse_size, 1, 1 << 30),
    "compression.types": _media_types,
    "server.trusted_proxies": _networks,
    "server.forwarded": _one_of(*FORWARDED),
    "admin.listen": _texts,
    "admin.token": _token,
    "server.health_path": url_path,
    "server.check": url_path,
    "log.format": _one_of("auto", "text", "logfmt", "json", "journald"),
    "log.server_timing": _one_of("off", "on", "trusted"),
    "log.access_format": _access_format,
}


# --- files, environment, flags --------------------------------------------------------------------


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "known ones: " + ", ".join(sorted(known))


def _line_of(text: str, section: str, key: str | None) -> str:
    """Where the key stands, as far as a line-wise look can tell."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped.strip("[] ")
            if key is None and inside == section:
                return f", line {number}"
        elif (
            key is not None
            and inside == section
            and re.match(rf'"?{re.escape(key)}"?\s*=', stripped)
        ):
            return f", line {number}"
    return ""


def _apply(config: Config, section: str, key: str, value: object, where: str) -> Config:
    part = getattr(config, section)
    parse = _KINDS.get(f"{section}.{key}", _text)
    try:
        parsed = parse(value)
    except ValueError as error:
        raise AskrError(
            f"{where}: {section}.{key} must be {error}, not {value!r}", code=2
        ) from None
    changed: Config = replace(config, **{section: replace(part, **{key: parsed})})
    return changed


def _apply_table(config: Config, section: str, table: object, path: Path, text: str) -> Config:
    sections = [item.name for item in fields(Config)]
    if section not in sections:
        where = f"{path}{_line_of(text, section, None)}"
        raise AskrError(
            f"{where}: unknown section [{section}]", _suggest(section, sections), code=2
        )
    if not isinstance(table, dict):
        raise AskrError(f"{path}: {section} must be a table: [{section}]", code=2)
    keys = [item.name for item in fields(getattr(config, section))]
    for key, value in table.items():
        where = f"{path}{_line_of(text, section, key)}"
        if key not in keys:
            raise AskrError(f"{where}: unknown key {section}.{key}", _suggest(key, keys), code=2)
        config = _apply(config, section, key, value, where)
    return config


def _last_line(text: str) -> int:
    return len(text.rstrip().splitlines())


def read_text(text: str, path: Path, config: Config | None = None) -> Config:
    """Parse the text of an askr.toml; `path` is for messages."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # tomllib names the line of every fault but one.
        what = str(error).replace("at end of document", f"at the end, line {_last_line(text)}")
        raise AskrError(
            f"{path} is not valid TOML: {what}", "askrctl serve --help", code=2
        ) from None
    config = config or Config()
    for section, table in tables.items():
        config = _apply_table(config, section, table, path, text)
    return config


def read_file(path: Path) -> Config:
    """Parse an askr.toml."""
    try:
        return read_text(path.read_bytes().decode(), path)
    except UnicodeDecodeError as error:
        raise AskrError(f"{path} is not valid UTF-8 at byte {error.start}", code=2) from None
    except OSError as error:
        raise AskrError(
            f"{path} cannot be read: {error.strerror}", f"ls -l {path}", code=2
        ) from None


def with_environment(config: Config, environment: Mapping[str, str]) -> Config:
    """ASKR_SERVER_WORKERS=2 and the like. Lists are separated by spaces."""
    for section in fields(Config):
        for key in fields(getattr(config, section.name)):
            name = f"{ENVIRONMENT_PREFIX}{section.name}_{key.name}".upper()
            if name in environment:
                value = _from_text(
                    environment[name], getattr(getattr(config, section.name), key.name)
                )
                config = _apply(config, section.name, key.name, value, f"environment, {name}")
    return config


def _from_text(text: str, like: object) -> object:
    """A value of the environment, as TOML would have given it."""
    if isinstance(like, tuple):
        return text.split()
    if isinstance(like, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if isinstance(like, int) and re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if isinstance(like, float) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    return text


def with_flags(config: Config, flags: Mapping[str, object]) -> Config:
    """`flags` maps "section.key" to a value; None and empty lists were not given."""
    for name, value in flags.items():
        if value is None or value == [] or value == ():
            continue
        section, key = name.split(".")
        flag = f"tls-{key}" if section == "tls" else key
        config = _apply(config, section, key, value, f"--{flag.replace('_', '-')}")
    return config


def load(path: Path | None, flags: Mapping[str, object]) -> Config:
    """The configuration that counts."""
    config = read_file(path) if path is not None else Config()
    return with_flags(with_environment(config, os.environ), flags)


# --- where the record of a bench lies -------------------------------------------------------------


def bench_record_path() -> Path:
    """Where `askrctl bench --gate` leaves its verdict for `auto`; its format is gate.py's."""
    named = os.environ.get("ASKR_BENCH_RECORD")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/askr/bench.json")
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(state) / "askr/bench.json"
