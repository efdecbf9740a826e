"""A server that accepts connections and sends nothing, or little."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class SilentServer:
    """A server on this machine; ``requests`` has the first bytes from each client."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def run_silent(*, says: bytes = b"", drips: bytes = b"", seconds: float = 0.2) -> Iterator[SilentServer]:
    """Run a server that reads requests and does not answer them.

    Args:
        says: bytes sent at once on the first request of a connection.
        drips: bytes sent after it singly; then the connection is closed.
        seconds: pause before each of these bytes.
    """
    ended = threading.Event()
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        server = SilentServer(listener.getsockname()[1])

        def serve(connection: socket.socket) -> None:
            with suppress(OSError):
                server.requests.append(connection.recv(65_536))
                if says or drips:
                    connection.sendall(says)
                for byte in drips:
                    if ended.wait(seconds):
                        return
                    connection.sendall(bytes([byte]))
                if drips:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                while connection.recv(65_536):
                    pass

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            thread.join(5)
