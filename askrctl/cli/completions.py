# SPDX-License-Identifier: MIT
"""Completion scripts for bash, zsh and fish, written from the commands themselves.

Static on purpose: a shell that completes must not wait for Python. The files in completions/ are
this module's output; a test fails when they are stale.
"""

from collections.abc import Iterator
from typing import Annotated

import typer

from askrctl.cli.command_tree import (
    CHECK_OPTIONS,
    SHELLS,
    Command,
    Option,
    check_names,
    commands,
)
from askrctl.model import AskrError

# --- bash -----------------------------------------------------------------------------------------

_BASH = """# bash completion for askrctl. Written by `askrctl completions bash`: do not edit.
_askrctl() {
    COMPREPLY=()
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} place="" word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$place $word" in
%(places)s
        esac
    done
    case "$place $previous" in
%(values)s
    esac
    ((${#COMPREPLY[@]})) && return
    local words=""
    case "$place" in
%(words)s
    esac
    if [[ -z $words || ( $current != -* && $words == -* ) ]]; then
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}
complete -o filenames -F _askrctl askrctl
"""


def _bash_values(found: list[Command]) -> Iterator[str]:
    """What may follow an option: checks in every command, other values by the command."""
    names = " ".join(f'*" {name}"' for name in CHECK_OPTIONS).replace(" *", "|*")
    yield f'    {names}) COMPREPLY=($(compgen -W "{" ".join(check_names())}" -- "$current")) ;;'
    for command in found:
        for option in command.options:
            if option.values:
                place = " ".join(command.words)
                places = "|".join(f'"{place} {name}"' for name in option.names)
                words = " ".join(option.values)
                yield f'    {places}) COMPREPLY=($(compgen -W "{words}" -- "$current")) ;;'


def bash() -> str:
    found = commands()
    places = [
        f'        " {c.words[0]}") place={c.words[0]} ;;'
        if len(c.words) == 1
        else f'        "{c.words[0]} {c.words[1]}") place="{" ".join(c.words)}" ;;'
        for c in found
        if c.words
    ]
    words = []
    for command in found:
        names = [name for option in command.options for name in option.names]
        extra = ["backend", *(c for c in check_names() if "." in c)] if command.takes_check else []
        every = " ".join([*command.subcommands, *extra, *command.values, *names])
        words.append(f'    "{" ".join(command.words)}") words="{every}" ;;')
    return _BASH % {
        "places": "\n".join(places),
        "values": "\n".join(_bash_values(found)),
        "words": "\n".join(words),
    }


# --- zsh ------------------------------------------------------------------------------------------


def _zsh_text(text: str) -> str:
    """For a description in a single-quoted specification of _arguments."""
    clean = text.replace("\\", "").replace("'", "’").replace("`", "")
    return clean.replace("[", "(").replace("]", ")").replace(":", "\\:")


def _zsh_option(option: Option) -> Iterator[str]:
    for name in option.names:
        spec = f"{name}[{_zsh_text(option.help)}]"
        if option.takes_value:
            values = f"({' '.join(option.values)})" if option.values else "_files"
            if name in CHECK_OPTIONS:
                values = "_askrctl_checks"
            spec += f":value:{values}"
        yield f"'*{spec}'" if option.takes_value else f"'{spec}'"


def _zsh_name(words: tuple[str, ...]) -> str:
    return "_".join(("_askrctl", *words))


def _zsh_function(command: Command, found: list[Command]) -> Iterator[str]:
    yield f"{_zsh_name(command.words)}() {{"
    specs = [spec for option in command.options for spec in _zsh_option(option)]
    if command.takes_check:
        specs.append("'1:check:_askrctl_checks'")
    elif command.values:
        specs.append(f"'1:value:({' '.join(command.values)})'")
    elif not command.subcommands:
        specs.append("'*:file:_files'")
    if command.subcommands:
        specs += ["'1: :->command'", "'*::argument:->rest'"]
        yield "    local context state line; typeset -A opt_args"
    yield "    _arguments -C \\"
    yield " \\\n".join(f"        {spec}" for spec in specs)
    if command.subcommands:
        children = [c for c in found if c.words[:-1] == command.words and c.words]
        yield "    case $state in"
        names = " ".join(f"'{c.words[-1]}:{_zsh_text(c.help)}'" for c in children)
        yield f"    command) local -a names; names=({names}); _describe command names ;;"
        yield "    rest) case $line[1] in"
        for child in children:
            yield f"        {child.words[-1]}) {_zsh_name(child.words)} ;;"
        yield "        esac ;;"
        yield "    esac"
    yield "}"


def zsh() -> str:
    found = commands()
    lines = [
        "#compdef askrctl",
        "# zsh completion for askrctl. Written by `askrctl completions zsh`: do not edit.",
        "_askrctl_checks() {",
        f"    local -a checks; checks=({' '.join(check_names())}); compadd -a checks",
        "}",
    ]
    for command in reversed(found):
        lines += _zsh_function(command, found)
    return "\n".join([*lines, '_askrctl "$@"']) + "\n"


# --- fish -----------------------------------------------------------------------------------------


_FISH = """# fish completion for askrctl. Written by `askrctl completions fish`: do not edit.
function __askrctl_at
    set -l place ''
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        switch "$place $word"
%(places)s
        end
    end
    test "$place" = "$argv"
end
"""


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "").replace("'", "’") + "'"


def _fish_lines(command: Command, found: list[Command]) -> Iterator[str]:
    condition = " ".join(("__askrctl_at", *command.words))
    start = f"complete -c askrctl -n {_fish_quote(condition)}"
    for child in found:
        if child.words and child.words[:-1] == command.words:
            yield f"{start} -f -a {child.words[-1]} -d {_fish_quote(child.help)}"
    if command.takes_check:
        yield f"{start} -f -a {_fish_quote(' '.join(check_names()))}"
    if command.values:
        yield f"{start} -f -a {_fish_quote(' '.join(command.values))}"
    for option in command.options:
        line = start
        for name in option.names:
            line += f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
        if option.takes_value:
            values = option.values
            if set(option.names) & set(CHECK_OPTIONS):
                values = tuple(check_names())
            line += f" -x -a {_fish_quote(' '.join(values))}" if values else " -r"
        yield f"{line} -d {_fish_quote(option.help)}"


def _fish_place(words: tuple[str, ...]) -> str:
    before, place = " ".join(words[:-1]), " ".join(words)
    return f"        case '{before} {words[-1]}'; set place '{place}'"


def fish() -> str:
    found = commands()
    places = "\n".join(_fish_place(command.words) for command in found if command.words)
    lines = [line for command in found for line in _fish_lines(command, found)]
    return _FISH % {"places": places} + "\n".join(lines) + "\n"


def script(shell: str) -> str:
    """The script of one shell."""
    writers = {"bash": bash, "zsh": zsh, "fish": fish}
    if shell not in writers:
        raise AskrError(
            f"there is no completion for {shell}", f"one of {', '.join(SHELLS)}", code=2
        )
    return writers[shell]()


def completions_command(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell.

    **Where it goes**

    bash: `askrctl completions bash > /etc/bash_completion.d/askrctl`

    zsh: `askrctl completions zsh > /usr/local/share/zsh/site-functions/_askrctl`

    fish: `askrctl completions fish > /etc/fish/completions/askrctl.fish`
    """
    typer.echo(script(shell), nl=False)
