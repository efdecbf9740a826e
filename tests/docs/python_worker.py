"""Runs the Python blocks of a page in one namespace: reads JSON lines, and answers each with a JSON line.

The arguments are names of packages that the blocks cannot import. A request has ``code``, ``path`` and ``line`` of the
page, and the working directory ``cwd``. An answer has ``output``, and ``error`` with a traceback or null.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from typing import Any

ANSWERS = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # programs that a block starts must not write among the answers


class NotInstalled:
    """Finds no package that is named by an argument, though the tests have it."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Raise ModuleNotFoundError for these packages; others are left to the finders that follow."""
        if name in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled)
namespace: dict[str, Any] = {"__name__": "__main__"}
for request in map(json.loads, sys.stdin):
    os.chdir(request["cwd"])
    output, error = io.StringIO(), None
    try:
        # Empty lines before the code make line numbers in tracebacks those of the page.
        code = compile("\n" * (request["line"] - 1) + request["code"], request["path"], "exec")
        with contextlib.redirect_stdout(output):
            exec(code, namespace)
    except Exception:  # noqa: BLE001 - the answer has it
        error = traceback.format_exc()
    ANSWERS.write(json.dumps({"output": output.getvalue(), "error": error}) + "\n")
    ANSWERS.flush()
