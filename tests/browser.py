"""A real browser for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_CHROMIUM = os.environ.get("DF2_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def open_browser() -> Iterator[Any]:
    """Yield Chromium without a window; skip the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not _CHROMIUM:
        pytest.skip("needs a browser: chromium or google-chrome on the PATH, or its path in DF2_CHROMIUM")
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox"] if is_root else []  # it refuses root with its sandbox
        )  # fmt: skip
        yield chromium
        chromium.close()
