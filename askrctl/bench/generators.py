# SPDX-License-Identifier: MIT
"""The load generators: which is here, how it is asked, and what it leaves out.

In a closed loop a connection sends its next request when the last one was answered, so a server
that stalls is asked less while it stalls (coordinated omission): percentiles then say how long
answers took, not how long users would have waited. Only a generator that counts from when a request
was due says the latter.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from askrctl import signals
from askrctl.bench import loads
from askrctl.bench.loads import Load
from askrctl.model import AskrError

GRACE_S = 30.0  # for a generator to end after its time is over
_AB_MAX = 5_000_000  # ab keeps room for as many measurements, and -t alone stops at 50,000

CLOSED = "closed loop: a stalled server is asked less, so percentiles leave waiting out"
CORRECTED = "open loop: latency counts from when a request was due (no coordinated omission)"
PACED = (
    "paced closed loop: requests start at a fixed rate but wait for a free connection, and latency"
    " counts from the start (coordinated omission)"
)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be loaded, and how hard. `rate` 0: as fast as it goes."""

    url: str
    seconds: int
    connections: int
    rate: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def header_lines(self) -> list[str]:
        return [f"{name}: {value}" for name, value in self.headers.items()]


@dataclass(frozen=True, slots=True)
class Tool:
    """How one generator is asked. `rated` is what its fixed rate means; "": it has none."""

    name: str
    package: str
    version: Sequence[str]
    command: Callable[[str, Job, Path], list[str]]
    parse: Callable[[str, Path], Load]
    rated: str = ""


@dataclass(frozen=True, slots=True)
class Generator:
    tool: Tool
    path: str
    version: str

    @property
    def name(self) -> str:
        return self.tool.name

    def loop(self, rate: int) -> str:
        """What its latencies mean."""
        return self.tool.rated if rate else CLOSED


@dataclass(frozen=True, slots=True)
class Run:
    """A load, and how much of its core the generator itself used."""

    load: Load
    generator_share: float


def _headers(flag: str, job: Job) -> list[str]:
    return [word for line in job.header_lines for word in (flag, line)]


def _oha(path: str, job: Job, _: Path) -> list[str]:
    command = [path, "--no-tui", "--output-format", "json", "-r", "0"]
    command += ["-z", f"{job.seconds}s", "-c", str(job.connections), *_headers("-H", job)]
    command += ["-q", str(job.rate), "--latency-correction"] if job.rate else []
    return [*command, job.url]


def _wrk(path: str, job: Job, folder: Path) -> list[str]:
    (folder / "done.lua").write_text(loads.WRK_SCRIPT)
    command = [path, "-t1", f"-c{job.connections}", f"-d{job.seconds}s", "--latency"]
    return [*command, "-s", str(folder / "done.lua"), *_headers("-H", job), job.url]


def _hey(path: str, job: Job, _: Path) -> list[str]:
    command = [path, "-z", f"{job.seconds}s", "-c", str(job.connections), "-disable-redirects"]
    # Its -q is for each connection.
    command += ["-q", str(max(1, round(job.rate / job.connections)))] if job.rate else []
    # Go takes the Host field from elsewhere.
    command += ["-host", job.headers["Host"]] if "Host" in job.headers else []
    return [*command, *_headers("-H", job), job.url]


def _ab(path: str, job: Job, _: Path) -> list[str]:
    command = [path, "-k", "-q", "-l", "-t", str(job.seconds), "-n", str(_AB_MAX)]
    return [*command, "-c", str(job.connections), *_headers("-H", job), job.url]


def _h2load(path: str, job: Job, folder: Path) -> list[str]:
    (folder / "h2load.log").write_bytes(b"")
    command = [path, "--h1", "-t1", "-D", str(job.seconds), "-c", str(job.connections)]
    # A Host field would be sent beside its own, and no server takes two: it is named as in HTTP/2.
    headers = {":authority" if name == "Host" else name: job.headers[name] for name in job.headers}
    command += ["--log-file", str(folder / "h2load.log")]
    command += _headers("-H", replace(job, headers=headers))
    command += ["--rps", str(max(1, round(job.rate / job.connections)))] if job.rate else []
    return [*command, job.url]


