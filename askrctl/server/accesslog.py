# SPDX-License-Identifier: MIT
"""The access log's file and format; its lines are written by the workers (serve/accesslog.h)."""

import os
from dataclasses import dataclass

from askrctl.config import LogConfig
from askrctl.model import AskrError

COMBINED = '$remote_addr - - [$time_local] "$request" $status $bytes "$referer" "$user_agent"'
JSON = (
    '{"time":"$time_iso8601","remote_addr":"$remote_addr","method":"$method","target":"$target",'
    '"protocol":"$protocol","host":"$host","status":$status,"bytes":$bytes,'
    '"referer":"$referer","user_agent":"$user_agent","request_id":"$request_id",'
    '"outcome":"$outcome","worker":$worker,"total_s":$total,"read_s":$read,"queue_s":$queue,'
    '"app_wall_s":$app_wall,"app_cpu_s":$app_cpu,"write_s":$write,"client_s":$client}'
)


def template(config: LogConfig) -> tuple[str, bool]:
    """What the engine is told: the template, and whether values are escaped for JSON."""
    if config.access_format == "json":
        return JSON, True
    if config.access_format == "combined":
        return COMBINED, False
    return config.access_format, config.access_format.lstrip().startswith("{")


@dataclass(slots=True)
class AccessLog:
    """Opened by the supervisor, which may be root; workers get the descriptor."""

    path: str = ""
    fd: int = -1

    def use(self, path: str) -> None:
        """What a configuration says; a reload may say something else."""
        if path == self.path:
            return
        self.path = path
        self.close()
        self.open()

    def open(self) -> None:
        """For the first time, or again: then the old file is let go."""
        if not self.path:
            return
        try:
            if self.path == "-":
                new = os.dup(1)
            else:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                new = os.open(self.path, flags, 0o640)
        except OSError as error:
            raise AskrError(
                f"the access log {self.path} cannot be opened: {error.strerror}",
                f"ls -ld {os.path.dirname(self.path) or '.'}",
                key="log.access",
            ) from None
        self.close()
        self.fd = new

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
