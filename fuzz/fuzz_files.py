# SPDX-License-Identifier: MIT
"""Files that an operator, or somebody else, hands to a command.

Invariant: whatever the bytes, a reader gives a value of its kind or one AskrError whose message is
a line that names the file; and what was read of an askr.toml reads the same when written down.

The first line of an input names the reader, the rest is the file. Run by `./dev fuzz files`, with
libFuzzer under the hood (atheris); tests/unit/test_fuzz_files.py replays the corpus.
"""

import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path


def _imports() -> None:
    """Under atheris, what is imported here is instrumented for coverage."""
    import json  # noqa: F401
    import tomllib  # noqa: F401

    import askrctl.checks.accept
    import askrctl.config
    import askrctl.gate
    import askrctl.traffic.file
    import askrctl.tune.planfile  # noqa: F401


def _is_of_the_schema(value: object, like: object) -> bool:
    if is_dataclass(like):
        return type(value) is type(like) and all(
            _is_of_the_schema(getattr(value, item.name), getattr(like, item.name))
            for item in fields(like)
        )
    return type(value) is type(like)


def _written(value: object) -> str:
    """A value of the configuration in TOML."""
    import json

    if is_dataclass(value):
        found = {one.name: getattr(value, one.name) for one in fields(value)}
        pairs = (f"{name} = {_written(own)}" for name, own in found.items() if own != ())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, tuple) and value and all(isinstance(one, tuple) for one in value):
        return "{ " + ", ".join(f"{_written(name)} = {_written(own)}" for name, own in value) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _read_config(text: str) -> None:
    from askrctl import config

    found = config.read_text(text, Path("askr.toml"))
    plain = config.Config()
    assert _is_of_the_schema(found, plain)
    lines: list[str] = []
    for section in fields(config.Config):
        own, default = getattr(found, section.name), getattr(plain, section.name)
        if isinstance(own, tuple):  # [[warmup]]; a key of the file itself stands before its tables
            lines.insert(0, f"{section.name} = {_written(own)}" if own else "")
            continue
        lines.append(f"[{section.name}]")
        for key in fields(own):
            value = getattr(own, key.name)
            if value != getattr(default, key.name):
                lines.append(f"{key.name} = {_written(value)}")
    assert config.read_text("\n".join(lines), Path("askr.toml")) == found


def _read_environment(text: str) -> None:
    from askrctl import config

    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = config.with_environment(config.Config(), dict(pairs))
    assert _is_of_the_schema(found, config.Config())


def _read_plan(text: str) -> None:
    from askrctl.tune import items, planfile

    plan = planfile.read(text.encode(), "plan.json", "askr.service")
    assert isinstance(plan, items.Plan)


def _read_acceptances(text: str) -> None:
    from askrctl.checks import accept

    for one in accept.parse(text, "doctor.toml"):
        assert isinstance(one, accept.Acceptance)


def _read_record(text: str) -> None:
    from askrctl import gate

    found = gate.parse(text, gate.this_machine())
    assert isinstance(found, (gate.BenchRecord, gate.Refusal))


def _read_recording(text: str) -> None:
    import io

    from askrctl.traffic import file

    found = file.read_stream(io.BytesIO(text.encode()), "shop.rec")
    lines = [file.header_line(found.header), *map(file.exchange_line, found.exchanges)]
    again = file.read_stream(io.BytesIO(b"".join(lines)), "shop.rec")
    assert (again.header, again.exchanges) == (found.header, found.exchanges)


READERS: dict[str, Callable[[str], None]] = {
    "askr.toml": _read_config,
    "environment": _read_environment,
    "plan.json": _read_plan,
    "doctor.toml": _read_acceptances,
    "bench.json": _read_record,
    "shop.rec": _read_recording,
}
NAMES = sorted(READERS)


def one_input(data: bytes) -> None:
    """Feed one input. AssertionError, or what a reader let through, is a finding."""
    from askrctl.model import AskrError

    name, _, text = data.decode(errors="surrogateescape").partition("\n")
    name = name if name in READERS else NAMES[len(name) % len(NAMES)]
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return  # files are decoded strictly before they come here
    try:
        READERS[name](text)
    except AskrError as error:
        refusal = error
    else:
        return
    assert refusal.code == 2
    assert name in refusal.message
    assert "\n" not in refusal.message


def main() -> None:
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports():
        _imports()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
