"""Every row of the corpus through the engine; what others make of the rows stands in `test_differential`."""

import h11
import pytest

from sidecar.http1.exchange import Exchange
from tests.http1.corpus import answers, requests
from tests.http1.corpus.requests import Says, Takes, Verdict, Waits
from tests.http1.memory import Memory, Upstream
from tests.http1.peers import Fields, normalised, pairs_of

FRAMING = {b"host", b"content-length", b"transfer-encoding"}

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


async def verdict_on(data: bytes) -> Verdict:
    """What the engine makes of the first request in `data`: it goes no further than its body."""
    seen: list[tuple[Exchange, bytes | None]] = []

    async def handler(exchange: Exchange) -> None:
        body = await exchange.read_body(1 << 24)
        if exchange.broken is not None:
            refused.append(Says(exchange.broken.status, exchange.broken.code))
        else:
            seen.append((exchange, body))
        await memory.engine.loop.create_future()

    refused: list[Says] = []
    memory = Memory(handler)
    written = await memory.feed([data])
    if written.startswith(b"HTTP/1.1 100"):
        written = written.partition(b"\r\n\r\n")[2]
    if written:
        code = written.partition(b"X-Code: ")[2].partition(b"\r\n")[0]
        return Says(int(written[9:12]), code.decode())
    if refused:
        return refused[0]
    if not seen:
        return Waits()
    (exchange, body), head = seen[0], seen[0][0].head
    assert body is not None
    fields = _flat(normalised(pairs_of({name: line for name, line in head.lines.items() if name not in FRAMING})))
    trailers = tuple(exchange._trailers_up)
    return Takes(head.method, head.target, body, memory.client._buffer, fields, trailers)


def _flat(fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, value) for name, values in fields for value in values)


@pytest.mark.parametrize(("data", "verdict"), [pytest.param(*row[1:], id=row[0]) for row in requests.CASES])
async def test_request(data: bytes, verdict: Verdict) -> None:
    assert await verdict_on(data) == verdict


@pytest.mark.parametrize("whole", requests.WHOLE.values(), ids=requests.WHOLE)
async def test_no_piece_of_a_request_is_a_request(whole: bytes) -> None:
    for end in range(len(whole)):
        assert await verdict_on(whole[:end]) == Waits(), whole[:end]
    assert isinstance(await verdict_on(whole), Takes)


@pytest.mark.parametrize(("method", "data", "verdict"), [pytest.param(*row[1:], id=row[0]) for row in answers.CASES])
async def test_answer(method: str, data: bytes, verdict: answers.Verdict) -> None:
    upstream = Upstream(lambda *_: [data, b""] if isinstance(verdict, answers.Breaks) else [data])
    if isinstance(verdict, answers.Passes) and not verdict.reusable:
        upstream = Upstream(lambda *_: [data, b""])
    memory = Memory(upstream=upstream)
    written = await memory.feed([b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode()])
    if isinstance(verdict, answers.Breaks):
        got = whole(written, method)
        assert got is None or got[0] == 502
        assert memory.transport.ended == (got is None)
        assert memory.pool.size == 0
    else:
        assert whole(written, method) == (verdict.status, verdict.body, verdict.informational)
        assert memory.pool.idle == verdict.reusable
    await memory.close()


def whole(written: bytes, method: str) -> tuple[int, bytes, tuple[int, ...]] | None:
    """The answer as a client with h11 reads it; None when it is not whole."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(written)
    status, body, informational = 0, b"", []
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.InformationalResponse):
            informational.append(event.status_code)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        else:
            return None
    assert not parser.trailing_data[0]
    return status, body, tuple(informational)
