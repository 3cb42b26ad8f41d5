# SPDX-License-Identifier: MIT
"""The servers that bench/hello compares, each with its configuration in a temporary folder.

Same files, same PHP, the same number of PHP processes for all; logs off for all.
"""

import os
import shutil
import sys
from pathlib import Path

from measure import Contender, free_port

ASKRCTL = str(Path(sys.executable).parent / "askrctl")
TEXT = b"Hello, world!"
BACKENDS = ("io_uring", "epoll")

CLASSIC = "<?php echo 'Hello, world!';\n"
WORKER = """<?php
$hello = static function (): void {
    echo 'Hello, world!';
};
while (frankenphp_handle_request($hello)) {
}
"""

NGINX = """
worker_processes 1;
error_log {folder}/nginx.err warn;
pid {folder}/nginx.pid;
daemon off;
events {{ worker_connections 8192; use epoll; }}
http {{
  default_type text/plain;
  access_log off;
  keepalive_timeout 3600s;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nodelay on;
  open_file_cache max=1000 inactive=60s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {root};
    location ~ \\.php$ {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_pass unix:{folder}/fpm.sock;
    }}
  }}
}}
"""
FPM = """
[global]
daemonize = no
error_log = {folder}/fpm.err
[www]
{user}
listen = {folder}/fpm.sock
listen.mode = 0666
listen.backlog = 4096
pm = static
pm.max_children = {processes}
"""


def make_sites(folder: Path) -> None:
    """A static folder, and a PHP one for both modes."""
    for site in ("static", "php"):
        (folder / site).mkdir()
    (folder / "static/hello.txt").write_bytes(TEXT)
    (folder / "php/hello.php").write_text(CLASSIC)
    (folder / "php/worker.php").write_text(WORKER)


def askrctl(folder: Path, kind: str, backend: str, processes: int) -> Contender:
    port = free_port()
    name = f"askrctl {kind}, {backend}"
    site = folder / ("static" if kind == "static" else "php")
    config = folder / f"{kind}-{backend}.toml"
    config.write_text(f"[php]\nprocesses = {processes}\n")
    command = [ASKRCTL, "serve", str(site), "--listen", f"127.0.0.1:{port}", "--workers", "1"]
    command += ["--io-backend", backend, "--config", str(config)]
    command += ["--control", str(folder / f"{kind}-{backend}.sock")]
    if kind == "worker":
        command += ["--worker-script", str(site / "worker.php")]
    path = {"static": "/hello.txt", "classic": "/hello.php", "worker": "/"}[kind]
    return Contender(name, [command], f"http://127.0.0.1:{port}{path}", TEXT)


def nginx(folder: Path, site: str, path: str, name: str) -> Contender:
    port = free_port()
    own = folder / f"nginx-{site}"
    own.mkdir()
    own.chmod(0o755)
    configuration = NGINX.format(folder=own, port=port, root=folder / site)
    (own / "nginx.conf").write_text(configuration)
    command = ["nginx", "-c", str(own / "nginx.conf"), "-p", str(own)]
    return Contender(name, [command], f"http://127.0.0.1:{port}{path}", TEXT)


def nginx_fpm(folder: Path, processes: int) -> Contender:
    contender = nginx(folder, "php", "/hello.php", "nginx + php-fpm")
    own = folder / "nginx-php"
    root = os.geteuid() == 0
    user = "user = www-data\ngroup = www-data" if root else ""
    (own / "fpm.conf").write_text(FPM.format(folder=own, user=user, processes=processes))
    contender.commands.insert(0, [find_fpm(), "-F", "-y", str(own / "fpm.conf")])
    return contender


def find_fpm() -> str:
    for folder in ("/usr/sbin", *os.environ["PATH"].split(":")):
        for found in sorted(Path(folder).glob("php-fpm*")):
            return str(found)
    raise SystemExit("no php-fpm here: ./dev bench installs it")


def all_contenders(folder: Path, processes: int) -> dict[str, list[Contender]]:
    """By the work that they do; the first of a group is what the others are compared with."""
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        raise SystemExit("no nginx here: ./dev bench installs it")
    fpm = nginx_fpm(folder, processes)
    php = [
        askrctl(folder, kind, name, processes)
        for kind in ("classic", "worker")
        for name in BACKENDS
    ]
    return {
        "static file, 13 bytes": [
            nginx(folder, "static", "/hello.txt", "nginx"),
            *(askrctl(folder, "static", name, processes) for name in BACKENDS),
        ],
        "PHP hello": [fpm, *php],
    }
