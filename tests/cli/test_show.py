"""``df2 show`` and ``df2 diff --show``: their files, messages and exit codes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from registry.cli import pictures
from registry.cli.main import main
from tests.cli.conftest import Run
from tests.exports.releases import make_release
from tests.registries import make_newer
from tests.sources.packing import files_in, write_zipcrypto


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a release with photos of the registry of three splits."""
    return make_release(tmp_path / "release")


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("words", [("train", 1), ("train/image/000001.jpg",), ("train", 1, 2, "--crop")])
def test_a_picture_is_written_and_its_path_printed(run: Run, release: Path, words: tuple[Any, ...]) -> None:
    result = run("show", *words, "-o", "out.png", "--photos", release)
    assert (result.output, result.exit_code) == ("out.png\n", 0)
    assert max(size("out.png")) > 1200


def test_the_number_of_an_item_may_follow_a_file_name_or_be_in_it(run: Run) -> None:
    written = []
    for words in (("train", 1, 2), ("train/image/000001.jpg", 2), ("train/image/000001_2.jpg",)):
        assert run("show", *words, "-o", "out.png").exit_code == 0
        written.append(Path("out.png").read_bytes())
    assert written[0] == written[1] == written[2]


def test_identities_and_queries_have_sheets(run: Run, release: Path) -> None:
    assert run("show", "--identity", "train", 1, 1, "-o", "out.jpg", "--photos", release).exit_code == 0
    query = ("--query", "FROM items WHERE style = $style", "-p", "style=1", "--limit", 3)
    assert run("show", *query, "-o", "rows.png", "--photos", release).output == "rows.png\n"
    assert size("rows.png")[0] == 3 * 300 + 4 * 14


def test_a_query_may_read_a_table_of_the_user(run: Run) -> None:
    Path("losses.csv").write_text("split,image_id,item_no,loss\ntrain,1,1,0.5\ntrain,1,2,2.5\ntrain,999,1,3\n")
    query = ("--query", "FROM losses WHERE loss BETWEEN 1 AND 2.9", "--table", "losses=losses.csv")
    result = run("show", *query, "-o", "out.png")
    assert result.exit_code == 0
    assert "note: 1 row of the table losses has a key that fits no row" in result.output
    same = "SELECT 'train' AS split, 1 AS image_id, 2 AS item_no, 2.5 AS loss"
    assert run("show", "--query", same, "-o", "same.png").exit_code == 0
    assert Path("out.png").read_bytes() == Path("same.png").read_bytes()


def test_several_pages_are_numbered_files_or_one_pdf(run: Run) -> None:
    query = ("--query", "SELECT split, image_id FROM images, range(5)")
    result = run("show", *query, "-o", "out.png")
    assert result.output.splitlines() == ["out-1.png", "out-2.png", "out-3.png"]
    assert run("show", *query, "-o", "out.pdf").output == "out.pdf\n"
    assert sorted(os.listdir()) == ["out-1.png", "out-2.png", "out-3.png", "out.pdf"]


def test_pages_go_to_remote_places(run: Run) -> None:
    import fsspec

    query = ("--query", "SELECT split, image_id FROM images, range(5)")
    result = run("show", *query, "-o", "memory://shown/out.png")
    assert result.output.splitlines() == [f"memory://shown/out-{number}.png" for number in (1, 2, 3)]
    fs: Any = fsspec.filesystem("memory")
    assert fs.cat("/shown/out-3.png").startswith(b"\x89PNG")
    assert run("show", *query, "-o", "memory://shown/out.pdf").exit_code == 0
    assert fs.cat("/shown/out.pdf").startswith(b"%PDF")


def test_without_a_place_of_photos_annotations_are_drawn_alone(run: Run) -> None:
    result = run("show", "train", 1, "-o", "out.png")
    assert (result.output, result.exit_code) == ("out.png\n", 0)


def test_the_sources_in_params_yaml_are_the_photos_and_one_that_is_gone_is_a_note(run: Run, release: Path) -> None:
    Path("params.yaml").write_text(f"splits: {{train: {{source: {release}}}, test: {{source: nowhere}}}}")
    assert run("show", "train", 1, "-o", "out.png").output == "out.png\n"
    result = run("show", "test", 1, "-o", "out.png")
    assert result.exit_code == 0
    assert result.stderr.startswith("note: The photos of test are drawn as plain canvases: Found no annotations")


def test_a_damaged_or_missing_photo_is_a_warning_and_exit_code_3_and_the_rest_is_drawn(run: Run, release: Path) -> None:
    (release / "train/image/000001.jpg").write_bytes(b"<html>")
    (release / "train/image/000002.jpg").unlink()
    result = run("show", "--query", "FROM images WHERE split = 'train'", "-o", "out.png", "--photos", release)
    assert (result.stdout, result.exit_code) == ("out.png\n", 3)
    assert result.stderr == (
        f"warning: 1 photo is not in {release} and drawn as a plain canvas: train/image/000002.jpg.\n"
        "warning: 1 photo is damaged (no JPEG, PNG or WebP) and drawn as a plain canvas: train/image/000001.jpg.\n"
    )


