# SPDX-License-Identifier: MIT
"""Other servers for the same application: nginx + php-fpm, Apache, FrankenPHP, RoadRunner, Octane.

Same files, same number of PHP processes, logs off. A peer that is not installed, or that cannot run
this application, is reported as that and never estimated. Each configuration lies in the temporary
folder, so nothing on the machine is read but the peer's own modules and PHP's ini files.
"""

import os
import pwd
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from askrctl.bench import answers
from askrctl.bench.contenders import Contender, Site

NGINX_FPM = "nginx + php-fpm"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_APACHE_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules")


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer without figures. `state`: not installed, not applicable, or failed."""

    name: str
    state: str
    reason: str


Peer = Contender | Missing

_NGINX = """\
{user}
worker_processes 1;
error_log {own}/nginx.err warn;
pid {own}/nginx.pid;
daemon off;
events {{ worker_connections 8192; use epoll; }}
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
_FPM = """\
[global]
daemonize = no
error_log = {own}/fpm.err
[www]
{user}
listen = {own}/fpm.sock
listen.mode = 0666
listen.backlog = 4096
pm = static
pm.max_children = {processes}
clear_env = no
"""
_APACHE = """\
ServerRoot {own}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {own}/apache.pid
Mutex pthread
ErrorLog {own}/apache.err
LogLevel warn
{modules}
{user}
<IfModule mpm_event_module>
  StartServers 1
  ServerLimit 1
  ThreadsPerChild 64
  MaxRequestWorkers 64
  MaxConnectionsPerChild 0
</IfModule>
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 3600
DocumentRoot {root}
DirectoryIndex index.php index.html
<Directory {root}>
  Require all granted
  AllowOverride None
  {fallback}
</Directory>
<FilesMatch \\.php$>
  SetHandler "proxy:unix:{own}/fpm.sock|fcgi://localhost"
</FilesMatch>
"""


