"""What the ledger's own scripts write is what the journal's reader understands."""

from collections.abc import Sequence
from itertools import pairwise

from sidecar.domain.blocks import Grant
from sidecar.domain.journal import Kind, Line, Move, Moved, Record
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Reserved, Settled
from sidecar.store.accounts import Accounts
from sidecar.store.customers import Customers
from sidecar.store.hold_record import HoldRecord
from sidecar.store.journal import START, Journal
from sidecar.store.lane import Lane
from sidecar.store.ledger import FINAL, CommitTerms, Ledger
from tests.support.lines import ENVIRONMENT, TENANT
from tests.support.until import until_async

NOW_MS = 1_700_000_000_000
USAGE, SOURCE = "input_tokens=1 output_tokens=2", "reported"


class Shop:
    """One customer, and every face of the ledger."""

    def __init__(self, lane: Lane) -> None:
        names = {"tenant": TENANT, "environment": ENVIRONMENT}
        self.ledger, self.accounts = Ledger(lane, **names), Accounts(lane, **names)
        self.customers, self.journal = Customers(lane, **names), Journal(lane, **names)
        self.customer_id = ""

    async def open(self) -> None:
        customer, _ = await self.customers.create(external_id="alice", now_ms=NOW_MS)
        self.customer_id = customer.customer_id

    async def grant(self, number: int, amount: int, unit: str = "credits", **terms: int) -> None:
        grant = Grant(block_id=f"blk_{number}", unit=unit, amount=amount, source="test", **terms)  # type: ignore[arg-type]  # Only fields that are numbers are given.
        await self.accounts.grant(self.customer_id, grant, Once(f"grant {number}", "aa"), {"actor": "ops"})

    async def reserve(self, reservation_id: str, *parts: tuple[str, int], ttl_ms: int = 60_000) -> HoldRecord:
        record = self.ledger.hold(self.customer_id, reservation_id, parts, ttl_ms, "chat", "a-rule")
        assert isinstance(await self.ledger.reserve(record, "external:alice"), Reserved)
        return record

    async def commit(self, record: HoldRecord, cost: int, terms: CommitTerms = FINAL) -> None:
        assert isinstance(await self.ledger.commit(record, cost, USAGE, SOURCE, terms), Settled)

    async def read(self) -> Sequence[Line | Record]:
        return await self.journal.read(self.journal.partition(self.customer_id), START, 1000)

    async def lines(self, unit: str = "credits") -> list[Line]:
        return [line for line in await self.read() if isinstance(line, Line) and line.unit == unit]


async def shop_of(lane: Lane) -> Shop:
    shop = Shop(lane)
    await shop.open()
    return shop


async def test_grants_and_what_becomes_of_blocks(lane: Lane) -> None:
    shop = await shop_of(lane)
    await shop.grant(1, 100, priority=-3)
    await shop.grant(2, 50)
    await shop.accounts.extend(shop.customer_id, "credits", "blk_1", 9_000_000_000_000, Once("e", "aa"), {"why": "x"})
    await shop.accounts.void(shop.customer_id, "credits", "blk_2", Once("v", "aa"), {"reason": "a mistake"})
    granted, second, extended, voided = await shop.lines()
    assert [each.kind for each in (granted, second, extended, voided)] == [
        Kind.GRANT, Kind.GRANT, Kind.EXTENSION, Kind.VOID,
    ]  # fmt: skip
    assert granted.grant is not None
    assert (granted.grant.block_id, granted.grant.amount, granted.grant.priority) == ("blk_1", 100, -3)
    assert granted.moves == (Move(Moved.GRANTED, 1, 100),)
    assert granted.detail == {"actor": "ops"}
    assert (granted.block and granted.block.expires_at_ms, granted.block and granted.block.priority) == (None, -3)
    assert extended.block is not None
    assert (extended.block.expires_at_ms, extended.detail) == (9_000_000_000_000, {"why": "x"})
    assert voided.block is not None
    assert (voided.block.state, voided.block.lapsed, voided.moves) == ("voided", 50, (Move(Moved.VOIDED, 2, 50),))
    assert (voided.after.voided, voided.after.available) == (50, 100)


async def test_the_ends_of_holds(lane: Lane) -> None:
    shop = await shop_of(lane)
    await shop.grant(1, 1000)
    await shop.grant(2, 77, unit="tokens")
    await shop.commit(await shop.reserve("r1", ("credits", 30), ("tokens", 7)), 20, CommitTerms(others=(9,)))
    stepped = await shop.reserve("r2", ("credits", 100))
    await shop.commit(stepped, 40, CommitTerms(step=1))
    await shop.commit(stepped, 5)
    await shop.ledger.release(await shop.reserve("r3", ("credits", 11)), "the upstream failed")
    late = await shop.reserve("r4", ("credits", 12), ttl_ms=1)
    partition = shop.journal.partition(shop.customer_id)

    async def expired() -> bool:
        await shop.ledger.sweep(partition, 10)
        return (await shop.lines())[-1].kind is Kind.HOLD_EXPIRY

    await until_async(expired, "the hold to expire")
    await shop.commit(late, 3)
    _, commit, step, final, release, expiry, late_commit = lines = await shop.lines()
    assert [line.kind for line in lines[1:]] == [
        Kind.COMMIT, Kind.STEP_COMMIT, Kind.COMMIT, Kind.RELEASE, Kind.HOLD_EXPIRY, Kind.LATE_COMMIT,
    ]  # fmt: skip
    assert commit.hold is not None
    assert (commit.hold.reservation_id, commit.hold.held, commit.charged) == ("r1", 30, 20)
    assert (commit.hold.feature, commit.hold.rule) == ("chat", "a-rule")
    assert (commit.usage, commit.source, commit.moves) == (USAGE, SOURCE, (Move(Moved.SPENT, 1, 20),))
    (tokens,) = [line for line in await shop.lines("tokens") if line.kind is Kind.COMMIT]
    assert tokens.hold is not None
    assert (tokens.hold.held, tokens.charged, tokens.hold.reserved_at_ms) == (7, 9, commit.hold.reserved_at_ms)
    assert 0 <= commit.position.ms - commit.hold.reserved_at_ms < 60_000
    assert (step.hold and step.hold.held, final.hold and final.hold.held) == (100, 60)
    assert final.hold is not None
    assert (final.hold.charged_before, final.charged) == (40, 5)
    assert release.hold is not None
    assert (release.hold.held, release.reason, release.charged) == (11, "the upstream failed", 0)
    assert expiry.hold is not None
    assert late_commit.hold is not None
    assert (expiry.hold.held, late_commit.hold.held, late_commit.charged) == (12, 0, 3)
    assert all(line.after.balanced for line in lines)
    assert all(after.seq == before.seq + 1 for before, after in pairwise(lines))


async def test_records_of_customers_and_pools(lane: Lane) -> None:
    shop = await shop_of(lane)
    member, _ = await shop.customers.create(external_id="bob", now_ms=NOW_MS, parent_id=shop.customer_id)
    await shop.customers.set_pool_cap(member.customer_id, "credits", 50)
    records = [line for line in await shop.read() if isinstance(line, Record)]
    assert [(each.what, each.customer_id) for each in records] == [
        ("customer", shop.customer_id), ("customer", member.customer_id), ("pool_cap", member.customer_id),
    ]  # fmt: skip
    assert records[0].data["external_id"] == "alice"
