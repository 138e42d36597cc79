"""Credit blocks: granting, voiding, extending; once for each key, never beyond a limit, and in their order."""

import struct
from collections.abc import Awaitable
from typing import Any

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BLOCKS_MAX, BlockState, Grant
from sidecar.domain.errors import (
    AmountOverflow,
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    SidecarError,
    StoreCorrupt,
)
from sidecar.domain.ids import new_id
from sidecar.domain.journal import Kind, Moved, Totals
from sidecar.domain.outcomes import Granted
from sidecar.store.lane import Lane
from tests.support.books import NOW_MS, UNIT, Purse, in_credits, open_member, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

NOBODY = new_id("cus", 1, b"0123456789")
HOUR_MS = 3_600_000


@pytest.fixture
async def empty(clock: StoreClock, lane: Lane) -> Purse:
    """A customer without credit, at `NOW_MS`."""
    return await open_purse(lane)


async def order(purse: Purse) -> list[str]:
    """The blocks by the order in which they burn."""
    return [block.grant.block_id.removeprefix("blk_") for block in await purse.blocks()]


class TestGrants:
    async def test_a_block_is_as_it_was_granted(self, empty: Purse) -> None:
        terms: dict[str, Any] = {
            "priority": -3, "expires_at_ms": NOW_MS + HOUR_MS, "price_paid": 999, "currency": "EUR",
            "eligible_features": ("chat",), "eligible_rules": ("a-rule",), "series": "plan", "cap": 500,
            "reason": "é \n", "metadata": {"order": "17"}, "dedup_key": "d 1", "external_payment_id": "p 1",
        }  # fmt: skip
        granted = await empty.grant(700, "g", **terms)
        assert (granted.block_id, granted.amount, granted.withheld) == ("blk_g", 500, 200)
        assert granted.totals == Totals(granted=500, available=500)
        (block,) = await empty.blocks()
        assert block.grant == Grant(block_id="blk_g", unit=UNIT, amount=700, source="test", **terms)
        assert (block.state, block.granted, block.available, block.held) == (BlockState.ACTIVE, 500, 500, 0)
        assert (block.starts_at_ms, block.expires_at_ms) == (NOW_MS, NOW_MS + HOUR_MS)
        assert (block.number, block.burn_position, block.created_at_ms) == (1, 1, NOW_MS)
        (line,) = await empty.lines()
        assert (line.kind, line.grant, line.detail) == (Kind.GRANT, block.grant, {"reason": "a reason with spaces"})
        assert granted.entry == str(line.position)

    async def test_the_order(self, empty: Purse, clock: StoreClock) -> None:
        """Priority, expiry, free before paid, oldest, first granted."""
        await empty.grant(1, "never")
        await empty.grant(1, "paid", price_paid=1, currency="EUR", expires_at_ms=NOW_MS + HOUR_MS)
        await empty.grant(1, "later", expires_at_ms=NOW_MS + HOUR_MS + 1)
        await empty.grant(1, "price of 0", price_paid=0, currency="EUR", expires_at_ms=NOW_MS + HOUR_MS)
        await empty.grant(1, "same moment", expires_at_ms=NOW_MS + HOUR_MS)
        clock.tick(1)
        await empty.grant(1, "younger", expires_at_ms=NOW_MS + HOUR_MS)
        await empty.grant(1, "urgent", priority=-1)
        await empty.grant(1, "patient", priority=1, expires_at_ms=NOW_MS + 2)
        assert await order(empty) == [
            "urgent", "price_of_0", "same_moment", "younger", "paid", "later", "never", "patient",
        ]  # fmt: skip
        await assert_right(empty)

    async def test_a_grant_repays_debt_first(self, empty: Purse) -> None:
        await empty.reserve("r1", 0)
        await empty.commit("r1", 150)
        granted = await empty.grant(100, "g1")
        assert granted.totals == Totals(granted=100, spent=100, owed=50)
        assert await empty.blocks() == ()
        granted = await empty.grant(100, "g2")
        assert granted.totals == Totals(granted=200, available=50, spent=150)
        await assert_right(empty)

    async def test_to_nobody(self, empty: Purse) -> None:
        with pytest.raises(NotFound, match=NOBODY):
            await Purse(empty.lane, NOBODY, "x").grant(1)
        with pytest.raises(NotFound, match=NOBODY):
            await empty.accounts.balances(NOBODY)
        with pytest.raises(NotFound, match=NOBODY):
            await empty.accounts.payer_of(NOBODY)

    async def test_an_overflow_changes_nothing(self, empty: Purse) -> None:
        await empty.grant(1000, "g1")
        with pytest.raises(AmountOverflow, match="1000 base units of credits so far"):
            await empty.grant(MAX_AMOUNT - 999, "k")
        assert await empty.balance() == in_credits(1000, 1000, 0, 0)
        await empty.grant(MAX_AMOUNT - 1000, "k")
        await assert_right(empty)

    async def test_so_many_live_blocks_and_no_more(self, empty: Purse) -> None:
        for number in range(BLOCKS_MAX):
            await empty.grant(2, f"b{number}")
        with pytest.raises(Conflict, match="256 live blocks of credits"):
            await empty.grant(1, "one more")
        await empty.grant(1, "elsewhere", unit="tokens")
        await assert_right(empty)
        await empty.reserve("r1", 2 * BLOCKS_MAX)
        assert len((await empty.holds())[0].drawn) == BLOCKS_MAX
        await empty.commit("r1", 3)
        assert len(await empty.blocks()) == BLOCKS_MAX - 1
        await empty.grant(1, "one more")
        await assert_right(empty)

    async def test_an_account_that_nobody_has_is_empty(self, empty: Purse) -> None:
        assert await empty.accounts.accounts(empty.customer_id) == []
        account = await empty.accounts.account(empty.customer_id, UNIT)
        assert (account.seq, account.totals, account.blocks) == (0, Totals(), ())
        assert await empty.accounts.payer_of(empty.customer_id) == empty.customer_id


