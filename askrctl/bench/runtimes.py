# SPDX-License-Identifier: MIT
"""Peers that keep an application booted, as askrctl's worker mode does: FrankenPHP, RoadRunner,
Octane on Swoole. Each as its own documentation has it; none of them is a package of a distribution.
"""

import os
import subprocess
from pathlib import Path

from askrctl.bench import answers
from askrctl.bench.contenders import Contender, Site
from askrctl.bench.installed import Missing, Peer, as_owner, find, make_folder

# https://frankenphp.dev/docs/config/. There must be more threads than those of workers. The address
# has no name in it, so that any Host field is answered, and no HTTPS.
_CADDYFILE = """\
{{
  admin off
  persist_config off
  auto_https off
  frankenphp {{
    num_threads {threads}
    {global_worker}
  }}
}}
http://:{port} {{
  bind 127.0.0.1
  root * {root}
  php_server {{
    {server}
  }}
}}
"""
# A worker answers for the path of its own script, so what is no file has to lead there; one outside
# of the document root is told which paths are its own.
_BESIDE = "index {script}\n    try_files {{path}} {script}"
_ELSEWHERE = "worker {{\n      file {script}\n      num {count}\n      match *\n    }}"


def _caddyfile(site: Site, port: int) -> str:
    """Worker mode where there is a script for it, else classic."""
    script, count = site.worker_script, site.processes
    threads, worker, server = count, "", ""
    if script is not None:
        threads = count + 1
        if script.parent == site.root:
            worker = f"worker {{\n      file {script}\n      num {count}\n    }}"
            server = _BESIDE.format(script=script.name)
        else:
            server = _ELSEWHERE.format(script=script, count=count)
    return _CADDYFILE.format(
        threads=threads, global_worker=worker, port=port, root=site.root, server=server
    )


def frankenphp(site: Site, target: str, folder: Path) -> Peer:
    """Worker mode when the application has a worker script, else classic."""
    mode = "worker" if site.worker_script else "classic"
    name = f"FrankenPHP {mode}"
    program = find("frankenphp")
    if program is None:
        return Missing(name, "not installed", "no frankenphp in PATH")
    if not site.php:
        return Missing(name, "not applicable", "the application has no PHP")
    own = make_folder(folder, "frankenphp")
    port = answers.free_port()
    (own / "Caddyfile").write_text(_caddyfile(site, port))
    command = [program, "run", "--adapter", "caddyfile", "--config", str(own / "Caddyfile")]
    contender = Contender(
        name, [as_owner(site, own, command)], f"http://127.0.0.1:{port}{target}", own, mode=mode
    )
    for kind in ("CONFIG", "DATA"):  # Caddy's own files
        contender.environment[f"XDG_{kind}_HOME"] = str(own)
    return contender


def roadrunner(site: Site, target: str, folder: Path) -> Peer:
    """With the application's own .rr.yaml: its PSR-7 worker is part of the application.

    https://docs.roadrunner.dev/docs/app-server/cli
    """
    name = "RoadRunner"
    program = find("rr")
    if program is None:
        return Missing(name, "not installed", "no rr in PATH")
    settings = site.path / ".rr.yaml"
    if not settings.is_file():
        return Missing(name, "not applicable", "the application has no .rr.yaml")
    own = make_folder(folder, "roadrunner")
    port = answers.free_port()
    command = [program, "serve", "-c", str(settings), "-w", str(site.path)]
    for setting in (
        f"http.address=127.0.0.1:{port}",
        f"http.pool.num_workers={site.processes}",
        f"rpc.listen=tcp://127.0.0.1:{answers.free_port()}",
        "logs.mode=production",
        "logs.level=warn",
    ):
        command += ["-o", setting]
    url = f"http://127.0.0.1:{port}{target}"
    return Contender(name, [as_owner(site, own, command)], url, own, mode="worker")


def _has_swoole(php: str) -> bool:
    code = "exit((int) !(extension_loaded('swoole') || extension_loaded('openswoole')));"
    try:
        return subprocess.run([php, "-r", code], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def octane(site: Site, target: str, folder: Path) -> Peer:
    """Laravel Octane on Swoole, where the application has it. https://laravel.com/docs/octane"""
    name = "Octane on Swoole"
    php = find("php")
    if php is None:
        return Missing(name, "not installed", "no php in PATH")
    artisan = site.path / "artisan"
    if not artisan.is_file():
        return Missing(name, "not applicable", "the application is not Laravel")
    if not (site.path / "vendor/laravel/octane").is_dir():
        return Missing(name, "not installed", "laravel/octane is not among the dependencies")
    if not _has_swoole(php):
        return Missing(name, "not installed", f"{os.path.basename(php)} has no extension swoole")
    own = make_folder(folder, "octane")
    port = answers.free_port()
    command = [php, str(artisan), "octane:start", "--server=swoole", "--host=127.0.0.1"]
    command += [f"--port={port}", f"--workers={site.processes}"]
    # Nobody else's processes are replaced meanwhile; tasks are not asked for.
    command += ["--task-workers=1", "--max-requests=0"]
    url = f"http://127.0.0.1:{port}{target}"
    return Contender(name, [as_owner(site, own, command)], url, own, mode="worker")
