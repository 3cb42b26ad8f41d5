# SPDX-License-Identifier: MIT
"""From the words of the command line to servers, runs and a report: `run`, `matrix` and `load`.

Nothing here prints. Everything that can be refused is refused before a server is started.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from askrctl.bench import answers, contenders, environment, generators, peers, proc, report
from askrctl.bench.contenders import Contender, Site
from askrctl.bench.generators import Generator, Job
from askrctl.bench.installed import Missing
from askrctl.bench.loads import Load
from askrctl.bench.report import Report
from askrctl.bench.runner import Measured, Progress, Runner, Settings
from askrctl.model import AskrError, Backend

HOST = "localhost"  # the same for all, or pages that name their own address would differ
BACKENDS = (Backend.EPOLL, Backend.IO_URING)


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of every server."""

    path: str
    host: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load of a server that was already running."""

    url: str
    generator: str
    loop: str
    validation: str
    load: Load
    cpu_us: float | None
    trouble: str  # why the run is void; "" when it is not


def parse_target(url: str) -> Target:
    """http://host/path, or /path alone."""
    if url.startswith("/") and not url.startswith("//"):
        return Target(url, HOST)
    if not answers.is_http_url(url):
        raise AskrError(
            f"{url} is neither http://HOST/PATH nor /PATH",
            "askrctl bench run http://localhost/ --a epoll --b io_uring",
            code=2,
        )
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(path, parts.netloc)


def estimate_s(settings: Settings, count: int) -> float:
    """About how long it will take."""
    each = settings.rounds * (settings.seconds + 0.3) + settings.warmup_seconds + 3.0
    return 5.0 + count * each


@contextmanager
def _folder() -> Iterator[Path]:
    """A place for configurations and sockets; peers run as other users, so they may look in."""
    with tempfile.TemporaryDirectory(prefix="askr-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _asked(contender: Contender, target: Target, settings: Settings) -> Contender:
    """What everybody is asked, and how the answer is looked at."""
    contender.host = target.host
    contender.ignored = answers.patterns(settings.ignored)
    return contender


def _mode(site: Site) -> str:
    if not site.php and site.worker_script is None:
        return "static"
    return "classic" if site.worker_script is None else "worker"


def run(
    site: Site,
    target: Target,
    backends: tuple[Backend, Backend],
    bench: tuple[Settings, Generator],
    progress: Progress,
) -> Report:
    """B against A, both as `askrctl serve` of the same site."""
    settings, generator = bench
    here = environment.capture()
    with _folder() as folder:
        both = [
            _asked(
                contenders.askrctl(site, _mode(site), backend, target.path, folder),
                target,
                settings,
            )
            for backend in backends
        ]
        for letter, contender in zip("AB", both, strict=True):
            contender.name = f"{letter}: {contender.name}"
        measured = Runner(settings, generator, progress).run(both)
    title = f"{site.path.name}{target.path}, {_mode(site)}: {backends[1]} against {backends[0]}"
    wanted = [(both[0].name, both[1].name)]
    return report.make(title, bench, here, measured, wanted=wanted)


def modes(site: Site) -> list[str]:
    """The rows of ours: worker mode where there is a script for it, classic where there is PHP."""
    found = ["worker"] if site.worker_script is not None else []
    found += ["classic"] if site.php else []
    return found or ["static"]


def matrix(
    site: Site,
    target: Target,
    bench: tuple[Settings, Generator],
    progress: Progress,
    with_peers: bool = True,
) -> Report:
    """Every mode on both backends, and the peers that are installed."""
    settings, generator = bench
    if with_peers and site.php:
        settings = replace(settings, ignored=(*settings.ignored, peers.SAPIS))
    here = replace(environment.capture(), programs=peers.versions())
    with _folder() as folder:
        ours = [
            _asked(contenders.askrctl(site, mode, backend, target.path, folder), target, settings)
            for mode in modes(site)
            for backend in BACKENDS
        ]
        found = peers.find_all(site, target.path, folder) if with_peers else []
        missing = [one for one in found if isinstance(one, Missing)]
        others = [_asked(one, target, settings) for one in found if isinstance(one, Contender)]
        measured: Measured = Runner(settings, generator, progress).run(ours, others)
    title = f"{site.path.name}{target.path}: every mode, both backends, and peers"
    return report.make(title, (settings, generator), here, measured, missing)


def load(url: str, job: Job, generator: Generator, pids: Sequence[int] = ()) -> Loaded:
    """Load what is already running; `pids`: whose CPU time is counted."""
    host = job.headers.get("Host", "")
    seen = answers.look(lambda: answers.fetch(url, host))
    expected = answers.expect(seen)
    sampler = answers.Sampler(lambda: answers.fetch(url, host), expected)
    before = proc.cpu(pids).total if pids else 0.0
    sampler.start()
    try:
        done = generators.run(generator, job, ())
    finally:
        sampler.finish()
    used = proc.cpu(pids).total - before if pids else None
    asked = done.load.requests + sampler.asked
    trouble = sampler.trouble or answers.check_load(done.load, expected, seen[0], job.connections)
    return Loaded(
        url=url,
        generator=f"{generator.name} {generator.version}".strip(),
        loop=generator.loop(job.rate),
        validation=expected.sentence,
        load=done.load,
        cpu_us=None if used is None else used / asked * 1e6,
        trouble=trouble,
    )
