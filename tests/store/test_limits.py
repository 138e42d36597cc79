"""Limits as the scripts keep them: taken with the hold or not at all, given back with its end, exact to the tick."""

import asyncio
import random
from contextlib import AsyncExitStack
from fractions import Fraction

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Advance, Counter, Stand
from sidecar.domain.limits import TICKS_IN_MS, InFlight, Limit, Rate, Taking
from sidecar.domain.outcomes import CountersMoved, Ended, RefusalCode, Refused, Reserved, Settled, Waiting
from sidecar.store.hold_record import HoldRecord, held_again
from sidecar.store.lane import Lane
from sidecar.store.ledger import PaidBy, Patience
from tests.support.books import TTL_MS, UNIT, Purse, open_lane, open_member, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

SLOTS = InFlight(name="slots", bucket="slots", most=3)
SPEED = Rate(name="speed", bucket="speed", count=7, period_ms=1000, burst=3)
TOKENS = Rate(name="tokens", bucket="tokens", count=1000, period_ms=60_000, burst=200, of=("output_tokens",))
SEEDS = 25
STEPS = 80
_PARALLEL = 100


def slot(limit: InFlight = SLOTS) -> Taking:
    return Taking(limit, limit.bucket)


def units(limit: Rate = SPEED, count: int = 1) -> Taking:
    return Taking(limit, limit.bucket, limit.ticks(count))


def record(purse: Purse, name: str, *limits: Taking, amount: int = 1, ttl_ms: int = TTL_MS) -> HoldRecord:
    made = purse.ledger.hold(purse.customer_id, name, ((UNIT, amount),), ttl_ms, "", "a-rule", limits=limits)
    purse.records[name] = made
    return made


async def take(purse: Purse, name: str, *limits: Taking, amount: int = 1, ttl_ms: int = TTL_MS) -> Reserved | Refused:
    for _ in range(2):
        outcome = await purse.ledger.reserve(
            record(purse, name, *limits, amount=amount, ttl_ms=ttl_ms), purse.credential
        )
        if not isinstance(outcome, PaidBy):
            break
    assert isinstance(outcome, Reserved | Refused)
    return outcome


async def taken(purse: Purse, name: str, *limits: Taking, **terms: int) -> None:
    assert isinstance(await take(purse, name, *limits, **terms), Reserved)


async def refused(purse: Purse, name: str, *limits: Taking, **terms: int) -> tuple[RefusalCode, str, int]:
    outcome = await take(purse, name, *limits, **terms)
    assert isinstance(outcome, Refused), outcome
    assert outcome.limited is not None, outcome
    return outcome.code, outcome.limited.limit.name, outcome.limited.wait_ms


async def kept(purse: Purse) -> dict[str, str]:
    """All that the payer's hash has of limits."""
    place = purse.keys.of(purse.payer_id)
    flat: list[bytes] = await purse.lane.execute("HGETALL", place.customer)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): text.decode() for name, text in pairs if name.startswith((b"rate:", b"in_flight:"))}


async def test_slots_are_those_of_open_holds(purse: Purse) -> None:
    for name in ("a", "b", "c"):
        await taken(purse, name, slot())
    assert await refused(purse, "d", slot()) == (RefusalCode.CONCURRENCY_LIMITED, "slots", 0)
    await purse.commit("a", 1)
    await taken(purse, "d", slot())
    await purse.release("b")
    await taken(purse, "e", slot())
    assert isinstance(await take(purse, "f", slot()), Refused)
    for name in ("c", "d", "e"):
        await purse.commit(name, 1)
    assert await kept(purse) == {}
    await assert_right(purse)


async def test_a_repetition_takes_and_gives_back_nothing_twice(purse: Purse) -> None:
    for _ in range(3):
        await taken(purse, "a", slot(), units())
    assert (await kept(purse))["in_flight:slots"] == "1"
    for _ in range(3):
        await purse.commit("a", 1)
        await purse.release("a")
    assert "in_flight:slots" not in await kept(purse)
    assert isinstance(await purse.ledger.reserve(purse.records["a"], purse.credential), Ended)


async def test_its_own_hold_never_refuses_a_request(purse: Purse) -> None:
    one = InFlight(name="one", bucket="one", most=1)
    await taken(purse, "a", slot(one))
    assert isinstance(again := await take(purse, "a", slot(one)), Reserved)
    assert again.replayed


