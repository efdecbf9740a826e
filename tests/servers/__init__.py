"""Real servers on 127.0.0.1 for tests and benchmarks, a module each.

Each module has a context manager that starts its server in a folder and yields a description of it: its address, its
credentials, and the settings for fsspec, DVC and subprocesses. The server ends with the block, and also if the process
that started it is killed.
"""
