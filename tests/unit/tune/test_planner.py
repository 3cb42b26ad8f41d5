# SPDX-License-Identifier: MIT
"""From wishes to a plan: what is written, what is left alone, and the reason given."""

import json
import os
from pathlib import Path

import pytest
from unit.tune.machine import DROPIN, OURS, RPS, RULES, SOMAXCONN, Machine, make

from askrctl.model import (
    AskrError,
    FileSetting,
    Finding,
    Fix,
    PhpSetting,
    Setting,
    Status,
    SysctlSetting,
    UnitSetting,
)
from askrctl.tune import operate, persist, planfile, planner, verify, wishes
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Plan
from askrctl.tune.planner import Options
from askrctl.tune.transaction import Origin
from askrctl.tune.wishes import Wish

UNIT_FILE = "/usr/lib/systemd/system/askr.service"
TO_4096 = SysctlSetting("net.core.somaxconn", "4096")
NOFILE = UnitSetting("LimitNOFILE", "65536")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make(tmp_path)


def plan_for(
    machine: Machine, *settings: Setting, facts: Facts | None = None, options: Options | None = None
) -> Plan:
    asked = [Wish(setting, "net.test", "because") for setting in settings]
    tuner = operate.Tuner(machine.disk, machine.store, facts or machine.facts)
    return operate.make_plan(tuner, asked, options or Options())


def item(plan: Plan, key: str) -> Item:
    return next(item for item in plan.items if item.key == key)


def reason(plan: Plan) -> str:
    assert plan.items == ()
    (skipped,) = plan.skipped
    return f"{skipped.reason} | {skipped.hint}"


def carry_out(machine: Machine, plan: Plan) -> None:
    tuner = operate.Tuner(machine.disk, machine.store, machine.facts)
    assert operate.apply_plan(tuner, plan, Origin("t")).outcomes[0].state == "committed"


def test_a_value_that_is_too_small_is_raised_now_and_for_the_next_boot(machine: Machine) -> None:
    plan = plan_for(machine, TO_4096)
    assert [entry.key for entry in plan.items] == ["net.core.somaxconn", OURS]
    assert item(plan, "net.core.somaxconn").before == "128"
    assert "net.core.somaxconn = 4096\n" in item(plan, OURS).want
    assert "# net.test\n" in item(plan, OURS).want


def test_a_value_that_is_high_enough_is_left_alone(machine: Machine) -> None:
    machine.write(SOMAXCONN, "65535\n")
    assert plan_for(machine, TO_4096) == Plan((), made=plan_for(machine).made)


def test_two_wishes_for_one_key_ask_for_the_larger(machine: Machine) -> None:
    plan = plan_for(machine, SysctlSetting("net.core.somaxconn", "8192"), TO_4096)
    assert item(plan, "net.core.somaxconn").want == "8192"
    assert "somaxconn = 8192" in item(plan, OURS).want


def test_what_another_file_sets_at_boot_needs_no_file_of_ours(machine: Machine) -> None:
    machine.write("/etc/sysctl.d/50-site.conf", "net.core.somaxconn = 16384\n")
    assert [entry.key for entry in plan_for(machine, TO_4096).items] == ["net.core.somaxconn"]


def test_a_live_value_that_a_boot_would_lower_gets_a_file_only(machine: Machine) -> None:
    machine.write(SOMAXCONN, "4096\n")
    machine.write("/etc/sysctl.d/50-site.conf", "net.core.somaxconn = 128\n")
    plan = plan_for(machine, TO_4096)
    assert [entry.key for entry in plan.items] == [OURS]
    assert plan.notes == (
        "net.core.somaxconn: ours is read after /etc/sysctl.d/50-site.conf:1, which sets it to 128",
    )


