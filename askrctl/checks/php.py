# SPDX-License-Identifier: MIT
"""Checks of PHP, as it runs inside the server's own SAPI.

php.ini and `php -i` speak of another SAPI: OPcache can be on there and off here, and values that
are compiled into a SAPI beat every file. So one process of our own answers all questions.
"""

import datetime
import re
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.model import AskrError, Wanted
from askrctl.probes import php
from askrctl.probes.host import CannotTell, NotApplicable

PROBE = "php"
MIB = 1 << 20
# https://www.php.net/supported-versions.php, read in 2025: the end of security support.
SUPPORT_ENDS = {
    "7.4": "2022-11-28",
    "8.0": "2023-11-26",
    "8.1": "2025-12-31",
    "8.2": "2026-12-31",
    "8.3": "2027-12-31",
    "8.4": "2028-12-31",
    "8.5": "2029-12-31",
}
WARN_DAYS = 90
# Forced by the embed SAPI that PHP comes with; ours must not inherit them.
EMBED_OVERRIDES = {"implicit_flush": "1", "output_buffering": "0", "register_argc_argv": "1"}
PROFILERS = ("xdebug", "pcov", "xhprof", "blackfire", "tideways", "tideways_xhprof")
_SIZES = {"K": 1 << 10, "M": MIB, "G": 1 << 30}


def facts(context: Context) -> dict[str, Any]:
    """What PHP says of itself; {"failed": ..., "hint": ...} when it cannot be asked."""

    def ask() -> dict[str, Any]:
        config = context.config.php
        try:
            return php.describe(php.find_libphp(config.library), php.module_path(), config)
        except AskrError as error:
            return {"failed": error.message, "hint": error.hint}

    found: dict[str, Any] = context.host.probe(PROBE, ask)
    return found


def _running(context: Context) -> dict[str, Any]:
    found = facts(context)
    if "failed" in found:
        raise NotApplicable("PHP does not run here: see php.present")
    return found


def _ini(context: Context, name: str) -> str:
    values = _running(context).get("ini", {})
    if name not in values:
        raise NotApplicable(f"this PHP has no setting {name}")
    return str(values[name] if values[name] is not None else "")


def _on(value: str) -> bool:
    return value.lower() in ("1", "on", "yes", "true")


def size(text: str) -> int:
    """Bytes of a value such as 128M (PHP manual: shorthand notation)."""
    match = re.fullmatch(r"\s*(-?\d+)\s*([kmgKMG]?)[bB]?\s*", text)
    return int(match[1]) * _SIZES.get(match[2].upper(), 1) if match else 0


def _present(context: Context) -> Answer:
    found = facts(context)
    if "failed" not in found:
        kind = "ZTS" if found["zts"] else "NTS"
        answer = ok(f"{found['version']} {kind}", f"as SAPI {found['sapi']}")
        if found["debug"]:
            return warn(
                "this is a debug build of PHP, several times slower",
                found["version"],
                fix=remedy.by_hand("install the release build of this PHP"),
            )
        return answer
    if "OPcache is off" in found["failed"]:
        return info("PHP is there; see php.opcache.active", reason="opcache_off")
    fix = remedy.by_hand(found["hint"])
    if context.docroot and not context.host.glob(f"{context.docroot}/*.php"):
        return info(f"{found['failed']}; static files are served without it", fix=fix)
    return fail(f"{found['failed']}: PHP applications cannot be served", fix=fix)


def _eol(context: Context) -> Answer:
    version = ".".join(str(_running(context)["version"]).split(".")[:2])
    if version not in SUPPORT_ENDS:
        raise CannotTell(f"PHP {version} is not in the table of this askrctl")
    end = datetime.date.fromisoformat(SUPPORT_ENDS[version])
    today = datetime.datetime.fromtimestamp(context.host.now(), datetime.UTC).date()
    left = (end - today).days
    fix = remedy.by_hand("a newer PHP, or one whose distribution still mends it")
    if left < 0:
        sentence = f"php.net ended security support of PHP {version} on {end}"
        return fail(f"{sentence}; a distribution may go on by itself", version, fix=fix)
    if left < WARN_DAYS:
        sentence = f"php.net ends security support of PHP {version} on {end}, in {left} days"
        return warn(f"{sentence}; a distribution may go on by itself", version, fix=fix)
    return ok(version, f"security support until {end}")


