"""Pictures written to files, drawn in the terminal, or opened in the system's viewer."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from registry.cli.context import Places, note
from registry.cli.password import with_password
from registry.cli.photo_options import PASSWORD_PROMPT
from registry.cli.progress import progress_bar
from registry.errors import StorageError
from registry.redaction import printable

if TYPE_CHECKING:
    from PIL.Image import Image

    from registry.pictures.album import Problems
    from registry.sources.photos import Photos

#: Exit code where a photo is damaged or missing: bad input data.
BAD_INPUT: Final = 3
#: Bytes of base64 in one escape sequence of kitty.
_KITTY_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages to write.

    Attributes:
        pictures: drawn as they are needed.
        total: their number.
        title: for the metadata of the files.
        problems: with photos, complete when the last page is drawn.
    """

    pictures: Iterable[Image]
    total: int
    title: str
    problems: Problems


def open_photos(
    places: Places, sources: str | dict[str, str] | None, password: str | None, follow_links: bool
) -> Photos | None:
    """Return the photos of a release; None without any."""
    from registry.sources.photos import Photos

    if sources is None:
        return None
    return Photos(sources, password, places.storage_options, follow_links=follow_links)


def write_pictures(
    places: Places, draw: Callable[[str | None], Pages], output: str | None, *, names_to_stderr: bool = False
) -> Problems:
    """Draw pages and write them; print the path of each file, and every problem with a photo on standard error.

    Args:
        places: the global options.
        draw: returns the pages, with a password of protected zips or None.
        output: path or URL of the file; without it, a temporary file is shown in the terminal or the viewer.
        names_to_stderr: print the paths on standard error, as standard output has another answer.

    Raises:
        UsageError: the suffix of the file stands for no format.
        StorageError: a file cannot be written.
    """

    def attempt(password: str | None) -> Problems:
        pages = draw(password)
        if output is None:
            _show(pages)
        else:
            for path in _write_to(places, pages, output):
                click.echo(printable(path), err=names_to_stderr)
        return pages.problems

    problems = with_password(attempt, PASSWORD_PROMPT)
    print_problems(problems)
    return problems


def print_problems(problems: Problems) -> None:
    """Print the problems with photos on standard error: bad input as warnings."""
    for line, is_bad_input in problems.lines():
        if is_bad_input:
            click.echo(f"warning: {printable(line)}", err=True)
        else:
            note(f"note: {line}")


def _write_to(places: Places, pages: Pages, output: str) -> Iterator[str]:
    """Write pages to a path or URL; yield the name of each file."""
    from registry.pictures.files import format_of, page_paths, write_pages

    folder, slash, name = output.rpartition("/")
    format_of(Path(name))
    names = [path.name for path in page_paths(Path(name), pages.total)]
    if "://" not in output:
        paths = [f"{folder}{slash}{name}" for name in names]
        yield from _with_progress(write_pages(pages.pictures, pages.total, Path(output), pages.title), pages, paths)
        return
    pictures = iter(pages.pictures)
    for page in names:
        with places.local_file(f"{folder}/{page}") as path:
            rest = pictures if len(names) == 1 else [next(pictures)]
            for _ in write_pages(rest, pages.total if len(names) == 1 else 1, path, pages.title):
                pass
        yield f"{folder}/{page}"


def _with_progress(written: Iterable[int], pages: Pages, paths: list[str]) -> Iterator[str]:
    """Yield each path when its file is complete: that of a PDF at the end."""
    with progress_bar("Drawing pages") as progress:
        for number in written:
            if progress and pages.total > 1:
                progress(number, pages.total)
            if len(paths) > 1:
                yield paths[number - 1]
    if len(paths) == 1:
        yield paths[0]


def _show(pages: Pages) -> None:
    """Write pages to temporary files and show them, if this terminal or this machine can; print their paths."""
    from registry.pictures.files import page_paths, write_pages

    protocol = _terminal_protocol()
    opens_viewer = protocol is None and has_viewer()
    name = "pictures.pdf" if opens_viewer and pages.total > 1 else "picture.png"
    try:
        folder = Path(tempfile.mkdtemp(prefix="df2-show-", dir=os.environ.get("DF2_TMPDIR") or None))
    except OSError as error:
        raise StorageError(f"Cannot write temporary files: {error.strerror}. -o FILE names a file.") from error
    paths = [str(path) for path in page_paths(folder / name, pages.total)]
    written = write_pages(pages.pictures, pages.total, folder / name, pages.title)
    for path in _with_progress(written, pages, paths):
        if protocol:
            click.echo(protocol(Path(path).read_bytes()))
        click.echo(path)
    if opens_viewer and click.launch(paths[0]) != 0:
        note("No viewer of pictures could be opened; -o FILE names the file to write.")


def _terminal_protocol() -> Callable[[bytes], str] | None:
    """Return the function that makes a terminal draw a PNG; None for a terminal that cannot, and for no terminal."""
    if not sys.stdout.isatty() or os.environ.get("TMUX") or os.environ.get("TERM", "").startswith(("screen", "tmux")):
        return None
    if os.environ.get("KITTY_WINDOW_ID") or os.environ.get("TERM") in ("xterm-kitty", "xterm-ghostty"):
        return kitty_sequence
    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm") or os.environ.get("LC_TERMINAL") == "iTerm2":
        return iterm_sequence
    return None


def has_viewer() -> bool:
    """Return whether a window can be opened for the person at the terminal."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def kitty_sequence(data: bytes) -> str:
    """Return a PNG as escape sequences of kitty's graphics protocol."""
    text = base64.b64encode(data).decode()
    chunks = [text[start : start + _KITTY_CHUNK] for start in range(0, len(text), _KITTY_CHUNK)]
    last = len(chunks) - 1
    return "".join(
        f"\033_G{'a=T,f=100,' if number == 0 else ''}m={int(number < last)};{chunk}\033\\"
        for number, chunk in enumerate(chunks)
    )


def iterm_sequence(data: bytes) -> str:
    """Return a PNG as the escape sequence of iTerm2's inline images."""
    return f"\033]1337;File=inline=1;size={len(data)}:{base64.b64encode(data).decode()}\a"
