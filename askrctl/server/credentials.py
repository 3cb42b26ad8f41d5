# SPDX-License-Identifier: MIT
"""Who workers and applications run as, and how a process becomes them.

The default is the owner of what is served. Rings are created after the change: io_uring keeps the
credentials of the process that made the ring.
"""

import ctypes
import grp
import os
import pwd
from pathlib import Path

from askrctl.config import ServerConfig
from askrctl.model import AskrError, Credentials

_PR_SET_DUMPABLE = 4  # prctl(2)


def _of_user(entry: pwd.struct_passwd, gid: int) -> Credentials:
    groups = tuple(os.getgrouplist(entry.pw_name, gid))
    return Credentials(entry.pw_uid, gid, groups, entry.pw_name)


def _find_user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        hint = f"useradd --system {name}"
        raise AskrError(f"there is no user {name!r}", hint, code=2, key="server.user") from None


def _find_group(name: str) -> int:
    try:
        return grp.getgrgid(int(name)).gr_gid if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        hint = f"groupadd {name}"
        raise AskrError(f"there is no group {name!r}", hint, code=2, key="server.group") from None


def _owner(path: Path) -> Credentials:
    found = path.stat()
    try:
        return _of_user(pwd.getpwuid(found.st_uid), found.st_gid)
    except KeyError:  # a file of a user this machine does not know: containers, NFS
        return Credentials(found.st_uid, found.st_gid, (found.st_gid,), str(found.st_uid))


def check(config: ServerConfig) -> None:
    """Refuse a user or group that is not there."""
    if config.user:
        _find_user(config.user)
    if config.group:
        _find_group(config.group)


def choose(config: ServerConfig, path: Path) -> Credentials | None:
    """Whom to become; None: stay who we are."""
    if os.geteuid() != 0:
        if config.user and _find_user(config.user).pw_uid != os.geteuid():
            what = f"only root can serve as {config.user!r}"
            raise AskrError(what, "sudo askrctl serve", code=2, key="server.user")
        return None
    if config.user:
        entry = _find_user(config.user)
        gid = _find_group(config.group) if config.group else entry.pw_gid
        wanted = _of_user(entry, gid)
    else:
        wanted = _owner(path)
    return None if wanted.uid == 0 else wanted


def name_of(who: Credentials | None) -> str:
    """For people; None: who we are."""
    if who is not None:
        return who.name
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def become(wanted: Credentials) -> None:
    """Give up root for good; raises if anything of it is left."""
    os.setgroups(wanted.groups)
    os.setresgid(wanted.gid, wanted.gid, wanted.gid)
    os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    if os.getresuid() != (wanted.uid,) * 3:
        raise AskrError("the privileges could not be given up")


def keep_from_others() -> None:
    """Nobody but root may read this process's memory and files through /proc (prctl(2)).

    Applications may run as the same user; without this they could take the keys from here.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
