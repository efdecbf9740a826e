"""The generated files in the repository match the declarations."""

from pathlib import Path

import pytest

from registry.cli.reference import generated_files

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(generated_files()))
def test_generated_file_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == generated_files()[name], "run 'make docs'"


def test_no_table_schema_is_left_of_a_table_that_is_gone() -> None:
    paths = {f"schemas/tables/{path.name}" for path in (ROOT / "schemas/tables").iterdir()}
    assert paths <= set(generated_files())