def test_a_later_file_that_lowers_it_is_named_and_not_fought(machine: Machine) -> None:
    machine.write("/etc/sysctl.d/99-site.conf", "# old\nnet.core.somaxconn = 128\n")
    text = reason(plan_for(machine, TO_4096))
    assert "/etc/sysctl.d/99-site.conf:2 sets it to 128" in text and "--win" in text
    plan = plan_for(machine, TO_4096, options=Options(win=True))
    assert plan.items[1].key == "/etc/sysctl.d/99-zz-askr.conf"


def test_sysctl_conf_has_the_last_word_where_procps_does_it(machine: Machine) -> None:
    machine.write("/etc/sysctl.conf", "net.core.somaxconn = 128\n")
    assert "/etc/sysctl.conf:1" in reason(plan_for(machine, TO_4096))
    machine.write("/usr/lib/systemd/systemd-sysctl", "")
    plan = plan_for(machine, TO_4096)
    assert len(plan.items) == 2
    assert "sysctl --system" in plan.notes[0] and "/etc/sysctl.conf:1" in plan.notes[0]


@pytest.mark.parametrize("text", ["mine\n", "# Managed by askrctl tune: do not edit.\n"])
def test_a_file_that_we_did_not_write_is_not_edited(machine: Machine, text: str) -> None:
    machine.write(OURS, text)
    assert "was not written by askrctl" in reason(plan_for(machine, TO_4096))


def test_a_file_of_ours_that_was_edited_is_not_edited_again(machine: Machine) -> None:
    carry_out(machine, plan_for(machine, TO_4096))
    machine.write(OURS, (machine.read(OURS) or "") + "vm.swappiness = 1\n")
    plan = plan_for(machine, SysctlSetting("net.core.somaxconn", "8192"))
    assert "was edited since askrctl wrote it (+vm.swappiness = 1)" in reason(plan)
    found = operate.journals(operate.Tuner(machine.disk, machine.store, machine.facts))
    standing = verify.standings(machine.disk, machine.facts, found)
    [drift] = [entry.drift for entry in standing if entry.drift]
    assert drift == "it was edited: +vm.swappiness = 1"


def test_moved_aside_an_edited_file_keeps_what_it_sets_and_ours_is_read_after_it(
    machine: Machine,
) -> None:
    before = machine.read(SOMAXCONN)
    carry_out(machine, plan_for(machine, TO_4096))
    edited = (machine.read(OURS) or "") + "vm.swappiness = 1\n"
    machine.write(OURS, edited)
    more = SysctlSetting("net.core.somaxconn", "8192")
    command = plan_for(machine, more).skipped[0].hint.partition(" (")[0].split()
    assert command == ["mv", OURS, "/etc/sysctl.d/59-local.conf"]
    os.rename(machine.root / OURS[1:], machine.root / command[2][1:])
    carry_out(machine, plan_for(machine, more))
    assert machine.read("/etc/sysctl.d/59-local.conf") == edited
    assert "net.core.somaxconn = 8192" in (machine.read(OURS) or "")
    operate.revert(operate.Tuner(machine.disk, machine.store, machine.facts), "all")
    assert machine.read(SOMAXCONN) == before
    assert machine.read(OURS) is None and machine.read("/etc/sysctl.d/59-local.conf") == edited


def test_edits_are_told_in_a_line_however_many_they_are() -> None:
    assert persist.edits("a\nb\n", "a\nc\n") == "-b; +c"
    assert persist.edits("", "".join(f"{n}\n" for n in range(9))).endswith("; and 6 lines more")
    assert persist.edits("a\n", "a") == "only the end of a line"


def test_a_link_with_our_name_is_not_followed(machine: Machine) -> None:
    machine.write("/etc/victim", "")
    (machine.root / OURS[1:]).symlink_to("/etc/victim")
    assert "is a link to /etc/victim" in reason(plan_for(machine, TO_4096))


@pytest.mark.parametrize("folder", ["/usr/lib/sysctl.d", "/run/sysctl.d"])
def test_a_file_of_a_package_is_not_hidden_by_its_name(machine: Machine, folder: str) -> None:
    machine.write(f"{folder}/60-askr.conf", "vm.max_map_count = 262144\n")
    assert f"would hide {folder}/60-askr.conf" in reason(plan_for(machine, TO_4096))


