# SPDX-License-Identifier: MIT
"""Exchanges for the tests of recordings: one that is plain, and hypothesis strategies of any."""

from hypothesis import strategies as st

from askrctl.traffic.exchange import EMPTY, Answer, Body, Exchange, Request

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

names = st.text(TOKEN, min_size=1, max_size=12)
values = st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=30)
targets = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=255, exclude_characters="\x7f"),
    min_size=1,
    max_size=60,
)
fields = st.lists(st.tuples(names, values), max_size=6).map(tuple)
bodies = st.one_of(
    st.binary(max_size=200).map(Body.of),
    st.binary(min_size=1, max_size=50).map(lambda content: Body.of(content).without_content()),
    st.integers(1, 1 << 40).map(Body.cut),
)
requests = st.builds(
    Request,
    method=names,
    target=targets,
    authority=values,
    version=st.sampled_from([1000, 1001, 2000]),
    secure=st.booleans(),
    fields=fields,
    body=bodies,
)
answers = st.builds(
    Answer, status=st.one_of(st.just(0), st.integers(200, 999)), fields=fields, body=bodies
)
moments = st.integers(0, 2 * 10**15).map(lambda us: us / 1e6)
exchanges = st.builds(
    Exchange,
    time=moments,
    duration=st.integers(0, 10**9).map(lambda us: us / 1e6),
    outcome=st.sampled_from(["done", "cut", "left"]),
    request=requests,
    answer=answers,
)


def request(
    target: str = "/",
    method: str = "GET",
    fields: tuple[tuple[str, str], ...] = (),
    body: Body = EMPTY,
) -> Request:
    return Request(method, target, "shop.test", 1001, False, fields, body)


def answer(
    status: int = 200, fields: tuple[tuple[str, str], ...] = (), body: Body = EMPTY
) -> Answer:
    return Answer(status, fields, body)


def exchange(asked: Request, answered: Answer | None = None, outcome: str = "done") -> Exchange:
    return Exchange(1.5, 0.25, outcome, asked, answered or answer())
