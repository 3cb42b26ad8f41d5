# SPDX-License-Identifier: MIT
"""[trace] and the environment variables of OpenTelemetry: what counts when."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl import config
from askrctl.config import TraceConfig
from askrctl.config.otel import trace_defaults
from askrctl.model import AskrError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
OWN = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, ""),
        ({ENDPOINT: "http://a:4318"}, "http://a:4318/v1/traces"),
        ({ENDPOINT: "http://a:4318/x/"}, "http://a:4318/x/v1/traces"),
        ({ENDPOINT: "http://a", OWN: "https://b/own"}, "https://b/own"),
        ({ENDPOINT: "http://a", "OTEL_SDK_DISABLED": "True"}, ""),
        ({ENDPOINT: "http://a", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({ENDPOINT: "http://a", "OTEL_TRACES_EXPORTER": "console,otlp"}, "http://a/v1/traces"),
        ({ENDPOINT: "http://a:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ""),
        ({ENDPOINT: "http://user:secret@a"}, ""),
        ({ENDPOINT: "unix:/a"}, ""),
    ],
)
def test_the_endpoint_of_the_environment(environment: dict[str, str], endpoint: str) -> None:
    assert trace_defaults(environment).endpoint == endpoint


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio", "based"),
    [
        ("", "", 1.0, True),
        ("always_on", "", 1.0, False),
        ("always_off", "", 0.0, False),
        ("traceidratio", "0.25", 0.25, False),
        ("parentbased_traceidratio", "0.25", 0.25, True),
        ("parentbased_always_off", "", 0.0, True),
        ("parentbased_traceidratio", "nan", 1.0, True),
        ("parentbased_traceidratio", "7", 1.0, True),
        ("jaeger_remote", "0.5", 1.0, True),
    ],
)
def test_the_sampler_of_the_environment(
    sampler: str, argument: str, ratio: float, based: bool
) -> None:
    found = trace_defaults({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
    assert (found.ratio, found.parent_based) == (ratio, based)


@given(st.dictionaries(st.sampled_from([ENDPOINT, OWN, "OTEL_TRACES_SAMPLER_ARG"]), st.text()))
def test_nothing_in_the_environment_is_an_error(environment: dict[str, str]) -> None:
    found = trace_defaults({"OTEL_TRACES_SAMPLER": "traceidratio"} | environment)
    assert 0.0 <= found.ratio <= 1.0


def test_the_file_counts_before_the_standards_and_our_own_environment_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "askr.toml"
    path.write_text('[trace]\nendpoint = "http://file"\nheaders = ["a=b c", "d=e"]\n')
    monkeypatch.setenv(ENDPOINT, "http://standard")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    assert config.load(None, {}).trace.endpoint == "http://standard/v1/traces"
    found = config.load(path, {}).trace
    assert found == TraceConfig("http://file/v1/traces", "shop", ("a=b c", "d=e"))
    monkeypatch.setenv("ASKR_TRACE_ENDPOINT", "http://ours/x")
    assert config.load(path, {}).trace.endpoint == "http://ours/x"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('endpoint = "127.0.0.1:4318"', "trace.endpoint must be a URL"),
        ('endpoint = "http://user:secret@host/"', "without a password"),
        ('endpoint = "http://a b/"', "trace.endpoint must be a URL"),
        ("ratio = 1.5", "between 0.0 and 1.0"),
        ("ratio = true", "between 0.0 and 1.0"),
        ('headers = ["no"]', 'a list of "name=value"'),
        ('headers = ["a=b\\n"]', 'a list of "name=value"'),
        ('accept = "some"', '"nobody" or "all" or "trusted"'),
    ],
)
def test_a_wrong_setting_is_refused_by_name(line: str, says: str) -> None:
    with pytest.raises(AskrError) as error:
        config.read_text(f"[trace]\n{line}\n", Path("askr.toml"))
    assert says in error.value.message
