"""Options that a later version removes: hidden in the help, with a warning on standard error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from registry.deprecation import Deprecated

Function = TypeVar("Function", bound=Callable[..., Any])


def deprecated_option(deprecated: Deprecated) -> Callable[[Function], Function]:
    """Return a decorator that adds the option with the name in ``deprecated``; its value is a text or None."""

    def tell(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None:
            click.echo(f"warning: {deprecated.text}", err=True)
        return value

    return click.option(deprecated.name, hidden=True, callback=tell, help=deprecated.text)