def find(name: str) -> str | None:
    """A program in PATH or among those of root."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SBIN)))


def find_fpm() -> str | None:
    """php-fpm or php-fpm8.2, wherever the distribution has it; the newest one."""
    folders = (*_SBIN, *os.environ.get("PATH", "").split(os.pathsep))
    found = [path for folder in folders for path in Path(folder).glob("php-fpm*")]
    return str(max(found, key=lambda path: path.name)) if found else None


def _owner(path: Path) -> str:
    """Whom a server started by root becomes: the owner of the served path, as serve does."""
    return pwd.getpwuid(path.stat().st_uid).pw_name


def _folder(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir()
    own.chmod(0o755)  # its workers are another user
    return own


def _fpm_command(site: Site, own: Path) -> list[str]:
    """php-fpm on a socket in `own`; by root it runs as the owner of the application."""
    fpm = find_fpm()
    assert fpm is not None
    root = os.geteuid() == 0
    user = _owner(site.path)
    lines = f"user = {user}\ngroup = {user}" if root else ""
    (own / "fpm.conf").write_text(_FPM.format(own=own, user=lines, processes=site.processes))
    command = [fpm, "-F", "-y", str(own / "fpm.conf")]
    return [*command, "-R"] if root and user == "root" else command


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
    program = find("nginx")
    if program is None:
        return Missing(name, "not installed", "no nginx in PATH or /usr/sbin")
    if site.php and find_fpm() is None:
        return Missing(name, "not installed", "no php-fpm in PATH or /usr/sbin")
    own = _folder(folder, "nginx")
    port = answers.free_port()
    user = f"user {_owner(site.path)};" if os.geteuid() == 0 else ""
    locations = _nginx_locations(site, own)
    text = _NGINX.format(own=own, port=port, root=site.root, user=user, locations=locations)
    (own / "nginx.conf").write_text(text)
    commands = [_fpm_command(site, own)] if site.php else []
    # -e: or the compiled-in log of the machine would be opened before the configuration is read.
    commands += [[program, "-e", str(own / "nginx.err"), "-c", str(own / "nginx.conf")]]
    return Contender(name, commands, f"http://127.0.0.1:{port}{target}", own)


def _apache_modules(site: Site) -> str | None:
    folder = next((Path(name) for name in _APACHE_MODULES if Path(name).is_dir()), None)
    if folder is None:
        return None
    names = ["mpm_event", "authz_core", "dir", "mime", "unixd"]
    names += ["proxy", "proxy_fcgi"] if site.php else []
    there = [name for name in names if (folder / f"mod_{name}.so").is_file()]
    return "\n".join(f"LoadModule {name}_module {folder}/mod_{name}.so" for name in there)


def apache(site: Site, target: str, folder: Path) -> Peer:
    """Apache with the event MPM; php-fpm behind it for PHP."""
    name = "Apache + php-fpm" if site.php else "Apache"
    program = find("apache2") or find("httpd")
    if program is None:
        return Missing(name, "not installed", "no apache2 or httpd in PATH or /usr/sbin")
    if site.php and find_fpm() is None:
        return Missing(name, "not installed", "no php-fpm in PATH or /usr/sbin")
    modules = _apache_modules(site)
    if modules is None:
        return Missing(name, "failed", f"no modules in {' or '.join(_APACHE_MODULES)}")
    own = _folder(folder, "apache")
    port = answers.free_port()
    user = _owner(site.path)
    if user == "root":
        user = "www-data"  # Apache refuses to run as root
    (own / "apache.conf").write_text(
        _APACHE.format(
            own=own,
            port=port,
            root=site.root,
            modules=modules,
            user=f"User {user}\nGroup {user}" if os.geteuid() == 0 else "",
            fallback=f"FallbackResource /{site.front}" if site.front else "",
        )
    )
    commands = [_fpm_command(site, own)] if site.php else []
    commands += [[program, "-DFOREGROUND", "-f", str(own / "apache.conf")]]
    return Contender(name, commands, f"http://127.0.0.1:{port}{target}", own)


def frankenphp(site: Site, target: str, folder: Path) -> Peer:
    """Worker mode when the application has a worker script, else classic."""
    mode = "worker" if site.worker_script else "classic"
    name = f"FrankenPHP {mode}"
    program = find("frankenphp")
    if program is None:
        return Missing(name, "not installed", "no frankenphp in PATH")
    if not site.php:
        return Missing(name, "not applicable", "the application has no PHP")
    own = _folder(folder, "frankenphp")
    port = answers.free_port()
    command = [program, "php-server", "--root", str(site.root), "--listen", f"127.0.0.1:{port}"]
    if site.worker_script:
        command += ["--worker", f"{site.worker_script},{site.processes}"]
    return Contender(name, [command], f"http://127.0.0.1:{port}{target}", own)


def roadrunner(site: Site, target: str, folder: Path) -> Peer:
    """With the application's own .rr.yaml: its PSR-7 worker is part of the application."""
    program = find("rr")
    if program is None:
        return Missing("RoadRunner", "not installed", "no rr in PATH")
    settings = site.path / ".rr.yaml"
    if not settings.is_file():
        return Missing("RoadRunner", "not applicable", "the application has no .rr.yaml")
    own = _folder(folder, "roadrunner")
    port = answers.free_port()
    command = [program, "serve", "-c", str(settings), "-w", str(site.path)]
    command += ["-o", f"http.address=127.0.0.1:{port}"]
    command += ["-o", f"http.pool.num_workers={site.processes}"]
    return Contender("RoadRunner", [command], f"http://127.0.0.1:{port}{target}", own)


def octane(site: Site, target: str, folder: Path) -> Peer:
    """Laravel Octane on Swoole, where the application has it."""
    name = "Octane on Swoole"
    php = find("php")
    if php is None:
        return Missing(name, "not installed", "no php in PATH")
    artisan = site.path / "artisan"
    if not artisan.is_file():
        return Missing(name, "not applicable", "the application is not Laravel")
    if not (site.path / "vendor/laravel/octane").is_dir():
        return Missing(name, "not installed", "laravel/octane is not among the dependencies")
    own = _folder(folder, "octane")
    port = answers.free_port()
    command = [php, str(artisan), "octane:start", "--server=swoole", "--host=127.0.0.1"]
    command += [f"--port={port}", f"--workers={site.processes}"]
    return Contender(name, [command], f"http://127.0.0.1:{port}{target}", own)


FINDERS: tuple[Callable[[Site, str, Path], Peer], ...] = (
    nginx,
    apache,
    frankenphp,
    roadrunner,
    octane,
)


def find_all(site: Site, target: str, folder: Path) -> list[Peer]:
    """Every peer, ready to be started or with the reason why not."""
    return [finder(site, target, folder) for finder in FINDERS]