async def test_a_hold_that_is_kept_alive_keeps_its_slot(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", slot(), units(TOKENS, 200))
    clock.tick(TTL_MS - 1)
    assert isinstance(await purse.resize("a", 0, ttl_ms=TTL_MS), Reserved)
    clock.tick(TTL_MS - 1)
    assert await purse.sweep() == 0
    assert (await kept(purse))["in_flight:slots"] == "1"
    await purse.release("a")
    assert "in_flight:slots" not in await kept(purse)


async def test_who_dies_gives_its_slots_back_at_the_deadline(purse: Purse, clock: StoreClock) -> None:
    for name in ("a", "b", "c"):
        await taken(purse, name, slot())
    clock.tick(TTL_MS + 1)
    assert await purse.sweep() == 3
    assert await kept(purse) == {}
    await taken(purse, "d", slot())
    await purse.commit("a", 1)
    assert (await kept(purse))["in_flight:slots"] == "1"


async def test_a_retry_passes_at_the_moment_that_was_named_and_not_a_millisecond_before(
    purse: Purse, clock: StoreClock
) -> None:
    for name in ("a", "b", "c"):
        await taken(purse, name, units())
    code, limit, wait_ms = await refused(purse, "d", units())
    assert (code, limit, wait_ms) == (RefusalCode.RATE_LIMITED, "speed", 143)
    clock.tick(wait_ms - 1)
    assert await refused(purse, "d", units()) == (code, limit, 1)
    clock.tick(1)
    await taken(purse, "d", units())
    assert (await refused(purse, "e", units()))[2] == 143


async def test_one_that_refuses_takes_nothing_of_the_others(purse: Purse, clock: StoreClock) -> None:
    one = InFlight(name="one", bucket="one", most=1)
    await taken(purse, "a", slot(one))
    before = await kept(purse)
    assert await refused(purse, "b", units(), units(TOKENS, 50), slot(one)) == (
        RefusalCode.CONCURRENCY_LIMITED, "one", 0,
    )  # fmt: skip
    assert await kept(purse) == before
    outcome = await take(purse, "b", units(), slot(), amount=5000)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.limited) == (RefusalCode.INSUFFICIENT_CREDITS, None)
    assert await kept(purse) == before
    await purse.commit("a", 0)
    balance = await purse.balance()
    for name in ("b", "c", "d"):
        await taken(purse, name, units())
    assert (await refused(purse, "e", slot(), units()))[0] == RefusalCode.RATE_LIMITED
    assert "in_flight:slots" not in await kept(purse)
    assert (await purse.balance()).held == balance.held + 3


