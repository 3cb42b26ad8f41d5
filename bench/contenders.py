# SPDX-License-Identifier: MIT
"""The servers that the benches of this folder compare, each with its files in a temporary folder.

Same files, same PHP, the same number of PHP processes for all; logs off for all. Configurations are
those of `askrctl bench` (askrctl/bench/peers.py).
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from measure import Contender, free_port

from askrctl.bench import apache, contenders, peers
from askrctl.bench.contenders import Site
from askrctl.bench.installed import Missing
from askrctl.model import Backend

TEXT = b"Hello, world!"
LARGE = b"0123456789abcdef" * 640  # 10 KiB
BACKENDS = ("io_uring", "epoll")

CLASSIC = "<?php echo 'Hello, world!';\n"
WORKER = """<?php
$hello = static function (): void {
    echo 'Hello, world!';
};
while (frankenphp_handle_request($hello)) {
}
"""


def make_sites(folder: Path) -> None:
    """A static folder, and a PHP one for both modes."""
    for site in ("static", "php"):
        (folder / site).mkdir()
    (folder / "static/hello.txt").write_bytes(TEXT)
    (folder / "static/large.txt").write_bytes(LARGE)
    (folder / "php/hello.php").write_text(CLASSIC)
    (folder / "php/worker.php").write_text(WORKER)


def site(folder: Path, kind: str, processes: int) -> Site:
    path = folder / ("static" if kind == "static" else "php")
    script = path / "worker.php" if kind == "worker" else None
    php = kind != "static"
    return Site(path, path, php=php, worker_script=script, processes=processes)


def known(contender: contenders.Contender, name: str = "", body: bytes = TEXT) -> Contender:
    """A contender of ours, which knows its answer."""
    return Contender(
        name=name or contender.name,
        commands=contender.commands,
        url=contender.url,
        folder=contender.folder,
        body=body,
    )


def large(contender: Contender) -> Contender:
    """The same, asked for the larger file."""
    url = contender.url.replace("hello.txt", "large.txt")
    return replace(contender, name=f"{contender.name}, 10 KiB", url=url, body=LARGE)


def askrctl(folder: Path, kind: str, backend: str, processes: int) -> Contender:
    target = {"static": "/hello.txt", "classic": "/hello.php", "worker": "/"}[kind]
    served = site(folder, kind, processes)
    return known(contenders.askrctl(served, kind, Backend(backend), target, folder))


def own_folder(folder: Path, name: str) -> Path:
    own = Path(tempfile.mkdtemp(prefix=f"peer-{name}-", dir=folder))
    own.chmod(0o755)  # its workers are another user
    return own


def nginx(folder: Path, kind: str, processes: int, connections: int = 64) -> Contender:
    """nginx, with php-fpm where the site has PHP."""
    target = "/hello.txt" if kind == "static" else "/hello.php"
    served = replace(site(folder, kind, processes), connections=connections)
    found = peers.nginx(served, target, own_folder(folder, "nginx"))
    if isinstance(found, Missing):
        raise SystemExit(f"{found.reason}: ./dev bench installs it")
    return known(found)


def mod_php(folder: Path, processes: int) -> Contender:
    """Apache with PHP in its own processes."""
    own = own_folder(folder, "apache")
    found = apache.mod_php(site(folder, "classic", processes), "/hello.php", own)
    if isinstance(found, Missing):
        raise SystemExit(f"{found.reason}: ./dev bench installs it")
    return known(found)


H2O = """\
user: root
num-threads: 1
max-connections: 8192
http1-request-timeout: 3600
error-log: {own}/h2o.err
listen:
  host: 127.0.0.1
  port: {port}
  {secure}
hosts:
  default:
    paths:
      /:
        file.dir: {root}
"""


def h2o(folder: Path, secure: str = "") -> Contender:
    """h2o with the static site; `secure`: the `ssl` part of its listener, in YAML's flow style."""
    if shutil.which("h2o") is None:
        raise SystemExit("h2o is not installed: ./dev bench installs it")
    own = own_folder(folder, "h2o")
    port = free_port()
    text = H2O.format(own=own, port=port, root=folder / "static", secure=secure)
    (own / "h2o.conf").write_text(text)
    scheme = "https" if secure else "http"
    url = f"{scheme}://127.0.0.1:{port}/hello.txt"
    return Contender("h2o", [["h2o", "-c", str(own / "h2o.conf")]], url, own, body=TEXT)


def all_contenders(folder: Path, processes: int) -> dict[str, list[Contender]]:
    """By the work that they do; the first of a group is what the others are compared with."""

    def static() -> list[Contender]:
        ours = (askrctl(folder, "static", name, processes) for name in BACKENDS)
        return [nginx(folder, "static", processes), h2o(folder), *ours]

    php = [
        askrctl(folder, kind, name, processes)
        for kind in ("classic", "worker")
        for name in BACKENDS
    ]
    return {
        "static file, 13 bytes": static(),
        "static file, 10 KiB": [large(contender) for contender in static()],
        "PHP hello": [nginx(folder, "classic", processes), mod_php(folder, processes), *php],
    }
