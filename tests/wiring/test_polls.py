"""Asking a real upstream how a job stands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.config.settings import Settings, Timeouts
from sidecar.config.settings import Upstream as UpstreamSection
from sidecar.services.credential import Credential
from sidecar.wiring.polls import ANSWER_MAX_BYTES, Polls
from tests.support.upstream import Exchange, Gate, Upstream, answers, head


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(answers(b'{"status": "ok"}', ("X-Gpu-Ms", "7"))) as upstream:
        yield upstream


@asynccontextmanager
async def opened(upstream: Upstream, timeout_s: float) -> AsyncIterator[Polls]:
    section = UpstreamSection(url=upstream.url + "/base/", headers={"X-Api-Token": "secret"})
    polls = Polls(Settings(upstream=section, timeouts=Timeouts(head_s=timeout_s)))
    yield polls
    await polls.close()


@pytest.fixture
async def polls(upstream: Upstream) -> AsyncIterator[Polls]:
    async with opened(upstream, 20) as polls:
        yield polls


async def test_it_asks_as_requests_do(upstream: Upstream, polls: Polls) -> None:
    answer = await polls.fetch("/jobs/7")
    assert answer is not None
    assert (answer.status, answer.fields[b"x-gpu-ms"], answer.body) == (200, b"7", b'{"status": "ok"}')
    (received,) = upstream.requests
    assert (received.method, received.target) == (b"GET", b"/base/jobs/7")
    assert received.get(b"x-api-token") == b"secret"


async def test_it_shows_the_credential_that_there_is_now(upstream: Upstream, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-upstream")
    polls = Polls(Settings(upstream=UpstreamSection(url=upstream.url)), Credential("Authorization", "", file))
    assert await polls.fetch("/jobs/7") is not None
    assert upstream.requests[0].get(b"authorization") == b"Bearer sk-upstream"
    await polls.close()


async def test_an_upstream_that_is_silent_gives_no_answer(upstream: Upstream) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.gone()

    upstream.script = silent
    async with opened(upstream, 0.1) as hasty:
        assert await hasty.fetch("/jobs/7") is None


async def test_redirects_are_not_followed_and_answers_are_bounded(upstream: Upstream, polls: Polls) -> None:
    upstream.script = answers(b"", ("Location", "http://127.0.0.1:1/other"), status=302)
    answer = await polls.fetch("/jobs/7")
    assert answer is not None
    assert answer.status == 302
    upstream.script = answers(b"x" * (ANSWER_MAX_BYTES + 1))
    assert await polls.fetch("/jobs/7") is None


async def test_an_answer_may_come_in_pieces(upstream: Upstream, polls: Polls) -> None:
    gate = Gate()

    async def slowly(exchange: Exchange) -> None:
        await exchange.send(head(200, ("content-length", "16")) + b'{"status')
        await gate.pause()
        await exchange.send(b'": "ok"}')

    upstream.script = slowly
    asked = asyncio.ensure_future(polls.fetch("/jobs/7"))
    await gate.reached(1)
    # The first piece is there, and nothing else for now.
    await asyncio.sleep(0)
    gate.open()
    answer = await asked
    assert answer is not None
    assert answer.body == b'{"status": "ok"}'
