# SPDX-License-Identifier: MIT
"""The command line: the only layer that prints, prompts or exits.

Answers go to stdout, messages to stderr. Commands are imported when they are called, so that
`askrctl --help` does not pay for what it does not show.
"""

import errno
import sys

from askrctl.model import AskrError

MISUSE = 2


def report(error: AskrError) -> int:
    """One sentence, and what to type next. Returns the exit status."""
    print(f"askrctl: {error.message}", file=sys.stderr)
    if error.hint or error.code == MISUSE:
        print(f"hint: {error.hint or _help_of(sys.argv[1:])}", file=sys.stderr)
    return error.code


def _help_of(words: list[str]) -> str:
    """The command that was misused, and how to learn from it."""
    return " ".join(["askrctl", *words[:1], "--help"])


def main() -> None:
    """The entry point of the `askrctl` command."""
    from askrctl.cli.app import build

    try:
        code = build(sys.argv[1] if len(sys.argv) > 1 else "")(standalone_mode=False)
    except AskrError as error:
        sys.exit(report(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(report(AskrError(f"cannot write: {error.strerror}", "df -h", code=3)))
    except Exception as error:
        sys.exit(_report_usage(error))
    sys.exit(code if isinstance(code, int) else 0)


def _report_usage(error: Exception) -> int:
    """Misuse that the parser found; anything else is a bug of ours and shows its traceback."""
    format_message = getattr(error, "format_message", None)
    code = getattr(error, "exit_code", None)
    if code is None:
        raise error
    if format_message is not None:
        print(f"askrctl: {format_message()}", file=sys.stderr)
        context = getattr(error, "ctx", None)
        if context is not None:
            print(f"hint: {context.command_path} --help", file=sys.stderr)
    return int(code)
