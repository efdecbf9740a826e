"""The wheel: its files, and that it works without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from registry.dataset.checks import load_checks
from registry.dataset.views import load_views
from tools.build import Packages, build, build_checked, check_contents
from tools.commands import FailedError

ROOT = Path(__file__).parents[1]


# All tests of this file use the same builds.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Return the packages of this checkout: built twice and from the sdist, with the same bytes and all files."""
    return build_checked(ROOT, tmp_path_factory.mktemp("builds"))


@pytest.fixture(scope="module")
def wheel(packages: Packages) -> Path:
    """Return the path of the wheel."""
    return packages.wheel


def test_the_wheel_contains_views_and_table_schemas_but_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"registry/schemas/views/{name}.sql" for name in load_views()} <= set(names)
    assert {f"registry/schemas/checks/{name}.sql" for name in load_checks()} <= set(names)
    assert {"registry/report/page.css", "registry/py.typed", "registry/web/static/htmx.min.js"} <= set(names)
    assert {name.split("/")[0].rpartition(".")[2] for name in names} == {"registry", "dist-info"}


@pytest.mark.parametrize(
    "name", ["registry/py.typed", "registry/schemas/views/identities.sql", "registry/report/page.css"]
)
def test_a_file_that_lacks_in_the_wheel_is_told(packages: Packages, name: str, tmp_path: Path) -> None:
    damaged = Packages(tmp_path / "damaged.whl", packages.sdist)
    with zipfile.ZipFile(packages.wheel) as old, zipfile.ZipFile(damaged.wheel, "w") as new:
        for member in old.namelist():
            new.writestr(member if member != name else "registry/more.txt", old.read(member))
    with pytest.raises(FailedError) as error:
        check_contents(damaged, ROOT)
    assert error.value.message.splitlines()[:2] == [
        f"damaged.whl lacks {name}",
        "damaged.whl has registry/more.txt, which is no file of the checkout",
    ]


def test_the_time_in_the_packages_is_the_one_that_is_asked_for(packages: Packages, tmp_path: Path) -> None:
    other = build(ROOT, tmp_path, 1_000_000_000)
    assert {info.date_time for info in zipfile.ZipFile(other.wheel).infolist()} == {(2001, 9, 9, 1, 46, 40)}
    assert other.digests().keys() == packages.digests().keys()
    assert other.digests() != packages.digests()


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
