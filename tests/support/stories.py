"""A story in which everything happens that can happen to accounts, told to a town."""

from msgspec.structs import replace

from sidecar.domain.outcomes import Overrun
from sidecar.domain.overage import Overage, OveragePolicy
from sidecar.domain.proxy_keys import KeyLimits, KeyRate
from sidecar.domain.spend_caps import CapScope, Window
from tests.support.clock import StoreClock
from tests.support.town import UNIT, Town

HOUR_MS = 3_600_000


async def everything(town: Town, clock: StoreClock) -> None:
    """Ends with holds that are open, blocks of every kind, debt, and members that have spent."""
    await _people(town)
    blocks = await _blocks(town, clock)
    await _requests(town)
    await _time(town, clock, blocks)
    await _debt(town)
    await _open_ends(town, clock)


async def _people(town: Town) -> None:
    for name in ("alice", "dora", "emil"):
        await town.customer(name)
    for member in ("bob", "carol"):
        await town.customer(member, parent="alice")
        await town.customers.set_pool_cap(town.ids[member], UNIT, 5000)
    await town.customers.set_pool_cap(town.ids["carol"], UNIT, None)
    town.secrets["laptop"] = (await town.customers.create_key(town.ids["alice"], name="laptop", now_ms=1))[1]
    rated = KeyLimits(features=("chat", "draw"), rate=KeyRate(requests=9, period_ms=1000, burst=9))
    rolling, _ = await town.customers.create_key(town.ids["alice"], name="rolling", now_ms=3, limits=rated)
    await town.customers.rotate_key(town.ids["alice"], rolling.key_id, now_ms=4, grace_ms=HOUR_MS)
    lost, _ = await town.customers.create_key(town.ids["alice"], name="lost", now_ms=2)
    await town.customers.revoke_key(town.ids["alice"], lost.key_id)
    await town.cap_spend("alice", "month", 8000, window=Window.MONTH)
    await town.cap_spend("alice", "chat", 800, rolling_ms=400 * HOUR_MS, scope=CapScope.FEATURE, of="chat")
    await town.cap_spend("bob", "bob", 4900, window=Window.MONTH, tz="Europe/Berlin", blocks=False, warn_at=(50, 100))
    await town.cap_spend("carol", "gone", 1, window=Window.HOUR)
    await town.spend_caps.remove(town.ids["alice"], town.ids["carol"], UNIT, "cap_gone")


