"""What the archive knows of each customer."""

from sidecar.archive.archive import Archive
from sidecar.domain.blocks import BlockState
from sidecar.domain.history import CustomerState
from sidecar.domain.journal import Line, Position, Record
from tests.archive.teller import Clock, Teller

START = Position()


async def states(
    archive: Archive, *, partition: int | None = None, customer_id: str | None = None
) -> list[CustomerState]:
    return [each async for each in archive.account_states(partition=partition, customer_id=customer_id)]


async def test_an_empty_archive_knows_nobody(archive: Archive) -> None:
    assert await states(archive) == []
    assert await states(archive, customer_id="cus_a") == []


async def test_a_customer_with_all_that_is_its_own(archive: Archive) -> None:
    clock = Clock()
    credit, tokens = Teller(clock), Teller(clock, unit="tokens")
    lines: list[Line | Record] = [
        credit.record("customer", external_id="acme", status="active"),
        credit.record("key", key_id="key_1", credential="key:x"),
        credit.grant(100, dedup_key="first", price_paid=900, currency="EUR"),
        credit.grant(50, priority=-2, ends_at_ms=clock.now_ms + 9),
        credit.grant(20, external_payment_id="pay_1"),
        credit.commit((1, 30), (3, 20)),
        tokens.grant(7),
        credit.void(2),
        credit.record("key_revoked", key_id="key_1"),
        credit.record("pool_cap", unit="credits", cap="-1"),
    ]
    await archive.append(3, lines, START)
    (state,) = await states(archive)
    assert (state.customer_id, state.partition) == ("cus_a", 3)
    assert state.data == {"external_id": "acme", "status": "active"}
    assert [(key.key_id, key.revoked, key.data["credential"]) for key in state.keys] == [("key_1", True, "key:x")]
    assert state.pool_caps == {"credits": None}
    credits_, tokens_ = state.accounts
    assert (credits_.unit, credits_.seq, credits_.totals, credits_.last_number) == ("credits", 5, credit.totals, 3)
    assert (tokens_.unit, tokens_.seq, tokens_.last_number) == ("tokens", 1, 1)
    entry = (await archive.entries(limit=1000)).items[-6]
    assert len(credits_.hash) == 64
    assert entry.entry_id <= credits_.entry_id
    # Blocks that are used up or voided are not live.
    (block,) = credits_.blocks
    assert (block.number, block.available, block.spent, block.state) == (1, 70, 30, BlockState.ACTIVE)
    assert (block.grant.price_paid, block.grant.currency) == (900, "EUR")
    # A business key is good for one grant for ever, whatever became of its block.
    assert [(key.name, key.key, key.amount, key.grant.block_id) for key in state.business_keys] == [
        ("dedup_key", "first", 100, "blk_cus_a_credits_1"),
        ("external_payment_id", "pay_1", 20, "blk_cus_a_credits_3"),
    ]


async def test_a_customer_without_a_record_is_known_by_its_account(archive: Archive) -> None:
    await archive.append(3, [Teller(Clock()).grant(5)], START)
    (state,) = await states(archive)
    assert (state.data, state.keys, [account.unit for account in state.accounts]) == (None, (), ["credits"])


async def test_all_customers_come_once_and_in_order(archive: Archive) -> None:
    expected = []
    for partition in (3, 4):
        clock = Clock(partition)
        tellers = [Teller(clock, f"cus_{partition}_{number:03d}") for number in range(130)]
        lines: list[Line | Record] = []
        for number, teller in enumerate(tellers):
            if number % 3:
                lines.append(teller.record("customer", number=number))
            if number % 3 != 1:
                lines.append(teller.grant(number + 1))
        await archive.append(partition, lines, START)
        expected.append([teller.customer_id for teller in tellers])
    assert [state.customer_id for state in await states(archive)] == sorted([*expected[0], *expected[1]])
    for partition, ids in zip((3, 4), expected, strict=True):
        assert [state.customer_id for state in await states(archive, partition=partition)] == ids
    (one,) = await states(archive, customer_id="cus_4_007")
    assert one.customer_id == "cus_4_007"
    assert await states(archive, partition=3, customer_id="cus_4_007") == []
