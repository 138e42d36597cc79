"""Writing accounts and customers into an empty store, on real servers and in a real cluster."""

import msgspec
import pytest

from sidecar.domain.blocks import BLOCKS_MAX, Block, BlockState, Grant
from sidecar.domain.errors import Conflict
from sidecar.domain.history import AccountState, BusinessKey, CustomerState, KeyState
from sidecar.domain.ids import new_id, partition_of
from sidecar.domain.journal import Totals
from sidecar.domain.once import Once
from sidecar.domain.periods import PastPeriods
from sidecar.store.accounts import Accounts
from sidecar.store.audit import Audit
from sidecar.store.customers import Customers, PoolShare
from sidecar.store.lane import Lane
from sidecar.store.restore import Restore
from tests.support.clock import StoreClock
from tests.support.store import StoreServer
from tests.support.town import ENVIRONMENT, NOW_MS, TENANT, UNIT

ALICE, BOB = (new_id("cus", NOW_MS, bytes([0] * 9 + [number])) for number in (1, 2))


@pytest.fixture
def restore(clock: StoreClock, lane: Lane) -> Restore:
    return Restore(lane, tenant=TENANT, environment=ENVIRONMENT)


@pytest.fixture
def accounts(lane: Lane) -> Accounts:
    return Accounts(lane, tenant=TENANT, environment=ENVIRONMENT)


@pytest.fixture
def customers(lane: Lane) -> Customers:
    return Customers(lane, tenant=TENANT, environment=ENVIRONMENT)


def block(number: int, amount: int, state: BlockState = BlockState.ACTIVE, **terms: object) -> Block:
    grant = {"block_id": f"blk_{number}", "unit": UNIT, "amount": amount, "source": "test", **terms}
    return Block(
        number=number,
        grant=msgspec.convert(grant, Grant),
        state=state,
        granted=amount,
        available=amount,
        held=0,
        lapsed=0,
        created_at_ms=NOW_MS,
        starts_at_ms=NOW_MS,
        expires_at_ms=None,
    )


def account(*blocks: Block, spent: int = 0, owed: int = 0) -> AccountState:
    granted = sum(each.granted for each in blocks) + spent
    return AccountState(
        unit=UNIT,
        seq=7,
        entry_id="ent_0",
        hash="",
        totals=Totals(granted=granted, available=granted - spent, spent=spent, owed=owed),
        last_number=max((each.number for each in blocks), default=0),
        blocks=blocks,
    )


def customer(customer_id: str = ALICE, external_id: str = "alice", **rest: object) -> CustomerState:
    data: dict[str, object] = {
        "customer_id": customer_id,
        "external_id": external_id,
        "display_name": "",
        "status": "active",
        "created_at_ms": NOW_MS,
    }
    partition = partition_of(TENANT, ENVIRONMENT, customer_id)
    return msgspec.structs.replace(CustomerState(customer_id=customer_id, partition=partition, data=data), **rest)


async def test_an_account_with_as_many_blocks_as_it_can_have(restore: Restore, accounts: Accounts) -> None:
    blocks = [
        block(number, number, priority=300 - number, eligible_features=(f"f{number}",), series=f"s{number}")
        for number in range(1, BLOCKS_MAX)
    ]
    assert await restore.account(ALICE, account(*blocks, block(BLOCKS_MAX, 5)), (), {}, {}, PastPeriods(), "0-0")
    assert await restore.customer(customer())
    (found,) = await accounts.accounts(ALICE)
    assert [each.number for each in found.blocks] == [BLOCKS_MAX, *range(BLOCKS_MAX - 1, 0, -1)]
    assert [each.grant for each in found.blocks] == [
        block(BLOCKS_MAX, 5).grant,
        *(each.grant for each in reversed(blocks)),
    ]
    assert (found.seq, found.totals.available) == (7, sum(range(1, BLOCKS_MAX)) + 5)
    assert not await restore.account(ALICE, account(block(1, 99)), (), {}, {}, PastPeriods(), "0-0")
    assert await accounts.accounts(ALICE) == [found]
    grant = msgspec.structs.replace(block(1, 1).grant, block_id="blk_new")
    with pytest.raises(Conflict, match="256 live blocks"):
        await accounts.grant(ALICE, grant, Once("k", "f0"))


async def test_debt_is_paid_out_of_what_came_back_but_not_out_of_restricted_blocks(
    restore: Restore, accounts: Accounts
) -> None:
    blocks = block(1, 30, eligible_features=("chat",)), block(2, 50, BlockState.VOIDED), block(3, 40)
    await restore.account(ALICE, account(*blocks, owed=70), (), {}, {}, PastPeriods(), "0-0")
    await restore.customer(customer())
    (found,) = await accounts.accounts(ALICE)
    assert found.totals == Totals(granted=120, available=50, spent=70)
    assert {each.number: each.available for each in found.blocks} == {1: 30, 3: 20}
    assert found.seq == 9


