"""Functions called in forks of a small process: a child costs some ms, and the modules that it needs are loaded."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self

_ROOT = Path(__file__).parents[1]


class Forks:
    """A process that has loaded a module and forks itself to call functions of it.

    Args:
        module: name of the module, such as "tests.storage.replacing". If it has a function ``before_forks``, that is
            called once in the process, to load what all forks need.
        environment: of the process; by default that of this one.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        # Like a new interpreter: a fork of this process has the memory, threads and handlers of all tests.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT, env=environment, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def call(
        self,
        function: str,
        *arguments: Any,
        output: Path | None = None,
        folder: Path | None = None,
        terminal: str | None = None,
    ) -> int:
        """Return the exit status of a fork that has called a function, as os.waitpid gives it: 0, or 256 if it raised.

        Args:
            function: its name in the module.
            arguments: for the function; values that JSON has.
            output: file for its output and errors; by default they go where those of the tests go.
            folder: its working directory.
            terminal: path of a terminal for its input, output and errors.
        """
        assert self._process.stdin and self._process.stdout
        order = [function, arguments, output and str(output), folder and str(folder), terminal]
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _serve(module: ModuleType) -> None:
    """Obey the orders on standard input; print the status of each fork."""
    getattr(module, "before_forks", lambda: None)()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _obey(module, *json.loads(line))
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201


def _obey(
    module: ModuleType,
    function: str,
    arguments: list[Any],
    output: str | None,
    folder: str | None,
    terminal: str | None,
) -> None:
    """Call a function and end the process."""
    status = 1
    try:
        os.dup2(os.open(terminal or os.devnull, os.O_RDWR | os.O_NOCTTY), 0)
        target = 0 if terminal else os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if output else 2
        os.dup2(target, 1)
        os.dup2(target, 2)
        if folder:
            os.chdir(folder)
        getattr(module, function)(*arguments)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 (the status and the output tell)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(importlib.import_module(sys.argv[1]))
