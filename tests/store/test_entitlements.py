"""Looks for entitlement checks: whichever way the script goes, the answer is the same."""

import asyncio
import struct

import pytest

from sidecar.domain.counters import Stand
from sidecar.domain.entitlements import Look, Question
from sidecar.domain.errors import NotFound, StoreCorrupt
from sidecar.store.entitlements import Entitlements
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT, TOKENS, UNIT, Purse, open_member
from tests.support.clock import StoreClock

CHAT = Question(UNIT, "chat", "a-rule")


def entitlements(purse: Purse) -> Entitlements:
    return Entitlements(purse.lane, purse.customers, tenant=TENANT, environment=ENVIRONMENT)


async def look(purse: Purse, *questions: Question) -> Look:
    return await entitlements(purse).look(purse.customer_id, questions or (CHAT,))


async def test_the_short_way_answers_as_the_general_one(purse: Purse) -> None:
    """One question about a plain account is answered without the general functions; two are not."""
    await purse.reserve("r1", 300)
    short, general = await look(purse), await look(purse, CHAT, CHAT)
    assert short.standings * 2 == general.standings
    assert (short.standings[0].available, short.standings[0].held, short.standings[0].owed) == (700, 300, 0)
    assert told(short) == told(general) == (purse.customer_id, purse.external_id, "active", True)


def told(found: Look) -> tuple[str, str, str, bool]:
    return found.customer_id, found.external_id, found.status, found.active


async def test_what_has_lapsed_is_not_there(purse: Purse, clock: StoreClock) -> None:
    await purse.grant(50, expires_at_ms=NOW_MS + 1_000)
    assert (await look(purse)).standings[0].available == 1_050
    clock.tick(1_000)
    assert (await look(purse)).standings[0].available == 1_000


async def test_units_and_restricted_blocks_are_told_apart(purse: Purse) -> None:
    await purse.grant(50, unit=TOKENS)
    await purse.grant(9, eligible_features=["chat"])
    await purse.grant(4, eligible_rules=["a-rule"])
    found = await look(purse, CHAT, Question(TOKENS), Question(UNIT), Question(UNIT, rule="a-rule"))
    assert [each.available for each in found.standings] == [1_013, 50, 1_000, 1_004]
    assert [each.available for each in (await look(purse, Question("gpu_ms"))).standings] == [0]


async def test_it_says_where_a_counter_stands(purse: Purse) -> None:
    counted = Question(UNIT, counter="metric:m@2026-11")
    await purse.lane.execute(
        "HSET", purse.keys.of(purse.customer_id).customer, f"counter:{counted.counter}", struct.pack(">dd", 7, 2)
    )
    assert (await look(purse, counted)).standings[0].stand == Stand(7, 2)
    assert (await look(purse, counted, CHAT)).standings[0].stand == Stand(7, 2)
    assert (await look(purse)).standings[0].stand == Stand()


async def test_of_a_member_the_parents_account_is_looked_at(purse: Purse) -> None:
    member = await open_member(purse, "bob")
    found = await look(member)
    assert (found.customer_id, found.standings[0].available, found.standings[0].share) == (
        member.customer_id,
        1_000,
        None,
    )
    await purse.customers.set_pool_cap(member.customer_id, UNIT, 100)
    assert (await look(member)).standings[0].share == 100


async def test_nobody_is_not_found(purse: Purse) -> None:
    looks = entitlements(purse)
    with pytest.raises(NotFound):
        await looks.look(f"cus_{'0' * 26}", [CHAT])
    assert await looks.look_by_external_id("nobody", [CHAT]) is None


async def test_a_known_external_id_costs_one_command(purse: Purse) -> None:
    looks = entitlements(purse)
    first = await looks.look_by_external_id(purse.external_id, [CHAT])
    before = purse.lane.commands_total
    assert await looks.look_by_external_id(purse.external_id, [CHAT]) == first
    assert purse.lane.commands_total == before + 1


async def test_many_at_once_find_out_that_an_external_id_is_anothers(purse: Purse) -> None:
    looks, name = entitlements(purse), purse.external_id
    await looks.look_by_external_id(name, [CHAT])
    await purse.customers.rename(purse.customer_id, "renamed")
    assert await asyncio.gather(*(looks.look_by_external_id(name, [CHAT]) for _ in range(3))) == [None] * 3


async def test_what_no_script_of_ours_writes_is_corrupt(purse: Purse) -> None:
    await purse.lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "counter:x@ever", "x")
    with pytest.raises(StoreCorrupt):
        await look(purse, Question(UNIT, counter="x@ever"))
