# SPDX-License-Identifier: MIT
"""The keys of askr.toml: every default and limit is named here, once.

A section is a frozen dataclass of the same name. What a value may be is in kinds.py.
"""

from dataclasses import dataclass, field
from typing import Any

from askrctl.model import Backend

KIB = 1024
MIB = 1024 * KIB
WORKERS_MAX = 128  # half of the status pages: two generations live side by side during a reload
TOKEN_SIZE_MIN = 16  # characters of admin.token: fewer can be guessed
ROUTES_MAX = 63  # that have a name: ASKR_ROUTES_MAX of the engine, without "(other)"
ROUTE_NAME_MAX = 55  # characters: ASKR_ROUTE_NAME_SIZE
RATE_FILL_MAX_S = 10**9  # in nanoseconds it still fits the engine's clock
RATES_MAX = 16  # ASKR_RATES_MAX of the engine
NO_SCRIPTS_MAX = 8  # STATIC_NO_SCRIPTS_MAX of the engine
APPS_MAX = 64  # application processes of one worker, for one application
HEADERS_MAX = 32  # [[header]] of a site, those for all sites included: bits of a number
EDITS_MAX = 64  # fields that they may add to an answer, in bytes at most …
EDITS_SIZE_MAX = 4096
REDIRECTS_MAX = 256  # looked at one after the other
PLACES_MAX = 256  # for processes of one worker, of all its sites: ASKR_APPS_MAX of the engine
SITES_MAX = 64  # ASKR_SITES_MAX of the engine
SYMLINK_POLICIES = ("beneath", "application", "follow", "never")  # enum askr_symlinks, in its order
RATE_KEYS = ("address", "header", "cookie")  # enum askr_rate_key, in its order
TRACE_ACCEPT = ("nobody", "all", "trusted")  # enum askr_trace_accept, in its order
FORWARDED = ("off", "x-forwarded", "forwarded")  # enum askr_forwarded, in its order
WARMUPS_MAX = 64  # [[warmup]] requests: each is answered by every process before a reload is done
WARMUP_METHODS = ("GET", "HEAD", "OPTIONS", "POST")
# What tools and frameworks write while they run.
WATCH_IGNORE = (
    *(".git", ".hg", ".svn", ".idea", "node_modules", "/storage", "/var", "/bootstrap/cache"),
    *("/wp-content/cache", "/wp-content/uploads"),
    *("*.log", "*.sqlite*", "*.db-journal", "*~", ".*.sw?", "4913", ".#*", "#*#"),
)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    # "8000" is for this machine alone, ":8000" on all addresses: docs/configuration.md.
    listen: tuple[str, ...] = ("127.0.0.1:8000",)
    workers: int = 0  # 0: one for each core that its affinity and its cgroups allow
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
    # Seconds that the generation before the current one stays warm for `askrctl rollback`; 0: not.
    # It costs the memory of its processes: docs/deploy.md.
    keep_previous: float = 0.0
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
    # With [[site]]: the status for a host that no site has, when none is marked default.
    unknown_host: int = 421


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One [[limits.rate]]: how often a client may ask for `path` and what is below it."""

    rate: str  # "5/m": five come into the client's bucket each minute, one every 12 s
    path: str = "/"
    key: str = "address"  # or "header:NAME", "cookie:NAME": what tells clients apart
    burst: int = 0  # how many the bucket holds; 0: as many as `rate` names
    name: str = ""  # in RateLimit and RateLimit-Policy; "": "rate1", "rate2", …


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    head_size: int = 16 * KIB  # bytes; more is 431
    target_size: int = 8 * KIB  # bytes; RFC 9112 section 3 asks for 8000; more is 414
    fields: int = 100  # more is 431
    body_size: int = 64 * MIB  # bytes; more is 413
    queue: int = 1024  # requests of one worker waiting for an application; more is 503
    # Of one worker; then one that waits for a request goes for each new one: docs/limits.md.
    connections: int = 16384
    # Of one client address (IPv6: /64) with one worker, trusted proxies excepted; 0: any number.
    connections_per_address: int = 0
    requests_per_connection: int = 0  # the last is answered with Connection: close, GOAWAY; 0: any
    body_rate: int = 240  # bytes per second that a body, or a reader, must keep up with
    # Requests of one HTTP/2 connection at a time; more are refused, to be asked again. RFC 9113
    # section 6.5.2 wants at least 100; each costs up to 4 KiB while it is served.
    streams: int = 100
    rate: tuple[RateLimit, ...] = ()  # docs/limits.md
    # Clients that all rate limits together remember, 16 bytes each; then the one that has asked the
    # least is forgotten. Rounded down to a power of two.
    rate_keys: int = 65536


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
    boot: float = 30.0  # for a new generation to be ready, warmed up and checked
    warmup: float = 20.0  # of that, for all [[warmup]] requests


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
    # Defaults of PHP's settings for the framework that is found; php.ini wins. "off": none
    preset: str = "auto"
    sapi_name: str = "frankenphp"
    # Folders of the document root beneath which no .php is run, whoever has put it there: where
    # WordPress, Laravel and Drupal keep what visitors upload. []: everywhere it is.
    no_scripts: tuple[str, ...] = ("/wp-content/uploads", "/storage", "/sites/default/files")
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


WEBSOCKET_DEFLATE = ("off", "stateless", "on")


@dataclass(frozen=True, slots=True)
class WebsocketConfig:
    """docs/websocket.md."""

    # A path that sends each message back: to see whether proxies let WebSockets through; "": none.
    echo: str = ""
    message_size: int = MIB  # bytes of one message, decompressed; more is closed with 1009
    frame_size: int = MIB  # bytes of one frame, as it comes
    memory: int = 256 * MIB  # of one worker: unfinished messages, compression; past it 1013
    ping: float = 30.0  # seconds of silence after which a client is asked for a sign of life
    pong: float = 20.0  # seconds it has for that; then it is cut off
    close: float = 10.0  # seconds a client has to answer our Close, except in a drain
    idle: float = 0.0  # seconds without a message until it is closed with 1001; 0: never
    # permessage-deflate: "on", with what was said before as a dictionary if the client likes;
    # "stateless": each message for itself, which costs less memory; "off".
    deflate: str = "on"
    window_bits: int = 12  # of that dictionary: 4 KiB; 9 to 15


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
class RoutesConfig:
    """How requests are told apart in durations by route: docs/observability.md."""

    # Routes by name: "/users/:name" (any one segment), "/files/*" (all that follows). The first
    # that matches counts.
    patterns: tuple[str, ...] = ()
    # Of the other paths so many segments, ids replaced by ":id"; 0: they are "(other)".
    segments: int = 3


@dataclass(frozen=True, slots=True)
class AdminConfig:
    listen: tuple[str, ...] = ()  # as server.listen, and never the same; (): no admin listener
    token: str = ""  # who may ask over TCP has it: "Authorization: Bearer TOKEN"


@dataclass(frozen=True, slots=True)
class TraceConfig:
    """OpenTelemetry, docs/observability.md. OTEL_* counts where nothing is set."""

    endpoint: str = ""  # OTLP over HTTP: "http://127.0.0.1:4318/v1/traces"; "": no traces
    service_name: str = ""  # "": what OTEL_SERVICE_NAME says, else "askrctl"
    headers: tuple[str, ...] = ()  # "name=value", of each export; secret
    ratio: float = 1.0  # of the traces that begin here, how many are sampled
    # Whose traceparent is believed: "trusted" (server.trusted_proxies), "all", "nobody".
    accept: str = "trusted"
    parent_based: bool = True  # a believed parent says whether its trace is sampled


@dataclass(frozen=True, slots=True)
class Warmup:
    """One [[warmup]]: a request that a new generation answers before it takes over."""

    path: str
    method: str = "GET"
    host: str = "localhost"
    headers: tuple[tuple[str, str], ...] = ()
    status: tuple[int, ...] = ()  # what will do; (): less than 500
    required: bool = True  # else a failure is logged, and the generation takes over


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """One [[header]]: fields of answers to these paths. docs/sites.md."""

    path: tuple[str, ...] = ("*",)
    set: tuple[tuple[str, str], ...] = ()  # in place of the fields of that name
    add: tuple[tuple[str, str], ...] = ()  # beside them
    remove: tuple[str, ...] = ()
    answers: str = "all"  # "ok": below 400; "files": files that the server sends itself


@dataclass(frozen=True, slots=True)
class Redirect:
    """One [[redirect]]."""

    source: str  # `from` in askr.toml
    to: str
    status: int = 302  # a browser keeps a 301 or 308 for ever, also one that was a mistake
    hosts: tuple[str, ...] = ()  # (): all


@dataclass(frozen=True, slots=True)
class SendfileConfig:
    """Files that an application may have the server send: X-Sendfile, X-Accel-Redirect."""

    roots: tuple[str, ...] = ()  # folders that X-Sendfile may name files of
    internal: tuple[tuple[str, str], ...] = ()  # prefix of an X-Accel-Redirect → folder


@dataclass(frozen=True, slots=True)
class Site:
    """One [[site]]. What is not said is as in the sections of the same name."""

    root: str  # the folder of an application or of files, as PATH of `askrctl serve`
    name: str  # of metrics and logs; the first host when it is not said
    hosts: tuple[str, ...] = ()  # "*.example.org": names below it
    default: bool = False  # takes hosts that no site has
    user: str = ""  # of its application processes; "": the owner of root
    group: str = ""
    php: tuple[tuple[str, Any], ...] = ()  # keys of [php] that differ, with their values
    static: tuple[tuple[str, Any], ...] = ()
    sendfile: tuple[tuple[str, Any], ...] = ()
    header: tuple[HeaderRule, ...] = ()
    redirect: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    server: ServerConfig = field(default_factory=ServerConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    timeouts: TimeoutsConfig = field(default_factory=TimeoutsConfig)
    php: PhpConfig = field(default_factory=PhpConfig)
    static: StaticConfig = field(default_factory=StaticConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    websocket: WebsocketConfig = field(default_factory=WebsocketConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    routes: RoutesConfig = field(default_factory=RoutesConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    warmup: tuple[Warmup, ...] = ()
    sendfile: SendfileConfig = field(default_factory=SendfileConfig)
    header: tuple[HeaderRule, ...] = ()
    redirect: tuple[Redirect, ...] = ()
    site: tuple[Site, ...] = ()
