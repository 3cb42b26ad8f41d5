# SPDX-License-Identifier: MIT
"""`askrctl top` without a server: numbers from samples, lines for screens of any size, keys."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from unit.top_state import NOW, VIEW, S, app, durations, page, recorded, site

from askrctl.cli.render_status import render, time_text
from askrctl.cli.top.board import (
    SORTS,
    Board,
    arrange,
    arrange_routes,
    arrange_sites,
    make_board,
)
from askrctl.cli.top.draw import plain, rate_text, screen, size_text
from askrctl.cli.top.keys import HELP, VIEWS, Order, Ui, keys_of, press
from askrctl.cli.top.sample import Answered, Sample, WorkerSample

SIZES = [(80, 24), (40, 15), (160, 50), (24, 6), (60, 5), (300, 100), (10, 3), (1, 1)]


@pytest.fixture
def board() -> Board:
    return make_board(VIEW, recorded())


def lines_of(board: Board, ui: Ui, width: int, height: int) -> list[str]:
    return [line.plain.rstrip() for line in screen(board, ui, width, height)]


def names(board: Board, sort: str, wanted: str = "", busy_only: bool = False) -> list[str]:
    return [row.name for row in arrange(board, sort, wanted, busy_only, turned=False)]


# --- numbers --------------------------------------------------------------------------------------


def test_rates_are_of_the_last_interval_and_quantiles_of_the_window(board: Board) -> None:
    assert (board.interval_s, board.window_s) == (1.0, 10.0)
    assert board.requests_s == 100.0
    assert board.failed_s == 10.0
    assert board.p50_s == pytest.approx(0.0005, rel=0.04)
    assert board.p99_s == pytest.approx(0.09, rel=0.04)
    assert (board.queue, board.queue_wait_s, board.connections) == (2, 0.38, 7)


def test_a_row_tells_what_its_process_does(board: Board) -> None:
    stuck = next(row for row in board.rows if row.name == "0.1")
    assert (stuck.request, stuck.age_s, stuck.state) == ("POST /stuck", 24.0, "busy")
    assert stuck.cpu_pct == 25.0
    worker = next(row for row in board.rows if row.name == "1")
    assert (worker.state, worker.age_s) == ("silent", 3.0)


def test_one_sample_has_no_rates(board: Board) -> None:
    alone = make_board(VIEW, recorded()[-1:])
    assert (alone.requests_s, alone.p99_s, alone.io_cpu_pct) == (0.0, None, 0.0)
    assert len(alone.rows) == len(board.rows)


def test_a_worker_that_is_new_counts_from_nothing() -> None:
    samples = recorded()
    fresh = WorkerSample(
        0, 3, "serving", page(900, [], requests=5), samples[0].workers[1].durations
    )
    samples[-1] = replace(samples[-1], workers=(fresh,))
    assert make_board(VIEW, samples).requests_s == 5.0


def test_a_process_that_is_gone_is_dead() -> None:
    samples = recorded()
    usage = {pid: used for pid, used in samples[-1].usage.items() if pid != 113}
    samples[-1] = replace(samples[-1], usage=usage)
    row = next(row for row in make_board(VIEW, samples).rows if row.pid == 113)
    assert row.state == "dead"


def test_a_board_is_json(board: Board) -> None:
    found = json.loads(json.dumps(board.as_dict()))
    assert found["schema"] == "askr.top/1"
    assert found["rows"][1]["request"] == "GET /hello"


@pytest.mark.parametrize(
    ("sort", "first"),
    [("process", "0"), ("age", "0.1"), ("req/s", "0"), ("memory", "1.0"), ("requests", "0")],
)
def test_rows_are_sorted(board: Board, sort: str, first: str) -> None:
    assert names(board, sort)[0] == first


def test_rows_are_filtered_by_any_word(board: Board) -> None:
    assert names(board, "process", "STUCK") == ["0.1"]
    assert names(board, "process", "112") == ["0.1"]
    assert names(board, "process", "silent") == ["1"]
    assert names(board, "process", busy_only=True) == ["0.1", "1"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.00025, "250us"), (0.0012, "1.2ms"), (0.0999, "99.9ms"), (0.45, "0.45s"),
     (12.34, "12.3s"), (245, "4m05s"), (3599, "59m59s"), (11520, "3h12m"), (9e5, "10d")],
)  # fmt: skip
def test_times_fit_six_characters(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text
    assert len(text) <= 6


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, ""), (812 << 10, "812K"), (24.1 * 2**20, "24.1M"), (310 << 20, "310M"),
     (1023 << 10, "1.0M"), (1.25 * 2**30, "1.25G")],
)  # fmt: skip
def test_sizes_are_short(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0"), (0.2, "0.2"), (99.97, "100"), (9999, "9999"), (42123, "42.1k"),
                       (999_960, "1.0M")],
)  # fmt: skip
def test_rates_are_short(rate: float, text: str) -> None:
    assert rate_text(rate) == text


# --- the screen -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("panel", ["", "help", "backtrace"])
def test_a_screen_is_exactly_as_large_as_the_terminal(
    board: Board, width: int, height: int, panel: str
) -> None:
    text = ("2026-01-01 asked after 24.0 s  GET /stuck", "    sleep() " + "x" * 200, "日本語" * 40)
    usual = Ui(panel=panel, panel_lines=text)
    views = (*VIEWS, "sites")
    others = [replace(usual, view=view, views=views) for view in views[1:]]
    for ui in (usual, replace(usual, scroll=99), *others):
        lines = screen(board, ui, width, height)
        assert len(lines) == height
        assert max(line.cell_len for line in lines) <= width


@pytest.mark.parametrize(("width", "height"), [size for size in SIZES if size >= (40, 15)])
def test_what_is_stuck_and_what_waits_is_seen_at_every_usual_size(
    board: Board, width: int, height: int
) -> None:
    if height < 10:
        return
    text = "\n".join(lines_of(board, Ui(), width, height))
    assert "24.0s" in text and "POST /stuck" in text
    assert "queue 2" in text and "req/s 100" in text and "p99" in text
    assert "epoll (auto: no_bench_record)" in text
    assert "silent" in text


def test_a_usual_terminal_shows_this(board: Board) -> None:
    assert lines_of(board, Ui(selected=board.rows[2].key), 80, 12)[:9] == [
        "req/s 100  p50 500us  p99 90.2ms  queue 2 for 0.38s  5xx/s 10.0  conns 7",
        "1 busy  2 idle  cpu io 50%  app 75%  pss 69.0M  rss 99.0M",
        " proc↓      pid state       age  req/s   cpu%     pss request",
        " 0          101 ready              100     25    6.0M queue 2 for 0.38s  7 conns",
        "  0.0       111 idle               100     25   16.0M GET /hello",
        "▶ 0.1       112 busy      24.0s      0     25   17.0M POST /stuck",
        " 1          102 silent    3.00s      0     25    7.0M 0 conns",
        "  1.0       113 idle                 0     25   18.0M GET /hello",
        "",
    ]


def test_the_selected_row_is_on_the_screen(board: Board) -> None:
    for row in board.rows:
        lines = lines_of(board, Ui(selected=row.key), 80, 7)
        assert any(line.startswith("▶") and str(row.pid) in line for line in lines)


def test_a_request_cannot_steer_the_terminal() -> None:
    samples = recorded()
    nasty = app(0, 111, path="/\x1b[2J\x07\u202e", since_ns=NOW - S)
    worker = replace(samples[-1].workers[0], page=page(101, [nasty]))
    samples[-1] = replace(samples[-1], workers=(worker,))
    text = "".join(lines_of(make_board(VIEW, samples), Ui(), 160, 50))
    assert "GET /\N{REPLACEMENT CHARACTER}[2J" in text
    assert text.isprintable()


def test_an_application_that_cannot_boot_is_told() -> None:
    samples = recorded()
    broken = replace(samples[-1].workers[0].page, boot_error="no such class: Kernel")
    worker = replace(samples[-1].workers[0], page=broken)
    samples[-1] = replace(samples[-1], workers=(worker,))
    board = make_board(VIEW, samples)
    for height in (24, 8):
        assert "no such class: Kernel" in lines_of(board, Ui(), 80, height)


def test_a_worker_of_another_generation_says_so() -> None:
    samples = recorded()
    old = WorkerSample(0, 2, "draining", page(90, [], generation=2), durations())
    samples[-1] = replace(samples[-1], workers=(*samples[-1].workers, old))
    lines = lines_of(make_board(VIEW, samples), Ui(), 80, 24)
    assert [line for line in lines if "generation 2" in line and " 90 " in line]


def test_plain_output_has_every_row(board: Board) -> None:
    lines = [line.plain for line in plain(board, Ui(), 160)]
    assert sum("GET /hello" in line for line in lines) == 2
    assert len([line for line in lines if line.startswith(" ")]) == 1 + 5 + 1 + 2


def test_the_help_fits_a_usual_terminal() -> None:
    assert len(HELP) < 24
    assert max(map(len, HELP)) <= 80


# --- routes ---------------------------------------------------------------------------------------


def test_routes_share_the_time_that_requests_took(board: Board) -> None:
    slow, quick = arrange_routes(board, "time", "", turned=False)
    assert (slow.route, quick.route) == ("/report", "/cart/:id")
    assert slow.time_pct == pytest.approx(99.4, abs=0.1)
    assert (quick.requests_s, quick.failed_s) == (100.0, 10.0)
    assert arrange_routes(board, "5xx", "", turned=False)[0] == quick
    assert arrange_routes(board, "time", "CART", turned=False) == [quick]


def test_a_worker_that_ends_takes_no_requests_back() -> None:
    samples = recorded()
    samples[-1] = replace(samples[-1], routes={"/report": Answered(0, durations())})
    assert make_board(VIEW, samples).routes == ()


def test_tab_shows_routes_and_tab_again_processes(board: Board) -> None:
    ui, _ = type_keys(board, Ui(), b"\t")
    assert lines_of(board, ui, 80, 12)[2:5] == [
        " time%↓  req/s     p50     p99  5xx/s route",
        "   99.4    100  90.2ms  90.2ms      0 /report",
        "    0.6    100   500us   500us   10.0 /cart/:id",
    ]
    assert lines_of(board, ui, 30, 12)[3] == "   99.4    100 /report"
    assert type_keys(board, ui, b"sjrb")[0].route_sort == "req/s"
    assert type_keys(board, ui, b"\t")[0] == Ui()


# --- sites ----------------------------------------------------------------------------------------


def with_sites() -> list[Sample]:
    """A shop that answers much, and a blog that is stuck."""
    samples = []
    for sample, served in zip(recorded(), (0, 900, 1000), strict=True):
        first, second = sample.workers
        sites = (
            site("shop", responses={**first.page.responses, "5xx": served // 100}, inflight=1),
            site("blog", queue_depth=3, queue_wait_ns=4 * S, inflight=2),
        )
        first = replace(first, page=replace(first.page, sites=sites))
        counted = {
            "shop": Answered(served // 100, durations(us500=served)),
            "blog": Answered(0, durations()),
        }
        samples.append(replace(sample, workers=(first, second), sites=counted))
    return samples


def test_sites_share_the_time_too_and_one_that_is_stuck_is_seen() -> None:
    board = make_board(VIEW, with_sites())
    shop, blog = board.sites
    assert (shop.site, shop.requests_s, shop.failed_s, shop.time_pct) == ("shop", 100.0, 1.0, 100.0)
    assert shop.p99_s == pytest.approx(0.0005, rel=0.04)
    assert (blog.site, blog.p50_s, blog.queue, blog.queue_wait_s) == ("blog", None, 3, 4.0)
    assert [row.site for row in arrange_sites(board, "queue", "", turned=False)] == ["blog", "shop"]
    assert [row.site for row in arrange_sites(board, "site", "", turned=True)] == ["shop", "blog"]
    ui = Ui(view="sites", views=(*VIEWS, "sites"))
    assert lines_of(board, ui, 90, 12)[2:5] == [
        " time%↓  req/s     p50     p99  5xx/s  queue  oldest running site",
        "  100.0    100   500us   500us    1.0      0               1 shop",
        "    0.0      0                      0      3   4.00s       2 blog",
    ]
    assert "Tab processes" in lines_of(board, ui, 90, 12)[-1]
    assert type_keys(board, ui, b"ssssr")[0].site_sort == "queue"
    assert any(line.plain.endswith(" shop") for line in plain(board, Ui(), 120))


# --- keys -----------------------------------------------------------------------------------------


def type_keys(board: Board, ui: Ui, data: bytes) -> tuple[Ui, list[Order]]:
    orders = []
    for key in keys_of(data):
        rows = arrange(board, ui.sort, ui.wanted, ui.busy_only, ui.turned)
        ui, order = press(ui, key, rows)
        orders += [order] if order else []
    return ui, orders


def test_bytes_are_cut_into_keys() -> None:
    found = list(keys_of("q\x1b[A\x1bOB\x1b[5~é\x7f\r\x1b[1;5Xz\x1b".encode()))
    assert found == ["q", "up", "down", "page up", "é", "backspace", "enter", "z", "escape"]
    assert list(keys_of(b"\x00\x01\xff")) == []


def test_an_order_is_given_when_it_is_confirmed(board: Board) -> None:
    ui, orders = type_keys(board, Ui(), b"\x1b[B\x1b[B\x1b[Br")
    assert not orders
    assert "recycle process 0.1 (pid 112)" in ui.question
    assert lines_of(board, ui, 80, 24)[-1].endswith("when it has finished? y/n")
    assert lines_of(board, ui, 40, 20)[-1] == "recycle process 0.1 (pid 112) when … y/n"
    assert type_keys(board, ui, b"y")[1] == [Order("recycle", 0, 112)]
    assert type_keys(board, ui, b"n")[1] == []
    assert type_keys(board, ui, b"\x1b")[0].question == ""


def test_a_worker_is_drained_or_recycled_whole(board: Board) -> None:
    assert type_keys(board, Ui(), b"jdy")[1] == [Order("drain", 0)]
    assert type_keys(board, Ui(), b"jry")[1] == [Order("recycle", 0)]
    assert type_keys(board, Ui(), b"\x1b[Fdy")[1] == [Order("drain", 1)]


def test_a_backtrace_needs_no_confirmation(board: Board) -> None:
    assert type_keys(board, Ui(), b"jjb")[1] == [Order("backtrace", 0, 111)]
    assert type_keys(board, Ui(), b"b")[0].message.startswith("choose a process")


def test_the_filter_is_typed_and_taken_back(board: Board) -> None:
    ui, _ = type_keys(board, Ui(), b"/stuckk\x7f")
    assert ui.editing and ui.wanted == "stuck"
    assert "filter: stuck" in lines_of(board, ui, 80, 24)[-1]
    long, _ = type_keys(board, ui, b"/and/what/follows/it/in/the/path")
    assert lines_of(board, long, 24, 20)[-1] == "filter: /it/in/the/path_"
    ui, orders = type_keys(board, ui, b"\rq")
    assert orders == [Order("quit")]
    assert type_keys(board, ui, b"\x1b")[0].wanted == ""


def test_a_filter_that_nothing_matches_says_how_to_leave_it(board: Board) -> None:
    assert " nothing matches: Esc shows all" in lines_of(board, Ui(wanted="xyz"), 80, 24)


def test_sorting_goes_round(board: Board) -> None:
    ui = Ui()
    for _ in SORTS:
        ui, _ = type_keys(board, ui, b"s")
    assert ui.sort == "process"
    assert type_keys(board, ui, b"S")[0].sort == SORTS[-1]
    assert type_keys(board, ui, b"R")[0].turned


def test_selection_stays_with_its_process_when_rows_move(board: Board) -> None:
    ui, _ = type_keys(board, Ui(), b"jjs")
    assert ui.selected == next(row.key for row in board.rows if row.name == "0.0")


def test_help_is_opened_scrolled_and_closed(board: Board) -> None:
    ui, _ = type_keys(board, Ui(), b"?j")
    assert (ui.panel, ui.scroll) == ("help", 1)
    assert type_keys(board, ui, b"q") == (Ui(), [])


# --- status ---------------------------------------------------------------------------------------


WORKER = {
    "pid": 4194304, "state": "draining", "connections": 1000, "requests": 10**9,
    "queue_depth": 90, "inflight": 9, "responses": {"5xx": 1234}, "errors": 12,
    "log_lines": 1, "log_dropped": 0, "spans_lost": 0, "boot_error": "",
    "apps": [{"state": "idle"}, {"state": "busy"}, {"state": "idle"}],
}  # fmt: skip
STATUS = {
    "version": "1", "pid": 1, "user": "www", "listeners": ["http://x/"], "mode": "classic",
    "application": {"kind": "PHP", "root": "/srv"}, "uptime_s": 1, "generation": 1,
    "draining_generations": 0, "opcache": {}, "trace": {"endpoint": ""}, "routes": [],
    "answered": {"requests": 5, "responses": {"5xx": 1}, "p50_s": 0.001, "p99_s": 0.2},
    "workers": [{**WORKER, "index": i} for i in range(12)],
    "io_backend": {"requested": "epoll", "active": "epoll", "reason": "r", "detail": "",
                   "fix": ""},
}  # fmt: skip


def status_text(status: dict[str, Any], width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for part in render(status, width):
        console.print(part)
    return out.getvalue()


def test_what_is_open_on_all_addresses_says_so() -> None:
    urls = {"listeners": ["http://localhost:80/", "unix:/x"], "addresses": [":80", "unix:/x"]}
    lines = [line.rstrip() for line in status_text({**STATUS, **urls}, 80).splitlines()]
    assert "listens   http://localhost:80/ and all addresses of this machine" in lines
    assert "          unix:/x" in lines


@pytest.mark.parametrize("width", [24, 40, 50, 60, 80])
def test_a_line_of_the_status_table_is_one_worker_at_every_width(width: int) -> None:
    table = status_text(STATUS, width).split("\n\n")[-1].rstrip().splitlines()
    assert len(table) == 13
    for line in table[1:]:
        assert "draining" in line and " 90" in line


def test_the_status_says_what_was_lost_and_what_took_the_time() -> None:
    lossy = {**WORKER, "index": 0, "log_dropped": 70, "spans_lost": 3}
    trace = {"endpoint": "http://t/", "exported": 1, "failed": 0, "dropped": 2, "error": ""}
    route = {"requests": 9, "failed": 2, "total_s": 1.0, "p50_s": 0.1, "p99_s": 0.2}
    routes = [{**route, "route": f"/r{i}\x1b[2J"} for i in range(7)]
    status = {**STATUS, "workers": [lossy], "trace": trace, "routes": routes}
    text = status_text(status, 100)
    assert "70 of 71 lines lost" in text
    assert "2 dropped, 3 lost" in text
    assert "5 requests, 1 of them with 5xx; p50 1.0ms, p99 0.20s" in text
    assert text.count("14.3 %") == 5 and "2 more routes" in text
    assert "\x1b" not in text
    assert "1 busy 2 idle" in text


def test_the_status_of_sites_has_a_line_for_each() -> None:
    site = {
        "mode": "classic", "user": "www", "processes": 4, "requests": 7, "queue_depth": 1,
        "inflight": 2, "responses": {"5xx": 5}, "p50_s": 0.1, "p99_s": 0.2, "boot_error": "",
    }  # fmt: skip
    names = ("shop", "blog.example.org")
    text = status_text({**STATUS, "sites": [{**site, "name": name} for name in names]}, 80)
    assert "2 sites" in text and "/srv" not in text
    for line in text.rstrip().splitlines()[-2:]:
        assert line.split()[1:] == ["classic", "4", "7", "1", "5", "0.10s", "0.20s"]


def test_the_status_says_what_waits_what_does_not_end_and_what_was_refused() -> None:
    quick = {"state": "busy", "since_ms": 20.0, "method": "GET", "path": "/quick"}
    stuck = {"state": "busy", "since_ms": 51_800.0, "method": "GET", "path": "/stuck\x1b[2J"}
    worker = {**WORKER, "index": 0, "state": "ready", "queue_wait_s": 6.24}
    worker |= {"apps": [quick, stuck], "queue_expired": 2, "queue_full": 0, "rate_limited": 3}
    text = status_text({**STATUS, "workers": [{**worker, "heartbeat_age_s": 0.1}]}, 100)
    assert "waiting   90 requests, the oldest for 6.24s" in text
    assert "running   2, the longest for 51.8s: GET /stuck" in text and "\x1b" not in text
    assert "refused   2 because they had waited too long, 3 over a rate limit" in text
    assert " ready " in text and "silent" not in text
    calm = {"queue_depth": 0, "apps": [quick], "queue_expired": 0, "rate_limited": 0}
    text = status_text({**STATUS, "workers": [{**worker, **calm, "heartbeat_age_s": 2.0}]}, 100)
    assert "waiting" not in text and "running" not in text and "refused" not in text
    assert " silent " in text