def _opcache_active(context: Context) -> Answer:
    found = facts(context)
    on = remedy.php("opcache.enable", "1")
    if "failed" in found:
        if "OPcache is off" in found["failed"]:
            sentence = found["failed"].split("OPcache is off: ", 1)[1].split(";", 1)[0]
            return fail(f"every request compiles its files anew: {sentence}", current=False, fix=on)
        raise NotApplicable("PHP does not run here: see php.present")
    if found["opcache"]["enabled"]:
        return ok(current=True, wanted=Wanted("==", value=True))
    reason = found["opcache"]["reason"] or "it does not say why"
    missing = "not loaded" in reason
    fix = remedy.by_hand("install the opcache package of this PHP") if missing else on
    return fail(f"every request compiles its files anew: {reason}", current=False, fix=fix)


def _opcache_shared(context: Context) -> Answer:
    server = context.server
    if server is None or not server.apps:
        raise NotApplicable("no PHP processes are running")
    segments = set()
    for pid in server.apps:
        text = context.host.read(f"/proc/{pid}/maps")
        segments |= {line.split()[4] for line in text.splitlines() if "/dev/zero (deleted)" in line}
    if not segments:
        raise CannotTell("no shared segment is to be seen in the processes' maps")
    count = len(segments)
    if count == 1:
        return ok(1, f"{len(server.apps)} processes share one cache", unit="caches")
    sentence = f"{len(server.apps)} processes have {count} caches between them"
    return fail(
        sentence,
        count,
        wanted=Wanted("==", 1),
        unit="caches",
        fix=remedy.by_hand("askrctl reload: processes of one generation share one"),
    )


def _ini_file(context: Context) -> Answer:
    found = _running(context)
    file = found["ini_file"]
    scanned = len(found["ini_scanned"])
    if file is None:
        return info("no php.ini was loaded: PHP's own defaults count", scanned, unit="files")
    answer = ok(file, f"and {scanned} files of its scan folder")
    version = ".".join(str(found["version"]).split(".")[:2])
    others = [f"/etc/php/{version}/{sapi}/php.ini" for sapi in ("fpm", "cli", "apache2")]
    there = [path for path in others if path != file and context.host.exists(path)]
    return answer.at("not read by the server", ", ".join(there)) if there else answer


def _ini_overrides(context: Context) -> Answer:
    values = _running(context).get("ini", {})
    if not values:
        raise CannotTell("this PHP module does not tell its settings")
    file = context.host.get(_running(context)["ini_file"] or "/nonexistent")
    forced = []
    for name, compiled in EMBED_OVERRIDES.items():
        match = re.search(rf"^\s*{re.escape(name)}\s*=\s*(\S+)", file, re.MULTILINE)
        wanted = match[1] if match else None
        live = str(values.get(name, ""))
        differs = wanted is not None and _plain(wanted) != _plain(live)
        if differs and _plain(live) == _plain(compiled):
            forced.append(f"{name} is {live or 'off'}, php.ini says {wanted}")
    if forced:
        return warn(
            f"the SAPI overrides php.ini: {'; '.join(forced)}",
            len(forced),
            fix=remedy.by_hand("set what php.ini should say in [php] ini of askr.toml"),
        )
    return ok(because="the values of php.ini are those that count")


def _plain(value: str) -> str:
    return {"on": "1", "off": "0", "": "0"}.get(value.lower(), value)


def _opcache_memory(context: Context) -> Answer:
    megabytes = int(_ini(context, "opcache.memory_consumption") or 0)
    # In bytes in some versions, in MiB in php.ini: both are seen by ini_get.
    megabytes = megabytes // MIB if megabytes >= MIB else megabytes
    wanted = Wanted(">=", 128)
    if megabytes >= 128:
        return ok(megabytes, wanted=wanted, unit="MiB")
    fix = remedy.php("opcache.memory_consumption", "128")
    sentence = f"{megabytes} MiB hold the code of a small application only; then the cache restarts"
    return warn(sentence, megabytes, wanted=wanted, unit="MiB", fix=fix)