async def test_an_account_that_does_not_add_up_is_not_made(restore: Restore, accounts: Accounts) -> None:
    unsound = account(block(1, 10), spent=5)
    wrong = msgspec.structs.replace(unsound, totals=Totals(granted=15, spent=6))
    with pytest.raises(Conflict, match="9 base units of credits left by its totals, and 10 by its blocks"):
        await restore.account(ALICE, wrong, (), {}, {}, PastPeriods(), "0-0")
    await restore.customer(customer())
    assert await accounts.accounts(ALICE) == []


async def test_a_customer_with_keys_and_caps(restore: Restore, customers: Customers, clock: StoreClock) -> None:
    details = {"credential": "key:x", "name": "laptop", "hint": "sk_…", "created_at_ms": 5}
    keys = tuple(
        KeyState(key_id=f"key_{number}", revoked=number == 2, data={"key_id": f"key_{number}", **details})
        for number in (1, 2)
    )
    member = _neighbour(ALICE)
    await restore.account(ALICE, account(block(1, 10), spent=30), (), {member: 30}, {}, PastPeriods(), "0-0")
    assert await restore.customer(customer(keys=keys))
    data = {**(customer(member, "bob").data or {}), "parent_id": ALICE}
    assert await restore.customer(customer(member, "bob", data=data, pool_caps={UNIT: 90, "tokens": None}))
    assert [key.key_id for key in await customers.keys(ALICE)] == ["key_1"]
    assert (await customers.get(member)).parent_id == ALICE
    assert await customers.pool_share(member, UNIT) == PoolShare(unit=UNIT, cap=90, held=0, spent=30)
    assert await customers.pool_share(member, "tokens") == PoolShare(unit="tokens", cap=None, held=0, spent=0)
    await customers.revoke_key(ALICE, "key_1")
    assert not await restore.customer(customer(keys=keys))
    assert await customers.keys(ALICE) == []


def _neighbour(customer_id: str) -> str:
    partition = partition_of(TENANT, ENVIRONMENT, customer_id)
    ids = (new_id("cus", NOW_MS, number.to_bytes(10, "big")) for number in range(100, 10_000))
    return next(each for each in ids if partition_of(TENANT, ENVIRONMENT, each) == partition)


async def test_an_external_id_that_another_has(restore: Restore, customers: Customers) -> None:
    assert await restore.customer(customer())
    with pytest.raises(Conflict, match="belongs to"):
        await restore.customer(customer(BOB))
    assert await customers.resolve("alice") == ALICE


async def test_a_record_that_cannot_be_read(restore: Restore) -> None:
    with pytest.raises(Conflict, match="cannot be read"):
        await restore.customer(customer(data={"external_id": 5}))
    with pytest.raises(Conflict, match="a key"):
        await restore.customer(customer(keys=(KeyState(key_id="key_1", revoked=False, data={}),)))


async def test_business_keys_stay_used(restore: Restore, accounts: Accounts) -> None:
    granted = block(1, 10, dedup_key="once", external_payment_id="pay 1")
    used = [
        BusinessKey(name=name, key=key, unit=UNIT, amount=10, grant=granted.grant)
        for name, key in (("dedup_key", "once"), ("external_payment_id", "pay 1"))
    ]
    await restore.account(ALICE, account(granted), used, {}, {}, PastPeriods(), "9-1")
    await restore.customer(customer())
    again = await accounts.grant(ALICE, granted.grant, Once("k", "f0"))
    assert (again.duplicate, again.block_id, again.amount, again.entry) == (True, "blk_1", 10, "9-1")


async def test_whether_it_has_begun(restore: Restore, shared_store: StoreServer) -> None:
    assert not await restore.begun()
    await restore.begin()
    assert await restore.begun()
    await restore.end()
    assert not await restore.begun()


async def test_in_a_cluster(cluster_lane: Lane) -> None:
    """Customers of every partition are made and found again, wherever their partition lies."""
    restore = Restore(cluster_lane, tenant=TENANT, environment=ENVIRONMENT)
    audit = Audit(cluster_lane, tenant=TENANT, environment=ENVIRONMENT, holds_at_once=0)
    ids = [new_id("cus", NOW_MS, number.to_bytes(10, "big")) for number in range(60)]
    for number, customer_id in enumerate(ids):
        assert await restore.account(customer_id, account(block(1, 5)), (), {}, {}, PastPeriods(), "0-0")
        assert await restore.customer(customer(customer_id, f"customer {number}"))
    for partition in {audit.partition(each) for each in ids}:
        names = {name async for name in audit.names(partition)}
        assert names == {(each, unit) for each in ids if audit.partition(each) == partition for unit in ("", UNIT)}
    books = await audit.payer(ids[0])
    assert books.accounts[UNIT].totals.available == 5
