# SPDX-License-Identifier: MIT
"""Apache as a peer: the event MPM, with php-fpm behind it for PHP; and prefork with mod_php.

In prefork a connection keeps a process to itself for as long as it is alive, so mod_php gets one
for each connection of the load: with as many as the others have, all other connections would wait.
"""

import os
from pathlib import Path

from askrctl.bench import answers, installed
from askrctl.bench.contenders import Contender, Site
from askrctl.bench.installed import Missing, Peer

_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")
PREFORK_MAX = 512  # processes, of some MiB each
SPARE = 32  # besides those of the load: who looks at the answers, and what closes slowly
_NO_PROGRAM = "no apache2 or httpd in PATH or /usr/sbin"

_COMMON = """\
ServerRoot {own}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
ListenBacklog 4096
PidFile {own}/apache.pid
Mutex pthread
ErrorLog {own}/apache.err
LogLevel warn
{modules}
TypesConfig {own}/mime.types
{user}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 3600
DocumentRoot {root}
DirectoryIndex index.php index.html
<Directory {root}>
  Require all granted
  AllowOverride None
  {fallback}
</Directory>
"""
# With fewer threads than connections it would close connections that are kept alive.
_EVENT = """\
StartServers 1
ServerLimit 1
ThreadLimit {count}
ThreadsPerChild {count}
MaxRequestWorkers {count}
MaxConnectionsPerChild 0
"""
_PREFORK = """\
StartServers {count}
MinSpareServers {count}
MaxSpareServers {count}
ServerLimit {count}
MaxRequestWorkers {count}
MaxConnectionsPerChild 0
"""
_BY_FPM = """\
<FilesMatch \\.php$>
  SetHandler "proxy:unix:{own}/fpm.sock|fcgi://localhost"
</FilesMatch>
"""
_BY_MODULE = """\
<FilesMatch \\.php$>
  SetHandler application/x-httpd-php
</FilesMatch>
"""
_TYPES = "text/html html\ntext/css css\ntext/plain txt\nimage/svg+xml svg\n"


def _folder() -> Path | None:
    """Where Apache's modules are."""
    return next((Path(name) for name in _MODULES if Path(name).is_dir()), None)


def _load(names: list[str]) -> str | None:
    """LoadModule lines; what is not there is compiled in, or will be missed by Apache itself."""
    folder = _folder()
    if folder is None:
        return None
    there = [name for name in names if (folder / f"mod_{name}.so").is_file()]
    return "\n".join(f"LoadModule {name}_module {folder}/mod_{name}.so" for name in there)


def _common(site: Site, own: Path, port: int, modules: str) -> str:
    user = installed.owner(site.path)
    if user == "root":
        user = "www-data"  # Apache refuses to run as root
    (own / "mime.types").write_text(_TYPES)
    return _COMMON.format(
        own=own,
        port=port,
        root=site.root,
        modules=modules,
        user=f"User {user}\nGroup {user}" if os.geteuid() == 0 else "",
        fallback=f"FallbackResource /{site.front}" if site.front else "",
    )


def _command(program: str, own: Path, text: str) -> list[str]:
    (own / "apache.conf").write_text(text)
    return [program, "-DFOREGROUND", "-f", str(own / "apache.conf")]


def apache(site: Site, target: str, folder: Path) -> Peer:
    """The event MPM; php-fpm behind it for PHP."""
    name = "Apache + php-fpm" if site.php else "Apache"
    program = installed.find("apache2") or installed.find("httpd")
    if program is None:
        return Missing(name, "not installed", _NO_PROGRAM)
    if site.php and installed.find_fpm() is None:
        return Missing(name, "not installed", "no php-fpm in PATH or /usr/sbin")
    names = ["mpm_event", "authz_core", "dir", "mime", "unixd"]
    modules = _load(names + (["proxy", "proxy_fcgi"] if site.php else []))
    if modules is None:
        return Missing(name, "failed", f"no modules in {' or '.join(_MODULES)}")
    own = installed.make_folder(folder, "apache")
    port = answers.free_port()
    text = _common(site, own, port, modules)
    text += _EVENT.format(count=site.connections + SPARE)
    text += _BY_FPM.format(own=own) if site.php else ""
    commands = [installed.fpm_command(site, own)] if site.php else []
    commands += [_command(program, own, text)]
    url = f"http://127.0.0.1:{port}{target}"
    return Contender(name, commands, url, own, mode=installed.mode_of(site))


def _find_module() -> Path | None:
    """mod_php: libphp8.2.so or libphp.so, the newest one."""
    folder = _folder()
    found = sorted(folder.glob("libphp*.so")) if folder is not None else []
    return found[-1] if found else None


def mod_php(site: Site, target: str, folder: Path) -> Peer:
    """Prefork, PHP in its own processes."""
    name = "Apache mod_php"
    program = installed.find("apache2") or installed.find("httpd")
    if program is None:
        return Missing(name, "not installed", _NO_PROGRAM)
    if not site.php:
        return Missing(name, "not applicable", "the application has no PHP")
    module = _find_module()
    if module is None:
        return Missing(name, "not installed", "no libphp*.so among Apache's modules")
    count = site.connections + SPARE
    if count > PREFORK_MAX:
        reason = f"{site.connections} connections would need as many processes"
        return Missing(name, "not applicable", reason)
    own = installed.make_folder(folder, "mod-php")
    port = answers.free_port()
    modules = _load(["mpm_prefork", "authz_core", "dir", "mime", "unixd"])
    loaded = f"{modules}\nLoadModule php_module {module}"
    text = _common(site, own, port, loaded) + _PREFORK.format(count=count) + _BY_MODULE
    url = f"http://127.0.0.1:{port}{target}"
    return Contender(name, [_command(program, own, text)], url, own, mode=installed.mode_of(site))