class TestTimes:
    async def test_a_scheduled_block_starts_at_the_instant(self, empty: Purse, clock: StoreClock) -> None:
        granted = await empty.grant(100, "g", starts_at_ms=NOW_MS + 1000, expires_at_ms=NOW_MS + 2000)
        assert granted.totals == Totals(granted=100, scheduled=100)
        await assert_right(empty)
        clock.tick(999)
        assert await empty.balance() == in_credits(100, 0, 0, 0, scheduled=100)
        clock.tick(1)
        assert await empty.balance() == in_credits(100, 100, 0, 0)
        clock.tick(1000)
        assert await empty.balance() == in_credits(100, 0, 0, 0, expired=100)
        assert [line.kind for line in await empty.lines()] == [Kind.GRANT, Kind.ACTIVATION, Kind.EXPIRY]
        await assert_right(empty)

    async def test_a_sweep_finds_what_starts_and_lapses(self, empty: Purse, clock: StoreClock) -> None:
        await empty.grant(100, "g", starts_at_ms=NOW_MS + 1000, duration_ms=1000)
        await empty.grant(30, "t", unit="tokens", expires_at_ms=NOW_MS + 1500)
        for _ in range(3):
            clock.tick(1000)
            assert await empty.sweep() == 0
            await assert_right(empty)
        kinds = [(line.unit, line.kind) for line in await empty.lines()]
        assert kinds == [
            (UNIT, Kind.GRANT), ("tokens", Kind.GRANT), (UNIT, Kind.ACTIVATION), (UNIT, Kind.EXPIRY),
            ("tokens", Kind.EXPIRY),
        ] or kinds[3:] == [("tokens", Kind.EXPIRY), (UNIT, Kind.EXPIRY)]  # fmt: skip

    async def test_a_block_that_starts_repays_what_is_owed_by_then(self, empty: Purse, clock: StoreClock) -> None:
        await empty.grant(100, "g", starts_at_ms=NOW_MS + 1000)
        await empty.reserve("r1", 0)
        await empty.commit("r1", 30)
        assert await empty.balance() == in_credits(100, 0, 0, 0, 30, scheduled=100)
        clock.tick(1000)
        assert await empty.balance() == in_credits(100, 70, 0, 30)
        assert (await empty.lines())[-1].moves[0].what is Moved.REPAID
        await assert_right(empty)

    async def test_a_queue_follows_what_lapses(self, empty: Purse, clock: StoreClock) -> None:
        """Nobody looks for days: each has had its time, to the millisecond."""
        await empty.grant(10, "one", expires_at_ms=NOW_MS + 1000)
        await empty.grant(20, "two", starts_after_block_id="blk_one", duration_ms=1000)
        await empty.grant(30, "three", starts_after_block_id="blk_two", duration_ms=1000)
        await empty.grant(40, "four", starts_after_block_id="blk_three")
        assert [block.state for block in await empty.blocks()].count(BlockState.QUEUED) == 3
        await assert_right(empty)
        clock.tick(2500)
        blocks = {block.number: block for block in await empty.blocks()}
        assert blocks.keys() == {3, 4}
        assert (blocks[3].starts_at_ms, blocks[3].expires_at_ms) == (NOW_MS + 2000, NOW_MS + 3000)
        clock.tick(10 * HOUR_MS)
        (four,) = await empty.blocks()
        assert (four.starts_at_ms, four.expires_at_ms) == (NOW_MS + 3000, None)
        assert await empty.balance() == in_credits(100, 40, 0, 0, expired=60)
        await assert_right(empty)

    async def test_a_queue_follows_what_is_voided(self, empty: Purse, clock: StoreClock) -> None:
        await empty.grant(10, "one")
        await empty.grant(20, "two", starts_after_block_id="blk_one")
        await empty.grant(30, "three", starts_after_block_id="blk_two")
        clock.tick(5)
        await empty.void("two")
        assert await empty.balance() == in_credits(60, 40, 0, 0, voided=20)
        await assert_right(empty)
        await empty.void("one")
        assert await empty.balance() == in_credits(60, 30, 0, 0, voided=30)

    async def test_a_block_that_is_over_but_held_from_is_followed_at_once(
        self, empty: Purse, clock: StoreClock
    ) -> None:
        await empty.grant(10, "one", expires_at_ms=NOW_MS + 1000)
        await empty.reserve("r1", 5)
        clock.tick(1000)
        await empty.grant(20, "two", starts_after_block_id="blk_one")
        assert await empty.balance() == in_credits(30, 20, 5, 0, expired=5)
        await assert_right(empty)
        await empty.release("r1")
        assert await empty.balance() == in_credits(30, 20, 0, 0, expired=10)
        with pytest.raises(NotFound, match="no live block blk_one"):
            await empty.grant(1, "three", starts_after_block_id="blk_one")

    async def test_a_start_that_is_past_is_now(self, empty: Purse, clock: StoreClock) -> None:
        clock.tick(1000)
        await empty.grant(10, "g", starts_at_ms=NOW_MS + 500, duration_ms=1000)
        (block,) = await empty.blocks()
        assert (block.starts_at_ms, block.expires_at_ms) == (NOW_MS + 1000, NOW_MS + 2000)

    async def test_an_expiry_that_is_past(self, empty: Purse) -> None:
        for at_ms in (1, NOW_MS):
            with pytest.raises(InvalidInput, match=f"after now \\({NOW_MS} ms\\)"):
                await empty.grant(10, "g", expires_at_ms=at_ms)
        assert await empty.accounts.balances(empty.customer_id) == []
        await empty.grant(10, "g", expires_at_ms=NOW_MS + 1)

    async def test_a_duration_beyond_all_time_never_ends(self, empty: Purse) -> None:
        await empty.grant(10, "g", duration_ms=MAX_AMOUNT)
        (block,) = await empty.blocks()
        assert block.expires_at_ms is None
        await assert_right(empty)


