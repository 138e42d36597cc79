"""What a worker says of itself to the process that answers for all: why it is not ready, and what it has counted.

A worker writes one report to whoever connects to its Unix socket, and closes. The sockets lie in one folder, each
with a name of its own, so that a worker that is started again takes the place of the one before.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from sidecar.telemetry import Family

ANSWER_S = 0.8
"""A worker that says nothing for so long hangs. A kubelet waits one second for a probe, if not told otherwise."""


class Report(msgspec.Struct, frozen=True):
    unready: str | None
    """Why it cannot serve, in one sentence; None when it can."""
    families: list[Family]


async def serve_reports(path: Path, make: Callable[[], Report]) -> asyncio.Server:
    """Give a report to everyone who connects to `path`. OSError when that cannot be had."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  (of a worker that has died; no file is waited for)

    async def give(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(msgspec.msgpack.encode(make()))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(give, path)


async def gather(folder: Path) -> list[Report | None]:
    """The reports of all workers that listen in `folder`; None for one that does not answer in time."""
    asked = await asyncio.gather(*(_ask(folder / name) for name in os.listdir(folder)))  # noqa: PTH208  (as above)
    return [answer for answer in asked if not isinstance(answer, _Gone)]


class _Gone(msgspec.Struct, frozen=True):
    """Nobody listens, so no client is connected to it either: it does not count."""


async def _ask(path: Path) -> Report | _Gone | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return msgspec.msgpack.decode(await reader.read(), type=Report)
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionRefusedError):
        return _Gone()
    except (OSError, msgspec.DecodeError):
        # A TimeoutError is an OSError, and so is what comes of a full queue of connections.
        return None
