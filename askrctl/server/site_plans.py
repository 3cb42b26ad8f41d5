# SPDX-License-Identifier: MIT
"""Each [[site]] as a plan of its own: what it serves, with which settings, as which user."""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from askrctl.config import PLACES_MAX, SITES_MAX, Config, Site, to_blame
from askrctl.config.rules import host_matches
from askrctl.model import AskrError, BackendChoice, Credentials
from askrctl.server import credentials
from askrctl.server.detect import Application, detect
from askrctl.server.plan import Php, Plan, check_php, find_worker_script, place_workers
from askrctl.server.sendfile import sendfile_settings
from askrctl.server.tls import Tls

log = logging.getLogger("askrctl")

FindPhp = Callable[[Config, Application], Php | None]
ChooseBackend = Callable[[Config, Credentials | None], BackendChoice]


@dataclass(frozen=True, slots=True)
class Finders:
    """What launch.py knows how to find."""

    php: FindPhp
    backend: ChooseBackend


def config_of(config: Config, site: Site) -> Config:
    """The configuration as this site sees it: rules of its own come before those for all."""
    changes: dict[str, Any] = {
        name: replace(getattr(config, name), **dict(getattr(site, name)))
        for name in ("php", "static", "sendfile")
    }
    changes["server"] = replace(
        config.server,
        user=site.user or config.server.user,
        group=site.group or ("" if site.user else config.server.group),
    )
    changes["header"] = (*config.header, *site.header)
    changes["redirect"] = (*site.redirect, *config.redirect)
    return replace(config, **changes)


def plan_sites(config: Config, tls: Tls | None, find: Finders) -> Plan:
    """The plan of a server with [[site]]: its own is that of the default site, or the first."""
    if len(config.site) > SITES_MAX:
        what = f"more than {SITES_MAX} [[site]]"
        raise AskrError(what, "start a second server", code=2, key="site")
    if config.server.watch != "off":
        what = "one application can be watched, not several sites"
        raise AskrError(what, 'watch = "off"', code=2, key="server.watch")
    first = next((site for site in config.site if site.default), config.site[0])
    applications = {
        site.name: _application(site, number) for number, site in enumerate(config.site, 1)
    }
    who = credentials.choose(config.server, applications[first.name].path)
    base = Plan(
        config=config,
        application=applications[first.name],
        choice=find.backend(config, who),
        credentials=who,
        cpus=place_workers(config),
        php=None,
        worker_script=None,
        tls=tls,
    )
    _check_warmups(config)
    plans: list[Plan] = []
    place = 0
    for index, site in enumerate(config.site):
        with _named(site, index + 1):
            plan = _plan(base, site, applications[site.name], find.php)
            plan = replace(plan, site_index=index, first_place=place)
        plans.append(plan)
        place += plan.place_count
    if place > PLACES_MAX:
        raise AskrError(
            f"the sites want {place} places for processes of each worker, {PLACES_MAX} are there",
            "fewer processes: [site.php] processes = 2, or fewer sites",
            code=2,
            key="site",
        )
    php = next((plan.php for plan in plans if plan.php is not None), None)
    _warn_of_shared_user(base, plans)
    return replace(base, php=php, sites=tuple(plans))


def check_sites(config: Config) -> None:
    """Without starting anything: folders, worker scripts and users are there."""
    for number, site in enumerate(config.site, 1):
        application = _application(site, number)
        with _named(site, number):
            own = config_of(config, site)
            credentials.check(own.server)
            find_worker_script(own, application)
            check_php(own, application.path)
            sendfile_settings(own.sendfile, application.path)


@contextlib.contextmanager
def _named(site: Site, number: int) -> Iterator[None]:
    """What is wrong is wrong with this site, and with what it says itself where it says it."""
    own = {f"{name}.{key}" for name in ("php", "static", "sendfile") for key in _said(site, name)}
    own |= {f"server.{name}" for name in ("user", "group") if getattr(site, name)}
    try:
        yield
    except AskrError as error:
        message = f'site "{site.name}": {error.message}'
        key = error.key
        if key in own or key == "root":
            key = f"site.{number}.{key.removeprefix('server.')}"
        raise AskrError(message, error.hint, code=error.code, key=key) from None


def _said(site: Site, section: str) -> list[str]:
    return [key for key, _ in getattr(site, section)]


def _application(site: Site, number: int) -> Application:
    with _named(site, number), to_blame("root"):
        return detect(Path(site.root).resolve())


def _plan(base: Plan, site: Site, application: Application, find_php: FindPhp) -> Plan:
    config = config_of(base.config, site)
    check_php(config, application.path)
    return replace(
        base,
        config=config,
        application=application,
        credentials=credentials.choose(config.server, application.path),
        php=find_php(config, application),
        worker_script=find_worker_script(config, application),
        site=site,
    )


def _check_warmups(config: Config) -> None:
    """One that no site would answer warms nobody."""
    if any(site.default for site in config.site):
        return
    hosts = [host for site in config.site for host in site.hosts]
    for number, request in enumerate(config.warmup, 1):
        name = re.sub(r":\d+$", "", request.host.lower())
        if not host_matches(hosts, name):
            raise AskrError(
                f"the [[warmup]] of {request.path} asks {request.host}, which no site has",
                f'host = "{hosts[0]}"',
                code=2,
                key=f"warmup.{number}.host",
            )


def _warn_of_shared_user(base: Plan, plans: list[Plan]) -> None:
    """Workers read the files of all sites, and hold their requests."""
    worker = base.credentials.uid if base.credentials is not None else os.geteuid()
    users = {plan.credentials.uid if plan.credentials is not None else worker for plan in plans}
    if len(users) > 1 and worker in users and not base.config.server.user:
        log.warning(
            "event=sites_share_user user=%s "
            'detail="a site has the same user as the workers, which serve all sites" '
            'fix="server.user = a user of their own, who can read the files"',
            base.credentials.name if base.credentials is not None else worker,
        )