def test_photos_in_a_protected_zip_need_its_password(run: Run, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("zips").mkdir()
    write_zipcrypto(Path("zips/train.zip"), files_in(release / "train"), "secret")
    result = run("show", "train", 1, "-o", "out.png", "--photos", "zips")
    assert result.exit_code == 3
    assert "password" in result.stderr
    assert not Path("out.png").exists()
    monkeypatch.setenv("DF2_ZIP_PASSWORD", "secret")
    assert run("show", "train", 1, "-o", "out.png", "--photos", "zips").output == "out.png\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Expected one of SPLIT IMAGE_ID [ITEM_NO], --identity, --query and --check; found none."),
        (("train", 1, "--query", "FROM items"), "found SPLIT and --query."),
        (("train", 1, "--limit", 3), "--limit is for --query and --check."),
        (("train", 1, "x"), "expected the number of an item, found 'x'."),
        (("train", 1, 9), "train image 1 has no item 9; its items are 1, 2."),
        (("train", 99), "train has no image 99"),
        (("--check", "orphan-identity", "-p", "a=1"), "--param is for --query."),
        (("train", 1, "--table", "losses=losses.csv"), "--table is for --query."),
        (("--check", "orphan"), "Unknown check 'orphan'. Did you mean 'orphan-identity'?"),
        (("--query", "SELECT 1 AS a"), "needs the columns split and image_id"),
        (("--query", "SELEC"), "SELEC"),
        (("train", 1, "-o", "out.gif"), "out.gif: expected a name that ends in .png .jpg .jpeg .pdf, found .gif."),
        (("train", 1, "-o", "gone/out.png"), "Cannot write gone/out.png: No such file or directory"),
    ],
)
def test_what_cannot_be_shown_is_one_message_and_no_file(run: Run, words: tuple[Any, ...], message: str) -> None:
    result = run("show", *words, *([] if "-o" in words else ["-o", "out.png"]))
    assert message in " ".join(result.stderr.split())
    assert result.exit_code in (1, 2, 4)
    assert not os.listdir()


def test_checks_have_sheets_of_items_and_of_groups(run: Run) -> None:
    assert run("show", "--check", "degenerate-box", "-o", "box.png").output == "box.png\n"
    assert run("show", "--check", "orphan-identity", "--limit", 1, "-o", "orphans.png").output == "orphans.png\n"
    assert size("box.png")[0] > 300
    result = run("show", "--check", "polygon-self-intersection", "-o", "none.png")
    assert result.output == "The check polygon-self-intersection has no rows: there is nothing to show.\n"


def test_every_check_names_pictures(run: Run) -> None:
    from registry.dataset.checks import load_checks

    for name, check in load_checks().items():
        result = run("show", "--check", name, "-o", "out.png")
        lacking = f"Error: The check {name} cannot be run: the table photos is empty; 'df2 photos describe' fills it.\n"
        assert (result.exit_code, result.stderr) == (2, lacking) if check.needs else result.exit_code == 0, name


def test_a_query_without_rows_shows_nothing(run: Run) -> None:
    result = run("show", "--query", "FROM items WHERE false", "-o", "out.png")
    assert (result.stderr, result.exit_code) == ("The query has no rows: there is nothing to show.\n", 0)
    assert not os.listdir()


def test_rows_that_name_nothing_are_counted(run: Run) -> None:
    query = "SELECT 'train' AS split, * FROM (VALUES (1, 1), (1, 99), (999, NULL)) AS rows (image_id, item_no)"
    result = run("show", "--query", query, "-o", "out.png")
    assert (
        "note: 2 images or items are not in the registry, though rows name them: train/000001 item 99, train/000999.\n"
    ) in result.stderr
    result = run("show", "--query", "SELECT 'train' AS split, 9999 AS pair_id", "-o", "none.png")
    assert result.stderr == "The query names groups without items in this registry: there is nothing to show.\n"
    assert (result.exit_code, os.listdir()) == (0, ["out.png"])


def test_without_a_file_and_a_display_the_path_of_a_temporary_file_is_printed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DF2_TMPDIR", str(tmp_path))
    path = run("show", "train", 1).output.strip()
    assert path.startswith(str(tmp_path))
    assert max(size(path)) > 1200


def test_terminals_that_can_draw_get_the_picture_in_their_protocol() -> None:
    data = os.urandom(7000)
    kitty = pictures.kitty_sequence(data)
    assert kitty.startswith("\033_Ga=T,f=100,m=1;")
    assert kitty.count("\033_G") == 3
    assert "\033_Gm=0;" in kitty
    assert pictures.iterm_sequence(b"abc") == "\033]1337;File=inline=1;size=3:YWJj\a"


def test_diff_shows_old_and_new_and_keeps_its_output_and_exit_codes(
    run: Run, small_registry: Path, tmp_path: Path
) -> None:
    newer = make_newer(small_registry, tmp_path)
    result = run("diff", small_registry, "--format", "json", "--show", "d.png", registry=newer)
    assert result.exit_code == 1
    assert result.stdout.startswith('{"images": {"added": 1, ')
    assert result.stderr == "d.png\n"
    assert size("d.png")[0] > 600
    assert run("diff", small_registry, "--of", "images", "--show", "i.png", registry=newer).exit_code == 1
    same = run("diff", small_registry, "--show", "s.png", registry=small_registry)
    assert same.exit_code == 0
    assert "note: no items differ: there is nothing to show, and s.png was not written\n" in same.stderr
    assert not Path("s.png").exists()


def test_help_names_the_exit_code() -> None:
    assert "Exit code 3" in CliRunner().invoke(main, ["show", "--help"]).output
