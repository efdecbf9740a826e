"""A web, S3 and WebDAV server that sends every file without end."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

#: Answer to a range request: the whole file, or a 206 status for the range.
Kind = Literal["whole", "range"]


@dataclass
class EndlessServer:
    """A server on this machine; ``sent`` has the number of bytes sent for each request."""

    url: str
    sent: list[int] = field(default_factory=list)


@contextmanager
def run_endless(
    kind: Kind = "whole", start: bytes = b"", files: dict[str, bytes] | None = None, announces: int | None = None
) -> Iterator[EndlessServer]:
    """Run a server that sends ``start``, then zeros until the client hangs up.

    Args:
        kind: answer to range requests.
        start: the first bytes of every file.
        files: path -> content of files that do end. A path that ends in ``missing`` gets a long error page.
        announces: Content-Length of the endless files; without it, they are sent in chunks.
    """
    block = bytes(1 << 16)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0" if self.command == "OPTIONS" else "5")
            self.end_headers()

        def do_OPTIONS(self) -> None:
            self.do_HEAD()

        def do_PROPFIND(self) -> None:
            size = f"<d:getcontentlength>{announces}</d:getcontentlength><d:resourcetype/>"
            properties = f"<d:propstat><d:prop>{size}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
            answer = f"<d:response><d:href>{self.path}</d:href>{properties}</d:response>"
            self.send_response(207)
            text = f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{answer}</d:multistatus>'.encode()
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            if self.path.endswith("/missing"):
                self.send_error(404, explain="x" * 100_000)
                return
            content = (files or {}).get(self.path)
            bounds = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            is_range = content is None and kind == "range" and bounds
            self.send_response(206 if is_range else 200)
            if is_range and bounds:
                self.send_header("Content-Range", f"bytes {bounds[1]}-{bounds[2]}/{1 << 40}")
            self.send_header("ETag", '"x"')
            self.send_header("Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT")
            if content is not None:
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            if announces is None:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(announces))
            self.end_headers()
            number = len(server.sent)
            server.sent.append(0)
            with suppress(OSError):
                piece = start or block
                while not ended.is_set() and server.sent[number] < 1 << 30:
                    self.wfile.write(piece if announces else b"%x\r\n%s\r\n" % (len(piece), piece))
                    server.sent[number] += len(piece)
                    piece = block
            self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    ended = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        server = EndlessServer(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            listener.shutdown()
            thread.join(5)
