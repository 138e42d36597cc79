"""The scripted upstream of the streaming and memory windows: ``python -m benchmarks.upstream PORT``.

Streams chat completions at a fixed pace, answers plain ones at once, and sends or swallows bodies of any size with
back-pressure. It trusts its clients: it is no HTTP server for anything else.
"""

import argparse
import asyncio
import time
from typing import cast

import httptools
import uvloop

from benchmarks import workload

PIECE_BYTES = 65_536
ZEROS = bytes(PIECE_BYTES)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BULK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def plain_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Connection(asyncio.Protocol):
    """One client. `httptools` calls the ``on_…`` methods."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._start_of_body = b""
        self._received_bytes = 0
        self._work: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = self._start_of_body = b""
        self._received_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, data: bytes) -> None:
        if not self._received_bytes:
            self._start_of_body = data
        self._received_bytes += len(data)

    def on_message_complete(self) -> None:
        if self._url == workload.BULK_PATH.encode():
            if self._parser.get_method() == b"GET":
                self._work = self._loop.create_task(self._send_bulk())
            else:
                self._write(plain_answer(b'{"received":%d}' % self._received_bytes))
        elif b'"stream":true' in self._start_of_body:
            self._write(STREAM_HEAD)
            self._next_event(workload.CHUNKS_PER_ANSWER, self._loop.time() + workload.CHUNK_INTERVAL_S)
        else:
            self._write(plain_answer(workload.answer_body()))

    def _next_event(self, left: int, due_at: float) -> None:
        """Send the events that are left, each at its own instant: a late one does not delay the others."""
        if self._transport is None:
            return
        event = framed(workload.event(time.monotonic_ns()))
        if left == 1:
            self._write(event + framed(workload.LAST_EVENTS) + LAST_CHUNK)
            return
        self._write(event)
        due_at += workload.CHUNK_INTERVAL_S
        self._loop.call_at(due_at, self._next_event, left - 1, due_at)

    async def _send_bulk(self) -> None:
        self._write(BULK_HEAD)
        for _ in range(workload.BULK_BYTES // PIECE_BYTES):
            await self._writable.wait()
            self._write(framed(ZEROS))
        self._write(LAST_CHUNK)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
