"""The bound of a folder of cached files."""

from __future__ import annotations

from pathlib import Path

from registry.files.bounded_folder import remove_oldest


def files_of(folder: Path) -> list[tuple[int, str, int]]:
    """Write four files of 10 bytes, the oldest last, and return what describes them."""
    for name in "abcd":
        (folder / name).write_bytes(b"x" * 10)
    return [(9 - number, str(folder / name), 10) for number, name in enumerate("abcd")]


def test_the_oldest_go_first_down_to_three_quarters_of_the_bound(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    (tmp_path / "d").unlink()  # as another process does
    assert remove_oldest(files, 39) == (20, [str(tmp_path / "d"), str(tmp_path / "c")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_within_the_bound_nothing_is_removed(tmp_path: Path) -> None:
    assert remove_oldest(files_of(tmp_path), 40) == (40, [])
    assert len(list(tmp_path.iterdir())) == 4
