"""How far a long call has come, told to whoever started it."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the number of images, files or bytes that are done, and that there are.
Progress = Callable[[int, int], None]
