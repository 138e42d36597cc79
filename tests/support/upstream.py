"""A scripted upstream on a real socket: each request is answered by a coroutine that says every byte itself.

A script is `async def script(exchange)`: it reads as much of the request as it wants and sends, pauses, closes or
resets as it likes. Nothing is corrected: what a script sends is what goes out, so it can break every rule of HTTP.
Each request is recorded as the exact bytes that came in. It imitates no API: see `openai_api` and `anthropic_api`.

    async with Upstream() as upstream:
        upstream.once(says(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok"))
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

WAIT_S = 20.0
"""Bound of every wait: long enough for a busy machine, short enough to fail a test and not a suite."""

CERTIFICATES = Path(__file__).parent / "certificates"

_LINGER_ZERO = struct.pack("ii", 1, 0)
_HEAD_END = b"\r\n\r\n"


class Received:
    """One request as it arrived. `raw_body` keeps the chunk framing that `body` is without."""

    def __init__(self, connection: int, head: bytes) -> None:
        self.connection = connection
        self.head = head
        self.raw_body = b""
        self.body = b""
        self.trailers: list[tuple[bytes, bytes]] = []
        self.complete = False
        line, _, rest = head.removesuffix(_HEAD_END).partition(b"\r\n")
        self.method, self.target, self.version = line.split(b" ", 2)
        self.headers = _fields(rest)

    def __repr__(self) -> str:
        state = "complete" if self.complete else "incomplete"
        return f"<{self.method.decode()} {self.target.decode()} on connection {self.connection}, {state}>"

    def all(self, name: bytes) -> list[bytes]:
        """Values of every field called `name`, whatever its case, in their order."""
        return [value for field, value in self.headers if field.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The value of the only field called `name`; a repeated field is a mistake of the test."""
        values = self.all(name)
        assert len(values) <= 1, f"{name!r} came {len(values)} times: {values}"
        return values[0] if values else None


def _fields(block: bytes) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in block.split(b"\r\n") if block else ():
        name, _, value = line.partition(b":")
        fields.append((name, value.strip()))
    return fields


