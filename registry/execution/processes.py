"""Worker processes that start before their work is known, and whose death is always noticed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from registry.errors import SourceError
from registry.execution.memory import use_lean_memory


@contextmanager
def process_pool(
    executor: Executor | None, jobs: int, state: str = "The registry is as it was"
) -> Iterator[Executor | None]:
    """Yield an executor of worker processes; None if the calling process is to do the work itself.

    The processes start at once and import their libraries while the caller lists its source. Forking after a large
    listing would make their decoding take twice as long, as they would inherit scattered memory.

    Args:
        executor: used instead of new processes.
        jobs: number of processes; 1 starts none.
        state: what is so after a failure, for the message.

    Raises:
        SourceError: a worker process ended before its work was done.
    """
    if executor is not None or jobs == 1:
        yield executor
        return
    try:
        pool = ProcessPoolExecutor(jobs, initializer=_start_worker, mp_context=_context())
    except OSError:  # some containers have no semaphores
        yield None
        return
    is_done = threading.Event()
    with pool:
        try:
            for _ in range(jobs):
                pool.submit(int)  # any task starts a process
            threading.Thread(target=_watch_workers, args=(pool, is_done), daemon=True).start()
            yield pool
        except BrokenProcessPool as error:
            raise SourceError(
                f"A worker process ended before its work was done (out of memory, or killed). {state}; try fewer "
                "processes with --jobs."
            ) from error
        finally:
            is_done.set()


def _start_worker() -> None:
    """Prepare a worker process: lean memory, and an end when the parent ends, even by ``kill -9``.

    It imports pyarrow while the parent lists the source.
    """
    import multiprocessing
    import signal

    # A terminal sends Ctrl-C to the workers too; they end with their parent, which cleans up first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_lean_memory()
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


def _watch_workers(pool: Any, is_done: threading.Event) -> None:
    """Break the pool when a worker was killed and the pool does not notice.

    A worker that is killed while it writes a result leaves half of it in the pipe, and the pool waits for the other
    half for ever. After the remaining workers are killed and this process's own end is closed, the pipe ends, and the
    pool raises BrokenProcessPool.
    """
    while not is_done.wait(1):
        workers = list((pool._processes or {}).values())
        if any(worker.exitcode for worker in workers):
            if is_done.wait(3):
                return
            for worker in workers:
                worker.kill()
            pool._result_queue._writer.close()
            return


def _context() -> Any:
    """Return how processes start: forked, which is quickest, unless another thread could hold a lock."""
    import multiprocessing
    import sys

    is_alone = threading.active_count() == 1 and sys.platform == "linux"
    return multiprocessing.get_context("fork" if is_alone else "spawn")
