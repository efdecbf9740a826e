"""``python -m tools.release VERSION``: the command of 'make release'."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from tools.build import Packages, build_checked
from tools.commands import FailedError, run
from tools.installation import try_package
from tools.interpreters import VERSIONS, find_interpreter
from tools.versions import check_version, write_version

#: Tags of the data are v1.0, v1.1, ...: docs/how-to/releasing.md.
TAG_PREFIX: Final = "package-v"


@click.command("release")
@click.argument("version")
@click.option("--dry-run", is_flag=True, help="Do everything except the commit, the tag and the files in dist/.")
def release(version: str, dry_run: bool) -> None:
    """Test, commit and tag VERSION of the package; nothing is uploaded.

    The commit is made and tested apart. The branch, the tag and dist/ change at the end, so that a failed or ended
    release leaves nothing and can be started again.
    """
    checkout = Path.cwd()
    tag = f"{TAG_PREFIX}{version}"
    check_start(version, tag, checkout)
    with work_tree(checkout) as (tree, scratch):
        names = write_version(version, f"{datetime.now(UTC):%Y-%m-%d}", tree)
        run(["git", "commit", "--quiet", "-m", f"Release {version}", "--", *names], tree)
        packages = build_checked(tree, scratch)
        click.echo("Wheel and sdist: the same bytes twice, all files in them, and the sdist builds both again.")
        tested, missing = try_everywhere(packages, scratch)
        click.echo(
            f"Tested with Python {', '.join(tested)}. Not tested, for lack of an interpreter: {missing or 'none'}."
        )
        if dry_run:
            click.echo("A dry run: no commit, no tag, and nothing in dist/.")
            return
        commit = run(["git", "rev-parse", "HEAD"], tree).strip()
        finish(commit, tag, checkout)
        dist = keep(packages, checkout / "dist")
    click.echo(f"Committed and tagged as {tag}. To publish:\n")
    click.echo(f"  git push --atomic origin HEAD {tag}")
    click.echo(f"  python -m pip install twine && python -m twine upload {' '.join(dist)}")


def check_start(version: str, tag: str, checkout: Path) -> None:
    """Check that a release may begin.

    Raises:
        FailedError: the work tree has changes, no branch is checked out, the version cannot follow, or its tag exists.
    """
    if changes := run(["git", "status", "--porcelain"], checkout):
        raise FailedError(f"The work tree has changes: commit or remove them first.\n{changes.rstrip()}")
    if not run(["git", "branch", "--show-current"], checkout).strip():
        raise FailedError("No branch is checked out, so the commit of the release would be on none: git switch main")
    check_version(version, checkout)
    if run(["git", "tag", "--list", tag], checkout):
        raise FailedError(
            f"The tag {tag} exists. If a release was ended between tag and branch, 'git merge --ff-only {tag}' "
            "completes it; if nobody has the tag, 'git tag -d' removes it; otherwise take the next version."
        )


@contextmanager
def work_tree(checkout: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a second work tree of the checked-out commit and an empty folder; both are removed at the end."""
    run(["git", "worktree", "prune"], checkout)  # of an ended release
    with tempfile.TemporaryDirectory(prefix="df2-release-") as folder:
        tree, scratch = Path(folder) / "tree", Path(folder) / "scratch"
        scratch.mkdir()
        run(["git", "worktree", "add", "--quiet", "--detach", tree, "HEAD"], checkout)
        try:
            yield tree, scratch
        finally:
            run(["git", "worktree", "remove", "--force", tree], checkout)


def try_everywhere(packages: Packages, scratch: Path) -> tuple[list[str], str]:
    """Try the wheel with every version of Python, and the sdist with this interpreter.

    Returns:
        The versions of Python that it was tried with, and a text of those of which there is no interpreter.
    """
    tested, missing = [], []
    for version in VERSIONS:
        interpreter = find_interpreter(version)
        if interpreter is None:
            missing.append(version)
            continue
        click.echo(f"Python {version}, {packages.wheel.name}")
        try_package(interpreter, packages.wheel, scratch / version, click.echo)
        tested.append(version)
    if not tested:
        raise FailedError(f"There is no interpreter of Python {', '.join(VERSIONS)} that can make environments.")
    click.echo(f"This Python, {packages.sdist.name}")
    try_package(Path(sys.executable), packages.sdist, scratch / "sdist", click.echo)
    return tested, ", ".join(missing)


def keep(packages: Packages, dist: Path) -> list[str]:
    """Copy the packages into ``dist/``; return their paths from its parent folder."""
    dist.mkdir(exist_ok=True)
    for path in (packages.wheel, packages.sdist):
        shutil.copy(path, dist)
    return [f"dist/{path.name}" for path in (packages.wheel, packages.sdist)]


def finish(commit: str, tag: str, checkout: Path) -> None:
    """Tag a commit and move the branch to it; without both, with neither.

    Raises:
        FailedError: the branch has another commit than at the start, or files of the work tree changed.
    """
    run(["git", "tag", "--annotate", "-m", tag, tag, commit], checkout)
    try:
        run(["git", "merge", "--quiet", "--ff-only", commit], checkout)
    except FailedError:
        run(["git", "tag", "--delete", tag], checkout)
        raise


if __name__ == "__main__":
    release()
