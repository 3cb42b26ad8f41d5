# SPDX-License-Identifier: MIT
"""What is taken from an application user's process that tells how OPcache is: numbers, no more."""

import json
from typing import Any

import pytest

from askrctl.server.opcache import Opcache, look, parse

STATUS: dict[str, Any] = {
    "cache_full": False,
    "memory_usage": {"used_memory": 100, "free_memory": 200, "wasted_memory": 3},
    "interned_strings_usage": {"used_memory": 10, "free_memory": 20, "number_of_strings": 5},
    "opcache_statistics": {"num_cached_scripts": 7, "hits": 90, "misses": 10, "oom_restarts": 1},
}


def test_names_are_ours_and_values_numbers() -> None:
    found = parse(json.dumps(STATUS))
    assert (found["memory_used"], found["scripts"], found["hits"]) == (100, 7, 90)
    assert (found["restarts_memory"], found["full"]) == (1, 0)
    assert "restarts_keys" not in found  # it was not told


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", "[" * 100_000, '{"memory_usage": []}', '{"memory_usage": null}',
     '{"memory_usage": {"used_memory": "1"}}', '{"memory_usage": {"used_memory": -1}}',
     '{"memory_usage": {"used_memory": true}}', '{"memory_usage": {"used_memory": 1e400}}',
     '{"memory_usage": {"used_memory": NaN}}'],
)  # fmt: skip
def test_nonsense_is_nothing(text: str) -> None:
    assert parse(text) == {}


def test_nobody_is_asked_before_somebody_wants_to_know() -> None:
    asked = []
    opcache = Opcache(lambda: bool(asked.append(1)))
    look([opcache])
    assert not asked
    assert opcache.want() == {}
    look([opcache])
    look([opcache])
    assert len(asked) == 1  # and then not again at once
    opcache.told(json.dumps(STATUS))
    opcache.told("nonsense")
    assert opcache.want()["hits"] == 90


def test_the_caches_of_many_sites_are_asked_in_turn() -> None:
    asked: list[int] = []
    caches = [Opcache(lambda number=number: bool(asked.append(number))) for number in range(3)]
    for cache in caches:
        cache.want()
    for count in range(1, 4):
        look(caches)
        assert len(asked) == count
    look(caches)
    assert sorted(asked) == [0, 1, 2]
