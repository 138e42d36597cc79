"""What became of a block, live or not."""

from sidecar.archive.archive import Archive
from sidecar.domain.journal import Position
from tests.archive.teller import Clock, Teller


async def test_a_block_is_known_by_its_id(archive: Archive) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(100)], Position())
    block_id = (await anext(archive.account_states())).accounts[0].blocks[0].grant.block_id
    found = await archive.block(teller.customer_id, block_id)
    assert found is not None
    assert (found.unit, found.granted, found.spent, found.remaining, found.taken_back) == ("credits", 100, 0, 100, 0)
    assert found.grant.block_id == block_id
    assert await archive.block("cus_other", block_id) is None
