# SPDX-License-Identifier: MIT
"""The doctor's frame: what becomes of answers, what is accepted, what the exit status says."""

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from askrctl.checks import accept, frame, report
from askrctl.checks.frame import Answer, Check, Context, Profile, fail, info, ok, warn
from askrctl.cli import doctor_formats as formats
from askrctl.cli.doctor import schema_text
from askrctl.model import AskrError, Evidence, Finding, Status, SysctlSetting, Wanted
from askrctl.model import Fix as Remedy
from askrctl.probes.host import CannotTell, Host, NotApplicable, Recorder, open_host

CAPTURE = Host(Path("/nonexistent"), {"probes": {}})
PLAIN = Context(CAPTURE)


def check(answer: Any, name: str = "net.example", **more: Any) -> Check:
    def judge(_: Context) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Check(name, "An example", judge, **more)


def one(answer: Any, context: Context = PLAIN, **more: Any) -> Finding:
    [finding] = frame.run_one(check(answer, **more), context)
    return finding


def test_what_cannot_be_read_is_unknown_and_what_is_not_there_is_skipped() -> None:
    assert one(CannotTell("no")).status is Status.UNKNOWN
    assert one(NotApplicable("no")).status is Status.SKIP
    assert one(FileNotFoundError("/proc/x")).because == "this machine has no /proc/x"
    assert one([]).status is Status.SKIP


def test_a_check_that_crashes_is_a_finding_with_its_traceback() -> None:
    finding = one(ZeroDivisionError("oops"))
    assert finding.status is Status.UNKNOWN
    assert "fault of askrctl" in finding.because and "oops" in finding.because
    assert "ZeroDivisionError" in finding.evidence[0].value


def test_development_only_fails_on_what_cannot_run() -> None:
    context = replace(PLAIN, profile=Profile.DEVELOPMENT)
    assert one(fail("no"), context).status is Status.INFO
    assert one(fail("no"), context, vital=True).status is Status.FAIL
    assert one(fail("no")).status is Status.FAIL


def test_a_container_is_not_told_to_change_its_host() -> None:
    context = replace(PLAIN, profile=Profile.CONTAINER)
    finding = one(warn("no", fix=Remedy(manual=("x",))), context, host_only=True)
    assert finding.status is Status.SKIP and finding.fix is None


def test_one_check_can_have_several_instances() -> None:
    found = frame.run_one(check([ok(1).to("eth0"), warn("no", 2).to("eth1")]), PLAIN)
    assert [(f.instance, f.status) for f in found] == [("eth0", Status.OK), ("eth1", Status.WARN)]
    assert report.fingerprint(found[0]) != report.fingerprint(found[1])
    assert report.fingerprint(found[0]) == report.fingerprint(replace(found[0], current=9))


def test_the_time_limit_leaves_no_check_without_a_result() -> None:
    context = replace(PLAIN, timeout_s=-1.0)
    [finding] = frame.run([check(ok())], context)
    assert finding.status is Status.UNKNOWN and "time limit" in finding.because


def test_checks_are_selected_by_id_group_and_pattern() -> None:
    checks = [check(ok(), name) for name in ("net.a", "net.b", "mem.a")]

    def chosen(only: list[str], skip: tuple[str, ...] = ()) -> list[str]:
        return [item.id for item in frame.select(checks, only, skip, network=False)]

    assert chosen(["net"]) == ["net.a", "net.b"]
    assert chosen(["*.a"]) == ["net.a", "mem.a"]
    assert chosen([], ("net.b",)) == ["net.a", "mem.a"]
    asks = [check(ok(), "dns.resolver", network=True)]
    assert not frame.select(asks, [], [], network=False)
    assert frame.select(asks, ["dns.resolver"], [], network=False)


def make_run(*answers: Answer, accepted: str = "", fail: bool = False) -> report.Run:
    checks = [check(answer, f"net.check{index}") for index, answer in enumerate(answers)]
    findings = list(frame.run(checks, PLAIN))
    rows = accept.parse(accepted)
    now = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC).timestamp()
    results = report.results_of(findings, rows, now)
    return report.Run(PLAIN, "a test", results, None, now, 910.0, truncated=fail)


