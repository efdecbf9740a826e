"""A process that answers SQL of users: it reads one registry, with limits that the system enforces, and nothing else.

The server starts it as ``python -c`` with this module's :func:`main`, and talks to it over its standard input and
output in frames: eight bytes of length, then the content. What comes back is JSON and Arrow, so that a hostile query
can send the server nothing but values.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import queue
import signal
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.registry import Registry

#: Bytes that DuckDB may use for a query.
MEMORY: Final = 512 << 20
#: Address space beside that: DuckDB's own limit does not hold for the values that a query makes (``repeat('x', 1e9)``),
#: and blocks that were freed stay mapped for a while.
_MORE_MEMORY: Final = 1 << 30
#: Seconds of computing beside the time limit, after which the system ends the process.
_GRACE: Final = 3
#: Address space that has to be left for the next query.
_LEFT: Final = 640 << 20
_LENGTH: Final = struct.Struct(">Q")
_BATCH: Final = 1024


@dataclass(frozen=True)
class Opening:
    """The registry that a worker opens.

    Attributes:
        arguments: of :class:`registry.store.registry.Registry`.
        seconds: after which a query ends.
        memory: bytes that DuckDB may use.
    """

    arguments: Mapping[str, Any]
    seconds: float
    memory: int = MEMORY


def write_frame(stream: BinaryIO, content: bytes) -> None:
    """Write a frame."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_frame(stream: BinaryIO, most: int) -> bytes:
    """Return the content of a frame.

    Raises:
        EOFError: the other side ended, or sends more than ``most`` bytes.
    """
    head = stream.read(_LENGTH.size)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else most + 1
    content = stream.read(length) if length <= most else b""
    if length > most or len(content) != length:
        raise EOFError
    return content


def main() -> None:
    """Answer requests until the server ends, even if it was killed."""
    # A terminal sends Ctrl-C to this process too; it ends with the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    opening: Opening = pickle.loads(read_frame(requests, 1 << 40))
    coming: queue.Queue[bytes] = queue.Queue()

    def listen() -> None:
        with suppress(EOFError):
            while True:
                coming.put(read_frame(requests, 1 << 30))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    registry = None
    while True:
        try:
            if registry is None:
                registry = _open(opening)
                write_frame(answers, b"{}")
            task = json.loads(coming.get())
            _limit_time(opening.seconds)
            head, rows = _answered(registry, task)
        except Exception as error:  # noqa: BLE001 - the server gets each of them as a sentence
            head, rows = {"error": _kind(error), "text": str(error)}, b""
        write_frame(answers, json.dumps(head).encode())
        if registry is None:
            sys.exit(1)
        write_frame(answers, rows)


def _open(opening: Opening) -> Registry:
    """Return the registry; from here on the process writes no file and gets little more memory."""
    from registry.store.registry import Registry

    registry = Registry(**opening.arguments, memory=f"{opening.memory // 1024}KiB", timeout=opening.seconds)
    # Loads what every answer needs, so that its address space is known.
    _answered(
        registry, {"task": "query", "query": "SELECT split, image_id FROM items LIMIT 1", "rows": 1, "bytes": 1000}
    )
    try:
        import resource
    except ImportError:  # not a POSIX system: DuckDB's own limits alone
        return registry
    size = _address_space()
    if size is not None:
        most = size + opening.memory + _MORE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if registry.place.is_local:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return registry


def _address_space() -> int | None:
    """Return the bytes of address space of this process; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _is_spent() -> bool:
    """Return whether this process has too little address space left for another query."""
    try:
        import resource
    except ImportError:
        return False
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return most != resource.RLIM_INFINITY and most - (_address_space() or 0) < _LEFT


def _limit_time(seconds: float) -> None:
    """Let the system end this process where a query computes on after its time, and no server is there to end it."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    most = usage.ru_utime + usage.ru_stime + (seconds + _GRACE) * (os.cpu_count() or 1)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(ValueError, OverflowError):
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(most), hard))


def _answered(registry: Registry, task: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return the head and the rows, as an Arrow stream, of the answer to a task."""
    import pyarrow as pa

    if task["task"] == "keys":
        rows = registry.select(where=task["where"]).item_keys().select(["split", "image_id", "item_no"])
        is_cut = False
    else:
        rows, is_cut = _read(registry, task["query"], task["rows"], task["bytes"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return {"is_cut": is_cut, "is_spent": _is_spent()}, sink.getvalue().to_pybytes()


def _read(registry: Registry, query: str, most_rows: int, most_bytes: int) -> tuple[pa.Table, bool]:
    """Return the first rows of an answer, and whether there are more."""
    import pyarrow as pa

    from registry.store.connection import duckdb_errors

    with duckdb_errors():
        reader = registry.sql(query).to_arrow_reader(_BATCH)
        batches: list[pa.RecordBatch] = []
        num_rows = num_bytes = 0
        is_cut = False
        for batch in reader:
            number = min(batch.num_rows, most_rows - num_rows)
            while number and num_bytes + batch.slice(0, number).nbytes > most_bytes:
                number //= 2
            is_cut = number < batch.num_rows
            batches.append(batch.slice(0, number))
            num_rows += number
            num_bytes += batches[-1].nbytes
            if is_cut:
                break
        return pa.Table.from_batches(batches, reader.schema), is_cut


def _kind(error: BaseException) -> str:
    """Return the name of an error's class; ``time`` or ``memory`` where a limit was reached."""
    names = {type(cause).__name__ for cause in (error, error.__cause__) if cause is not None}
    text = str(error)
    if "InterruptException" in names or "INTERRUPT Error" in text:
        return "time"
    if names & {"OutOfMemoryException", "MemoryError", "ArrowMemoryError"} or "std::bad_alloc" in text:
        return "memory"
    return type(error).__name__
