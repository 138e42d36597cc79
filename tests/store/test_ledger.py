"""The ledger's operations, one at a time, on real servers."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import AmountOverflow, IdempotencyMismatch, InvalidInput, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Balance, Ended, RefusalCode, Refused, Reserved, Settled, UnknownReservation
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from tests.support.books import ENVIRONMENT, HELD, TENANT, UNIT, Purse, journal, open_purse
from tests.support.store import StoreServer
from tests.support.until import until_async

NOBODY = new_id("cus", 1, b"0123456789")


def balance(granted: int, available: int, held: int, spent: int, owed: int = 0) -> Balance:
    return Balance(unit=UNIT, granted=granted, available=available, held=held, spent=spent, owed=owed)


async def test_a_hold_moves_from_available_to_held(purse: Purse) -> None:
    assert await purse.reserve("r1", 300) == Reserved(held=300, available=700)
    assert await purse.balance() == balance(1000, 700, 300, 0)


async def test_a_commit_charges_and_returns_the_rest(purse: Purse) -> None:
    await purse.reserve("r1", 300)
    assert await purse.commit("r1", 120) == Settled(charged=120, available=880)
    assert await purse.balance() == balance(1000, 880, 0, 120)


async def test_a_release_returns_everything(purse: Purse) -> None:
    await purse.reserve("r1", 300)
    assert await purse.release("r1") == Settled(charged=0, available=1000)
    assert await purse.balance() == balance(1000, 1000, 0, 0)


async def test_a_charge_above_the_hold_takes_what_is_available_then_owes(purse: Purse) -> None:
    """The hold of another request stays whole, and a grant repays the debt first."""
    await purse.reserve("r1", 300)
    await purse.reserve("r2", 500)
    assert await purse.commit("r1", 650) == Settled(charged=650, available=0, owed=150)
    assert await purse.balance() == balance(1000, 0, 500, 500, 150)
    granted = await purse.grant(400, "more")
    assert granted.balance == balance(1400, 250, 500, 650)


async def test_what_comes_back_repays_debt_first(purse: Purse) -> None:
    await purse.reserve("r1", 300)
    await purse.reserve("r2", 700)
    await purse.commit("r1", 500)
    assert await purse.balance() == balance(1000, 0, 700, 300, 200)
    assert await purse.release("r2") == Settled(charged=0, available=500)
    assert await purse.balance() == balance(1000, 500, 0, 500)


async def test_debt_stops_at_the_largest_amount(purse: Purse) -> None:
    await purse.reserve("r1", 500)
    await purse.reserve("r2", 500)
    first = await purse.commit("r1", MAX_AMOUNT)
    assert first == Settled(charged=MAX_AMOUNT, available=0, owed=MAX_AMOUNT - 500)
    second = await purse.commit("r2", MAX_AMOUNT)
    assert second == Settled(charged=1000, available=0, owed=500)
    assert await purse.balance() == balance(1000, 0, 0, 1000, MAX_AMOUNT)


async def test_units_do_not_touch_each_other(purse: Purse) -> None:
    await purse.grant(50, "tokens", unit="tokens")
    assert isinstance(await purse.reserve("r1", 60, unit="tokens"), Refused)
    await purse.reserve("r2", 60)
    assert [unit.available for unit in await purse.ledger.balances(purse.customer_id)] == [940, 50]


class TestRefusals:
    async def test_unidentified_when_the_customer_lacks_the_credential(self, purse: Purse) -> None:
        refused = await purse.reserve("r1", 1, credential="key:unknown")
        assert refused == Refused(RefusalCode.UNIDENTIFIED, required=1)

    async def test_unidentified_when_there_is_no_such_customer(self, purse: Purse) -> None:
        nobody = Purse(purse.ledger, NOBODY, "alice")
        assert await nobody.reserve("r1", 1) == Refused(RefusalCode.UNIDENTIFIED, required=1)

    async def test_suspended_comes_before_the_balance(self, purse: Purse, lane: Lane) -> None:
        customer = Keys(TENANT, ENVIRONMENT).of(purse.customer_id).customer
        await lane.execute("HSET", customer, "status", "suspended")
        assert await purse.reserve("r1", 5000) == Refused(RefusalCode.CUSTOMER_SUSPENDED, required=5000)

    async def test_insufficient_when_all_that_could_come_back_is_too_little(self, purse: Purse) -> None:
        await purse.reserve("r1", 400)
        refused = await purse.reserve("r2", 1001)
        assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, required=1001, available=600, held=400)

    async def test_in_flight_when_it_would_fit_without_the_other_holds(self, purse: Purse) -> None:
        await purse.reserve("r1", 400)
        refused = await purse.reserve("r2", 1000)
        assert refused == Refused(RefusalCode.HOLDS_IN_FLIGHT, required=1000, available=600, held=400)

    async def test_a_hold_of_nothing_fits_an_empty_balance_but_not_a_debt(self, purse: Purse) -> None:
        await purse.reserve("r1", 1000)
        assert await purse.reserve("r2", 0) == Reserved(held=0, available=0)
        await purse.commit("r1", 1001)
        assert await purse.reserve("r3", 0) == Refused(RefusalCode.INSUFFICIENT_CREDITS, required=0)

    async def test_a_unit_that_was_never_granted_is_empty(self, purse: Purse) -> None:
        refused = await purse.reserve("r1", 1, unit="tokens")
        assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, required=1)


class TestRepetition:
    async def test_a_reserve_is_recognised_before_any_refusal(self, purse: Purse, lane: Lane) -> None:
        await purse.reserve("r1", 1000)
        customer = Keys(TENANT, ENVIRONMENT).of(purse.customer_id).customer
        await lane.execute("HSET", customer, "status", "suspended")
        again = await purse.reserve("r1", 1000, credential="key:unknown")
        assert again == Reserved(held=1000, available=0, replayed=True)

    async def test_a_repeated_commit_changes_nothing(self, purse: Purse) -> None:
        await purse.reserve("r1", 900)
        assert await purse.commit("r1", 1200) == Settled(charged=1200, available=0, owed=200)
        for charge in (1200, 7):
            assert await purse.commit("r1", charge) == UnknownReservation()
        assert await purse.balance() == balance(1000, 0, 0, 1000, 200)

    async def test_a_repeated_release_changes_nothing(self, purse: Purse) -> None:
        await purse.reserve("r1", 900)
        await purse.release("r1")
        for _ in range(2):
            assert await purse.release("r1") == UnknownReservation()
        assert await purse.balance() == balance(1000, 1000, 0, 0)

    async def test_the_first_end_counts(self, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        await purse.release("r1")
        assert await purse.commit("r1", 300) == UnknownReservation()
        await purse.reserve("r2", 300)
        await purse.commit("r2", 100)
        assert await purse.release("r2") == UnknownReservation()
        assert await purse.balance() == balance(1000, 900, 0, 100)

    async def test_a_repetition_is_not_written_down(self, purse: Purse, shared_store: StoreServer) -> None:
        await purse.reserve("r1", 300)
        await purse.commit("r1", 100)
        await purse.expired("r2", 40)
        with shared_store.client() as client:
            before = journal(client, purse.customer_id)
            await purse.commit("r1", 100)
            await purse.release("r1")
            await purse.release("r2")
            await purse.sweep()
            assert journal(client, purse.customer_id) == before

    async def test_a_release_that_comes_first_kills_the_reserve(self, purse: Purse) -> None:
        assert await purse.release("r1") == UnknownReservation()
        for _ in range(2):
            assert await purse.reserve("r1", HELD) == Ended()
        assert await purse.balance() == balance(1000, 1000, 0, 0)
        assert await purse.commit("r1", 1) == UnknownReservation()

    async def test_a_reserve_that_was_killed_is_not_refused_either(self, purse: Purse) -> None:
        await purse.reserve("r0", 1000)
        await purse.release("r1")
        assert await purse.reserve("r1", HELD, credential="key:unknown") == Ended()

    async def test_a_mark_of_a_release_that_came_first_is_no_open_hold(self, purse: Purse) -> None:
        await purse.release("r1")
        assert await purse.sweep() == 0
        holds, _ = await purse.ledger.open_holds(customer_id=purse.customer_id, limit=10, cursor=None)
        assert holds == []

    async def test_a_commit_of_nothing_known_changes_nothing(self, purse: Purse) -> None:
        assert await purse.commit("r1", 300) == UnknownReservation()
        assert await purse.balance() == balance(1000, 1000, 0, 0)

    async def test_another_customer_cannot_end_a_hold(self, purse: Purse, lane: Lane) -> None:
        await purse.reserve("r1", 300)
        other = await open_purse(lane, "bob", granted=10)
        assert await other.commit("r1", 5) == UnknownReservation()
        assert await purse.balance() == balance(1000, 700, 300, 0)


class TestExpiry:
    async def test_an_overdue_hold_goes_back(self, purse: Purse) -> None:
        await purse.expired("r1", 300)
        assert await purse.balance() == balance(1000, 1000, 0, 0)

    async def test_a_hold_in_time_stays(self, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        assert await purse.sweep() == 0
        assert await purse.balance() == balance(1000, 700, 300, 0)

    async def test_a_late_commit_is_charged_and_says_so(self, purse: Purse) -> None:
        await purse.expired("r1", 300)
        late = Settled(charged=250, available=750, late=True)
        assert await purse.commit("r1", 250) == late
        assert await purse.commit("r1", 250) == UnknownReservation()
        assert await purse.balance() == balance(1000, 750, 0, 250)

    async def test_a_late_commit_owes_what_is_no_longer_there(self, purse: Purse) -> None:
        await purse.expired("r1", 800)
        await purse.reserve("r2", 900)
        late = await purse.commit("r1", 800)
        assert late == Settled(charged=800, available=0, owed=700, late=True)
        assert await purse.balance() == balance(1000, 0, 900, 100, 700)

    async def test_a_late_release_changes_nothing(self, purse: Purse) -> None:
        await purse.expired("r1", 300)
        assert await purse.release("r1") == UnknownReservation()
        assert await purse.balance() == balance(1000, 1000, 0, 0)
        assert await purse.commit("r1", 250) == Settled(charged=250, available=750, late=True)

    async def test_a_reserve_after_it_holds_nothing(self, purse: Purse) -> None:
        await purse.expired("r1", 300)
        assert await purse.reserve("r1", 300, ttl_ms=1) == Ended()
        await purse.commit("r1", 250)
        assert await purse.reserve("r1", 300, ttl_ms=1) == Ended()
        assert await purse.balance() == balance(1000, 750, 0, 250)

    async def test_what_ended_long_ago_is_forgotten_in_bounded_steps(self, purse: Purse, lane: Lane) -> None:
        """Marks of releases that came first and expired holds, as they are when their time is over."""
        await purse.expired("r1", 10)
        await purse.release("r2")
        await purse.reserve("r3", 10)
        keys = Keys(TENANT, ENVIRONMENT)
        place, partition = keys.of(purse.customer_id), keys.partition(purse.customer_id)
        for number in range(3):
            await lane.execute("ZADD", place.due, -1000 - number, f"over {number}")
            await lane.execute("ZADD", place.expired, 1000 + number, f"over {number}")
        left = []
        for _ in range(3):
            await purse.ledger.sweep(partition, 2)
            left.append([await lane.execute("ZCARD", key) for key in (place.due, place.expired)])
        assert left == [[4, 2], [3, 1], [3, 1]]
        assert await purse.commit("r1", 10) == Settled(charged=10, available=980, late=True)
        assert await purse.reserve("r2", HELD) == Ended()

    async def test_a_sweep_is_bounded(self, purse: Purse) -> None:
        for number in range(5):
            await purse.reserve(f"r{number}", 1, ttl_ms=1)
        partition = Keys(TENANT, ENVIRONMENT).partition(purse.customer_id)
        swept: list[int] = []

        async def all_swept() -> bool:
            swept.append(await purse.ledger.sweep(partition, 2))
            return sum(swept) == 5

        await until_async(all_swept, "all holds to expire")
        assert max(swept) == 2


class TestGrants:
    async def test_a_repeated_grant_is_answered_as_the_first(self, purse: Purse) -> None:
        first = await purse.grant(500, "k")
        await purse.reserve("r1", 100)
        again = await purse.grant(500, "k")
        assert (again.grant_id, again.balance, again.replayed) == (first.grant_id, first.balance, True)
        assert await purse.balance() == balance(1500, 1400, 100, 0)

    async def test_the_key_of_another_request_is_refused(self, purse: Purse) -> None:
        await purse.grant(500, "k", fingerprint="aa")
        with pytest.raises(IdempotencyMismatch, match="new key"):
            await purse.grant(501, "k", fingerprint="bb")
        assert (await purse.balance()).granted == 1500

    async def test_an_overflow_changes_nothing(self, purse: Purse) -> None:
        with pytest.raises(AmountOverflow, match="1000 base units of credits so far"):
            await purse.grant(MAX_AMOUNT - 999, "k")
        assert await purse.balance() == balance(1000, 1000, 0, 0)
        await purse.grant(MAX_AMOUNT - 1000, "k")

    async def test_a_grant_to_nobody_is_refused(self, purse: Purse) -> None:
        with pytest.raises(NotFound, match=NOBODY):
            await Purse(purse.ledger, NOBODY, "x").grant(1)


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
async def test_an_amount_out_of_range_never_leaves(purse: Purse, lane: Lane, amount: int) -> None:
    before = lane.commands_total
    for attempt in (purse.reserve("r1", amount), purse.commit("r1", amount), purse.grant(amount)):
        with pytest.raises(InvalidInput):
            await attempt
    assert lane.commands_total == before


async def test_a_hold_without_a_life_is_refused(purse: Purse) -> None:
    with pytest.raises(InvalidInput, match="at least 1 ms"):
        await purse.reserve("r1", 1, ttl_ms=0)


async def test_a_unit_with_a_space_is_refused(purse: Purse) -> None:
    with pytest.raises(InvalidInput, match="unit"):
        await purse.reserve("r1", 1, unit="my credits")


async def test_an_id_with_a_space_is_refused(purse: Purse) -> None:
    for attempt in (purse.reserve("r 1", 1), purse.commit("r 1", 1), purse.release("r 1")):
        with pytest.raises(InvalidInput, match="reservation id"):
            await attempt
    with pytest.raises(InvalidInput, match="grant id"):
        await purse.ledger.grant(
            customer_id=purse.customer_id,
            unit=UNIT,
            amount=1,
            grant_id="g 1",
            source="",
            reason="",
            once=Once("k", "f"),
        )


async def test_balances_of_nobody_are_not_found(purse: Purse) -> None:
    with pytest.raises(NotFound, match=NOBODY):
        await purse.ledger.balances(NOBODY)


async def test_reserve_and_commit_are_one_command_each(purse: Purse, lane: Lane) -> None:
    before = lane.commands_total
    await purse.reserve("r1", 300)
    assert lane.commands_total == before + 1
    await purse.commit("r1", 300)
    assert lane.commands_total == before + 2
