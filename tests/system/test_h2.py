# SPDX-License-Identifier: MIT
"""HTTP/2 over a real socket: every case of the packs h2_cases*.py, whole and byte by byte."""

import pytest
from system import h2_cases, h2_cases_hpack, h2_cases_messages
from system.conftest import Serve
from system.h2_cases import Case
from system.h2_wire import Peer, get
from system.harness import Server

ALL = [*h2_cases.CASES, *h2_cases_messages.CASES, *h2_cases_hpack.CASES]
LAST = 2**31 - 1  # a stream that no case uses


@pytest.fixture(scope="module")
def site(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    (root / "a.txt").write_text("file a")
    return serve_shared(root)


def lives(peer: Peer) -> bool:
    """Is a request still answered?"""
    peer.send(get(LAST))
    return peer.finish(LAST).status == 200


def verdict(case: Case, peer: Peer) -> str:
    """What came of it, as a word and a number."""
    answer = peer.answer(1)
    if case.alive and lives(peer):
        return "alive"
    if case.status or case.stream:
        peer.until(
            "something comes of it",
            lambda: answer.ended or answer.reset not in (None, 0) or bool(peer.goaways),
        )
    if peer.goaways and peer.goaways[-1][0] != 0:
        peer.rest()
        return f"connection {peer.goaways[-1][0]}"
    if answer.ended and case.status:
        return f"status {answer.status}"
    if answer.reset is not None and case.stream:
        return f"stream {answer.reset}"
    peer.rest()
    return f"connection {peer.goaways[-1][0]}" if peer.goaways else "closed"


def wanted(case: Case) -> set[str]:
    words = {f"stream {code}" for code in case.stream}
    words |= {f"connection {code}" for code in case.connection}
    if case.status:
        words.add(f"status {case.status}")
    if case.alive:
        words.add("alive")
    if case.section == "3.4":
        words.add("closed")  # who does not begin well may be left without a word
    return words


def test_the_pack_is_as_large_as_promised_and_no_name_is_given_twice() -> None:
    assert len({str(case) for case in ALL}) == len(ALL) >= 150


@pytest.mark.parametrize("way", ["whole", "bytewise"])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_rfc(site: Server, case: Case, way: str) -> None:
    with Peer(site.address, preface=b"") as peer:
        data = case.preface + case.data
        if way == "whole" or len(data) > 2000:
            peer.send(data)
        else:
            peer.send_bytewise(data)
        found = verdict(case, peer)
        assert found in wanted(case), f"{found}, wanted {wanted(case)}"
        if found.startswith(("status", "stream")) and not case.connection:
            assert lives(peer), "a stream's mistake cost the connection"
