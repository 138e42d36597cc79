"""The operations of holds, one at a time, on real servers."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import Slice
from sidecar.domain.errors import IdempotencyMismatch, InvalidInput
from sidecar.domain.ids import new_id
from sidecar.domain.outcomes import Ended, RefusalCode, Refused, Reserved, Settled, UnknownReservation
from sidecar.store.lane import Lane
from tests.support.books import HELD, UNIT, Purse, in_credits, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

NOBODY = new_id("cus", 1, b"0123456789")


def held(amount: int, available: int, *, replayed: bool = False) -> Reserved:
    """Of the customer's one block."""
    return Reserved(amount, available, replayed, drawn=(Slice(1, amount),))


async def test_a_hold_moves_from_available_to_held(purse: Purse) -> None:
    assert await purse.reserve("r1", 300) == held(300, 700)
    assert await purse.balance() == in_credits(1000, 700, 300, 0)
    await assert_right(purse)


async def test_a_commit_charges_and_returns_the_rest(purse: Purse) -> None:
    await purse.reserve("r1", 300)
    assert await purse.commit("r1", 120) == Settled(charged=120, available=880)
    assert await purse.balance() == in_credits(1000, 880, 0, 120)
    await assert_right(purse)


async def test_a_release_returns_everything(purse: Purse) -> None:
    await purse.reserve("r1", 300)
    assert await purse.release("r1") == Settled(charged=0, available=1000)
    assert await purse.balance() == in_credits(1000, 1000, 0, 0)
    await assert_right(purse)


async def test_a_charge_above_the_hold_takes_what_is_available_then_owes(purse: Purse) -> None:
    """The hold of another request stays whole, and a grant repays the debt first."""
    await purse.reserve("r1", 300)
    await purse.reserve("r2", 500)
    assert await purse.commit("r1", 650) == Settled(charged=650, available=0, owed=150)
    assert await purse.balance() == in_credits(1000, 0, 500, 500, 150)
    await purse.grant(400, "more")
    assert await purse.balance() == in_credits(1400, 250, 500, 650)
    await assert_right(purse)


async def test_what_comes_back_repays_debt_first(purse: Purse) -> None:
    await purse.reserve("r1", 300)
    await purse.reserve("r2", 700)
    await purse.commit("r1", 500)
    assert await purse.balance() == in_credits(1000, 0, 700, 300, 200)
    assert await purse.release("r2") == Settled(charged=0, available=500)
    assert await purse.balance() == in_credits(1000, 500, 0, 500)
    await assert_right(purse)


async def test_debt_stops_at_the_largest_amount(purse: Purse) -> None:
    await purse.reserve("r1", 500)
    await purse.reserve("r2", 500)
    first = await purse.commit("r1", MAX_AMOUNT)
    assert first == Settled(charged=MAX_AMOUNT, available=0, owed=MAX_AMOUNT - 500)
    second = await purse.commit("r2", MAX_AMOUNT)
    assert second == Settled(charged=1000, available=0, owed=500, uncollected=MAX_AMOUNT - 1000)
    assert await purse.balance() == in_credits(1000, 0, 0, 1000, MAX_AMOUNT)
    await assert_right(purse)


async def test_units_do_not_touch_each_other(purse: Purse) -> None:
    await purse.grant(50, "tokens", unit="tokens")
    assert isinstance(await purse.reserve("r1", 60, unit="tokens"), Refused)
    await purse.reserve("r2", 60)
    assert [unit.available for unit in await purse.accounts.balances(purse.customer_id)] == [940, 50]