FULL = fail(
    "somaxconn is too small",
    128,
    wanted=Wanted(">=", 4096),
    unit="connections",
    evidence=(Evidence("/proc/sys/net/core/somaxconn", "128"),),
    fix=Remedy(manual=("sysctl -w ...",), settings=(SysctlSetting("net.core.somaxconn", "4096"),)),
)


def test_the_exit_status_follows_fail_on() -> None:
    assert report.exit_status(make_run(ok(), info("x")), "warn") == 0
    assert report.exit_status(make_run(warn("x")), "fail") == 0
    assert report.exit_status(make_run(warn("x")), "warn") == 1
    assert report.exit_status(make_run(FULL), "fail") == 1
    assert report.exit_status(make_run(FULL), "never") == 0
    assert report.exit_status(make_run(Answer(Status.UNKNOWN, "x")), "fail") == 3


def test_accepted_findings_stay_in_the_report_and_out_of_the_count() -> None:
    text = '[[accept]]\nid = "net.check0"\nreason = "known"\nuntil = 2026-06-01\n'
    run = make_run(FULL, accepted=text)
    assert report.exit_status(run, "fail") == 0
    document = report.document(run)
    assert document["summary"]["accepted"] == 1 and document["summary"]["fail"] == 0
    assert document["results"][0]["status"] == "fail"
    assert document["results"][0]["accepted"] == {"reason": "known", "until": "2026-06-01"}


def test_an_acceptance_ends_on_its_day() -> None:
    text = '[[accept]]\nid = "net.check0"\nreason = "known"\nuntil = 2026-05-31\n'
    assert report.exit_status(make_run(FULL, accepted=text), "fail") == 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[[accept", "TOML"),
        ("other = 1", "other"),
        ('[[accept]]\nid = "x"', "reason"),
        ('[[accept]]\nreason = "x"', "id"),
        ('[[accept]]\nid = "x"\nreason = "y"\nuntil = "soon"', "date"),
        ('[[accept]]\nid = "x"\nreason = "y"\nuntill = 2026-06-01', "untill"),
        ("accept = 3", "list"),
    ],
)
def test_a_mistake_in_doctor_toml_is_named(text: str, word: str) -> None:
    with pytest.raises(AskrError, match=word) as caught:
        accept.parse(text)
    assert caught.value.code == 2


def test_the_document_keeps_its_schema() -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    run = make_run(FULL, ok(True), info("x", ("a", "b")), Answer(Status.SKIP, "y"))
    document = json.loads(formats.as_json(run))
    jsonschema.validate(document, schema)
    first = document["results"][0]
    assert first["wanted"] == {"op": ">=", "value": 4096}
    assert first["fix"]["tunable"] and first["fix"]["method"] == "sysctl"
    assert first["fix"]["commands"] == ["askrctl tune apply --only net.check0"]
    assert first["severity"] == "error"


def test_nagios_gets_one_short_line_with_figures() -> None:
    text = formats.as_nagios(make_run(FULL, warn("x" * 200)))
    first, *rest = text.splitlines()
    assert len(first) <= 80
    assert first.startswith("ASKR CRITICAL - 1 fail 1 warn: net.check0 (128)")
    assert first.endswith("| fail=1;;0 warn=1;0; time=0.91s")
    assert len(rest) == 2
    assert formats.nagios_status(make_run(warn("x"))) == 1
    assert formats.nagios_status(make_run(ok())) == 0
    assert formats.nagios_status(make_run(Answer(Status.UNKNOWN, "x"))) == 3


def test_a_bar_in_a_sentence_is_no_performance_data_of_nagios() -> None:
    first, *rest = formats.as_nagios(make_run(fail("a | b\nc", "x|y"))).splitlines()
    assert first.startswith("ASKR CRITICAL - 1 fail 0 warn: net.check0 (x/y) | fail=1")
    assert rest == ["fail net.check0: a / b c"]


