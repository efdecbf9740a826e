"""``python -m tools.package``: builds the package and tries it with this Python, for CI."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tools.build import build_checked
from tools.installation import try_package


@click.command("package")
@click.option(
    "--dist", type=click.Path(path_type=Path), default="dist", show_default=True, help="Folder of the packages."
)
def package(dist: Path) -> None:
    """Build wheel and sdist of the working directory, twice the same, and use the wheel in an empty environment."""
    with tempfile.TemporaryDirectory(prefix="df2-package-") as scratch:
        packages = build_checked(Path.cwd(), Path(scratch))
        click.echo("Wheel and sdist: the same bytes twice, all files in them, and the sdist builds both again.")
        try_package(Path(sys.executable), packages.wheel, Path(scratch) / "installed", click.echo)
        dist.mkdir(exist_ok=True)
        for path in (packages.wheel, packages.sdist):
            shutil.copy(path, dist)
            click.echo(dist / path.name)


if __name__ == "__main__":
    package()