def _parse_h2load(text: str, folder: Path) -> Load:
    return loads.parse_h2load(text, (folder / "h2load.log").read_text().splitlines())


# In the order of preference.
TOOLS = (
    Tool("oha", "oha", ("--version",), _oha, lambda text, _: loads.parse_oha(text), CORRECTED),
    Tool("wrk", "wrk", ("-v",), _wrk, lambda text, _: loads.parse_wrk(text)),
    Tool("hey", "hey", (), _hey, lambda text, _: loads.parse_hey(text), PACED),
    Tool("ab", "apache2-utils", ("-V",), _ab, lambda text, _: loads.parse_ab(text)),
    Tool("h2load", "nghttp2-client", ("--version",), _h2load, _parse_h2load, PACED),
)


def version_of(path: str, words: Sequence[str]) -> str:
    """Its first line that has a number; "" when it does not tell."""
    if not words:
        return ""
    try:
        done = subprocess.run([path, *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+\.\d+[\w.+~-]*", done.stdout + done.stderr)
    return found[0] if found else ""


def detect(wanted: str = "", rate: int = 0, path: str | None = None) -> Generator:
    """The first that is installed, or the one asked for; AskrError when it is not here."""
    names = [tool.name for tool in TOOLS]
    if wanted and wanted not in names:
        raise AskrError(f"--tool {wanted}: it can be {', '.join(names)}", code=2)
    for tool in TOOLS:
        found = shutil.which(tool.name, path=path)
        if found is None or (wanted and tool.name != wanted) or (rate and not tool.rated):
            continue
        return Generator(tool, found, version_of(found, tool.version))
    if rate and any(shutil.which(name, path=path) for name in names):
        able = ", ".join(tool.name for tool in TOOLS if tool.rated)
        raise AskrError(f"a fixed rate needs one of {able}", "apt install nghttp2-client", code=3)
    missing = wanted or f"load generator ({', '.join(names)})"
    package = next((tool.package for tool in TOOLS if tool.name == wanted), "wrk")
    raise AskrError(f"no {missing} is installed", f"apt install {package}", code=3)


def pinned(command: Sequence[str], cores: Sequence[int]) -> list[str]:
    """The command on some cores only; as it is when taskset is missing."""
    taskset = shutil.which("taskset")
    if taskset is None or not cores:
        return list(command)
    return [taskset, "-c", ",".join(map(str, cores)), *command]


def _finished(command: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """As subprocess.run, but whatever ends it early ends the command, and what that has started."""
    process: subprocess.Popen[str] | None = None
    try:
        with signals.after():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        output, errors = process.communicate(timeout=timeout)
    except BaseException:
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def run(generator: Generator, job: Job, cores: Sequence[int], wrapper: Sequence[str] = ()) -> Run:
    """Load, to the end. Errors of the server are in the Load; AskrError is the tool's own.

    `wrapper` is a command that runs the generator and looks at the server meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="askr-bench-") as name:
        folder = Path(name)
        command = pinned(generator.tool.command(generator.path, job, folder), cores)
        command = [*wrapper, *command]
        before = os.times()
        try:
            done = _finished(command, job.seconds + GRACE_S)
        except subprocess.TimeoutExpired:
            raise AskrError(f"{generator.name} did not end in time", code=3) from None
        after = os.times()
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise AskrError(f"{generator.name} failed: {' '.join(last)}", code=3)
        load = generator.tool.parse(done.stdout, folder)
    if load.requests == 0:
        raise AskrError(f"{job.url} answered nothing in {job.seconds} s", code=3)
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return Run(load, used / load.seconds)