def test_a_second_plan_adds_to_our_file_and_keeps_what_is_in_it(machine: Machine) -> None:
    carry_out(machine, plan_for(machine, TO_4096))
    plan = plan_for(machine, SysctlSetting("fs.nr_open", "2097152"))
    assert "somaxconn = 4096" in item(plan, OURS).want
    assert "fs.nr_open = 2097152" in item(plan, OURS).want
    carry_out(machine, plan)
    assert plan_for(machine, TO_4096, SysctlSetting("fs.nr_open", "2097152")).items == ()


def test_a_key_of_the_whole_machine_is_not_changed_from_a_part_of_it(machine: Machine) -> None:
    wish = SysctlSetting("fs.nr_open", "2097152")
    text = reason(plan_for(machine, wish, facts=Facts(contained=True)))
    assert "this is a container" in text and "on the host: sysctl -w fs.nr_open" in text
    assert "namespace" in reason(plan_for(machine, wish, facts=Facts(own_network=True)))


def test_in_a_network_namespace_files_of_the_machine_stay_as_they_are(machine: Machine) -> None:
    plan = plan_for(machine, TO_4096, facts=Facts(own_network=True))
    assert [entry.key for entry in plan.items] == ["net.core.somaxconn"]
    assert "files in /etc are for the machine" in plan.notes[0]
    plan = plan_for(machine, TO_4096, facts=Facts(contained=True))
    assert [entry.key for entry in plan.items] == ["net.core.somaxconn"]
    assert plan.notes[1] == "--sysctl net.core.somaxconn='4096'"
    plan = plan_for(machine, TO_4096, facts=Facts(contained=True, systemd=True))
    assert len(plan.items) == 2


def test_layers_can_be_left_out(machine: Machine) -> None:
    assert [
        i.layer for i in plan_for(machine, TO_4096, options=Options(persistent=False)).items
    ] == ["runtime"]
    assert [i.layer for i in plan_for(machine, TO_4096, options=Options(runtime=False)).items] == [
        "persist"
    ]


def test_folklore_and_unknown_keys_are_refused_with_the_reason(machine: Machine) -> None:
    assert "refused: it acts on outgoing" in reason(
        plan_for(machine, SysctlSetting("net.ipv4.tcp_tw_reuse", "1", "set"))
    )
    assert "does not write it" in reason(plan_for(machine, SysctlSetting("kernel.sysrq", "1")))
    assert "askr.toml" in reason(plan_for(machine, PhpSetting("memory_limit", "256M")))


def test_a_key_that_is_not_there_is_said_to_be_not_there(machine: Machine) -> None:
    assert "does not have it" in reason(
        plan_for(machine, SysctlSetting("net.ipv4.tcp_migrate_req", "1", "set"))
    )


def test_a_file_below_sys_is_set_now_and_by_tmpfiles(machine: Machine) -> None:
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    machine.write(path, "[always] madvise never\n")
    plan = plan_for(machine, FileSetting(path, "madvise"))
    assert item(plan, path).before == "always"
    assert f"w- {path} - - - - madvise\n" in item(plan, "/etc/tmpfiles.d/60-askr.conf").want


# --- the unit -------------------------------------------------------------------------------------


def test_a_limit_of_the_unit_is_raised_by_a_dropin(machine: Machine) -> None:
    machine.write(UNIT_FILE, "[Service]\nLimitNOFILE=20000\n")
    plan = plan_for(machine, NOFILE)
    assert item(plan, DROPIN).want.endswith("[Service]\n# net.test\nLimitNOFILE=65536\n")


