"""``df2 correct`` and ``df2 import``: write corrections of the annotations."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.completion import complete_split
from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.image_names import parse_image
from registry.cli.paths import FILE, FOLDER
from registry.cli.values import json_text
from registry.dataset.deepfashion2 import SPLITS
from registry.errors import AnnotationError, NotFoundError, UsageError
from registry.redaction import printable
from registry.wording import plural

if TYPE_CHECKING:
    from registry.corrections.edits import Changes


def _not_blank(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Return a text; the next ingestion would refuse a line with a blank one."""
    if value is not None and not value.strip():
        raise click.BadParameter("expected a text, found none.")
    return value


_folder = click.option(
    "--corrections",
    "folder",
    type=FOLDER,
    default="corrections",
    show_default=True,
    metavar="DIR",
    help="Folder of the corrections; lines are added to SPLIT.jsonl in it.",
)
_who = click.option(
    "--who", callback=_not_blank, metavar="NAME", help="Author of the corrections. Default: user.name of git."
)


@examples(
    "df2 correct train 1 2 style=3 occlusion=heavy --why 'same dress as in image 7'",
    "df2 correct train 1 2 category=skirt landmarks=none --why 'no shorts'",
    "df2 correct train 1 2 remove --why 'a bag'",
    "df2 correct train 1 source=shop --why 'a photo of a shop'",
)
@click.command("correct")
@click.argument("split", shell_complete=complete_split)
@click.argument("image")
@click.argument("words", metavar="[ITEM] FIELD=VALUE...", nargs=-1, required=True)
@click.option("--why", required=True, metavar="TEXT", callback=_not_blank, help="Reason of the correction.")
@_who
@_folder
@click.pass_obj
def correct_command(
    places: Places, split: str, image: str, words: tuple[str, ...], why: str, who: str | None, folder: Path
) -> None:
    """Write a correction of an item or image, and print its lines.

    IMAGE is a number or a file name, ITEM an item_no. VALUE is JSON in the form of the annotation file; categories and
    codes have their names too, and landmarks=none stands for landmarks that are not labelled. ITEM remove removes an
    item, ITEM add=JSON adds one. Without ITEM, FIELD is source or pair_id of the image. The old value comes from the
    registry (-r); a line about the same field is replaced. The next ingestion with --corrections applies the lines.
    """
    from registry.corrections.edits import Author, correct
    from registry.corrections.states import read_states
    from registry.corrections.words import read_edits

    split, image_id = parse_image(split, image)
    df2 = places.open()
    df2.check_split(split)
    states = read_states(df2, split, [image_id])
    if image_id not in states:
        df2.image(split, image_id)  # names the images of the split if there is no such image
        raise NotFoundError(f"Image {image_id} of {split} has no annotation to correct.")
    item_no, assignments = _split_words(words)
    edits = read_edits(item_no, assignments, states[image_id][0], f"image {image_id} of {split}")
    by = Author(who or _git_user(), why, _today())
    changes = correct(folder, split, states, {image_id: edits}, by)
    if not changes.edited:
        raise UsageError(f"Nothing changes: image {image_id} of {split} has these values already.")
    for text in (*(text for text in changes.replaced.values() if text is not None), *changes.added):
        click.echo(text)
    for (file, line_no), new_text in changes.replaced.items():
        note(f"{file}, line {line_no} was {'removed' if new_text is None else 'replaced'}.")


@examples(
    "df2 import --split train --dry-run instances_default.json",
    "df2 import --split train --why 'second look in CVAT' instances_default.json",
)
@click.command("import")
@click.argument("file", type=FILE)
@click.option(
    "--split", required=True, metavar="|".join(SPLITS), shell_complete=complete_split, help="Split of the images."
)
@click.option(
    "--why", metavar="TEXT", callback=_not_blank, help="Reason of the corrections. Default: the name of FILE."
)
@_who
@_folder
@click.option("--remove-missing", is_flag=True, help="Remove items of the file's images that the file lacks.")
@click.option("--dry-run", is_flag=True, help="Print the changes as rows of 'df2 diff --rows', and write nothing.")
@click.pass_obj
def import_command(
    places: Places,
    file: Path,
    split: str,
    why: str | None,
    who: str | None,
    folder: Path,
    remove_missing: bool,
    dry_run: bool,
) -> None:
    """Write the edits of a COCO file from a labelling tool as corrections.

    FILE is an edited export of coco or coco-per-category. Images are matched by file name, categories by name, items by
    item_no (--attributes) or box; ids may be numbered anew. What FILE does not carry stays as it is in the registry.
    What cannot be matched is an issue, and then nothing is written. The next ingestion with --corrections applies the
    lines.
    """
    from registry.corrections.coco_edits import compare
    from registry.corrections.edited_coco import read_coco
    from registry.corrections.edits import Author, correct, plan
    from registry.corrections.states import read_states
    from registry.sources.issues import summarise

    df2 = places.open()
    df2.check_split(split)
    coco = compare(read_coco(file), split, lambda ids: read_states(df2, split, ids), removes=remove_missing)
    if coco.issues:
        raise AnnotationError(f"Nothing was written: {summarise(map(printable, coco.issues))}")
    by = Author("-" if dry_run else who or _git_user(), why or f"edited in {file.name}", _today())
    act = plan if dry_run else correct
    changes = act(folder, split, coco.states, coco.edits, by)
    for row in changes.rows(split) if dry_run else ():
        click.echo(json_text(row))
    if coco.notices:
        click.echo(summarise(map(printable, coco.notices), "notice"), err=True)
    _note_replaced(changes, file.name, dry_run=dry_run)
    if not changes.edited:
        note(f"{file.name} has no edit of {split}.")
        return
    images = f"{plural(len(changes.edited), 'image')} of {split}"
    note(f"{images} would change." if dry_run else f"{images} changed, {plural(len(changes.added), 'new line')}.")


def _note_replaced(changes: Changes, name: str, *, dry_run: bool) -> None:
    """Tell which earlier corrections an edited file overrides: it may be older than they are."""
    for file in sorted({file for file, _ in changes.replaced}):
        numbers = sorted(line_no for of_file, line_no in changes.replaced if of_file == file)
        verb = "would be" if dry_run else "was" if len(numbers) == 1 else "were"
        note(
            f"{file}, line {', '.join(map(str, numbers))}: {verb} replaced or removed, since {name} has other values. "
            "If it was exported before these corrections, edit a new export instead."
        )


def _split_words(words: Sequence[str]) -> tuple[int | None, list[str]]:
    """Return the item of ``[ITEM] FIELD=VALUE...``, None without any, and the rest."""
    from registry.ingest.corrections import REMOVE

    first, *rest = words
    if "=" in first or first == REMOVE:
        return None, list(words)
    if not (first.isascii() and first.isdigit() and int(first) > 0):
        raise click.UsageError(f"Expected the number of an item or FIELD=VALUE, found {first!r}.")
    if not rest:
        raise click.UsageError("Expected FIELD=VALUE after the number of the item, such as style=2, or remove.")
    return int(first), rest


def _today() -> str:
    return datetime.date.today().isoformat()


def _git_user() -> str:
    """Return user.name of git.

    Raises:
        UsageError: git has none.
    """
    try:
        command = ["git", "config", "user.name"]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        name = ""
    if not name:
        raise UsageError("Who corrects? git knows no user.name: give --who NAME.")
    return name
