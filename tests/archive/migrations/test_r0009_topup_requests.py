"""A ledger from before there were requests for top-ups asks from then on."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.auto_topups import RequestFilter
from sidecar.domain.journal import Position
from tests.archive.databases import rewind
from tests.archive.teller import Clock, Teller
from tests.archive.test_topup_requests import watch


async def test_it_asks_from_then_on(archive: Archive, archive_url: str, database: Database) -> None:
    teller = Teller(Clock())
    customer = teller.record("customer", external_id="a", status="active")
    await archive.append(3, [customer, teller.grant(10)], Position())
    await rewind(database, "0008")
    again = Archive(archive_url)
    await again.open()
    await watch(again, threshold=5)
    await again.append(3, [teller.commit((1, 10))], (await again.positions())[3])
    (request,) = (await again.topup_requests(RequestFilter())).items
    assert (request.customer_id, request.balance) == ("cus_a", 0)
    await again.close()
