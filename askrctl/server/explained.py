# SPDX-License-Identifier: MIT
"""The configuration that counts, each value with where it comes from: `askrctl config show`."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from askrctl.config import Config, Origin
from askrctl.server.admin_api import config_without_secrets
from askrctl.server.detect import Application
from askrctl.server.presets import Preset


def explain(
    config: Config,
    origins: Mapping[str, Origin],
    application: Application | None,
    preset: Preset,
) -> dict[str, Any]:
    """schema askr.config/1; changes only add. Without `application` there is no preset either."""
    shown = config_without_secrets(config)
    values = {}
    for item in fields(Config):
        if is_dataclass(getattr(config, item.name)):
            for key, value in shown[item.name].items():
                values[f"{item.name}.{key}"] = value
        else:
            values[item.name] = shown[item.name]
    return {
        "schema": "askr.config/1",
        "application": None if application is None else _application(application),
        "preset": preset.name,
        "values": {
            name: {"value": value, **_origin(origins.get(name, Origin()))}
            for name, value in values.items()
        },
        "php": [
            {"name": item.name, "value": item.value, "why": item.why, "origin": "preset"}
            for item in preset.ini
        ],
        "environment": dict(preset.environment or {}),
    }


def _origin(origin: Origin) -> dict[str, str]:
    return {"origin": origin.kind, "where": origin.where}


def _application(application: Application) -> dict[str, str]:
    return {
        "kind": application.kind,
        "path": str(application.path),
        "root": str(application.root),
    }
