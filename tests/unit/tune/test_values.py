# SPDX-License-Identifier: MIT
"""Wishes are merged with what is there: nothing is lowered, nothing is taken off a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl import folklore
from askrctl.tune import keys
from askrctl.tune.keys import SYSCTLS, Key
from askrctl.tune.values import Shape, between, merged, met, ports, ports_text, same, tidy

NUMBER = st.integers(0, 2**40)
PORTS = st.sets(st.integers(1, 65535), max_size=40)


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=4))
def test_no_number_is_ever_lowered(pairs: list[tuple[int, int]]) -> None:
    before = "\t".join(str(old) for old, _ in pairs)
    asked = " ".join(str(new) for _, new in pairs)
    result = [int(word) for word in merged(Shape.NUMBERS, before, asked).split()]
    assert all(now >= max(pair) for now, pair in zip(result, pairs, strict=True))
    text = " ".join(map(str, result))
    assert merged(Shape.NUMBERS, text, asked) == text
    assert met(Shape.NUMBERS, text, asked) and met(Shape.NUMBERS, text, before)


@given(PORTS, PORTS)
def test_no_port_is_ever_taken_off_the_list(before: set[int], asked: set[int]) -> None:
    text = merged(Shape.PORTS, ports_text(before), ports_text(asked))
    assert ports(text) == before | asked
    assert same(Shape.PORTS, text, ",".join(map(str, sorted(before | asked))))


@given(st.text(max_size=60))
def test_any_text_has_a_tidy_form_and_nothing_else_happens(text: str) -> None:
    for shape in Shape:
        once = tidy(shape, text)
        assert tidy(shape, once) == once or shape is Shape.CHOICE


def test_a_range_is_made_wider_from_both_ends() -> None:
    assert merged(Shape.RANGE, "32768\t60999", "16384 60999") == "16384 60999"
    assert merged(Shape.RANGE, "1024 65535", "16384 60999") == "1024 65535"


def test_only_the_column_that_is_meant_changes() -> None:
    key = SYSCTLS["net.ipv4.tcp_rmem"]
    assert key.merged("4096\t131072\t6291456", "33554432") == "4096 131072 33554432"
    assert key.merged("4096\t131072\t33554432", "16777216") == "4096 131072 33554432"


def test_the_choice_in_brackets_is_the_value() -> None:
    assert tidy(Shape.CHOICE, "always [madvise] never\n") == "madvise"


def test_a_power_of_two_is_asked_for_as_the_kernel_will_keep_it() -> None:
    assert SYSCTLS["net.core.rps_sock_flow_entries"].merged("0", "30000") == "32768"


def test_between_is_what_a_clamp_makes_of_a_write() -> None:
    assert between(Shape.NUMBERS, "5", "1", "9") and not between(Shape.NUMBERS, "10", "1", "9")
    assert not between(Shape.WORD, "5", "1", "9") and not between(Shape.NUMBERS, "x", "1", "9")


@pytest.mark.parametrize(
    "key",
    [*keys.SYSCTLS.values(), *keys.SYSFS.values(), *keys.patterns()],
    ids=lambda k: k.name,
)
def test_what_a_key_allows_is_neither_empty_nor_folklore(key: Key) -> None:
    values = key.words or ((str(key.low), str(key.high)) if not key.pattern else ("12",))
    if key.shape is Shape.RANGE:
        values = (f"{key.low} {key.high}",)
    for value in values:
        assert key.fault(value) == ""
        assert folklore.refusal(key.name, value) == ""


def test_masks_of_cores_are_the_same_however_they_are_spelt() -> None:
    key = keys.find("/sys/class/net/eth0/queues/rx-0/rps_cpus")
    assert key is not None and key.describe() == "a mask of cores"
    assert key.same("00000003", "3") and key.same("1,00000000", "00000001,00000000")
    assert not key.same("1,00000000", "1")
    assert key.met("0f", "f") and not key.met("3", "f")
    assert key.fault("0") and key.fault("00000000") and key.fault("g") and key.fault("1,0")


@pytest.mark.parametrize(
    "name",
    [
        "/sys/class/net/../../kernel/queues/rx-0/rps_cpus",
        "/sys/class/net/eth0/queues/rx-0/../../../../rps_cpus",
        "/sys/class/net/eth0/queues/tx-0/rps_cpus",
        "/sys/class/net/eth0/queues/rx-x/rps_cpus",
        "/sys/class/net/eth0/mtu",
        "/sys/class/net/eth0/queues/rx-0/rps_cpus\n",
        "/sys/class/net//queues/rx-0/rps_cpus",
    ],
)
def test_only_queues_of_a_device_are_written(name: str) -> None:
    assert keys.find(name) is None


@pytest.mark.parametrize(
    "value", ["", "x", "-1", "1 2 x", "1\n2", "1" * 5000, "٣", "1;reboot", "$(id)", "65536"]
)
def test_a_value_that_is_none_is_refused_with_a_reason(value: str) -> None:
    assert SYSCTLS["net.core.somaxconn"].fault(value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.ipv4.tcp_tw_recycle", "1"),
        ("net.ipv4.tcp_tw_reuse", "1"),
        ("net.ipv4.tcp_timestamps", "0"),
        ("net.ipv4.tcp_sack", "0"),
        ("net.ipv4.tcp_fin_timeout", "15"),
        ("net.ipv4.tcp_rmem", "4096 16777216 33554432"),
        ("net.ipv4.tcp_syncookies", "0"),
        ("net.core.somaxconn", "1000000"),
        ("net.core.netdev_budget", "50000"),
        ("vm.swappiness", "0"),
        ("vm.overcommit_memory", "2"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "never"),
    ],
)
def test_folklore_has_a_reason(key: str, value: str) -> None:
    assert len(folklore.refusal(key, value)) > 20