def _opcache_files(context: Context) -> Answer:
    limit = int(_ini(context, "opcache.max_accelerated_files"))
    if not context.docroot:
        return ok(limit, unit="files")
    count = _count_scripts(context)
    wanted = Wanted(">=", count * 5 // 4)
    if count * 5 <= limit * 4:
        return ok(limit, f"{count} scripts below {context.docroot}", wanted=wanted, unit="files")
    fix = remedy.php("opcache.max_accelerated_files", str(count * 2))
    sentence = f"{count} scripts below {context.docroot}, and room for {limit}"
    return (fail if count > limit else warn)(sentence, limit, wanted=wanted, unit="files", fix=fix)


SCRIPTS_MAX = 50_000  # enough to judge by; counting goes no further


def _count_scripts(context: Context) -> int:
    root = context.docroot.rstrip("/")
    parent = root.rsplit("/", 1)[0]
    base = parent if context.host.exists(f"{parent}/vendor") else root

    def ask() -> int:
        import os

        count = 0
        for _, folders, files in os.walk(base):
            folders[:] = [name for name in folders if not name.startswith(".")]
            count += sum(name.endswith(".php") for name in files)
            if count > SCRIPTS_MAX:
                break
        return count

    found: int = context.host.probe(f"scripts below {base}", ask)
    return found


def _opcache_interned(context: Context) -> Answer:
    megabytes = int(_ini(context, "opcache.interned_strings_buffer"))
    if megabytes >= 8:
        return ok(megabytes, unit="MiB", wanted=Wanted(">=", 8))
    fix = remedy.php("opcache.interned_strings_buffer", "16")
    sentence = "less than PHP's own default of 8 MiB: strings are kept by each process for itself"
    return warn(sentence, megabytes, unit="MiB", wanted=Wanted(">=", 8), fix=fix)


def _opcache_timestamps(context: Context) -> Answer:
    validate = _on(_ini(context, "opcache.validate_timestamps"))
    every = int(_ini(context, "opcache.revalidate_freq"))
    if not validate:
        sentence = "files are never looked at again: a deploy has to end with askrctl reload"
        return info(sentence, current=0, unit="s")
    if every == 0:
        fix = remedy.php("opcache.revalidate_freq", "2")
        sentence = "every request asks the file system about every file"
        return warn(sentence, current=0, unit="s", wanted=Wanted(">=", 2), fix=fix)
    return ok(every, f"a changed file is seen after {every} s", unit="s")


def _opcache_comments(context: Context) -> Answer:
    if _on(_ini(context, "opcache.save_comments")):
        return ok(current=True)
    fix = remedy.php("opcache.save_comments", "1")
    return warn("libraries that read doc comments break without them", current=False, fix=fix)


def _opcache_preload(context: Context) -> Answer:
    script = _ini(context, "opcache.preload")
    if not script:
        return ok(because="not used")
    if context.host.exists(script):
        return ok(script)
    return fail(
        f"opcache.preload names {script}, which does not exist",
        script,
        fix=remedy.by_hand("correct opcache.preload, or remove it, then askrctl reload"),
    )


def _jit(context: Context) -> Answer:
    found = _running(context)
    on = bool(found["opcache"]["jit"])
    if on and "xdebug" in found["extensions"]:
        return warn(
            "the JIT is asked for, and Xdebug turns it off",
            current=True,
            fix=remedy.by_hand("phpdismod xdebug, or opcache.jit=off in [php] ini of askr.toml"),
        )
    return ok(on, "the JIT helps computation, hardly the usual web request")


def _xdebug(context: Context) -> Answer:
    loaded = [name for name in PROFILERS if name in _running(context)["extensions"]]
    if not loaded:
        return ok(because="no debugger or profiler is loaded")
    mode = _running(context).get("ini", {}).get("xdebug.mode", "")
    fix = remedy.by_hand(f"phpdismod {loaded[0]}, then askrctl reload", needs=("root", "reload"))
    if loaded == ["xdebug"] and mode == "off":
        return warn("Xdebug is loaded; mode=off still costs time", "xdebug", fix=fix)
    sentence = f"{', '.join(loaded)} slows every request down and can leak what it sees"
    return fail(sentence, ", ".join(loaded), fix=fix)


def _assertions(context: Context) -> Answer:
    value = int(_ini(context, "zend.assertions") or 1)
    if value == -1:
        return ok(-1, wanted=Wanted("==", -1))
    fix = remedy.php("zend.assertions", "-1")
    state = "run" if value == 1 else "are compiled, though not run"
    return warn(f"assertions {state}", value, wanted=Wanted("==", -1), fix=fix)


def _display_errors(context: Context) -> Answer:
    if _on(_ini(context, "display_errors")) or _ini(context, "display_errors") == "stdout":
        fix = remedy.php("display_errors", "0")
        return fail("error messages, with paths and values, go to visitors", current=True, fix=fix)
    if not _on(_ini(context, "log_errors")):
        fix = remedy.php("log_errors", "1")
        return warn("errors are neither shown nor logged", current=False, fix=fix)
    return ok(current=False, because="errors go to the log")


def _expose(context: Context) -> Answer:
    if not _on(_ini(context, "expose_php")):
        return ok(current=False)
    fix = remedy.php("expose_php", "0")
    return info("answers name the exact PHP version (X-Powered-By)", current=True, fix=fix)


def _memory_limit(context: Context) -> Answer:
    text = _ini(context, "memory_limit")
    if size(text) > 0:
        return ok(text)
    fix = remedy.php("memory_limit", "256M")
    return fail("one request can take all memory of the machine", text, fix=fix)


def _timeouts(context: Context) -> Answer:
    seconds = int(_ini(context, "max_execution_time") or 0)
    request = context.config.timeouts.request
    return ok(seconds, f"the server ends a request after {request:g} s", unit="s")


def _body_limits(context: Context) -> Answer:
    post, upload = (
        size(_ini(context, "post_max_size")),
        size(_ini(context, "upload_max_filesize")),
    )
    server = context.config.limits.body_size
    shown = f"post_max_size {post // MIB} MiB, upload_max_filesize {upload // MIB} MiB"
    if 0 < post < upload:
        fix = remedy.php("post_max_size", _ini(context, "upload_max_filesize"))
        sentence = f"{shown}: a file that is allowed does not fit into its request"
        return warn(sentence, post, unit="bytes", wanted=Wanted(">=", upload), fix=fix)
    if 0 < post < server:
        sentence = (
            f"a body between post_max_size ({post // MIB} MiB) and the server's limit "
            f"({server // MIB} MiB) reaches the script with an empty $_POST"
        )
        fix = remedy.by_hand(f'[limits] body_size = "{post // MIB}M" in askr.toml')
        return info(sentence, post, unit="bytes", wanted=Wanted(">=", server), fix=fix)
    return ok(post, shown, unit="bytes")


def _session(context: Context) -> Answer:
    handler = _ini(context, "session.save_handler")
    if handler != "files":
        return ok(handler)
    path = _ini(context, "session.save_path").rpartition(";")[2] or "/tmp"
    if not context.host.exists(path):
        sentence = f"session.save_path {path} does not exist: sessions cannot be kept"
        return warn(sentence, handler, fix=remedy.by_hand(f"mkdir {path}, for the server's user"))
    return ok(handler, f"in {path}; requests of one visitor wait for each other's lock")


def _realpath(context: Context) -> Answer:
    if _running(context).get("ini", {}).get("open_basedir"):
        sentence = "open_basedir turns the realpath cache off: every include walks its path"
        return warn(
            sentence,
            current=0,
            fix=remedy.by_hand(
                "remove open_basedir; users and modes of the file system keep applications apart"
            ),
        )
    megabytes = size(_ini(context, "realpath_cache_size")) / MIB
    if megabytes >= 4:
        return ok(megabytes, unit="MiB")
    fix = remedy.php("realpath_cache_size", "4096K")
    sentence = "less than PHP's default of 4 MiB: paths of a framework do not fit"
    return warn(sentence, megabytes, unit="MiB", wanted=Wanted(">=", 4), fix=fix)


def _extensions(context: Context) -> Answer:
    loaded = {str(name).lower().replace(" ", "-") for name in _running(context)["extensions"]}
    if not context.docroot:
        return ok(len(loaded), unit="extensions")
    root = context.docroot.rstrip("/")
    for folder in (root, root.rsplit("/", 1)[0]):
        text = context.host.get(f"{folder}/composer.lock")
        if text:
            return _compare_lock(text, loaded, f"{folder}/composer.lock")
    return ok(len(loaded), "no composer.lock to compare with", unit="extensions")


def _compare_lock(text: str, loaded: set[str], path: str) -> Answer:
    import json

    lock = json.loads(text)
    asked: set[str] = set(lock.get("platform") or {})
    for package in lock.get("packages", ()):
        asked |= set(package.get("require", {}))
    names = {name.removeprefix("ext-").lower() for name in asked if name.startswith("ext-")}
    alias = {"zend-opcache": "zend-opcache", "opcache": "zend-opcache"}
    missing = sorted(name for name in names if alias.get(name, name) not in loaded)
    if not missing:
        return ok(len(names), f"all that {path} asks for", unit="extensions")
    shown = ", ".join(missing)
    fix = remedy.by_hand(f"install the packages of: {shown}")
    return fail(f"{path} asks for {shown}, which this PHP does not have", shown, fix=fix)


def _docroot(context: Context) -> Answer:
    if not context.docroot:
        raise NotApplicable("no application was named and no server is running")
    root = context.docroot

    def ask() -> dict[str, Any]:
        import os

        found = os.stat(root)
        return {"mode": found.st_mode, "uid": found.st_uid, "gid": found.st_gid}

    found: dict[str, Any] = context.host.probe(f"stat {root}", ask)
    target = context.target
    shift = 6 if target.uid == found["uid"] else 0
    if shift == 0 and found["gid"] in (target.gid, *target.groups):
        shift = 3
    if target.uid != 0 and (found["mode"] >> shift) & 5 != 5:
        fix = remedy.by_hand(f"chmod o+rx {root}, or --user of its owner")
        return fail(f"user {target.name or target.uid} may not read {root}", root, fix=fix)
    if found["mode"] & 0o002:
        fix = remedy.by_hand(f"chmod o-w {root}")
        return warn(f"every user of this machine can write to {root}", root, fix=fix)
    return ok(root)


def _check(name: str, title: str, judge: Any, **more: Any) -> Check:
    return Check(f"php.{name}", title, judge, "process", **more)


CHECKS = (
    _check("present", "PHP can be loaded", _present, vital=True),
    _check("eol", "PHP gets security fixes", _eol),
    _check("sapi_ini", "Which php.ini counts", _ini_file),
    _check("ini_overrides", "php.ini is obeyed", _ini_overrides),
    _check("opcache.active", "OPcache works", _opcache_active, tunable=True),
    _check("opcache.shared", "One OPcache for all", _opcache_shared),
    _check("opcache.memory", "Memory for code", _opcache_memory, tunable=True),
    _check("opcache.files", "Room for every script", _opcache_files, tunable=True),
    _check("opcache.interned", "Memory for strings", _opcache_interned, tunable=True),
    _check("opcache.timestamps", "Changed files", _opcache_timestamps, tunable=True),
    _check("opcache.comments", "Doc comments are kept", _opcache_comments, tunable=True),
    _check("opcache.preload", "Preloading", _opcache_preload),
    _check("jit", "Just-in-time compiler", _jit),
    _check("xdebug", "No debugger in production", _xdebug),
    _check("assertions", "Assertions are compiled out", _assertions, tunable=True),
    _check("display_errors", "Errors are logged, not shown", _display_errors, tunable=True),
    _check("expose", "PHP does not name itself", _expose, tunable=True),
    _check("memory_limit", "Memory limit of a request", _memory_limit, tunable=True),
    _check("timeouts", "Time limit of a request", _timeouts),
    _check("body_limits", "Body limits fit together", _body_limits, tunable=True),
    _check("session", "Where sessions are kept", _session),
    _check("realpath", "Cache of resolved paths", _realpath, tunable=True),
    _check("extensions", "Extensions the application needs", _extensions),
    _check("docroot", "The application's folder", _docroot),
)
