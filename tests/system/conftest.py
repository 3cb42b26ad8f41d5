# SPDX-License-Identifier: MIT
"""Servers for the system tests, started once for each module, I/O backend and kind of app."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from system.harness import APPS, Server

BACKENDS = ["io_uring", "epoll"]
Serve = Callable[..., Server]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The I/O backend of this run of the module's tests."""
    name: str = request.param
    return name


@pytest.fixture(scope="module", params=[False, True], ids=["clear", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    """In clear, and once more over TLS."""
    chosen: bool = request.param
    return chosen


class Servers:
    """Starts servers, and stops all of them at the end, the last one first."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        self.backend = backend
        self.running: list[Server] = []

    def __call__(self, path: Path, *options: str | Path, wait: bool = True, **more: Any) -> Server:
        flags = ["--io-backend", self.backend, *options]
        if "--workers" not in options:
            flags += ["--workers", "1"]
        folder = self.folder / f"server{len(self.running)}"
        server = Server(path, folder, flags, **more)
        server.start()
        self.running.append(server)
        if wait:
            server.wait_ready()
        return server

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()


@pytest.fixture
def serve(tmp_path: Path, backend: str) -> Iterator[Serve]:
    """`serve(path, *flags, config={…})` for a test that needs a server of its own."""
    servers = Servers(tmp_path, backend)
    yield servers
    servers.stop()


@pytest.fixture
def serve_once(tmp_path: Path) -> Iterator[Serve]:
    """`serve` for what does not depend on the I/O backend."""
    servers = Servers(tmp_path, "epoll")
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def serve_shared(tmp_path_factory: pytest.TempPathFactory, backend: str) -> Iterator[Serve]:
    """The same for a server that the tests of a module share."""
    servers = Servers(tmp_path_factory.mktemp("shared"), backend)
    yield servers
    servers.stop()


@pytest.fixture(scope="module", params=["h1", "h2"])
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of the module's `server`, by each version of HTTP."""
    two = request.param == "h2"
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}", http1=not two, http2=two, timeout=30
    ) as client:
        yield client


@pytest.fixture(scope="module", params=["classic", "worker"])
def mode(request: pytest.FixtureRequest) -> str:
    """The kind of PHP application."""
    name: str = request.param
    return name


def copy_app(name: str, target: Path) -> Path:
    """Applications write beside their code, so each server gets a copy."""
    shutil.copytree(APPS / name, target / name)
    return target / name


@pytest.fixture(scope="module")
def matrix(serve_shared: Serve, mode: str, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """tests/apps/matrix, in the mode of this run."""
    app = copy_app("matrix", tmp_path_factory.mktemp("matrix"))
    options = ["--worker-script", app / "public/worker.php"] if mode == "worker" else []
    server = serve_shared(app, *options)
    server.wait_applications(4)
    return server
