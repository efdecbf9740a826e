"""The log of ``df2 -v`` and ``df2 -vv`` on standard error."""

from __future__ import annotations

import logging

import click

from registry.redaction import printable_lines


class _EchoHandler(logging.Handler):
    """Prints records on the standard error of the moment, which a progress bar replaces while it is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(printable_lines(self.format(record)), err=True)


def log_to_stderr(level: int) -> None:
    """Print the records of the package's loggers from this level on, until the current command ends."""
    logger = logging.getLogger("registry")
    handler = _EchoHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)7.0f ms %(name)s: %(message)s"))
    old_level = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)

    @click.get_current_context().call_on_close
    def stop() -> None:
        logger.removeHandler(handler)
        logger.setLevel(old_level)