class TestKeys:
    async def test_a_repeated_grant_is_answered_as_the_first(self, purse: Purse) -> None:
        first = await purse.grant(500, "k")
        await purse.reserve("r1", 100)
        again = await purse.grant(500, "k", block_id="blk_of_the_second_attempt")
        assert (again.block_id, again.totals, again.entry) == (first.block_id, first.totals, first.entry)
        assert (again.replayed, again.duplicate) == (True, False)
        assert await purse.balance() == in_credits(1500, 1400, 100, 0)
        await assert_right(purse)

    async def test_the_key_of_another_request_is_refused(self, purse: Purse) -> None:
        await purse.grant(500, "k", fingerprint="aa")
        attempts: list[Awaitable[object]] = [
            purse.grant(501, "k", fingerprint="bb"),
            purse.void("opening", once="k", fingerprint="bb"),
            purse.extend("opening", None, once="k", fingerprint="bb"),
        ]
        for attempt in attempts:
            with pytest.raises(IdempotencyMismatch, match="new key"):
                await attempt
        assert (await purse.balance()).granted == 1500

    async def test_it_is_kept_for_a_day(self, purse: Purse, lane: Lane) -> None:
        await purse.grant(500, "k")
        await purse.void("k", once="v")
        for key in ("k", "v"):
            left_ms = await lane.execute("PTTL", purse.keys.ledger_once(purse.customer_id, key))
            assert 86_300_000 < left_ms <= 86_400_000

    async def test_a_refusal_uses_up_no_key(self, empty: Purse) -> None:
        with pytest.raises(InvalidInput):
            await empty.grant(10, "k", expires_at_ms=1, dedup_key="d")
        granted = await empty.grant(10, "k", dedup_key="d")
        assert (granted.replayed, granted.duplicate) == (False, False)

    @pytest.mark.parametrize("kind", ["dedup_key", "external_payment_id"])
    async def test_a_business_key_is_good_for_one_grant(self, purse: Purse, kind: str) -> None:
        first = await purse.grant(500, "k1", **{kind: "the key 17"})
        again = await purse.grant(500, "k2", **{kind: "the key 17"})
        assert (again.block_id, again.totals, again.entry) == ("blk_k1", first.totals, first.entry)
        assert (again.replayed, again.duplicate) == (False, True)
        with pytest.raises(Conflict, match="'the key 17' was used for another grant"):
            await purse.grant(501, "k3", **{kind: "the key 17"})
        with pytest.raises(Conflict, match="'the key 17' was used for another grant"):
            await purse.grant(500, "k4", "tokens", **{kind: "the key 17"})
        assert await purse.balance() == in_credits(1500, 1500, 0, 0)
        await assert_right(purse)

    async def test_the_two_kinds_of_business_key_are_apart(self, purse: Purse) -> None:
        await purse.grant(500, "k1", dedup_key="17")
        assert not (await purse.grant(500, "k2", external_payment_id="17")).duplicate
        assert (await purse.grant(500, "k3", dedup_key="new", external_payment_id="17")).block_id == "blk_k2"


