"""TCP servers for tests: one that relays to a store and may lose a reply on the way, and any other handler."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free port of 127.0.0.1, which is what it yields; nothing is left open at the end."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            running.discard(task)
            await _closed(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Relay:
    """A handler that passes everything on to the store behind `socket`.

    `lose_reply_to` is looked for in what clients send: the command is passed on and executed, its reply is thrown
    away and the connection is cut; once for each time it is set.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.lose_reply_to = b""
        self.lost_total = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_store, to_store = await asyncio.open_unix_connection(str(self._socket))
        losing = asyncio.Event()
        replies = asyncio.get_running_loop().create_task(self._replies(from_store, writer, losing))
        try:
            while data := await reader.read(65536):
                if self.lose_reply_to and self.lose_reply_to in data:
                    self.lose_reply_to = b""
                    losing.set()
                to_store.write(data)
        finally:
            replies.cancel()
            to_store.close()  # Before the first wait, in which this may be cancelled.
            await asyncio.gather(replies, return_exceptions=True)
            await _closed(to_store)

    async def _replies(
        self, from_store: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await from_store.read(65536):
            if losing.is_set():
                self.lost_total += 1
                break
            writer.write(data)
        writer.close()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