class TestRefusals:
    async def test_unidentified_when_the_customer_lacks_the_credential(self, purse: Purse) -> None:
        refused = await purse.reserve("r1", 1, credential="key:unknown")
        assert refused == Refused(RefusalCode.UNIDENTIFIED, required=1, unit=UNIT)

    async def test_unidentified_when_there_is_no_such_customer(self, purse: Purse) -> None:
        nobody = Purse(purse.lane, NOBODY, "alice")
        assert await nobody.reserve("r1", 1) == Refused(RefusalCode.UNIDENTIFIED, required=1, unit=UNIT)

    async def test_suspended_comes_before_the_balance(self, purse: Purse, lane: Lane) -> None:
        await lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "suspended")
        refused = await purse.reserve("r1", 5000)
        assert refused == Refused(RefusalCode.CUSTOMER_SUSPENDED, required=5000, unit=UNIT)

    async def test_insufficient_when_all_that_could_come_back_is_too_little(self, purse: Purse) -> None:
        await purse.reserve("r1", 400)
        refused = await purse.reserve("r2", 1001)
        assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, 1001, available=600, held=400, unit=UNIT)

    async def test_in_flight_when_it_would_fit_without_the_other_holds(self, purse: Purse) -> None:
        await purse.reserve("r1", 400)
        refused = await purse.reserve("r2", 1000)
        assert refused == Refused(RefusalCode.HOLDS_IN_FLIGHT, 1000, available=600, held=400, unit=UNIT)

    async def test_a_hold_of_nothing_fits_an_empty_balance_but_not_a_debt(self, purse: Purse) -> None:
        await purse.reserve("r1", 1000)
        assert await purse.reserve("r2", 0) == Reserved(held=0, available=0)
        await purse.commit("r1", 1001)
        assert await purse.reserve("r3", 0) == Refused(RefusalCode.INSUFFICIENT_CREDITS, unit=UNIT)
        await assert_right(purse)

    async def test_a_unit_that_was_never_granted_is_empty(self, purse: Purse) -> None:
        refused = await purse.reserve("r1", 1, unit="tokens")
        assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, required=1, unit="tokens")

    async def test_a_hold_of_nothing_in_a_unit_that_was_never_granted(self, clock: StoreClock, purse: Purse) -> None:
        """Its end makes the account and may make a debt; a sweep finds it."""
        assert await purse.reserve("r1", 0, unit="tokens") == Reserved(0, 0)
        await purse.reserve("r2", 0, unit="tokens", ttl_ms=1)
        assert await purse.commit("r1", 7) == Settled(charged=7, available=0, owed=7)
        clock.tick(1)
        assert await purse.sweep() == 1
        assert (await purse.balance("tokens")).owed == 7
        await assert_right(purse)


