"""Turns every exception of a command into a message on standard error and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click
from click.exceptions import Exit

from registry.cli import interruption, streams
from registry.errors import RegistryError
from registry.redaction import printable, printable_lines, redact, remember_word

if TYPE_CHECKING:
    from collections.abc import Callable

DEBUG_VARIABLE: Final = "DF2_DEBUG"
#: Exceptions that click turns into messages and exit codes.
_OF_CLICK: Final = (Exit, click.exceptions.Abort, click.ClickException)


class BoundedCommand(click.Command):
    """A command whose errors become a message on standard error and an exit code.

    Attributes:
        trouble_code: exit code of every error, for a command whose code 1 is an answer; None for the usual codes.
    """

    trouble_code: int | None = None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit; without ``args``, with the arguments, streams and signals of the process."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        is_process = args is None
        if is_process:
            streams.start()
            interruption.start()
        words = sys.argv[1:] if args is None else list(args)

        def run() -> Any:
            _check_words(words)
            for word in words:
                remember_word(word)
            return super(BoundedCommand, self).main(words, prog_name, complete_var, False, **extra)

        code = self._run(run)
        if is_process:
            interruption.end(code)
        sys.exit(code)

    def _run(self, run: Callable[[], Any]) -> int:
        """Return the exit code of a command that runs without click's own handling of errors."""
        try:
            try:
                result = run()
            except click.ClickException as error:
                shown = io.StringIO()
                error.show(shown)
                with suppress(OSError):
                    click.echo(redact(shown.getvalue()), err=True, nl=False)
                result = error.exit_code
            except click.exceptions.Abort:  # at a prompt
                with suppress(OSError):
                    click.echo("Aborted!", err=True)
                result = 1
            except SystemExit as error:
                result = error.code
            code = result if isinstance(result, int) else 0
            _flush(code != 0)
            return code
        except interruption.Interrupted:
            return 1
        except Exception as error:  # noqa: BLE001  # every exception becomes an exit code
            return report(error, self.name or "df2", is_debugging=_is_debugging(None))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; print an error with the name of the command and exit with its code."""
        try:
            end: Exit | None = None
            result = None
            try:
                result = super().invoke(ctx)
            except Exit as error:
                end = error
            _flush(end is not None and end.exit_code != 0)
            if end is not None:
                raise end
            return result
        except _OF_CLICK:
            raise
        except Exception as error:  # noqa: BLE001
            code = report(error, _command_path(ctx), self.trouble_code, is_debugging=_is_debugging(ctx))
            ctx.exit(code)


def _check_words(words: Sequence[str]) -> None:
    """Refuse arguments that are not UTF-8, which databases, manifests and JSON cannot hold.

    Raises:
        click.UsageError: an argument is not UTF-8; the message does not show it, because it may hold a secret.
    """
    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError as error:
            where = f"character {error.start + 1} of word {number}"
            raise click.UsageError(f"Expected a command line in UTF-8; {where} after 'df2' is not.") from error


def _flush(has_failed: bool) -> None:
    """Flush standard output and error; a failure is raised only if the command has not failed already."""
    try:
        streams.flush()
    except streams.OutputError:
        if not has_failed:
            raise


def _command_path(ctx: click.Context) -> str:
    """Return the names of the commands, without the name and path of the program."""
    names = [ctx.command.name, ctx.invoked_subcommand]
    parent = ctx.parent
    while parent is not None:
        names.insert(0, parent.command.name)
        parent = parent.parent
    return " ".join(name for name in names if name)


def _is_debugging(ctx: click.Context | None) -> bool:
    params = ctx.find_root().params if ctx is not None else {}
    if "debug" in params:
        return bool(params["debug"])
    return os.environ.get(DEBUG_VARIABLE, "").lower() not in ("", "0", "false", "no", "off")


def report(error: Exception, command: str, trouble_code: int | None = None, *, is_debugging: bool = False) -> int:
    """Print an error on standard error and return its exit code.

    Args:
        error: the exception.
        command: name of the command, such as ``df2 export``.
        trouble_code: exit code of every error of this command; None for the code of the error.
        is_debugging: whether the traceback is printed too.
    """
    if interruption.received():
        return 1  # a library turned the signal into this exception
    if isinstance(error, streams.OutputError) and error.is_reader_gone:
        return 1
    message, code = describe(error, command)
    if trouble_code is not None:
        code = trouble_code
    with suppress(OSError):  # standard error cannot be written: the exit code remains
        if is_debugging:
            click.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)
        click.echo(f"Error: {redact(message)}", err=True)
    return code


def describe(error: Exception, command: str) -> tuple[str, int]:  # noqa: PLR0911  # a table of cases
    """Return the message and the exit code of an exception.

    Args:
        error: the exception.
        command: name of the command, such as ``df2 export``.
    """
    text = _one_line(error)
    if isinstance(error, RegistryError):
        # An internal error of DuckDB ends with the addresses of its functions.
        message = str(error).partition("\n\nStack Trace:\n")[0]
        return printable_lines(message), error.exit_code
    if isinstance(error, streams.OutputError):
        return f"Cannot write {error.name}: {error.reason}.", 4
    if isinstance(error, OSError):
        paths = [
            printable(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        ]
        place = f"Cannot use {' or '.join(paths)}" if paths else f"The system refused what '{command}' asked for"
        return f"{place}: {error.strerror or text or type(error).__name__}.", 4
    if isinstance(error, UnicodeError):
        return _describe_unicode(error, command)
    if isinstance(error, RecursionError):
        return f"What '{command}' was given is nested too deeply to be read.", 2
    if isinstance(error, MemoryError):  # Arrow's too
        return f"There is not enough memory for '{command}': {text or 'an allocation failed'}.", 4
    if isinstance(error, OverflowError):
        return f"A number that '{command}' was given is too large: {text}.", 2
    if "duckdb" in sys.modules and isinstance(error, sys.modules["duckdb"].Error):
        return f"{text}.", 1
    return (
        f"'{command}' failed with {type(error).__name__}: {text}. This is a fault of df2, please report it; "
        f"--debug shows where.",
        1,
    )


def _describe_unicode(error: UnicodeError, command: str) -> tuple[str, int]:
    if isinstance(error, UnicodeEncodeError):
        try:  # only the path of a file is shown: another text may be a password
            is_path = "/" in error.object and os.path.lexists(os.fsencode(error.object))
        except ValueError:
            is_path = False
        subject = f"the path {printable(error.object)}" if is_path else "a text, a name or a password"
        character = f"U+{ord(error.object[error.start]):04X}"
        return f"'{command}' was given {subject} that is not UTF-8: character {error.start + 1} is {character}.", 2
    if isinstance(error, UnicodeDecodeError):
        byte = f"byte 0x{error.object[error.start]:02X} at position {error.start}"
        return f"A file that '{command}' reads is not UTF-8: {byte}.", 3
    return f"A text that '{command}' reads is not UTF-8: {_one_line(error)}.", 3


def _one_line(error: Exception) -> str:
    text: str = printable(" ".join(str(error).partition("Stack Trace:")[0].split()))
    return text[:1000].rstrip(".")
