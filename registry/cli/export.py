"""The commands that choose a subset, export it, and check an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from registry.cli.context import Places, storage_option
from registry.cli.password import with_password
from registry.cli.paths import PLACE
from registry.cli.progress import progress_bar
from registry.cli.subset_options import subset_options
from registry.redaction import printable, redact
from registry.subset.params import load_sources

if TYPE_CHECKING:
    from registry.exports.format import Format
    from registry.exports.manifest import ExportManifest
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit

_PASSWORD_PROMPT = "Password of the photos' zip"


#: What the choices of --images mean.
_IMAGES = {
    "none": "none: no photo is looked at",
    "reference": "reference: files name photos by their place in the release",
    "link": "link: relative links to the photos of --photos",
    "copy": "copy: their bytes are put into the export",
}


class _Formats(click.Group):
    """The formats as commands, each with its own options; made when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from registry.exports.find import format_names

        return format_names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from registry.exports.find import find_format

        return _format_command(find_format(name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from registry.exports.find import find_format

        with formatter.section("Formats"):
            formatter.write_dl([(name, find_format(name).summary) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if ctx.params.get("from_manifest"):
            return "", _again, args
        return super().resolve_command(ctx, args)


@click.group("export", cls=_Formats, subcommand_metavar="FORMAT DEST [OPTIONS]...", invoke_without_command=False)
@click.option(
    "--from-manifest",
    type=PLACE,
    metavar="FILE",
    help="Make the export with this export.json again: df2 export --from-manifest FILE DEST.",
)
def export_command(from_manifest: str | None) -> None:
    """Write a subset in the format of a trainer.

    DEST is a new or empty folder, or an fsspec URL. It gets everything or nothing, with export.json: from which data
    it was made, what was left out and why, and the sha256 of every file. 'df2 export FORMAT --help' shows the options
    of a format.

    \b
    df2 export coco skirts --category skirt --occlusion 1
    df2 export yolo poses --task pose --split train --images link --photos data/sample
    df2 export --from-manifest skirts/export.json skirts-again
    """  # noqa: D301


def _place_options(command: Any) -> Any:
    command = storage_option(command)
    command = click.option("--overwrite", is_flag=True, help="Replace an earlier export at DEST.")(command)
    command = click.option("--follow-links", is_flag=True, help="Take photos that are links out of RELEASE.")(command)
    return click.option(
        "--photos",
        type=PLACE,
        metavar="RELEASE",
        envvar="DF2_PHOTOS",
        show_envvar=True,
        help="Folder or URL of the release with the photos: SPLIT/image or SPLIT.zip in it. Default: the sources in "
        "params.yaml.",
    )(command)


def _format_command(found: Format) -> click.Command:
    @click.pass_obj
    def run(places: Places, /, dest: str, subset: Subset, resplit: Resplit | None, images: str, **given: Any) -> None:
        from registry.exports.run import Plan, export
        from registry.history.git import revision_of

        place = {name: given.pop(name) for name in ("photos", "overwrite", "follow_links")}
        place["storage_options"] = places.storage_options
        plan = Plan.of(found.name, subset, resplit=resplit, images=images, options=given)
        opened = places.open()
        place["revision"] = revision_of(opened.place)
        if images in ("link", "copy"):
            place["photos"] = place["photos"] or load_sources(click.get_current_context().params["params"]) or None

        def attempt(password: str | None) -> ExportManifest:
            with progress_bar(f"Exporting to {redact(dest)}") as progress:
                return export(opened, plan, dest, password=password, progress=progress, **place)

        made = with_password(attempt, _PASSWORD_PROMPT)
        _report(made, dest)

    command: Any = subset_options(run)
    command = _place_options(command)
    command = click.option(
        "--images",
        type=click.Choice(found.images),
        default=found.images[0],
        show_default=True,
        help="; ".join(_IMAGES[mode] for mode in found.images) + ".",
    )(command)
    for option in reversed(found.options):
        command = _click_option(option)(command)
    command = click.argument("dest", type=PLACE)(command)
    return click.command(
        found.name, help=f"{found.summary}\n\nOptions of the format come first, then those of a subset."
    )(command)


def _click_option(option: Any) -> Any:
    if option.kind == "flag":
        return click.option(f"--{option.name}/--no-{option.name}", default=option.default, help=option.help)
    kinds: dict[str, Any] = {
        "choice": click.Choice(option.choices),
        "integer": click.IntRange(int(option.minimum)),
        "number": click.FloatRange(option.minimum),
        "text": str,
    }
    shown = option.default is not None
    return click.option(
        f"--{option.name}", type=kinds[option.kind], default=option.default, show_default=shown, help=option.help
    )


@click.command("again")
@click.argument("dest", type=PLACE)
@_place_options
@click.pass_context
def _again(ctx: click.Context, /, dest: str, **place: Any) -> None:
    """Make an export again from its manifest."""
    from registry.exports.manifest import read_manifest_file
    from registry.exports.run import export_again
    from registry.history.git import revision_of

    assert ctx.parent is not None
    place["storage_options"] = ctx.obj.storage_options
    old = read_manifest_file(ctx.parent.params["from_manifest"], ctx.obj.storage_options)
    opened = ctx.obj.open()
    place["revision"] = revision_of(opened.place)
    if old.images in ("link", "copy"):
        place["photos"] = place["photos"] or load_sources() or None

    def attempt(password: str | None) -> tuple[ExportManifest, list[str]]:
        with progress_bar(f"Exporting to {redact(dest)}") as progress:
            return export_again(opened, old, dest, password=password, progress=progress, **place)

    made, different = with_password(attempt, _PASSWORD_PROMPT)
    _report(made, dest)
    if different:
        shown = ", ".join(map(printable, different[:5])) + (", ..." if len(different) > 5 else "")
        click.echo(f"{len(different):,} files are not the same bytes as before: {shown}", err=True)
        ctx.exit(1)
    click.echo(f"All {len(made.files):,} files are the same bytes as before.")


def _report(made: ExportManifest, dest: str) -> None:
    for entry in made.left_out:
        click.echo(printable(f"note: {entry['number']:,} {entry['what']}: {entry['why']}"), err=True)
    for row in made.resplit["balance"] if made.resplit else []:
        if row["worst_of"] is not None:
            click.echo(
                f"note: {printable(row['part'])} has {row['items_share']:.2%} of the items; farthest from "
                f"{row['fraction']:.2%} is its share of {row['worst_of']}, by "
                f"{100 * row['worst_deviation']:.2f} points",
                err=True,
            )
    size = sum(file.size for file in made.files)
    parts = "; ".join(
        f"{printable(part)} {', '.join(f'{number:,} {what}' for what, number in counts.items())}"
        for part, counts in made.counts.items()
    )
    click.echo(f"{printable(redact(dest))}: {made.format}, {parts}; {len(made.files):,} files, {size / 1e6:,.1f} MB.")
