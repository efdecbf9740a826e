"""The licences page matches the installed packages and gives a reason for each GPL package."""

from __future__ import annotations

import re
from pathlib import Path

from tests.licences import COPYLEFT, PAGE, is_copyleft, licence_of, packages, page


def test_the_page_lists_the_installed_packages() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.licences"


def test_all_packages_state_a_licence_and_gpl_packages_have_a_reason() -> None:
    licences = {name: licence_of(metadata) for name, metadata in packages().items()}
    assert [name for name, licence in licences.items() if licence == "not stated"] == []
    assert sorted(name for name, licence in licences.items() if is_copyleft(licence)) == sorted(COPYLEFT)


def test_every_listed_package_is_pinned() -> None:
    lines = (Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines if "==" in line}
    # setuptools is part of the virtual environment and has no pin.
    assert sorted(packages().keys() - pinned - {"setuptools"}) == []
