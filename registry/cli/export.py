"""``df2 export``: a command for each format, and exports made again from their manifest."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from registry.cli.context import Places, note, storage_option
from registry.cli.examples import examples
from registry.cli.password import with_password
from registry.cli.paths import PLACE
from registry.cli.photo_options import PASSWORD_PROMPT, photo_sources, photos_option
from registry.cli.progress import progress_bar
from registry.cli.scheduler_option import scheduler_option, workers
from registry.cli.subset_options import subset_options, table_option
from registry.dataset.deepfashion2 import SPLITS
from registry.redaction import printable, redact
from registry.subset.params import read_tables
from registry.wording import counted, plural, size

if TYPE_CHECKING:
    from registry.execution.progress import Progress
    from registry.exports.format import Format, Option
    from registry.exports.manifest import ExportManifest
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit

Result = TypeVar("Result")

#: Help for each choice of --images.
_IMAGES_HELP = {
    "none": "none: without photos",
    "reference": "reference: files name photos by their path in the release",
    "link": "link: relative links to the photos of --photos, or hard links to photos kept in --photo-cache",
    "copy": "copy: the photos are copied into the export",
}


class _FormatGroup(click.Group):
    """A group with a command for each format, made from the table of formats; no format's module is imported."""

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
            return "", _export_again, args
        return super().resolve_command(ctx, args)


@examples(
    "df2 export coco skirts --category skirt --occlusion 1",
    "df2 export yolo poses --task pose --images copy --photos data/sample",
    "df2 export --from-manifest skirts/export.json skirts-again",
)
@click.group("export", cls=_FormatGroup, subcommand_metavar="FORMAT DEST [OPTIONS]...", invoke_without_command=False)
@click.option(
    "--from-manifest",
    type=PLACE,
    metavar="FILE",
    help="Make the export of this export.json again: df2 export --from-manifest FILE DEST, with --table and --items of "
    "the export, if it has any.",
)
def export_command(from_manifest: str | None) -> None:
    """Write a subset in the format of a trainer.

    DEST is a new or empty folder, or an fsspec URL. A failed export leaves nothing there. export.json in it names the
    data and the options, counts all that was left out with the reason, and has the sha256 of every file.
    'df2 export FORMAT --help' shows the options of a format.
    """


def _destination_options(command: Any) -> Any:
    """Add the options that both a new and a repeated export take."""
    command = storage_option(command)
    command = click.option("--overwrite", is_flag=True, help="Replace an earlier export at DEST.")(command)
    command = click.option(
        "--photo-cache",
        type=PLACE,
        metavar="DIR",
        help="Of --images link: keep the photos in DIR, at most 20 GB, and make hard links to them. Default: links "
        "lead to photos in folders; photos in archives and at remote places are kept in .df2/photos of the registry.",
    )(command)
    return photos_option(command)


def _format_command(export_format: Format) -> click.Command:
    """Return the command that exports in a format: its own options come first, then those of a subset."""

    @click.pass_obj
    def run(
        places: Places,
        /,
        dest: str,
        subset: Subset,
        tables: dict[str, str],
        resplit: Resplit | None,
        images: str,
        classes: str | None,
        photos: str | None,
        photo_cache: str | None,
        overwrite: bool,
        follow_links: bool,
        scheduler: str | None = None,
        **options: Any,
    ) -> None:
        from registry.exports.run import Plan, export
        from registry.history.git import revision_of

        plan = Plan.of(export_format.name, subset, resplit=resplit, images=images, options=options, classes=classes)
        registry = places.open(tables=tables)
        revision = revision_of(registry.place)
        sources = _photo_sources(images, photos, click.get_current_context().params["params"])

        def attempt(password: str | None, progress: Progress | None) -> ExportManifest:
            with workers(scheduler) as executor:
                return export(
                    registry,
                    plan,
                    dest,
                    photos=sources,
                    password=password,
                    storage_options=places.storage_options,
                    follow_links=follow_links,
                    photo_cache=photo_cache,
                    overwrite=overwrite,
                    revision=revision,
                    executor=executor,
                    progress=progress,
                )

        _report(_with_password_and_progress(attempt, dest), dest)

    command: Any = subset_options(run)
    command = _destination_options(command)
    if export_format.uses_cluster:
        command = scheduler_option(command)
    command = click.option(
        "--classes",
        metavar="CLASSES",
        hidden=not export_format.has_classes,
        help="'present' for the categories that occur, numbered without gaps; or classes that merge and rename "
        "categories: 'tops=short sleeve top,long sleeve top; bottoms=shorts,trousers', or a file with such (YAML, "
        "JSON, lines). Items of other categories are left out.",
    )(command)
    command = click.option(
        "--images",
        type=click.Choice(export_format.images),
        default=export_format.images[0],
        show_default=True,
        help="; ".join(_IMAGES_HELP[mode] for mode in export_format.images) + ".",
    )(command)
    for option in reversed(export_format.options):
        command = _click_option(option)(command)
    command = click.argument("dest", type=PLACE)(command)
    help_text = f"{export_format.summary}\n\nOptions of the format come first, then those of a subset."
    return examples(*_format_examples(export_format))(click.command(export_format.name, help=help_text)(command))


