"""The garbage collector is off during a block, and as before afterwards."""

from __future__ import annotations

import gc
import threading

from registry.execution.memory import without_collection


def test_collection_comes_back_after_the_last_of_several_threads() -> None:
    inside, can_end = threading.Barrier(2), threading.Event()

    def work() -> None:
        with without_collection():
            inside.wait()
            can_end.wait()

    assert gc.isenabled()
    thread = threading.Thread(target=work)
    with without_collection():
        thread.start()
        inside.wait()
        assert not gc.isenabled()
    assert not gc.isenabled()
    can_end.set()
    thread.join()
    assert gc.isenabled()


def test_collection_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
