"""The check of a release, for 'make release-check' (``python -m registry.cli.release_check TAG``)."""

from __future__ import annotations

import sys

import click

from registry.cli.boundary import BoundedCommand


@click.command("release-check", cls=BoundedCommand)
@click.argument("tag")
@click.option("--repo", metavar="PATH", help="Checkout. Default: that of the working directory.")
@click.option("--path", default="data/registry", show_default=True, help="Of the registry in it.")
@click.option("--allow-relative", is_flag=True, help="A remote relative to the checkout will do.")
@click.pass_context
def release_check(ctx: click.Context, tag: str, repo: str | None, path: str, allow_relative: bool) -> None:
    """Prove that others can pull the data of TAG.

    A fresh clone of the tag, with an empty cache, pulls the registry from the remote of DVC; every file is verified,
    and the counts are compared with those that are committed. Exit code 1 if anything fails.
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