async def _blocks(town: Town, clock: StoreClock) -> dict[str, str | None]:
    now = clock.now_ms
    granted = {
        "first": await town.grant("alice", 1000, priority=2, expires_at_ms=now + HOUR_MS),
        "paid": await town.grant("alice", 2000, priority=5, price_paid=1999, currency="EUR", metadata={"order": "7"}),
        "chat": await town.grant("alice", 500, priority=1, eligible_features=("chat",)),
        "later": await town.grant("alice", 300, starts_at_ms=now + 2 * HOUR_MS, expires_at_ms=now + 9 * HOUR_MS),
        "far": await town.grant("alice", 30, starts_at_ms=now + 999 * HOUR_MS),
        "capped": await town.grant("alice", 80, series="daily", cap=50, dedup_key="2023-11-14"),
        "tokens": await town.grant("alice", 9000, unit="tokens", external_payment_id="pay_1"),
        "tomorrow": await town.grant("alice", 21, starts_at_ms=now + 24 * HOUR_MS, duration_ms=HOUR_MS),
        "void": await town.grant("alice", 70, priority=9),
        "short": await town.grant("alice", 60, priority=0, expires_at_ms=now + HOUR_MS // 2),
    }
    after, lasting = granted["first"].block_id, 5 * HOUR_MS
    granted["queued"] = await town.grant("alice", 400, starts_after_block_id=after, duration_ms=lasting)
    paid = granted["paid"].block_id
    granted["waiting"] = await town.grant("alice", 11, starts_after_block_id=paid, priority=4)
    assert (await town.grant("alice", 80, series="daily", cap=50)).block_id is None
    return {name: each.block_id for name, each in granted.items()}


async def _requests(town: Town) -> None:
    await town.reserve("alice", "plain", 100)
    await town.commit("plain", 40)
    await town.reserve("bob", "members", 200, 30)
    await town.commit("members", 150, 12)
    await town.reserve("carol", "given-back", 200)
    await town.release("given-back")
    await town.reserve("alice", "for-chat", 300, feature="chat")
    await town.commit("for-chat", 290)
    await town.reserve("carol", "steps", 300, remember=True)
    await town.commit("steps", 100, step=1)
    await town.commit("steps", 50, step=2)
    await town.ledger.resize(town.holds["steps"], [400], 900_000)
    await town.commit("steps", 10)
    await town.commit("steps", 10)
    await town.reserve("alice", "nothing", 5)
    await town.commit("nothing", 0)
    await town.reserve("bob", "too-much", 10)
    await town.commit("too-much", 20, overrun=Overrun.REJECT)
    await town.commit("too-much", 25)


async def _time(town: Town, clock: StoreClock, blocks: dict[str, str | None]) -> None:
    """Blocks end, start, are voided and extended while holds keep slices; holds run out and are charged late."""
    await town.reserve("alice", "over-the-end", 900, ttl_ms=9 * HOUR_MS)
    await town.reserve("alice", "goes-back", 150, ttl_ms=9 * HOUR_MS)
    await town.reserve("bob", "forgotten", 60, ttl_ms=1000)
    await town.extend("alice", blocks["later"], None)
    clock.tick(HOUR_MS + 1)
    assert await town.sweep() >= 1
    await town.commit("forgotten", 33)
    await town.commit("over-the-end", 700)
    await town.release("goes-back")
    await town.reserve("alice", "of-the-void", 2400)
    await town.void("alice", blocks["void"])
    await town.void("alice", blocks["far"])
    await town.commit("of-the-void", 3)
    clock.tick(2 * HOUR_MS)
    await town.sweep()


async def _debt(town: Town) -> None:
    await town.grant("dora", 100)
    for reservation_id in ("r1", "r2"):
        await town.reserve("dora", reservation_id, 30)
    await town.commit("r1", 200)
    await town.commit("r2", 10)
    await town.grant("dora", 50)
    await town.grant("dora", 500, eligible_features=("chat",))
    await town.grant("dora", 1000)
    await town.grant("dora", 80, eligible_features=("vault",), series="weekly", cap=50)
    await town.reserve("dora", "capped", 10)
    await town.commit("capped", 10_000, overrun=Overrun.CAP)
    await town.grant("emil", 100)
    await town.reserve("emil", "held-in-debt", 40, ttl_ms=99 * HOUR_MS)
    await town.reserve("emil", "beyond", 10)
    await town.commit("beyond", 120)


async def _open_ends(town: Town, clock: StoreClock) -> None:
    """Holds that keep slices of blocks that are there, have ended and are voided."""
    long = 9 * HOUR_MS
    await town.reserve("alice", "still-open", 120, 40, ttl_ms=long)
    await town.reserve("bob", "open-too", 90, ttl_ms=long)
    await town.grant("alice", 40, priority=-5, expires_at_ms=clock.now_ms + HOUR_MS)
    voided = await town.grant("alice", 40, priority=-4)
    await town.reserve("alice", "keeps-both", 65, ttl_ms=long)
    await town.void("alice", voided.block_id)
    emil = town.ids["emil"]
    allowed = {UNIT: Overage(OveragePolicy.ALLOW, 9000), "tokens": Overage(OveragePolicy.BLOCK)}
    await town.customers.update(emil, lambda customer: replace(customer, overage=allowed))
    await town.reserve("emil", "in-overage", 70, ttl_ms=long)
    clock.tick(HOUR_MS)
    await town.sweep()