def _format_examples(export_format: Format) -> list[str]:
    name = export_format.name
    photos = " --photos data/sample" if export_format.images[0] in ("link", "copy") else ""
    lines = [f"df2 export {name} skirts --category skirt{photos}"]
    if "copy" in export_format.images:
        lines.append(f"df2 export {name} with-photos --images copy --photos data/sample")
    return lines


def _click_option(option: Option) -> Callable[[Any], Any]:
    """Return an option of a format as an option of click."""
    if option.kind == "flag":
        return click.option(f"--{option.name}/--no-{option.name}", default=option.default, help=option.help)
    types: dict[str, Any] = {
        "choice": click.Choice(option.choices),
        "integer": click.IntRange(int(option.minimum)),
        "number": click.FloatRange(option.minimum),
        "text": str,
    }
    return click.option(
        f"--{option.name}",
        type=types[option.kind],
        default=option.default,
        show_default=option.default is not None,
        help=option.help,
    )


@click.command("again")
@click.argument("dest", type=PLACE)
@table_option
@click.option("--items", metavar="FILE", help="The list of items of the export.")
@_destination_options
@click.pass_context
def _export_again(
    ctx: click.Context,
    /,
    dest: str,
    table_values: tuple[str, ...],
    items: str | None,
    photos: str | None,
    photo_cache: str | None,
    overwrite: bool,
    follow_links: bool,
) -> None:
    """Make an export again from its manifest."""
    from registry.exports.manifest import read_manifest_file
    from registry.exports.run import export_again
    from registry.history.git import revision_of

    assert ctx.parent is not None
    places: Places = ctx.obj
    old = read_manifest_file(ctx.parent.params["from_manifest"], places.storage_options)
    registry = places.open(tables=read_tables(table_values))
    revision = revision_of(registry.place)
    sources = _photo_sources(old.images, photos)

    def attempt(password: str | None, progress: Progress | None) -> tuple[ExportManifest, list[str]]:
        return export_again(
            registry,
            old,
            dest,
            items=items,
            photos=sources,
            password=password,
            storage_options=places.storage_options,
            follow_links=follow_links,
            photo_cache=photo_cache,
            overwrite=overwrite,
            revision=revision,
            progress=progress,
        )

    new, changed_files = _with_password_and_progress(attempt, dest)
    _report(new, dest)
    if changed_files:
        names = ", ".join(map(printable, changed_files[:5])) + (", ..." if len(changed_files) > 5 else "")
        click.echo(f"{plural(len(changed_files), 'file')} with other bytes than before: {names}", err=True)
        ctx.exit(1)
    click.echo(f"{plural(len(new.files), 'file')} with the same bytes as before.")


def _with_password_and_progress(run: Callable[[str | None, Progress | None], Result], dest: str) -> Result:
    """Return ``run(password, progress)``: it shows a bar, and asks for the password of protected photos."""

    def attempt(password: str | None) -> Result:
        with progress_bar(f"Exporting to {redact(dest)}") as progress:
            return run(password, progress)

    return with_password(attempt, PASSWORD_PROMPT)


def _photo_sources(images: str, photos: str | None, params: str = "params.yaml") -> str | dict[str, str] | None:
    """Return the release with the photos, or the source of each split in params.yaml if photos are exported."""
    return photos or (photo_sources(None, params) if images in ("link", "copy") else None)


def _report(manifest: ExportManifest, dest: str) -> None:
    """Print the counts on standard output; notices and the next step on standard error."""
    from registry.exports.find import find_format

    for notice in manifest.notices:
        note(f"note: {notice}")
    export_format = find_format(manifest.format)
    num_bytes = sum(file.size for file in manifest.files)
    parts = "; ".join(
        f"{printable(part)} {', '.join(counted(number, name) for name, number in counts.items())}"
        for part, counts in manifest.counts.items()
    )
    place = printable(redact(dest))
    click.echo(f"{place}: {manifest.format}, {parts}; {plural(len(manifest.files), 'file')}, {size(num_bytes)}.")
    for part, counts in manifest.class_counts.items():
        click.echo(f"{printable(part)}: {', '.join(f'{name} {number:,}' for name, number in counts.items())}.")
    if export_format.needs_photos and manifest.images not in ("link", "copy"):
        note("next: the same command with --images copy --photos RELEASE --overwrite")
    else:
        _note_next_step(export_format, manifest, dest)


def _first_file(manifest: ExportManifest, part: str) -> str:
    """Return the first file for the next step, no photo; of a format with annotations by part, that of the part."""
    paths = sorted((file.path for file in manifest.files), key=lambda path: (path.startswith("images/"), path))
    return next((path for path in paths if path.startswith((f"annotations/{part}.", f"annotations/{part}/"))), paths[0])


def _note_next_step(export_format: Format, manifest: ExportManifest, dest: str) -> None:
    """Note the command line that trains on the export or loads it, if it works without quoting the destination."""
    filled_parts = [part for part, counts in manifest.counts.items() if counts["images"]]
    if not (filled_parts and manifest.files) or "://" in dest or shlex.quote(dest) != dest:
        return
    part = max(filled_parts, key=lambda name: manifest.counts[name]["items"] > 0)  # the first with items, if any
    first_file = _first_file(manifest, part)
    split = part if part in SPLITS else SPLITS[0]
    step = export_format.next_step_of(manifest.options, dest=dest.rstrip("/"), part=part, split=split, file=first_file)
    if step:
        note(f"next: {step}")
