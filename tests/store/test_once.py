"""Idempotency records."""

import pytest

from sidecar.domain.errors import IdempotencyMismatch, StillAtWork
from sidecar.domain.once import Once
from sidecar.store.lane import Lane
from sidecar.store.once import CLAIM_MS, OnceRecords
from tests.support.books import ENVIRONMENT, TENANT
from tests.support.store import StoreServer

FIRST = Once("my key", "aa")


@pytest.fixture
def records(lane: Lane) -> OnceRecords:
    return OnceRecords(lane, tenant=TENANT, environment=ENVIRONMENT)


async def test_the_first_use_works_and_the_next_gets_its_answer(records: OnceRecords) -> None:
    assert await records.begin("keys", FIRST) is None
    await records.finish("keys", FIRST, b'{"a b": "c\nd"}')
    assert await records.begin("keys", FIRST) == b'{"a b": "c\nd"}'


async def test_an_empty_answer_is_an_answer(records: OnceRecords) -> None:
    await records.begin("keys", FIRST)
    await records.finish("keys", FIRST, b"")
    assert await records.begin("keys", FIRST) == b""


async def test_the_second_use_waits_for_the_first(records: OnceRecords, shared_store: StoreServer) -> None:
    await records.begin("keys", FIRST)
    with pytest.raises(StillAtWork):
        await records.begin("keys", FIRST)
    with shared_store.client() as client:
        (name,) = client.keys("*write*")
        assert 0 < client.pttl(name) <= CLAIM_MS


async def test_another_request_may_not_use_the_key(records: OnceRecords) -> None:
    other = Once(FIRST.key, "bb")
    await records.begin("keys", FIRST)
    with pytest.raises(IdempotencyMismatch):
        await records.begin("keys", other)
    await records.finish("keys", FIRST, b"x")
    with pytest.raises(IdempotencyMismatch, match="new key"):
        await records.begin("keys", other)


async def test_a_failed_use_frees_the_key(records: OnceRecords) -> None:
    await records.begin("keys", FIRST)
    await records.abandon("keys", FIRST)
    assert await records.begin("keys", Once(FIRST.key, "bb")) is None


async def test_scopes_are_apart(records: OnceRecords) -> None:
    assert await records.begin("keys", FIRST) is None
    assert await records.begin("customers", FIRST) is None