@pytest.mark.parametrize("limit", ["65536", "1024:524288", "infinity", "100K"])
def test_a_limit_that_is_high_enough_stays(machine: Machine, limit: str) -> None:
    machine.write(UNIT_FILE, f"[Service]\nLimitNOFILE={limit}\n")
    assert plan_for(machine, NOFILE).items == ()


def test_a_limit_that_is_not_given_is_not_set_below_the_default(machine: Machine) -> None:
    machine.write(UNIT_FILE, "[Service]\nExecStart=/bin/true\n")
    assert "LimitNOFILE=524288\n" in item(plan_for(machine, NOFILE), DROPIN).want


def test_a_later_dropin_is_named_and_not_fought(machine: Machine) -> None:
    machine.write(UNIT_FILE, "[Service]\n")
    machine.write("/etc/systemd/system/askr.service.d/90-site.conf", "[Service]\nLimitNOFILE=9\n")
    assert "90-site.conf is read after ours" in reason(plan_for(machine, NOFILE))
    plan = plan_for(machine, NOFILE, options=Options(win=True))
    assert plan.items[0].key.endswith("/99-zz-askr.conf")


def test_a_capability_is_added_to_those_that_are_there(machine: Machine) -> None:
    machine.write(UNIT_FILE, "[Service]\nAmbientCapabilities=CAP_IPC_LOCK\n")
    wish = UnitSetting("AmbientCapabilities", "CAP_NET_BIND_SERVICE", "append")
    plan = plan_for(machine, wish)
    assert "\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" in item(plan, DROPIN).want
    carry_out(machine, plan)
    assert plan_for(machine, wish).items == ()
    more = plan_for(machine, UnitSetting("AmbientCapabilities", "CAP_SYS_NICE", "append"))
    assert "=CAP_NET_BIND_SERVICE CAP_SYS_NICE\n" in item(more, DROPIN).want


def test_a_list_that_allows_everything_is_not_cut_down_by_adding_to_it(machine: Machine) -> None:
    machine.write(UNIT_FILE, "[Service]\n")
    wish = UnitSetting("RestrictAddressFamilies", "AF_INET", "append")
    assert "does not restrict it" in reason(plan_for(machine, wish))
    machine.write(UNIT_FILE, "[Service]\nRestrictAddressFamilies=AF_UNIX\n")
    assert plan_for(machine, wish).items


@pytest.mark.parametrize(
    "setting",
    [
        UnitSetting("ExecStart", "/bin/sh", "set"),
        UnitSetting("LimitNOFILE", "1000000000"),
        UnitSetting("LimitNOFILE", "infinity"),
        UnitSetting("AmbientCapabilities", "CAP_SYS_ADMIN", "append"),
        UnitSetting("LimitNOFILE", "65536", section="Unit"),
    ],
)
def test_directives_outside_the_list_are_refused(machine: Machine, setting: UnitSetting) -> None:
    machine.write(UNIT_FILE, "[Service]\n")
    assert "refused" in reason(plan_for(machine, setting))


def test_without_a_unit_there_is_no_dropin(machine: Machine) -> None:
    assert "there is no askr.service here" in reason(plan_for(machine, NOFILE))


# --- wishes ---------------------------------------------------------------------------------------


def finding(name: str, status: Status, default: bool) -> Finding:
    fix = Fix(settings=(TO_4096,), default_plan=default)
    return Finding(name, name.partition(".")[0], "t", status, "why", fix=fix)


def test_findings_that_are_open_and_safe_are_taken_unasked() -> None:
    found = [
        finding("net.a", Status.FAIL, True),
        finding("net.b", Status.FAIL, False),
        finding("net.c", Status.OK, True),
        Finding("net.d", "net", "t", Status.FAIL),
    ]
    assert [wish.check for wish in wishes.from_findings(found)] == ["net.a"]
    assert [wish.check for wish in wishes.from_findings(found, ["net.b"])] == ["net.b"]
    assert [wish.check for wish in wishes.from_findings(found, ["net"])] == ["net.a", "net.b"]


