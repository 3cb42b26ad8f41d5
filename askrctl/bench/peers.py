# SPDX-License-Identifier: MIT
"""Other servers for the same application: nginx + php-fpm, Apache, FrankenPHP, RoadRunner, Octane.

Same files, same number of PHP processes, logs off. A peer that is not installed, or that cannot run
this application, is reported as that and never estimated. Each configuration lies in the temporary
folder, so nothing on the machine is read but the peer's own modules and PHP's ini files.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from askrctl.bench import answers, installed
from askrctl.bench.apache import apache, mod_php
from askrctl.bench.contenders import Contender, Site
from askrctl.bench.generators import version_of
from askrctl.bench.installed import Missing, Peer
from askrctl.bench.runtimes import frankenphp, octane, roadrunner

NGINX_FPM = "nginx + php-fpm"
CONNECTIONS_MIN = 8192  # that nginx has room for
# What PHP_SAPI says differs by definition: pages that show it are compared without it.
SAPIS = r"\b(?:apache2handler|cgi-fcgi|cli-server|cli|fpm-fcgi|frankenphp)\b"

_NGINX = """\
{user}
worker_processes 1;
error_log {own}/nginx.err warn;
pid {own}/nginx.pid;
daemon off;
events {{ worker_connections {connections}; use epoll; }}
http {{
  types {{ text/html html; text/css css; text/plain txt; image/svg+xml svg; }}
  default_type application/octet-stream;
  access_log off;
  keepalive_timeout 3600s;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nodelay on;
  open_file_cache max=1000 inactive=60s;
  client_body_temp_path {own}/body;
  proxy_temp_path {own}/proxy;
  fastcgi_temp_path {own}/fastcgi;
  uwsgi_temp_path {own}/uwsgi;
  scgi_temp_path {own}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {root};
    index index.php index.html;
    {locations}
  }}
}}
"""
_NGINX_FRONT = "location / {{ try_files $uri $uri/ /{front}$is_args$args; }}"
_NGINX_PHP = """location ~ \\.php$ {{
      include {parameters};
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_pass unix:{own}/fpm.sock;
    }}"""
# What /etc/nginx/fastcgi_params has, for installations that do not have it.
_FASTCGI = """\
fastcgi_param QUERY_STRING $query_string;
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type;
fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param SCRIPT_NAME $fastcgi_script_name;
fastcgi_param REQUEST_URI $request_uri;
fastcgi_param DOCUMENT_URI $document_uri;
fastcgi_param DOCUMENT_ROOT $document_root;
fastcgi_param SERVER_PROTOCOL $server_protocol;
fastcgi_param REQUEST_SCHEME $scheme;
fastcgi_param GATEWAY_INTERFACE CGI/1.1;
fastcgi_param SERVER_SOFTWARE nginx;
fastcgi_param REMOTE_ADDR $remote_addr;
fastcgi_param REMOTE_PORT $remote_port;
fastcgi_param SERVER_ADDR $server_addr;
fastcgi_param SERVER_PORT $server_port;
fastcgi_param SERVER_NAME $server_name;
fastcgi_param REDIRECT_STATUS 200;
"""


def _nginx_locations(site: Site, own: Path) -> str:
    if not site.php:
        return ""
    parameters = Path("/etc/nginx/fastcgi_params")
    if not parameters.is_file():
        parameters = own / "fastcgi_params"
        parameters.write_text(_FASTCGI)
    php = _NGINX_PHP.format(parameters=parameters, own=own)
    return f"{_NGINX_FRONT.format(front=site.front)}\n    {php}" if site.front else php


def nginx(site: Site, target: str, folder: Path) -> Peer:
    """nginx for files; with php-fpm when the site has PHP."""
    name = NGINX_FPM if site.php else "nginx"
    program = installed.find("nginx")
    if program is None:
        return Missing(name, "not installed", "no nginx in PATH or /usr/sbin")
    if site.php and installed.find_fpm() is None:
        return Missing(name, "not installed", "no php-fpm in PATH or /usr/sbin")
    own = installed.make_folder(folder, "nginx")
    port = answers.free_port()
    user = f"user {installed.owner(site.path)};" if os.geteuid() == 0 else ""
    text = _NGINX.format(
        own=own,
        port=port,
        root=site.root,
        user=user,
        locations=_nginx_locations(site, own),
        connections=max(CONNECTIONS_MIN, 2 * site.connections),
    )
    (own / "nginx.conf").write_text(text)
    commands = [installed.fpm_command(site, own)] if site.php else []
    # -e: or the compiled-in log of the machine would be opened before the configuration is read.
    commands += [[program, "-e", str(own / "nginx.err"), "-c", str(own / "nginx.conf")]]
    url = f"http://127.0.0.1:{port}{target}"
    return Contender(name, commands, url, own, mode=installed.mode_of(site))


FINDERS: tuple[Callable[[Site, str, Path], Peer], ...] = (
    nginx,
    apache,
    mod_php,
    frankenphp,
    roadrunner,
    octane,
)


def find_all(site: Site, target: str, folder: Path) -> list[Peer]:
    """Every peer, ready to be started or with the reason why not."""
    return [finder(site, target, folder) for finder in FINDERS]


def versions() -> dict[str, str]:
    """Of PHP and the peers that are installed."""
    known = {
        "PHP": (installed.find("php"), "-v"),
        "nginx": (installed.find("nginx"), "-v"),
        "php-fpm": (installed.find_fpm(), "-v"),
        "Apache": (installed.find("apache2") or installed.find("httpd"), "-v"),
        "FrankenPHP": (installed.find("frankenphp"), "version"),
        "RoadRunner": (installed.find("rr"), "--version"),
    }
    found = {name: version_of(path, [word]) for name, (path, word) in known.items() if path}
    return {name: version for name, version in found.items() if version}


def count(site: Site) -> int:
    """How many there are to be measured."""
    with tempfile.TemporaryDirectory(prefix="askr-bench-") as name:
        found = find_all(site, "/", Path(name))
    return sum(isinstance(peer, Contender) for peer in found)
