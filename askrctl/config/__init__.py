# SPDX-License-Identifier: MIT
"""Configuration: what can be set (schema), to what (kinds, values), and from where (read)."""

from askrctl.config.kinds import ACCESS_VARIABLES, url_path
from askrctl.config.places import bench_record_path
from askrctl.config.read import load, read_file, read_text, with_environment, with_flags
from askrctl.config.schema import (
    APPS_MAX,
    COMPRESSED_TYPES,
    ENCODINGS,
    FORWARDED,
    KIB,
    MIB,
    SYMLINK_POLICIES,
    TOKEN_SIZE_MIN,
    WATCH_IGNORE,
    WORKERS_MAX,
    AdminConfig,
    Certificate,
    CompressionConfig,
    Config,
    LimitsConfig,
    LogConfig,
    PhpConfig,
    ServerConfig,
    StaticConfig,
    TimeoutsConfig,
    TlsConfig,
)
from askrctl.config.values import parse_seconds, parse_size

__all__ = [
    "ACCESS_VARIABLES",
    "APPS_MAX",
    "COMPRESSED_TYPES",
    "ENCODINGS",
    "FORWARDED",
    "KIB",
    "MIB",
    "SYMLINK_POLICIES",
    "TOKEN_SIZE_MIN",
    "WATCH_IGNORE",
    "WORKERS_MAX",
    "AdminConfig",
    "Certificate",
    "CompressionConfig",
    "Config",
    "LimitsConfig",
    "LogConfig",
    "PhpConfig",
    "ServerConfig",
    "StaticConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "bench_record_path",
    "load",
    "parse_seconds",
    "parse_size",
    "read_file",
    "read_text",
    "url_path",
    "with_environment",
    "with_flags",
]