class TestRepetition:
    async def test_a_reserve_is_recognised_before_any_refusal(self, purse: Purse, lane: Lane) -> None:
        await purse.reserve("r1", 1000)
        await lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "suspended")
        again = await purse.reserve("r1", 1000, credential="key:unknown")
        assert again == held(1000, 0, replayed=True)

    @pytest.mark.parametrize(
        "other", [{"amount": 301}, {"unit": "tokens"}, {"ttl_ms": 1}, {"feature": "chat"}, {"remember": True}]
    )
    async def test_an_id_is_good_for_the_same_terms_only(self, purse: Purse, other: dict[str, object]) -> None:
        await purse.grant(500, "tokens", unit="tokens")
        await purse.reserve("r1", 300)
        terms: dict[str, object] = {"amount": 300, **other}
        with pytest.raises(IdempotencyMismatch, match="r1 was used for other terms"):
            await purse.reserve("r1", **terms)  # type: ignore[arg-type]  # Each of its own type.
        assert await purse.balance() == in_credits(1000, 700, 300, 0)

    async def test_a_repeated_commit_changes_nothing(self, purse: Purse) -> None:
        await purse.reserve("r1", 900)
        assert await purse.commit("r1", 1200) == Settled(charged=1200, available=0, owed=200)
        for charge in (1200, 7):
            assert await purse.commit("r1", charge) == UnknownReservation()
        assert await purse.balance() == in_credits(1000, 0, 0, 1000, 200)

    async def test_a_repeated_release_changes_nothing(self, purse: Purse) -> None:
        await purse.reserve("r1", 900)
        await purse.release("r1")
        for _ in range(2):
            assert await purse.release("r1") == UnknownReservation()
        assert await purse.balance() == in_credits(1000, 1000, 0, 0)

    async def test_the_first_end_counts(self, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        await purse.release("r1")
        assert await purse.commit("r1", 300) == UnknownReservation()
        await purse.reserve("r2", 300)
        await purse.commit("r2", 100)
        assert await purse.release("r2") == UnknownReservation()
        assert await purse.balance() == in_credits(1000, 900, 0, 100)

    async def test_a_repetition_is_not_written_down(self, clock: StoreClock, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        await purse.commit("r1", 100)
        await purse.reserve("r2", 40)
        clock.tick(60_000)
        assert await purse.sweep() == 1
        before = await purse.lines()
        await purse.commit("r1", 100)
        await purse.release("r1")
        await purse.release("r2")
        await purse.sweep()
        assert await purse.lines() == before

    async def test_a_release_that_comes_first_kills_the_reserve(self, purse: Purse) -> None:
        assert await purse.release("r1") == UnknownReservation()
        for _ in range(2):
            assert await purse.reserve("r1", HELD) == Ended()
        assert await purse.balance() == in_credits(1000, 1000, 0, 0)
        assert await purse.commit("r1", 1) == UnknownReservation()
        await assert_right(purse)

    async def test_a_reserve_that_was_killed_is_not_refused_either(self, purse: Purse) -> None:
        await purse.reserve("r0", 1000)
        await purse.release("r1")
        assert await purse.reserve("r1", HELD, credential="key:unknown") == Ended()

    async def test_a_mark_of_a_release_that_came_first_is_no_open_hold(self, purse: Purse) -> None:
        await purse.release("r1")
        assert await purse.sweep() == 0
        assert await purse.holds() == []

    async def test_a_commit_of_nothing_known_changes_nothing(self, purse: Purse) -> None:
        assert await purse.commit("r1", 300) == UnknownReservation()
        assert await purse.balance() == in_credits(1000, 1000, 0, 0)

    async def test_another_customer_cannot_end_a_hold(self, purse: Purse, lane: Lane) -> None:
        await purse.reserve("r1", 300)
        other = await open_purse(lane, "bob", granted=10)
        assert await other.commit("r1", 5) == UnknownReservation()
        assert await purse.balance() == in_credits(1000, 700, 300, 0)


class TestWhatNeverLeaves:
    @pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
    async def test_an_amount_out_of_range(self, purse: Purse, lane: Lane, amount: int) -> None:
        before = lane.commands_total
        for attempt in (
            purse.reserve("r1", amount),
            purse.reserve("r1", 1, tokens=amount),
            purse.commit("r1", amount),
            purse.resize("r1", amount),
            purse.grant(amount),
        ):
            with pytest.raises(InvalidInput):
                await attempt
        assert lane.commands_total == before

    async def test_a_hold_without_a_life(self, purse: Purse) -> None:
        with pytest.raises(InvalidInput, match="at least 1 ms"):
            await purse.reserve("r1", 1, ttl_ms=0)

    async def test_a_unit_with_a_space(self, purse: Purse) -> None:
        with pytest.raises(InvalidInput, match="unit"):
            await purse.reserve("r1", 1, unit="my credits")

    async def test_an_id_with_a_space(self, purse: Purse) -> None:
        for attempt in (purse.reserve("r 1", 1), purse.commit("r 1", 1), purse.release("r 1")):
            with pytest.raises(InvalidInput, match="reservation id"):
                await attempt

    async def test_amounts_for_other_units_than_the_hold_s(self, purse: Purse) -> None:
        await purse.reserve("r1", 10)
        for attempt in (purse.commit("r1", 1, 2), purse.resize("r1", 1, 2), purse.resize("r1")):
            with pytest.raises(InvalidInput, match="The hold has 1 units; got"):
                await attempt


async def test_each_operation_is_one_command(purse: Purse, lane: Lane) -> None:
    before = lane.commands_total
    await purse.reserve("r1", 300)
    await purse.resize("r1", 310)
    await purse.commit("r1", 300, step=1)
    await purse.commit("r1", 10)
    await purse.release("r1")
    assert lane.commands_total == before + 5
