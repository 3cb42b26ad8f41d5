# SPDX-License-Identifier: MIT
"""The doctor's frame: what becomes of answers, what is accepted, what the exit status says."""

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

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


def test_prometheus_gets_numbers_and_no_values_as_labels() -> None:
    lines = formats.as_prom(make_run(FULL, warn('a "quoted" \\ thing', 7).to('e"th'))).splitlines()
    assert 'askr_doctor_check_status{id="net.check0",instance="",group="net"} 3' in lines
    assert 'askr_doctor_check_status{id="net.check1",instance="e\\"th",group="net"} 2' in lines
    assert 'askr_doctor_checks{status="fail"} 1' in lines
    assert not any("128" in line for line in lines)


def test_junit_is_well_formed_whatever_a_check_says() -> None:
    from xml.etree import ElementTree

    text = formats.as_junit(make_run(fail("<&> \x00 \ud800"), Answer(Status.SKIP, "no")), "fail")
    root = ElementTree.fromstring(text)
    [suite] = root.findall("testsuite")
    assert suite.get("failures") == "1" and suite.get("skipped") == "1"
    assert root.find(".//failure") is not None


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
