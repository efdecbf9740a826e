"""``df2 stage``: run a df2 command with values of params.yaml, without a shell. Stages of DVC use it."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from registry.cli.examples import examples
from registry.errors import NotFoundError, UsageError
from registry.redaction import redact
from registry.subset.params import load_params
from registry.subset.values import shown_value

#: DVC sets it for the command of a stage, such as ``ingest@train`` or ``folder/dvc.yaml:ingest@train``.
_STAGE_VARIABLE: Final = "DVC_STAGE"
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


@examples(
    "df2 stage subset {subsets.easy-skirts}",
    "df2 stage ingest --split {@} {ingest} -- {splits.@.source} data/registry",
)
@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--params", type=click.Path(path_type=Path), default="params.yaml", show_default=True, help="File with the values."
)
@click.argument("words", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def stage(ctx: click.Context, params: Path, words: tuple[str, ...]) -> None:
    """Run another df2 command with values of params.yaml.

    {a.b} in COMMAND becomes the value of b below a. {@} is the name of the DVC stage after its '@', also inside a
    path: {splits.@.source}. If a whole word is {a} and a holds options, it becomes options: '--on-error=fail --jobs=2';
    a mapping in it becomes JSON.
    A value stays one word of the command: spaces, quotes and $(...) in it have no effect, while DVC's own ${a.b} would
    pass them to a shell.
    """
    try:
        document = load_params(params)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {params}: the values of stages stand in it.") from error
    filled = [text for word in words for text in _fill(word, document, params)]
    click.echo(redact(f"+ {shlex.join(['df2', *filled])}"), err=True)
    df2 = ctx.find_root().command
    ctx.exit(df2.main(filled, prog_name="df2", standalone_mode=False) or 0)


def _fill(word: str, document: Any, params: Path) -> Iterator[str]:
    """Yield a word with its placeholders replaced; several words if it is a placeholder for options."""
    whole = _PLACEHOLDER.fullmatch(word)
    if whole:
        value = _value(whole[1], document, params)
        if value is None or isinstance(value, Mapping):
            yield from _options(value or {}, f"{params}, {whole[1]}")
            return
    yield _PLACEHOLDER.sub(lambda match: _text(_value(match[1], document, params), f"{params}, {match[1]}"), word)


def _value(path: str, document: Any, params: Path) -> Any:
    """Return the value at a path such as ``splits.@.source`` in the document of a parameter file."""
    if path == "@":
        return _stage_name()
    value = document
    for part in path.split("."):
        name = _stage_name() if part == "@" else part
        if not isinstance(value, Mapping) or name not in value:
            raise UsageError(f"{params} has no {path.replace('@', shown_value(name)) if part == '@' else path}.")
        value = value[name]
    return value


def _stage_name() -> str:
    """Return the name of the DVC stage after its ``@``."""
    name = os.environ.get(_STAGE_VARIABLE, "").rpartition(":")[2].partition("@")[2]
    if not name:
        raise UsageError(
            f"{{@}} is the name of a stage of DVC after its '@', such as train of ingest@train: found no such name in "
            f"{_STAGE_VARIABLE}, which 'dvc repro' sets."
        )
    return name


def _options(values: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield options of the command line; ``place`` names the values in messages."""
    for name, value in values.items():
        for single in value if isinstance(value, list) else [value]:
            if isinstance(single, Mapping):
                yield f"--{name}={_json(single, f'{place} > {name}')}"
            elif isinstance(single, bool):
                yield f"--{name}" if single else f"--no-{name}"
            else:
                yield f"--{name}={_text(single, f'{place} > {name}')}"


def _json(value: Mapping[str, Any], place: str) -> str:
    try:
        return json.dumps(value)
    except TypeError as error:  # such as a date
        raise UsageError(f"{place}: expected texts, numbers and lists of them, found {shown_value(value)}.") from error


def _text(value: Any, place: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise UsageError(f"{place}: expected a text or number, found {shown_value(value)}.")
    return str(value)
