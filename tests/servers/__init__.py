"""Real servers on 127.0.0.1 for tests and benchmarks, one module each.

Every module has one context manager that starts its server in a folder of its own and yields a small description of
it: where it is, who may use it, and what fsspec, DVC and subprocesses have to be told. Nothing is left running: not
after the block, and not after the process that started it was killed.
"""