def test_by_hand_takes_what_tune_may_write_and_nothing_else() -> None:
    assert wishes.by_hand("net/core/somaxconn = 4096").setting == TO_4096
    with pytest.raises(AskrError, match="removed in Linux"):
        wishes.by_hand("net.ipv4.tcp_tw_recycle=1")
    with pytest.raises(AskrError, match="not a key that tune writes"):
        wishes.by_hand("kernel.core_pattern=|/bin/sh")
    with pytest.raises(AskrError, match="KEY=VALUE"):
        wishes.by_hand("net.core.somaxconn")


def test_another_tuner_is_named_in_the_plan(machine: Machine) -> None:
    machine.write("/run/tuned/tuned.pid", "1\n")
    machine.write("/etc/tuned/active_profile", "throughput-performance\n")
    assert "tuned (profile throughput-performance)" in plan_for(machine, TO_4096).notes[0]
    tuner = operate.Tuner(machine.disk, machine.store, machine.facts)
    before = machine.look()
    with pytest.raises(AskrError, match=r"tuned .* manages this machine"):
        operate.apply_plan(tuner, plan_for(machine, TO_4096), Origin("t"))
    assert machine.look() == before
    assert planner.TMPFILES not in before


# --- network devices ------------------------------------------------------------------------------

SPREAD = FileSetting(RPS, "f")


def test_packets_are_spread_now_and_by_a_rule_that_knows_the_device(machine: Machine) -> None:
    before = machine.look()
    plan = plan_for(machine, SPREAD)
    assert item(plan, RPS).before == "0" and item(plan, RPS).want == "f"
    rule = (
        'ACTION=="add", SUBSYSTEM=="net", DRIVERS=="?*", ATTR{address}=="52:54:00:12:34:56", '
        'ATTR{queues/rx-0/rps_cpus}="f"\n'
    )
    assert item(plan, RULES).want.endswith(rule)
    carry_out(machine, plan)
    machine.write(RPS, "0000000f\n")  # as a kernel prints it
    assert plan_for(machine, SPREAD).items == ()
    assert planfile.read(json.dumps(planfile.dump(plan, "0")).encode(), "plan", plan.unit) == plan
    operate.revert(operate.Tuner(machine.disk, machine.store, machine.facts), "last")
    machine.write(RPS, "00\n")
    assert machine.look() == before


def test_a_device_without_an_address_of_its_own_is_changed_for_now_only(machine: Machine) -> None:
    machine.write("/sys/class/net/eth0/address", "00:00:00:00:00:00\n")
    plan = plan_for(machine, SPREAD)
    assert [entry.key for entry in plan.items] == [RPS]
    assert "no hardware address" in plan.notes[0]


def test_a_device_is_not_changed_from_inside_a_container(machine: Machine) -> None:
    assert "belongs to the whole machine" in reason(
        plan_for(machine, SPREAD, facts=Facts(boot="boot-1", contained=True))
    )


def test_the_flow_table_of_a_queue_is_only_raised(machine: Machine) -> None:
    path = RPS.replace("rps_cpus", "rps_flow_cnt")
    machine.write(path, "4096\n")
    assert plan_for(machine, FileSetting(path, "1024", "raise")).items == ()
    assert item(plan_for(machine, FileSetting(path, "30000", "raise")), path).want == "32768"


def test_a_rule_of_somebody_else_is_not_a_plan(machine: Machine) -> None:
    plan = plan_for(machine, SPREAD)
    document = planfile.dump(plan, "0")
    for wrong in ('RUN+="/bin/sh"', 'ATTR{mtu}="1"', 'ATTR{queues/rx-0/rps_cpus}="0"'):
        text = item(plan, RULES).want.replace('ATTR{queues/rx-0/rps_cpus}="f"', wrong)
        document["items"][1]["want"] = text
        with pytest.raises(AskrError, match="not a text that tune writes"):
            planfile.read(json.dumps(document).encode(), "plan", plan.unit)
