"""A load generator that reads streams and sends an exact number of requests; ``wrk`` does neither.

``python -m benchmarks.loader PORT --path … --callers FILE --connections N (--seconds S | --answers N) [--stream]``
prints one JSON `Reading`. Each connection sends its next request when it has read its answer (closed loop), and each
request that was begun is read to its end: so the numbers of requests and of ledger operations are exact.
"""

import argparse
import asyncio
import re
import statistics
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import cast

import httptools
import msgspec
import uvloop

from benchmarks import workload

BETWEEN_STARTS_S = 0.0013
"""Streams that start together would send all their events together, and a proxy would read them in one go."""

SENT_AT = re.compile(rb'"chatcmpl-([1-9]\d+)"')


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one run saw. `delay` is from the upstream's send to our receipt; 0 where nothing was streamed."""

    answers: int
    errors: int
    chunks: int
    seconds: float
    delay_p50_us: float
    delay_p99_us: float


class Run:
    """What all connections share: what to send, when to stop, what was seen."""

    def __init__(self, requests: Iterator[bytes], *, answers: int | None, seconds: float | None) -> None:
        self._requests = requests
        self._left = answers
        self._stop_at = None if seconds is None else time.monotonic() + seconds
        self.answers = 0
        self.errors = 0
        self.delays_us: list[float] = []

    def next_request(self) -> bytes | None:
        """None: enough was sent."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            return None
        if self._left is not None:
            if not self._left:
                return None
            self._left -= 1
        return next(self._requests)


class Connection(asyncio.Protocol):
    """One client: request, whole answer, next request."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        self._run.delays_us += [(now_ns - int(sent_at)) / 1000 for sent_at in SENT_AT.findall(data)]

    def on_message_complete(self) -> None:
        self._waiting = False
        if self._parser.get_status_code() == 200:
            self._run.answers += 1
        else:
            self._run.errors += 1
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        if self._waiting:
            self._run.errors += 1
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        request = self._run.next_request()
        if request is None:
            self._transport.close()
        else:
            self._waiting = True
            self._transport.write(request)


def requests(path: str, callers: list[str], *, stream: bool) -> Iterator[bytes]:
    """The same request for one caller after the other, for ever."""
    body = workload.request_body(stream=stream)
    fields = "".join(f"{name}: {value}\r\n" for name, value in workload.HEADERS.items())
    start = f"POST {path} HTTP/1.1\r\nHost: benchmark\r\n{fields}Content-Length: {len(body)}\r\n"
    return cycle([f"{start}Authorization: Bearer {caller}\r\n\r\n".encode() + body for caller in callers])


async def load(port: int, connections: int, run: Run) -> Reading:
    """Open the connections, let them run until enough was sent, and sum up."""
    loop = asyncio.get_running_loop()
    started_at = time.monotonic()
    opened = []
    for _ in range(connections):
        opened.append((await loop.create_connection(lambda: Connection(run), "127.0.0.1", port))[1])
        await asyncio.sleep(BETWEEN_STARTS_S)
    await asyncio.gather(*(connection.ended for connection in opened))
    seconds = time.monotonic() - started_at
    percentiles = statistics.quantiles(run.delays_us, n=100) if len(run.delays_us) > 1 else [0.0] * 99
    return Reading(
        answers=run.answers,
        errors=run.errors,
        chunks=len(run.delays_us),
        seconds=seconds,
        delay_p50_us=percentiles[49],
        delay_p99_us=percentiles[98],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default=workload.CHAT_PATH)
    parser.add_argument("--callers", type=Path, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--stream", action="store_true")
    enough = parser.add_mutually_exclusive_group(required=True)
    enough.add_argument("--seconds", type=float)
    enough.add_argument("--answers", type=int)
    options = parser.parse_args()
    callers = options.callers.read_text().split()
    run = Run(
        requests(options.path, callers, stream=options.stream), answers=options.answers, seconds=options.seconds
    )
    reading = uvloop.run(load(options.port, options.connections, run))
    print(msgspec.json.encode(reading).decode())


if __name__ == "__main__":
    main()
