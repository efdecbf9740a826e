"""The wheel: its files, and that it works without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from registry.dataset.checks import load_checks
from registry.dataset.views import load_views, schemas_folder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a wheel built from this checkout."""
    pytest.importorskip("hatchling", reason="needs hatchling to build the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_contains_views_and_table_schemas_but_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"registry/schemas/views/{name}.sql" for name in load_views()} <= set(names)
    spark = {f"registry/schemas/views_spark/{file.name}" for file in (schemas_folder() / "views_spark").iterdir()}
    assert spark and spark <= set(names)
    assert {f"registry/schemas/checks/{name}.sql" for name in load_checks()} <= set(names)
    tables = {f"registry/schemas/tables/{file.name}" for file in (schemas_folder() / "tables").iterdir()}
    assert tables <= set(names)
    assert "registry/report/page.css" in names
    for folder in ("templates", "static"):
        files = {f"registry/web/{folder}/{file.name}" for file in (ROOT / "registry" / "web" / folder).iterdir()}
        assert files
        assert files <= set(names)
    assert {name.split("/")[0].rpartition(".")[2] for name in names} == {"registry", "dist-info"}


def test_the_wheel_tells_type_checkers_that_the_package_is_typed(wheel: Path) -> None:
    assert zipfile.ZipFile(wheel).read("registry/py.typed") == b""


def test_an_installed_wheel_uses_the_views_in_its_package(wheel: Path, tmp_path: Path, small_registry: Path) -> None:
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--target"]
    subprocess.run([*install, str(target), str(wheel)], check=True, capture_output=True)
    code = (
        "import registry, sys\n"
        "from registry.dataset.views import schemas_folder\n"
        "from registry.cli.main import main\n"
        "print(registry.__file__)\nprint(schemas_folder())\n"
        "print(registry.open(sys.argv[1]).sql('SELECT num_instance_pairs FROM split_counts').fetchall())\n"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", code, str(small_registry)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        check=True,
        capture_output=True,
        text=True,
    )
    package = target / "registry"
    assert shown.stdout.splitlines() == [str(package / "__init__.py"), str(package / "schemas"), "[(5,)]"]
    assert (target / "bin" / "df2").exists()
