# SPDX-License-Identifier: MIT
"""Changes of files are told once, whichever way they are found; what is to be ignored is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from askrctl.config import WATCH_IGNORE
from askrctl.server.loop import Loop
from askrctl.server.watch import Watch, is_ignored


class Watched:
    """A folder under watch, and a loop that runs until a change is told, or a sentinel is."""

    def __init__(self, root: Path, poll: bool) -> None:
        self.told = 0
        self.loop = Loop()
        self.watch = Watch(self.loop, WATCH_IGNORE, self._note, poll)
        self.watch.follow(root)

    def _note(self) -> None:
        self.told += 1
        self.loop.stop()

    def after(self, change: Callable[[], object]) -> int:
        """How often it was told of this change."""
        before = self.told
        change()
        self.loop.call_later(10.0, self.loop.stop)  # reached only by a failing test
        self.loop.run()
        return self.told - before


@pytest.fixture(params=[False, True], ids=["inotify", "poll"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Watched:
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "storage/logs").mkdir(parents=True)
    (tmp_path / "src/a.php").write_text("1")
    return Watched(tmp_path, request.param)


def test_a_save_is_told_once(watched: Watched, tmp_path: Path) -> None:
    assert watched.after(lambda: (tmp_path / "src/a.php").write_text("22")) == 1


def test_a_save_by_renaming_is_a_change(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / ".new.swp").write_text("333")
    assert watched.after(lambda: (tmp_path / ".new.swp").rename(tmp_path / "src/a.php")) == 1


def test_a_new_folder_is_watched_too(watched: Watched, tmp_path: Path) -> None:
    folder = tmp_path / "src/deep/new/newer"

    def make() -> None:
        folder.mkdir(parents=True)
        (folder / "b.php").write_text("1")

    assert watched.after(make) == 1
    assert watched.after(lambda: (folder / "b.php").write_text("22")) == 1


def test_a_file_that_goes_is_a_change(watched: Watched, tmp_path: Path) -> None:
    assert watched.after((tmp_path / "src/a.php").unlink) == 1


def test_what_is_written_while_running_is_none(watched: Watched, tmp_path: Path) -> None:
    def write() -> None:
        (tmp_path / "storage/logs/laravel.log").write_text("x")
        (tmp_path / "src/trace.log").write_text("x")
        (tmp_path / "src/a.php~").write_text("x")
        watched.loop.call_later(1.2, watched.loop.stop)  # two looks of the poll

    assert watched.after(write) == 0
    assert watched.after(lambda: (tmp_path / "src/a.php").write_text("22")) == 1


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        (".git", True),
        ("src/.git", True),
        ("bootstrap/cache", True),
        ("src/bootstrap/cache", False),
        ("bootstrap/app.php", False),
        ("storage", True),
        ("app/storage", False),
        ("app/variable.php", False),
        ("database/dev.sqlite-wal", True),
        ("app/.a.php.swp", True),
        (".env", False),
    ],
)
def test_globs_are_for_names_or_for_paths(path: str, ignored: bool) -> None:
    assert is_ignored(path, WATCH_IGNORE) is ignored
