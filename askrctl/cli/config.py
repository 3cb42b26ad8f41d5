# SPDX-License-Identifier: MIT
"""`askrctl config show` and `config check`: what counts and why, and whether a file would do."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from askrctl.cli.control import Format, Json, Socket, wants_json
from askrctl.model import AskrError

app = typer.Typer(
    help="The configuration: what counts, where it comes from, is it valid?", no_args_is_help=True
)


def config_show(
    path: Annotated[
        Path | None, typer.Argument(help="An application: what its framework wants is shown too.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="An askr.toml.")] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Of the server that runs, its flags included.")
    ] = False,
    control_path: Socket = "",
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not a default.")] = False,
    as_json: Json = False,
    form: Format = "text",
) -> None:
    """Every value with its origin: a default, a line of askr.toml, the environment, a flag.

    With PATH also the settings of PHP that come with the framework found there (Laravel, Symfony,
    WordPress), as PHP has them: php.ini and [php] ini win over a preset.
    """
    machine = wants_json(as_json, form)
    if running or control_path:
        if path is not None or config is not None:
            raise AskrError("--running shows what the server has: no PATH, no --config", code=2)
        shown = _of_server(control_path)
    else:
        shown = _of_files(path, config)
    _add_php(shown)
    if changed:
        values = shown["values"].items()
        shown["values"] = {name: item for name, item in values if item["origin"] != "default"}
    if machine:
        typer.echo(json.dumps(shown, indent=2))
    else:
        _show(shown)


def config_check(
    file: Annotated[Path, typer.Argument(help="An askr.toml.")],
    as_json: Json = False,
    form: Format = "text",
) -> None:
    """Would the server take this file? Keys, values, certificates, listeners, users and folders.

    It is looked at as on this machine; nothing is started or opened. Exit status 0: yes; 1: no, and
    why; 3: the file cannot be read. The environment does not count.
    """
    from askrctl import config as configuration
    from askrctl.server.launch import check_file

    machine = wants_json(as_json, form)
    try:
        text = configuration.text_of(file)
    except AskrError as error:
        raise AskrError(error.message, error.hint, code=3) from None
    problem: AskrError | None = None
    try:
        config = configuration.read_text(text, file)
        with configuration.blamed(configuration.origins(text, file, {}, {})):
            check_file(config)
    except AskrError as error:
        problem = error
    if machine:
        answer = {"file": str(file), "valid": problem is None}
        typer.echo(json.dumps(answer | ({} if problem is None else {"problem": problem.message})))
    if problem is not None:
        raise AskrError(problem.message, problem.hint, code=1)
    if not machine:
        typer.echo(f"{file}: valid")


app.command("show")(config_show)
app.command("check")(config_check)


def _of_server(control_path: str) -> dict[str, Any]:
    from askrctl.server import control

    return control.ask(control.find(control_path), "config")


def _of_files(path: Path | None, file: Path | None) -> dict[str, Any]:
    from askrctl.config import load
    from askrctl.server.detect import detect
    from askrctl.server.explained import explain
    from askrctl.server.launch import origins
    from askrctl.server.presets import Preset, choose

    config = load(file, {})
    if path is None:
        return explain(config, origins(file, {}), None, Preset())
    application = detect(path.resolve())
    preset = choose(config.php.preset, application, bool(config.php.worker_script))
    return explain(config, origins(file, {}), application, preset)


def _add_php(shown: dict[str, Any]) -> None:
    """What PHP makes of the preset: who had the last word, and which word it was."""
    from askrctl.config import PhpConfig
    from askrctl.probes import php

    values = {name: item["value"] for name, item in shown["values"].items()}
    named = ("library", "php_ini", "sapi_name")
    config = PhpConfig(ini=tuple(values["php.ini"]), **{key: values[f"php.{key}"] for key in named})
    ours = {line.partition("=")[0].strip() for line in config.ini}
    lines = [f"{item['name']}={item['value']}" for item in shown["php"]]
    facts: dict[str, Any] = {}
    if lines:
        try:
            library = php.find_libphp(config.library)
            facts = php.describe(library, php.module_path(), config, lines)
        except AskrError as error:
            shown["php_problem"] = error.message
    for item in shown["php"]:
        item["where"] = f"preset {shown['preset']}"
        found = facts.get("ini", {}).get(item["name"])
        if item["name"] in ours:
            item |= {"origin": "file", "where": shown["values"]["php.ini"]["where"]}
        elif found is not None and found != item["value"]:
            item |= {"origin": "php.ini", "where": facts["ini_file"] or "php.ini"}
        item["value"] = found if found is not None else item["value"]


def _show(shown: dict[str, Any]) -> None:
    if shown["application"] is not None:
        found = shown["application"]
        typer.echo(f"# {found['kind']} in {found['path']}, served from {found['root']}")
    section = ""
    for name, item in shown["values"].items():
        head, _, key = name.rpartition(".")
        if head != section:
            section = head
            typer.echo(f"\n[{head}]" if head else "")
        _line(key, json.dumps(item["value"]), item["where"] or item["origin"])
    if shown["php"]:
        typer.echo("\n# settings of PHP, by the preset for this framework")
        for item in shown["php"]:
            _line(item["name"], item["value"], f"{item['where']}: {item['why']}")
    if shown["environment"]:
        typer.echo("\n# environment of PHP, unless the server's own has it")
        for name, value in shown["environment"].items():
            _line(name, value, "for its worker script")
    if shown.get("php_problem"):
        typer.echo(f"note: PHP could not be asked: {shown['php_problem']}", err=True)


def _line(name: str, value: str, origin: str) -> None:
    typer.echo(f"{name + ' = ' + value:<44} # {origin}")