class Exchange:
    """One request and the means to answer it, in the hands of a script."""

    def __init__(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.closed = False
        self._reader = reader
        self._writer = writer

    async def body(self) -> bytes:
        """Read the request's body to its end, once, and return it without framing."""
        request = self.request
        if request.complete:
            return request.body
        if (request.get(b"transfer-encoding") or b"").lower() == b"chunked":
            await self._chunked()
        elif length := int(request.get(b"content-length") or b"0"):
            await self._sized(length)
        request.complete = True
        return request.body

    async def read(self, size: int) -> bytes:
        """At most `size` bytes of the body as they come off the wire, for slow readers; they are not recorded."""
        return await self._reader.read(size)

    async def _sized(self, length: int) -> None:
        pieces: list[bytes] = []
        while length:
            piece = await self._reader.read(min(length, 65_536))
            if not piece:
                raise asyncio.IncompleteReadError(b"".join(pieces), length)
            pieces.append(piece)
            length -= len(piece)
        self.request.raw_body += b"".join(pieces)
        self.request.body = self.request.raw_body

    async def _chunked(self) -> None:
        request = self.request
        while True:
            line = await self._reader.readuntil(b"\r\n")
            request.raw_body += line
            size = int(line.partition(b";")[0], 16)
            if size == 0:
                break
            chunk = await self._reader.readexactly(size + 2)
            request.raw_body += chunk
            request.body += chunk[:-2]
        while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
            request.raw_body += line
            request.trailers += _fields(line.removesuffix(b"\r\n"))
        request.raw_body += line

    async def send(self, *pieces: bytes) -> None:
        """Send each piece as a write of its own; waits while the other side does not read."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            # Once around the loop, so that the kernel gets the pieces one by one.
            await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the other side has closed the connection."""
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(65_536):
                    pass

    def close(self) -> None:
        """Close in the ordinary way (FIN); what was sent before arrives."""
        self.closed = True
        self._writer.close()

    def reset(self) -> None:
        """Close with a reset (RST); what was sent before may be lost."""
        self.closed = True
        reset(self._writer)


Script = Callable[[Exchange], Awaitable[None]]


class Upstream:
    """Listens on a free port of 127.0.0.1 and plays `script`, or what `once` queued, for each request."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        requests_per_connection: int | None = None,
        receive_buffer_bytes: int | None = None,
        certificate: str | None = None,
    ) -> None:
        """`certificate` names a file of `CERTIFICATES` and makes it a TLS server."""
        self.script = script or answers()
        self.requests: list[Received] = []
        self.connections = 0
        self.port = 0
        self.unexpected: list[BaseException] = []
        self._requests_per_connection = requests_per_connection
        self._receive_buffer_bytes = receive_buffer_bytes
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(CERTIFICATES / certificate)
        self._queue: deque[Script] = deque()
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def once(self, *scripts: Script) -> None:
        """Play each of `scripts` for one of the next requests, in this order, before `script` is used again."""
        self._queue.extend(scripts)

    def forget(self) -> None:
        """Drop the records and what is still queued; connections stay."""
        self.requests.clear()
        self._queue.clear()

    async def arrived(self, count: int) -> None:
        """Wait until `count` requests in all have come in (their heads, that is)."""
        async with asyncio.timeout(WAIT_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def start(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        sock.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._connected, sock=sock, backlog=1024, ssl=self._tls)
        self.port = sock.getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if error is None and self.unexpected:
            raise self.unexpected[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        try:
            await self._serve(self.connections, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The other side went away; the record of the request says how far it came.
        except asyncio.CancelledError:
            pass  # `stop` ends the scripts that still wait.
        except Exception as error:  # noqa: BLE001  A broken script must fail the test, not vanish in a task.
            self.unexpected.append(error)
        finally:
            self._running.discard(task)
            writer.close()

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = 0
        while self._requests_per_connection is None or served < self._requests_per_connection:
            exchange = Exchange(Received(number, await reader.readuntil(_HEAD_END)), reader, writer)
            script = self._queue.popleft() if self._queue else self.script
            async with self._arrived:
                self.requests.append(exchange.request)
                self._arrived.notify_all()
            await script(exchange)
            if exchange.closed:
                return
            await exchange.body()
            served += 1


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset (RST); what was sent before may be lost."""
    if not writer.is_closing():
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()


def cut(data: bytes, size: int | None) -> Iterable[bytes]:
    """`data` in pieces of `size` bytes; in one piece when `size` is None."""
    if size is None:
        return [data]
    return [data[start : start + size] for start in range(0, len(data), size)]


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    """One chunk of a chunked body; `chunk(b"")` is the last one, without trailers."""
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def head(status: int, *fields: tuple[str, str]) -> bytes:
    """The head of an answer; no field is added."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode()


def answers(body: bytes = b"ok", *fields: tuple[str, str], status: int = 200) -> Script:
    """Read the request, then answer it properly, with a Content-Length."""

    async def script(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(head(status, *fields, ("content-length", str(len(body)))) + body)

    return script


def says(*pieces: bytes, then: str = "keep") -> Script:
    """Read the request, then send exactly `pieces`, each as one write; `then` keep, close or reset the connection."""
    assert then in {"keep", "close", "reset"}

    async def script(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(*pieces)
        if then == "close":
            exchange.close()
        elif then == "reset":
            exchange.reset()

    return script


class Gate:
    """A place in a script where it stops until the test says `open`; `reached` tells the test that it is there."""

    def __init__(self) -> None:
        self.count = 0
        self._reached = asyncio.Condition()
        self._open = asyncio.Event()

    async def pause(self) -> None:
        """For the script: wait here."""
        async with self._reached:
            self.count += 1
            self._reached.notify_all()
        await self._open.wait()

    async def reached(self, count: int = 1) -> None:
        """For the test: wait until `count` scripts have come here."""
        async with asyncio.timeout(WAIT_S), self._reached:
            await self._reached.wait_for(lambda: self.count >= count)

    def open(self) -> None:
        """For the test: let everyone pass, now and later."""
        self._open.set()


def after(gate: Gate) -> Script:
    """Wait at `gate`, then answer properly."""

    async def script(exchange: Exchange) -> None:
        await gate.pause()
        await answers()(exchange)

    return script
