# SPDX-License-Identifier: MIT
"""What to type for each key: shown behind what is wrong with the value that it has.

A default is its own example, where it says something; the others stand here, as TOML.
"""

import json
import tomllib
from typing import Any

from askrctl.config.schema import Config

_EXAMPLES = {
    "server.listen": '["127.0.0.1:8000"]',
    "server.workers": "4",
    "server.user": '"www-data"',
    "server.group": '"www-data"',
    "server.control": '"/run/askr/control.sock"',
    "server.check": '"/up"',
    "server.keep_previous": '"60s"',
    "server.watch_ignore": '["*.log", "/storage"]',
    "server.health_path": '"/healthz"',
    "server.trusted_proxies": '["10.0.0.0/8"]',
    "limits.rate": '[{ path = "/login", rate = "5/m" }]',
    "limits.connections_per_address": "100",
    "limits.requests_per_connection": "1000",
    "php.worker_script": '"public/worker.php"',
    "php.php_ini": '"/etc/php/php.ini"',
    "php.ini": '["memory_limit=256M"]',
    "php.no_scripts": '["/uploads"]',
    "php.processes_max": "8",
    "php.max_requests": "1000",
    "php.max_age": '"1h"',
    "php.max_rss": '"512M"',
    "php.max_pss": '"512M"',
    "php.max_leak": '"64K"',
    "php.slowlog": '"/var/log/askr/slow.json"',
    "php.library": '"/usr/lib/libphp8.2.so"',
    "static.index": '["index.html"]',
    "compression.types": '["text/*", "application/json"]',
    "websocket.echo": '"/echo"',
    "websocket.idle": '"10m"',
    "tls.cert": '"/etc/askr/fullchain.pem"',
    "tls.key": '"/etc/askr/key.pem"',
    "tls.certificate": '[{ cert = "/etc/askr/fullchain.pem", key = "/etc/askr/key.pem" }]',
    "tls.client_ca": '"/etc/askr/clients.pem"',
    "tls.hsts": '"max-age=31536000"',
    "log.access": '"/var/log/askr/access.log"',
    "routes.patterns": '["/users/:name", "/files/*"]',
    "admin.listen": '["unix:/run/askr/admin.sock"]',
    "admin.token": '"0123456789abcdef0123456789abcdef"',
    "trace.endpoint": '"http://127.0.0.1:4318/v1/traces"',
    "trace.service_name": '"shop"',
    "trace.headers": '["name=value"]',
    "sendfile.roots": '["/srv/files"]',
    "sendfile.internal": '{ "/protected/" = "/srv/files" }',
    # Tables of lists.
    "warmup.path": '"/"',
    "warmup.method": '"GET"',
    "warmup.host": '"shop.example"',
    "warmup.headers": '{ Accept-Language = "de" }',
    "warmup.status": "[200, 302]",
    "warmup.required": "false",
    "limits.rate.rate": '"5/m"',
    "limits.rate.path": '"/login"',
    "limits.rate.key": '"address"',
    "limits.rate.burst": "10",
    "limits.rate.name": '"login"',
    "tls.certificate.cert": '"/etc/askr/fullchain.pem"',
    "tls.certificate.key": '"/etc/askr/key.pem"',
    "tls.certificate.passphrase_file": '"/etc/askr/passphrase"',
    "header.path": '["*.css", "*.js"]',
    "header.set": '{ Cache-Control = "max-age=3600" }',
    "header.add": '{ Link = "</app.css>; rel=preload" }',
    "header.remove": '["X-Powered-By"]',
    "header.answers": '"files"',
    "redirect.from": '"/old/*"',
    "redirect.to": '"/new/*"',
    "redirect.status": "301",
    "redirect.hosts": '["example.org"]',
    "site.name": '"shop"',
    "site.hosts": '["example.org"]',
    "site.root": '"/srv/shop"',
    "site.default": "true",
    "site.user": '"shop"',
    "site.group": '"shop"',
}


def _example(name: str) -> str:
    """A value as TOML; "" for what has no example, which is no key."""
    for known in (name, name.removeprefix("site.")):  # [site.php] has the keys of [php]
        if known in _EXAMPLES:
            return _EXAMPLES[known]
        section, _, key = known.partition(".")
        default = getattr(getattr(Config(), section, None), key, None)
        if default is not None:
            return json.dumps(default)
    return ""


def of_file(name: str) -> str:
    """A line of askr.toml, for "section.key"."""
    example = _example(name)
    return f"{name.rpartition('.')[2]} = {example}" if example else ""


def _words(name: str) -> list[str]:
    value: Any = tomllib.loads(f"value = {_example(name)}")["value"]
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def of_environment(name: str, variable: str) -> str:
    """A setting for the environment, which holds no tables."""
    if "{" in _example(name):
        return f"[{name.partition('.')[0]}] {of_file(name)} in askr.toml"
    text = " ".join(_words(name))
    return f'{variable}="{text}"' if " " in text or "*" in text else f"{variable}={text}"


def of_flag(name: str, flag: str) -> str:
    """An option of `askrctl serve`."""
    return f"{flag} {_words(name)[0]}"
