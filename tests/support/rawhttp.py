"""A tiny raw HTTP/1.1 client: sends exactly the bytes it is given and keeps exactly the bytes that come back.

h11 interprets the answer, so that what counts as an answer is not our own opinion. It does not retry, follow or
decode content codings.
"""

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

import h11
import msgspec

from tests.support.upstream import WAIT_S, reset


class Answer(msgspec.Struct, kw_only=True):
    """One final answer. `raw` is every byte of it and of the 1xx before it; `body` is without transfer framing."""

    status: int
    reason: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    informational: list[int]
    raw: bytes

    def all(self, name: str) -> list[bytes]:
        """Values of every field called `name`, in their order."""
        return [value for field, value in self.headers if field.lower() == name.lower().encode()]

    def get(self, name: str) -> str | None:
        """The value of the only field called `name`; a repeated field fails the test."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0].decode("latin-1") if values else None

    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


class RawClient:
    """One connection to 127.0.0.1:`port`. Requests may be pipelined: answers come in their order."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self.port = port
        self._receive_buffer_bytes = receive_buffer_bytes
        self._buffer = b""
        self._ended = False

    async def __aenter__(self) -> Self:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        self._reader, self._writer = await asyncio.open_connection(sock=sock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whatever was not sent yet is dropped: nobody may be reading.
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def send(self, *pieces: bytes) -> None:
        """Send each piece as a write of its own."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Close our direction only (FIN)."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Go away with a reset (RST)."""
        reset(self._writer)

    async def receive(self, *, until: bytes) -> bytes:
        """Bytes as they come, up to and including `until`; later bytes stay for the next call."""
        while until not in self._buffer:
            data = await self._read()
            assert data, f"the connection ended before {until!r}; it brought {self._buffer!r}"
            self._buffer += data
        end = self._buffer.index(until) + len(until)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        return found

    async def skip(self, size: int) -> None:
        """Read `size` bytes and drop them."""
        while len(self._buffer) < size:
            size -= len(self._buffer)
            self._buffer = await self._read()
            assert self._buffer, f"the connection ended {size} bytes too early"
        self._buffer = self._buffer[size:]

    async def skip_to(self, end: bytes) -> None:
        """Read and drop everything up to and including the first `end`."""
        while (at := self._buffer.find(end)) < 0:
            data = await self._read()
            assert data, f"the connection ended before {end!r}"
            self._buffer = self._buffer[-len(end) :] + data
        self._buffer = self._buffer[at + len(end) :]

    async def ended(self) -> bytes:
        """Wait until the other side ends the connection, by close or reset; returns what came before."""
        with contextlib.suppress(ConnectionResetError):
            while not self._ended:
                self._buffer += await self._read()
        return self._buffer

    async def answer(self, method: str = "GET") -> Answer:
        """The next final answer. `method` decides whether a body belongs to it.

        Raises h11.RemoteProtocolError for an answer that is malformed or cut short, ConnectionResetError for none.
        """
        parser = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=1 << 20)
        parser.send(h11.Request(method=method, target="/", headers=[("host", "parser")]))
        parser.send(h11.EndOfMessage())
        raw = self._buffer
        if raw:
            parser.receive_data(raw)
        informational: list[int] = []
        response: h11.Response | None = None
        body: list[bytes] = []
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = await self._read()
                if not (raw or data):
                    raise ConnectionResetError("the connection ended without an answer")
                raw += data
                parser.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            else:
                break
        assert response is not None
        assert isinstance(event, h11.EndOfMessage)
        self._buffer = parser.trailing_data[0]
        return Answer(
            status=response.status_code,
            reason=response.reason,
            version=response.http_version,
            headers=response.headers.raw_items(),
            body=b"".join(body),
            trailers=list(event.headers.raw_items()),
            informational=informational,
            raw=raw[: len(raw) - len(self._buffer)],
        )

    async def _read(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            data = await self._reader.read(65_536)
        if not data:
            self._ended = True
        return data


def request(
    method: str, target: str, *fields: tuple[str, str], body: bytes | None = None, host: str = "api.example"
) -> bytes:
    """The bytes of an ordinary request; Host comes first, Content-Length is added when there is a body."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


async def fetch(
    port: int,
    method: str,
    target: str,
    *fields: tuple[str, str],
    body: bytes | None = None,
    host: str = "api.example",
) -> Answer:
    """One ordinary request on a connection of its own."""
    async with RawClient(port) as client:
        await client.send(request(method, target, *fields, body=body, host=host))
        return await client.answer(method)
