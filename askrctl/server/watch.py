# SPDX-License-Identifier: MIT
"""For development: tells when files below a folder have changed, and been quiet for a moment.

inotify(7) where it works; else, and on network and shared folders whose changes the kernel does not
see, by looking at all files twice a second (`server.watch = "poll"`).
"""

import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import inotify_simple

from askrctl.server.loop import Loop

log = logging.getLogger("askrctl")

QUIET_S = 0.03  # an editor's save, or a checkout, is many changes
POLL_PERIOD_S = 0.5
FOLDERS_MAX = 8192  # the kernel's usual limit for one user; below it inotify is tried
FILES_MAX = 50_000  # more are not looked at when polling

_FLAGS = inotify_simple.flags
_CHANGES = _FLAGS.CLOSE_WRITE | _FLAGS.CREATE | _FLAGS.DELETE | _FLAGS.MOVED_FROM | _FLAGS.MOVED_TO


def is_ignored(path: str, globs: Sequence[str]) -> bool:
    """`path` is relative. A glob without a slash is for names."""
    name = path.rpartition("/")[2]
    return any(
        fnmatch(path, glob.lstrip("/")) if "/" in glob else fnmatch(name, glob) for glob in globs
    )


def walk(root: Path, ignore: Sequence[str], below: str = "") -> Iterator[tuple[str, list[str]]]:
    """Folders of `root` from `below` on, relative ("" is itself), with the names of their files."""
    for folder, names, files in os.walk(root / below):
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else f"{relative}/"
        names[:] = [name for name in names if not is_ignored(prefix + name, ignore)]
        yield prefix[:-1], [name for name in files if not is_ignored(prefix + name, ignore)]


class Watch:
    """Calls `on_change`; follow() says where to look."""

    def __init__(
        self, loop: Loop, ignore: Sequence[str], on_change: Callable[[], None], poll: bool = False
    ) -> None:
        self._loop = loop
        self._ignore = ignore
        self._on_change = on_change
        self._poll = poll
        self._root = Path()
        self._notify: inotify_simple.INotify | None = None
        self._folders: dict[int, str] = {}  # by watch descriptor
        self._seen: dict[str, tuple[int, int]] = {}
        self._round = 0  # counts changes, so that only the last one's timer fires
        self._look = 0  # counts roots, so that an old poll ends

    def follow(self, root: Path) -> None:
        """Look here from now on."""
        if root == self._root:
            return
        self.close()
        self._root = root
        self._look += 1
        if self._poll or not self._begin_notify():
            log.info('event=watching path="%s" by=poll', root)
            self._seen = self._snapshot()
            self._later(self._look)
            return
        log.info('event=watching path="%s" by=inotify folders=%d', root, len(self._folders))

    def close(self) -> None:
        """Look nowhere."""
        if self._notify is not None:
            self._loop.remove(self._notify.fileno())
            self._notify.close()
        self._notify, self._root = None, Path()
        self._folders.clear()
        self._look += 1

    def _changed(self) -> None:
        self._round += 1
        number = self._round
        self._loop.call_later(QUIET_S, lambda: self._settle(number))

    def _settle(self, number: int) -> None:
        if number == self._round:
            self._on_change()

    # --- inotify ----------------------------------------------------------------------------------

    def _begin_notify(self) -> bool:
        try:
            self._notify = inotify_simple.INotify(nonblocking=True)
            self._add("")
        except OSError as error:  # ENOSPC: fs.inotify.max_user_watches
            log.warning('event=no_inotify detail="%s"', error.strerror)
            if self._notify is not None:
                self._notify.close()
            self._notify = None
            self._folders.clear()
            return False
        self._loop.add(self._notify.fileno(), self._read)
        return True

    def _add(self, folder: str) -> None:
        """A folder and those below it."""
        assert self._notify is not None
        for name, _ in walk(self._root, self._ignore, folder):
            if len(self._folders) >= FOLDERS_MAX:
                raise OSError(errno.ENOSPC, f"more than {FOLDERS_MAX} folders")
            try:
                self._folders[self._notify.add_watch(self._root / name, _CHANGES)] = name
            except FileNotFoundError:  # gone since the walk
                continue

    def _read(self) -> None:
        assert self._notify is not None
        for event in self._notify.read(timeout=0):
            if event.mask & _FLAGS.Q_OVERFLOW:
                self._changed()
                continue
            folder = self._folders.get(event.wd)
            if event.mask & _FLAGS.IGNORED:
                self._folders.pop(event.wd, None)
            elif folder is not None:
                self._note(folder, event)

    def _note(self, folder: str, event: inotify_simple.Event) -> None:
        path = f"{folder}/{event.name}" if folder else event.name
        if is_ignored(path, self._ignore):
            return
        is_new_folder = event.mask & _FLAGS.ISDIR and event.mask & (_FLAGS.CREATE | _FLAGS.MOVED_TO)
        if is_new_folder:
            try:
                self._add(path)
            except OSError as error:
                log.warning('event=folder_not_watched path="%s" detail="%s"', path, error.strerror)
        if event.mask & _FLAGS.CREATE and not event.mask & _FLAGS.ISDIR:
            return  # CLOSE_WRITE follows, with content
        self._changed()

    # --- polling ----------------------------------------------------------------------------------

    def _snapshot(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for folder, names in walk(self._root, self._ignore):
            for name in names:
                try:
                    status = os.stat(self._root / folder / name)
                except OSError:
                    continue
                found[f"{folder}/{name}"] = (status.st_mtime_ns, status.st_size)
                if len(found) >= FILES_MAX:
                    return found
        return found

    def _later(self, look: int) -> None:
        self._loop.call_later(POLL_PERIOD_S, lambda: self._poll_once(look))

    def _poll_once(self, look: int) -> None:
        if look != self._look:
            return
        seen = self._snapshot()
        if seen != self._seen:
            self._seen = seen
            self._changed()
        self._later(look)
