"""A proxy in front of an S3 server that records requests, delays them and injects faults.

It forwards the raw bytes of requests, including the Host header, so that signatures stay valid.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Self
from urllib.parse import urlsplit

from tests.servers.faults import Fault, Request, Rule
from tests.servers.messages import Body, Head, error_answer, read_head
from tests.servers.s3 import S3Server

#: Seconds to receive the rest of a request that was already answered.
_SECONDS_FOR_THE_REST = 1.0
#: Pieces a second of a slow answer.
_PIECES_A_SECOND = 20
_NO_FAULT = Fault("none")


class S3Proxy:
    """A proxy on 127.0.0.1 in a thread of this process; a context manager.

    Args:
        target_url: URL of the S3 server.

    Attributes:
        url: of the proxy.
        requests: all requests since the last reset, in order of arrival.
        latency: seconds by which each request is delayed; may be set at any time.
        fault: rule that selects the fault of a request (:mod:`tests.servers.faults`); called in the proxy's thread.
    """

    def __init__(self, target_url: str) -> None:
        target = urlsplit(target_url)
        self._target = (target.hostname, target.port)
        self.url = ""
        self.requests: list[Request] = []
        self.latency = 0.0
        self.fault: Rule | None = None

    def reset(self) -> None:
        """Clear the requests, the latency and the fault rule."""
        self.requests, self.latency, self.fault = [], 0.0, None

    def through(self, server: S3Server) -> S3Server:
        """Return the description of a server with the URL of this proxy."""
        return replace(server, endpoint_url=self.url)

    def __enter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        # Accepted connections inherit it. Without it, a body waits 40 ms for the head to be acknowledged.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="S3Proxy", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self, listening: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listening))

    async def _serve(self, listening: socket.socket) -> None:
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connection(reader, writer))
            tasks.add(task)

            def forget(_: object) -> None:
                writer.transport.abort()  # for a cancelled task; without effect on a closed connection
                tasks.discard(task)

            task.add_done_callback(forget)

        server = await asyncio.start_server(accept, sock=listening)
        await self._stopped.wait()
        # Closing a server while it accepts leaks sockets: stop accepting first, then end the open connections.
        self._loop.remove_reader(listening)
        while pending := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(pending)
        server.close()
        await asyncio.sleep(0)  # transports close in the next cycle of the loop

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # send immediately
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (head := await read_head(reader)) is not None:
                if not await _Exchange(self, head, reader, writer).run():
                    break
        writer.close()
        await _closed(writer)


class _Exchange:
    """A request and its answer."""

    def __init__(self, proxy: S3Proxy, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy, self.head, self.reader, self.writer = proxy, head, reader, writer
        method, target, _ = head.line
        path, _, query = target.partition("?")
        self.request = Request(method, path, query, head.headers.get("range"), head.headers)
        self.fault = _NO_FAULT

    async def run(self) -> bool:
        """Answer the request; return whether the connection can be reused."""
        started = time.perf_counter()
        self.proxy.requests.append(self.request)
        try:
            await asyncio.sleep(self.proxy.latency)
            if self.proxy.fault is not None and (fault := self.proxy.fault(self.request)) is not None:
                self.fault, self.request.fault = fault, fault.kind
            await asyncio.sleep(self.fault.seconds)
            return await (self._forward() if self.fault.reached else self._refuse())
        finally:
            self.request.seconds = time.perf_counter() - started

    async def _refuse(self) -> bool:
        """Answer without forwarding the request."""
        if self.fault.kind == "reset":
            return self._break()
        if "expect" in self.head.headers:
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await self._pass_on_upload(None)
        return await self._answer_error()

    async def _forward(self) -> bool:
        reader, writer = await asyncio.open_connection(*self.proxy._target)
        upload = asyncio.create_task(self._upload(writer))
        try:
            goes_on = await self._answer(reader)
            # A server may answer before it has read the whole request; the rest would look like a new request.
            await asyncio.wait({upload}, timeout=_SECONDS_FOR_THE_REST if goes_on else 0)
            return goes_on and upload.done() and upload.exception() is None
        finally:
            upload.cancel()
            writer.close()  # before any await, which may be cancelled when the proxy stops
            await asyncio.gather(upload, return_exceptions=True)
            await _closed(writer)

    async def _upload(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.head.raw)
        await self._pass_on_upload(writer)

    async def _pass_on_upload(self, writer: asyncio.StreamWriter | None) -> None:
        body = Body(self.reader, self.head, of_answer=False)
        while (piece := await body.read()) is not None:
            self.request.sent_bytes += len(piece.payload)
            if writer is not None:
                writer.writelines(piece)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader) -> bool:
        """Forward the server's answer with the fault; return whether the connection can be reused."""
        while (head := await read_head(reader)) is not None and head.status < 200:
            self.writer.write(head.raw)
        if head is None:
            raise ConnectionResetError("The server hung up.")
        is_empty = self.request.method == "HEAD" or head.status in (204, 304)
        body = Body(reader, head, of_answer=True, is_empty=is_empty)
        if self.fault.kind == "status":
            while await body.read() is not None:
                pass
            return await self._answer_error()
        if self.fault.kind == "reset" and not self.fault.after:
            return self._break()
        self.request.status = head.status
        self.writer.write(head.raw)
        return await self._answer_body(body) and head.keeps_alive and not body.ends_with_connection

    async def _answer_body(self, body: Body) -> bool:
        fault, rate = self.fault, self.fault.rate
        most = {"most": max(1, int(rate / _PIECES_A_SECOND))} if rate else {}
        while (piece := await body.read(**most)) is not None:
            at, payload = self.request.received_bytes, piece.payload
            if fault.kind in ("reset", "truncate") and at + len(payload) >= fault.after:
                await self._give(piece.before + payload[: fault.after - at], fault.after - at)
                return self._break() if fault.kind == "reset" else False
            if fault.kind == "flip":
                wrong = range(max(fault.after, at), min(fault.after + fault.count, at + len(payload)))
                payload = bytes(b ^ 0xFF if at + k in wrong else b for k, b in enumerate(payload)) if wrong else payload
            await self._give(piece.before + payload + piece.after, len(payload))
            if rate:
                await asyncio.sleep(len(payload) / rate)
        return True

    async def _answer_error(self) -> bool:
        has_body = self.request.method != "HEAD"
        head, body = error_answer(self.fault.status, self.fault.code, self.request.path, has_body=has_body)
        self.request.status = self.fault.status
        self.writer.write(head)
        await self._give(body, len(body))
        return True

    async def _give(self, data: bytes, payload: int) -> None:
        # Counted first: the client may read the count as soon as it has the bytes.
        self.request.received_bytes += payload
        self.writer.write(data)
        await self.writer.drain()

    def _break(self) -> bool:
        """Close the connection with RST (by a linger time of 0)."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        return False


async def _closed(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        await writer.wait_closed()
