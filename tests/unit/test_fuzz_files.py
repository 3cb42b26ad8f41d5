# SPDX-License-Identifier: MIT
"""Replays what fuzz/fuzz_files.py was fed, and lets hypothesis make up a little more of it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl import config
from askrctl.checks import accept
from askrctl.config.tables import TEXT_SIZE_MAX
from askrctl.model import AskrError

FUZZ = Path(__file__).parent.parent.parent / "fuzz"
INPUTS = sorted([*(FUZZ / "corpus/files").iterdir(), *(FUZZ / "regression/files").iterdir()])


def load_target() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_files", FUZZ / "fuzz_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGET = load_target()


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_an_input_of_the_corpus_keeps_the_invariant(path: Path) -> None:
    TARGET.one_input(path.read_bytes())


def test_the_seeds_of_the_configuration_are_valid() -> None:
    for path in (FUZZ / "corpus/files").glob("config*"):
        name, _, text = path.read_text().partition("\n")
        assert name == "askr.toml"
        assert config.read_text(text, path) != config.Config()


@given(st.sampled_from(TARGET.NAMES), st.binary(max_size=400))
def test_no_bytes_get_past_a_reader(name: str, data: bytes) -> None:
    TARGET.one_input(name.encode() + b"\n" + data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 3000, "nested too deeply"),
        ("a = " + "9" * 5000, "too many digits"),
        ("#" * (TEXT_SIZE_MAX + 1), f"more than {TEXT_SIZE_MAX} characters"),
        ('"a\\nb" = 1', r"'a\nb'"),
    ],
)
def test_what_tomllib_or_a_message_would_stumble_over_is_refused(text: str, words: str) -> None:
    readers = (lambda: config.read_text(text, Path("askr.toml")), lambda: accept.parse(text))
    for read in readers:
        with pytest.raises(AskrError) as refused:
            read()
        assert refused.value.code == 2
        assert words in refused.value.message
        assert "\n" not in refused.value.message


def test_a_configuration_of_the_greatest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "askr.toml"
    text = "[server]\nworkers = 3\n"
    path.write_text(text + "#" * (TEXT_SIZE_MAX - len(text)))
    assert config.read_file(path).server.workers == 3
    path.write_text(path.read_text() + "#")
    with pytest.raises(AskrError, match="more than"):
        config.read_file(path)
