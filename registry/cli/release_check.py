"""``python -m registry.cli.release_check TAG``: the command of 'make release-check'."""

from __future__ import annotations

import sys

import click

from registry.cli.boundary import BoundedCommand
from registry.cli.examples import examples


@examples("python -m registry.cli.release_check v1.0")
@click.command("release-check", cls=BoundedCommand)
@click.argument("tag")
@click.option("--repo", metavar="PATH", help="Checkout of the repository. Default: that of the working directory.")
@click.option("--path", default="data/registry", show_default=True, help="Path of the registry in the checkout.")
@click.option("--allow-relative", is_flag=True, help="Accept a DVC remote relative to the checkout.")
@click.pass_context
def release_check(ctx: click.Context, tag: str, repo: str | None, path: str, allow_relative: bool) -> None:
    """Check that others can pull the data of TAG.

    A fresh clone of the tag, with an empty cache, pulls the registry from the DVC remote. Every file is verified, and
    the counts are compared with the committed ones. Exit code 1 if anything fails.
    """
    from registry.history.release_check import check_release

    failed = False
    for finding in check_release(tag, repo, path, allow_relative=allow_relative):
        failed = failed or finding.kind == "fail"
        click.echo(f"{finding.kind:<5}{finding.text}")
    click.echo(f"{tag} cannot be pulled as it is." if failed else f"{tag} can be pulled.")
    ctx.exit(1 if failed else 0)


if __name__ == "__main__":
    sys.exit(release_check())
