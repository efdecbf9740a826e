"""The password of a protected zip: from the environment, or from a prompt on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

import click

from registry.errors import PasswordError

Result = TypeVar("Result")


def password_from_environment() -> str | None:
    """Return the value of ``DF2_ZIP_PASSWORD``; None if it is unset or empty."""
    return os.environ.get("DF2_ZIP_PASSWORD") or None


def with_password(run: Callable[[str | None], Result], prompt: str) -> Result:
    """Return the result of ``run(password)``.

    ``run`` gets the password of the environment, or None. If it raises :class:`PasswordError` for None and standard
    input is a terminal, the user is prompted and ``run`` is called again.

    Raises:
        PasswordError: the password is wrong, or standard input is no terminal.
    """
    password = password_from_environment()
    try:
        return run(password)
    except PasswordError:
        if password or not sys.stdin.isatty():
            raise
    return run(click.prompt(prompt, hide_input=True))
