"""A body that trickles is ended; one that is only slow to be read by us is not."""

import asyncio

from sidecar.http1.engine import Limits
from sidecar.http1.pace import Pace
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, request
from tests.support.until import until
from tests.support.upstream import Gate, Upstream, after


def test_a_window_needs_its_bytes() -> None:
    pace = Pace(100.0, 0)
    assert not pace.too_slow(109.9, 0, 10, 5)
    assert not pace.too_slow(110.0, 50, 10, 5)
    assert not pace.too_slow(119.0, 50, 10, 5), "a new window"
    assert pace.too_slow(120.0, 99, 10, 5)


def test_time_in_which_nobody_read_does_not_count() -> None:
    pace = Pace(100.0, 0)
    pace.restart(109.0, 0)
    assert not pace.too_slow(118.9, 0, 10, 5)
    assert pace.too_slow(119.0, 0, 10, 5)


async def test_a_body_that_trickles_is_408() -> None:
    limits = Limits(body_min_bytes_per_s=1_000, body_window_s=0.05)
    async with (
        Upstream() as upstream,
        Stage(upstream.port, limits=limits) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("POST", "/", ("Content-Length", "100000")) + b"abc")
        answer = await client.answer()
        assert (answer.status, answer.get("x-code")) == (408, "request_timed_out")
        assert answer.body == b"The request body came with less than 1000 bytes a second."


async def test_an_upstream_that_reads_slowly_is_not_the_clients_fault() -> None:
    gate = Gate()

    limits = Limits(body_min_bytes_per_s=1, body_window_s=0.05)
    async with (
        Upstream(after(gate), receive_buffer_bytes=4096) as upstream,
        Stage(upstream.port, limits=limits) as stage,
        RawClient(stage.port) as client,
    ):
        sending = asyncio.ensure_future(client.send(request("POST", "/", body=b"x" * 30_000_000)))
        await gate.reached()
        await until(lambda: not any(each.reads_body for each in stage.engine.connections), "the client to be paused")
        paused_s = stage.engine.now_s
        await until(lambda: stage.engine.now_s > paused_s + 0.2, "four windows to pass")
        gate.open()
        await sending
        assert (await client.answer()).status == 200
