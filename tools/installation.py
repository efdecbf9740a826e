"""Installs a package in an empty environment and uses it as its first user does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.commands import FailedError, empty_environment, run

#: Seconds that the server may take to start, and to end.
_SERVER_SECONDS: Final = 60
#: Proves that neither the checkout nor another installation is used.
_WHERE: Final = "import os, registry, sys; print(os.path.commonpath([registry.__file__, sys.prefix]) == sys.prefix)"


def try_package(python: Path, package: Path, scratch: Path, say: Callable[[str], object]) -> None:
    """Install a wheel or sdist without constraints and run the first commands of a user, a server among them.

    Args:
        python: interpreter of the new environment.
        package: the wheel or sdist.
        scratch: new folder for the environment and the data.
        say: called with a line about every step.

    Raises:
        FailedError: a step failed; the message has its output.
    """
    scratch.mkdir()
    started = time.monotonic()
    programs = scratch / "venv" / "bin"
    variables = empty_environment(scratch, programs)
    run([python, "-m", "venv", scratch / "venv"], scratch, variables=variables)
    pip: list[str | Path] = [programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "install", "--no-compile", f"{package}[browse]"], scratch, variables=variables)
    run([*pip, "check"], scratch, variables=variables)
    say(f"  installed without constraints in {time.monotonic() - started:.0f} s")
    if run([programs / "python", "-c", _WHERE], scratch, variables=variables) != "True\n":
        raise FailedError(f"The package that {programs / 'python'} imports is not the installed one.")
    started = time.monotonic()
    df2 = programs / "df2"
    run([df2, "sample", "--images", "24", "data/sample"], scratch, variables=variables)
    for split in ("train", "validation", "test"):
        run([df2, "ingest", "--split", split, "data/sample", "data/registry"], scratch, variables=variables)
    run([df2, "check"], scratch, variables=variables)
    run([df2, "export", "coco", "coco"], scratch, variables=variables)
    run([df2, "verify", "coco"], scratch, variables=variables)
    _try_browse(df2, scratch, variables)
    say(f"  df2 sample, ingest, check, export, verify and browse in {time.monotonic() - started:.0f} s")


def _try_browse(df2: Path, folder: Path, variables: Mapping[str, str]) -> None:
    """Start the server on a free port of this machine, fetch its first page, and end it with Ctrl-C."""
    log = folder / "browse.txt"
    # A shell starts background jobs with SIGINT ignored, which the server would inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [df2, "browse", "--no-open", "--port", "0"], cwd=folder, env=variables, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        page = _fetch(process, log)
        process.send_signal(signal.SIGINT)
        code = process.wait(_SERVER_SECONDS)
    except subprocess.TimeoutExpired:
        raise FailedError(f"df2 browse does not end {_SERVER_SECONDS} s after Ctrl-C.") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if b"/static/" not in page or code not in (0, 130):
        raise FailedError(
            f"df2 browse answered {len(page)} bytes and ended with exit code {code}:\n"
            + log.read_text(encoding="utf-8", errors="replace")
        )


def _fetch(process: subprocess.Popen[bytes], log: Path) -> bytes:
    """Return the first page of a server that writes its address to ``log``; wait until it is there."""
    until = time.monotonic() + _SERVER_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if address := re.search(r"http://127\.0\.0\.1:\S+", log.read_text(encoding="utf-8", errors="replace")):
            try:
                direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with direct.open(address[0], timeout=_SERVER_SECONDS) as response:
                    return bytes(response.read())
            except urllib.error.HTTPError as error:
                raise FailedError(f"df2 browse answered {address[0]} with {error}.") from error
            except urllib.error.URLError:  # it listens a moment after it tells its address
                pass
        time.sleep(0.1)
    text = log.read_text(encoding="utf-8", errors="replace")
    raise FailedError(f"df2 browse gave no page within {_SERVER_SECONDS} s:\n{text}")
