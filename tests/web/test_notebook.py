"""``registry.browse()``: a server in a thread of a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import registry
from registry.errors import StorageError, UsageError
from tests.cli.processes import environment


def test_it_serves_until_it_is_stopped(sample_registry: Path, sample_release: Path) -> None:
    df2 = registry.open(str(sample_registry), photos=str(sample_release))
    running = registry.browse(df2)
    answer = httpx2.get(running.url)
    assert answer.status_code == 200
    assert "x-frame-options" not in answer.headers
    assert repr(running) == f"Browsing({running.url!r})"
    running.stop()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(running.url)
    assert repr(running) == f"Browsing({running.url!r}, stopped)"
    running.stop()


def test_a_block_stops_it_at_its_end(sample_registry: Path) -> None:
    with registry.browse(registry.open(str(sample_registry)), subset={"category": "skirt"}, sql=False) as running:
        assert running.url.endswith("/?category=skirt")
        assert httpx2.get(running.url).status_code == 200
        assert httpx2.get(running.url, params={"where": "true"}).status_code == 400
        with pytest.raises(StorageError, match="Address already in use"):
            registry.browse(registry.open(str(sample_registry)), port=int(running.url.split(":")[2].partition("/")[0]))
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(running.url)


def test_a_notebook_shows_it_in_a_frame(sample_registry: Path) -> None:
    with registry.browse(registry.open(str(sample_registry)), subset={"where": "x1 < 2"}, height=300) as running:
        shown = running._repr_html_()
        assert 'height="300"' in shown
        assert f'<iframe src="{running.url}"' in shown
        assert '"><' not in running.url
    with pytest.raises(UsageError, match="hat"):
        registry.browse(registry.open(str(sample_registry)), subset={"category": "hat"})


def test_the_process_ends_although_it_serves(sample_registry: Path) -> None:
    code = "import registry, sys; print(registry.browse(registry.open(sys.argv[1])).url)"
    words = [sys.executable, "-c", code, str(sample_registry)]
    result = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("http://127.0.0.1:")
