# SPDX-License-Identifier: MIT
"""The command line: the only layer that prints, prompts or exits.

Answers go to stdout, messages to stderr. Commands are imported when they are called, so that
`askrctl --help` does not pay for what it does not show.
"""

import errno
import io
import itertools
import sys
import traceback

from askrctl.model import AskrError

MISUSE = 2
UNKNOWN = 3  # what Nagios makes of an answer that could not be had
NAGIOS_LINE = 80  # what Nagios shows of an answer


def report(error: AskrError) -> int:
    """One sentence, and what to type next. Returns the exit status."""
    print(f"askrctl: {error.message}", file=sys.stderr)
    if error.hint or error.code == MISUSE:
        print(f"hint: {error.hint or _help_of(sys.argv[1:])}", file=sys.stderr)
    return _status(error.code, error.message)


def _help_of(words: list[str]) -> str:
    """The command that was misused, and how to learn from it."""
    from askrctl.cli.app import subcommands

    known = words[:1] and words[1:2] and words[1] in subcommands(words[0])
    return " ".join(["askrctl", *words[: 2 if known else 1], "--help"])


def _status(code: int, message: str) -> int:
    """The exit status. Nagios reads that of everything, also of misuse, and shows a line of it."""
    words = sys.argv[1:]
    asked = "--format=nagios" in words or ("--format", "nagios") in itertools.pairwise(words)
    if words[:1] != ["doctor"] or not asked:
        return code
    print(f"ASKR UNKNOWN - {message}"[:NAGIOS_LINE])
    return UNKNOWN


def main() -> None:
    """The entry point of the `askrctl` command."""
    from askrctl.cli.app import assemble

    _print_whatever_comes()
    try:
        code = assemble(sys.argv[1] if len(sys.argv) > 1 else "")(standalone_mode=False)
    except AskrError as error:
        sys.exit(report(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(report(AskrError(f"cannot write: {error.strerror}", "df -h", code=3)))
    except Exception as error:
        sys.exit(_report_other(error))
    sys.exit(code if isinstance(code, int) else 0)


def _print_whatever_comes() -> None:
    """Neither a terminal without dashes and frames nor a path that is no text is a failure."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        knows_all = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if knows_all else "replace")


def _report_other(error: Exception) -> int:
    """Misuse that the parser found; anything else is a bug of ours and shows its traceback."""
    format_message = getattr(error, "format_message", None)
    code = getattr(error, "exit_code", None)
    if code is None:
        if _status(0, f"{type(error).__name__}: {error}") == 0:
            raise error
        traceback.print_exception(error)
        return UNKNOWN
    if format_message is None:
        return int(code)
    # The parser's own validation speaks like a programmer.
    message = (
        str(format_message()).replace("Value error, ", "").replace("Input should", "it should")
    )
    if not message:
        return int(code)  # a group without a command: its help has been shown
    print(f"askrctl: {message}", file=sys.stderr)
    context = getattr(error, "ctx", None)
    shown = f"{context.command_path} --help" if context is not None else _help_of(sys.argv[1:])
    print(f"hint: {shown}", file=sys.stderr)
    return _status(int(code), message)