def test_prometheus_gets_numbers_and_no_values_as_labels() -> None:
    odd = 'e"th\\0\n'
    text = formats.as_prom(make_run(FULL, warn('a "quoted" \\ thing', 7).to(odd)))
    assert "128" not in text
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.type == "gauge" and family.documentation for family in found.values())
    samples = {
        (item.labels["id"], item.labels["item"]): item.value
        for item in found["askr_doctor_check_status"].samples
    }
    assert samples == {("net.check0", ""): 3, ("net.check1", odd): 2}
    counts = {s.labels["status"]: s.value for s in found["askr_doctor_checks"].samples}
    assert counts["fail"] == counts["warn"] == 1 and counts["accepted"] == 0
    assert "askr_doctor_last_run_timestamp_seconds" in found


def test_what_somebody_accepted_rings_nowhere() -> None:
    run = make_run(fail("x"))
    accepted = accept.Acceptance("net.check0", "until the move", None)
    run = replace(run, results=tuple(replace(r, acceptance=accepted) for r in run.results))
    text = formats.as_prom(run)
    assert 'askr_doctor_check_status{id="net.check0",item="",group="net"} 1\n' in text
    assert 'askr_doctor_checks{status="accepted"} 1\n' in text
    assert formats.as_nagios(run).startswith("ASKR OK - 0 fail 0 warn")
    junit = ElementTree.fromstring(formats.as_junit(run, "warn"))
    assert junit.get("failures") == "0"
    assert junit.findtext(".//system-out") == "fail: x (accepted: until the move)"


def test_junit_is_what_its_readers_demand_whatever_a_check_says() -> None:
    odd = fail("<&> \x00 \ud800").to("a\x01b")
    text = formats.as_junit(make_run(odd, Answer(Status.SKIP, "no"), FULL, ok(1)), "fail")
    root = ElementTree.fromstring(text)
    assert {key: root.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
    }
    [suite] = root.findall("testsuite")
    assert set(suite.attrib) >= {"name", "tests", "failures", "errors", "skipped", "timestamp"}
    assert suite.get("failures") == "2" and suite.get("skipped") == "1"
    for case in suite.findall("testcase"):
        assert case.get("name") and case.get("classname") == "askr.doctor.net"
        assert {child.tag for child in case} <= {"failure", "skipped", "system-out"}
    second = root.findall(".//failure")[1]
    assert second.text is not None and second.attrib["message"] in second.text
    assert "fix: askrctl tune apply --only net.check2" in second.text


def test_a_written_file_is_whole_or_old(tmp_path: Path) -> None:
    path = tmp_path / "askr.prom"
    formats.write_whole(path, b"one")
    formats.write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["askr.prom"]


# --- the host -------------------------------------------------------------------------------------


def test_a_captured_tree_answers_like_the_machine(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/net").mkdir(parents=True)
    (tmp_path / "proc/sys/net/x").write_text("7\n")
    recorded = {"probes": {"php": {"version": "8.2"}}, "denied": ["/etc/shadow"], "time": 5.0}
    (tmp_path / ".probe.json").write_text(json.dumps(recorded))
    host = open_host(tmp_path)
    assert host.read("/proc/sys/net/x") == "7"
    assert host.probe("php", lambda: 1 / 0) == {"version": "8.2"}
    assert host.now() == 5.0
    with pytest.raises(CannotTell, match="shadow"):
        host.read("/etc/shadow")
    with pytest.raises(CannotTell, match="no netlink"):
        host.probe("netlink", dict)
    with pytest.raises(FileNotFoundError):
        host.read("/proc/sys/net/y")


def test_a_recorder_keeps_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text\n")
    recorder = Recorder()
    host = Host(tmp_path, None, recorder)
    assert host.read("/a") == "text" and host.probe("answer", lambda: [1, 2]) == [1, 2]
    assert recorder.files == {"/a": "text\n"} and recorder.probes == {"answer": [1, 2]}


def test_a_probe_asks_once_in_a_run() -> None:
    asked = []
    host = Host()
    for _ in range(3):
        host.probe("count", lambda: asked.append(1) or len(asked))
    assert len(asked) == 1


def test_values_below_proc_sys_are_read_whole() -> None:
    assert Host().read("/proc/sys/kernel/osrelease")