async def test_of_several_the_longest_wait_is_told(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", units(count=3), units(TOKENS, 200))
    assert await refused(purse, "b", units(), units(TOKENS, 10)) == (RefusalCode.RATE_LIMITED, "tokens", 600)


async def test_tokens_are_corrected_by_the_commit(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", units(TOKENS, 200))
    assert (await refused(purse, "b", units(TOKENS, 10)))[2] == 600
    purse.records["a"] = record(purse, "a", units(TOKENS, 100))
    await purse.commit("a", 1)
    await taken(purse, "b", units(TOKENS, 100))
    assert (await refused(purse, "c", units(TOKENS, 10)))[2] == 600
    purse.records["b"] = record(purse, "b", units(TOKENS, 300))
    await purse.commit("b", 1)
    assert (await refused(purse, "c", units(TOKENS, 10)))[2] == 12_600


async def test_tokens_of_what_was_not_served_come_back(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", units(TOKENS, 200), units(count=3))
    await purse.release("a")
    await taken(purse, "b", units(TOKENS, 200))
    assert (await refused(purse, "c", units()))[0] == RefusalCode.RATE_LIMITED


async def test_more_than_the_burst_passes_when_nothing_else_was_taken(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", units(TOKENS, 500))
    assert (await refused(purse, "b", units(TOKENS, 500)))[2] == 30_000
    clock.tick(30_000)
    await taken(purse, "b", units(TOKENS, 500))


async def test_members_of_a_pool_have_their_own(purse: Purse, clock: StoreClock) -> None:
    member, other = await open_member(purse, "bob"), await open_member(purse, "carol")
    one = InFlight(name="one", bucket="one", most=1)
    for who in (member, other, purse):
        await taken(who, f"{who.external_id}-1", slot(one), units(TOKENS, 200))
        assert isinstance(await take(who, f"{who.external_id}-2", slot(one)), Refused)
    for who in (member, other, purse):
        await who.release(f"{who.external_id}-1")
    assert not any(name.startswith("in_flight") for name in await kept(purse))


async def test_rates_that_are_over_are_forgotten(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", units(), units(TOKENS, 200))
    assert len(await kept(purse)) == 2
    await purse.commit("a", 1)
    clock.tick(TTL_MS + 1)
    await purse.sweep()
    assert await kept(purse) == {}
    assert not await purse.lane.execute("HEXISTS", purse.keys.of(purse.customer_id).customer, "rates")


async def test_a_hold_in_the_place_of_a_lost_one_takes_nothing_again(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", slot(), units(TOKENS, 200))
    clock.tick(TTL_MS + 1)
    await purse.sweep()
    again = held_again(purse.records["a"], "a.2", 1)
    assert isinstance(await purse.ledger.reserve(again, purse.credential), Reserved)
    assert not any(name.startswith("in_flight") for name in await kept(purse))
    await purse.ledger.commit(again, 1, "output_tokens=1", "reported")
    await assert_right(purse)


async def test_a_hundred_at_once_over_three_connections_get_exactly_the_burst(
    purse: Purse, store_url: str, clock: StoreClock
) -> None:
    wide = Rate(name="wide", bucket="wide", count=60, period_ms=60_000, burst=10)
    few = InFlight(name="few", bucket="few", most=7)
    async with AsyncExitStack() as stack:
        lanes = [await stack.enter_async_context(open_lane(store_url)) for _ in range(3)]
        purses = [purse.elsewhere(lane) for lane in lanes]

        async def admitted(kind: str, *limits: Taking) -> int:
            outcomes = await asyncio.gather(
                *(take(purses[index % 3], f"{kind}-{index}", *limits) for index in range(_PARALLEL))
            )
            return sum(isinstance(outcome, Reserved) for outcome in outcomes)

        assert await admitted("rate", units(wide)) == 10
        assert await admitted("slot", slot(few)) == 7
    await assert_right(purse)


async def test_on_a_cluster(cluster_lane: Lane) -> None:
    purse = await open_purse(cluster_lane, granted=1000)
    await taken(purse, "a", slot(), units(TOKENS, 200))
    assert (await refused(purse, "b", slot(), units(TOKENS, 200)))[0] == RefusalCode.RATE_LIMITED
    await purse.commit("a", 1)
    assert "in_flight:slots" not in await kept(purse)


class Model:
    """What the limits do, in exact fractions of a millisecond."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.ends: dict[str, Fraction] = {}
        self.open: dict[str, tuple[Taking, ...]] = {}

    def take(self, name: str, takings: tuple[Taking, ...]) -> tuple[str, int] | None:
        """By which limit it is refused, and for how long."""
        waits: list[tuple[Fraction, str]] = []
        full = ""
        for each in takings:
            if isinstance(each.limit, Rate):
                burst = each.limit.burst_ticks
                at = max(self._end(each), Fraction(self.now_ms))
                room_at = at + Fraction(min(each.ticks, burst) - burst, TICKS_IN_MS)
                if room_at > self.now_ms and room_at > max([Fraction(0), *(at for at, _ in waits)]):
                    waits.append((room_at, each.limit.name))
            elif self._in_flight(each.bucket) >= each.limit.most:
                full = full or each.limit.name
        if waits:
            room_at, limit = max(waits)
            return limit, -((self.now_ms - room_at) // 1)
        if full:
            return full, 0
        self.open[name] = takings
        for each in takings:
            if isinstance(each.limit, Rate):
                self._put_off(each, each.ticks)
        return None

    def end(self, name: str, really: dict[str, int]) -> None:
        for each in self.open.pop(name):
            if isinstance(each.limit, Rate) and each.limit.of and each.bucket in really:
                self._put_off(each, really[each.bucket] - each.ticks)

    def _put_off(self, taking: Taking, ticks: int) -> None:
        end = self._end(taking)
        if ticks > 0 or end > self.now_ms:
            start = max(end, Fraction(self.now_ms)) if ticks > 0 else end
            self.ends[taking.bucket] = start + Fraction(ticks, TICKS_IN_MS)

    def _end(self, taking: Taking) -> Fraction:
        return self.ends.get(taking.bucket, Fraction(0))

    def _in_flight(self, bucket: str) -> int:
        return sum(each.bucket == bucket and not each.ticks for takings in self.open.values() for each in takings)


LIMITS: tuple[Limit, ...] = (SLOTS, SPEED, TOKENS, InFlight(name="more", bucket="more", most=5))


async def test_as_a_model_through_many_random_lives(lane: Lane, clock: StoreClock) -> None:
    for seed in range(SEEDS):
        await _live(await open_purse(lane, f"customer-{seed}", granted=10_000), clock, random.Random(seed))


async def _live(purse: Purse, clock: StoreClock, dice: random.Random) -> None:
    model = Model()
    for step in range(STEPS):
        model.now_ms = clock.now_ms
        action = dice.choices(("take", "commit", "release", "tick", "die"), (10, 4, 2, 5, 1))[0]
        if action == "take":
            chosen = [limit for limit in LIMITS if dice.random() < 0.6]
            asked = tuple(
                slot(each) if isinstance(each, InFlight) else units(each, dice.randint(1, 300) if each.of else 1)
                for each in chosen
            )
            outcome = await take(purse, f"r{step}", *asked)
            got = (
                (outcome.limited.limit.name, outcome.limited.wait_ms)
                if isinstance(outcome, Refused) and outcome.limited is not None
                else None
            )
            assert got == model.take(f"r{step}", asked)
            assert isinstance(outcome, Reserved) == (got is None)
        elif action == "tick":
            clock.tick(dice.choice((1, 7, 142, 143, 1000, 5000)))
        elif action == "die":
            clock.tick(TTL_MS + 1)
            await purse.sweep()
            model.now_ms = clock.now_ms
            for name in list(model.open):
                model.end(name, {})
        elif model.open:
            name = dice.choice(list(model.open))
            if action == "release":
                await purse.release(name)
                model.end(name, {TOKENS.bucket: 0})
                continue
            used = dice.randint(0, 400)
            now = tuple(each.corrected({"output_tokens": used}) for each in model.open[name])
            purse.records[name] = record(purse, name, *now)
            await purse.commit(name, 1)
            model.end(name, {TOKENS.bucket: TOKENS.ticks(used)})
    await assert_right(purse)


async def test_who_settles_without_knowing_of_limits_gives_slots_back_and_leaves_estimates(
    purse: Purse, clock: StoreClock
) -> None:
    await taken(purse, "a", slot(), units(TOKENS, 200))
    record(purse, "a")
    await purse.commit("a", 1)
    assert "in_flight:slots" not in await kept(purse)
    assert (await refused(purse, "b", units(TOKENS, 10)))[2] == 600


async def test_a_request_that_waits_takes_its_limits_when_it_is_let_in(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "a", amount=900)
    waiting = record(purse, "b", slot(), units(), amount=500)
    patience = Patience(wait_ms=1000, queue_max=10)
    assert isinstance(await purse.ledger.reserve_in_turn(waiting, purse.credential, patience), Waiting)
    assert await kept(purse) == {}
    await purse.release("a")
    assert isinstance(await purse.ledger.reserve_in_turn(waiting, purse.credential, patience), Reserved)
    assert (await kept(purse))["in_flight:slots"] == "1"
    await purse.release("b")
    await assert_right(purse)


async def test_beside_counters(purse: Purse, clock: StoreClock) -> None:
    pages = Counter("pages@ever", MAX_AMOUNT)
    both = (slot(), units(TOKENS, 200))
    made = purse.ledger.hold(
        purse.customer_id, "a", ((UNIT, 10),), TTL_MS, "", "a-rule", claims=(Advance(pages, 3),), limits=both
    )
    reserved = await purse.ledger.reserve_and_claim(made, purse.credential)
    assert isinstance(reserved, Reserved)
    assert reserved.stands == (Stand(0, 3),)
    assert reserved.limits == ((SLOTS, 1), (TOKENS, TOKENS.ticks(200)))
    other = msgspec.structs.replace(made, reservation_id="b", packed_id=record(purse, "b").packed_id)
    outcome = await purse.ledger.reserve_and_claim(other, purse.credential)
    assert isinstance(outcome, CountersMoved)
    assert outcome.refused is not None
    assert outcome.refused.code is RefusalCode.RATE_LIMITED
    assert isinstance(await purse.ledger.commit_and_count(made, 5, "u", "reported", [Advance(pages, 2)]), Settled)
    assert "in_flight:slots" not in await kept(purse)
    await assert_right(purse)