class TestSeries:
    async def test_a_cap_cuts_what_its_live_blocks_would_hold(self, purse: Purse) -> None:
        assert (await purse.grant(60, "g1", series="plan", cap=100)).withheld == 0
        await purse.reserve("r1", 1030)
        await purse.commit("r1", 1010)
        # 10 of the series are spent: what is held of it counts, what is spent does not.
        second = await purse.grant(60, "g2", series="plan", cap=100)
        assert (second.amount, second.withheld) == (50, 10)
        third = await purse.grant(60, "g3", series="plan", cap=100)
        assert third == Granted(block_id=None, amount=0, totals=third.totals, withheld=60)
        assert third.totals == second.totals
        assert (await purse.grant(60, "g4", series="other", cap=100)).amount == 60
        await assert_right(purse)

    async def test_a_full_series_changes_nothing_and_uses_up_no_key(self, purse: Purse) -> None:
        before = await purse.lines()
        for _ in range(2):
            capped = await purse.grant(60, "g", series="plan", cap=0, dedup_key="d")
            assert (capped.block_id, capped.entry, capped.withheld) == (None, "", 60)
        assert await purse.lines() == before
        assert (await purse.grant(60, "g", series="plan", cap=10, dedup_key="d")).amount == 10

    async def test_a_business_key_knows_the_amount_that_was_asked_for(self, purse: Purse) -> None:
        await purse.grant(60, "g1", series="plan", cap=10, dedup_key="d")
        again = await purse.grant(60, "g2", series="plan", cap=10, dedup_key="d")
        assert (again.amount, again.withheld, again.duplicate) == (10, 50, True)


async def test_a_member_s_accounts_are_its_parent_s(purse: Purse) -> None:
    member = await open_member(purse)
    assert await member.accounts.payer_of(member.customer_id) == purse.customer_id
    assert await member.accounts.accounts(member.customer_id) == []


@pytest.mark.parametrize(
    "grant",
    [
        {"amount": 0},
        {"amount": 1, "priority": 2**31},
        {"amount": 1, "expires_at_ms": NOW_MS, "duration_ms": 1},
        {"amount": 1, "cap": 5},
        {"amount": 1, "unit": "my credits"},
    ],
)
async def test_terms_that_cannot_be_never_leave(purse: Purse, lane: Lane, grant: dict[str, int]) -> None:
    before = lane.commands_total
    with pytest.raises(InvalidInput):
        await purse.grant(**grant)  # type: ignore[arg-type]  # Each of its own type.
    assert lane.commands_total == before


@pytest.mark.parametrize("damage", [{"1": "{"}, {"1": "{}"}, {}])
async def test_terms_that_we_never_write_are_corrupt(purse: Purse, lane: Lane, damage: dict[str, str]) -> None:
    terms = purse.keys.account(purse.customer_id, UNIT).terms
    await lane.execute("DEL", terms)
    for number, text in damage.items():
        await lane.execute("HSET", terms, number, text)
    with pytest.raises(StoreCorrupt, match="The blocks of an account of credits cannot be read"):
        await purse.balance()


async def test_a_block_in_no_state_is_corrupt(purse: Purse, lane: Lane) -> None:
    account = purse.keys.account(purse.customer_id, UNIT).account
    await lane.execute("SETRANGE", account, 88 + 30, struct.pack(">B", 9))
    with pytest.raises(SidecarError, match="cannot be read"):
        await purse.blocks()
