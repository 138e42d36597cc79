"""Requests for top-ups, in both databases: one at a time, made with the entries that are the reason."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.auto_topups import AutoTopup, RequestFilter, RequestState, TopupRequest
from sidecar.domain.errors import ArchiveUnavailable, Conflict, InvalidInput, NotFound
from sidecar.domain.events import EventFilter, EventType
from sidecar.domain.journal import Line, Overtaken, Position, Record
from sidecar.domain.watches import WatchKind
from tests.archive.databases import run
from tests.archive.teller import Clock, Teller

RULE = AutoTopup(threshold=50, package_id="small", max_per_day=None, max_per_month=None, cool_down_s=60)


async def watch(archive: Archive, **terms: object) -> None:
    body = msgspec.json.encode(replace(RULE, **terms))
    await archive.put_watch(WatchKind.AUTO_TOPUP, "cus_a", "credits", body, expected=None, now_ms=1)


async def requests(archive: Archive) -> list[TopupRequest]:
    return list((await archive.topup_requests(RequestFilter())).items)


class Shop:
    """One customer's journal, archived line by line."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.clock = Clock()
        self.teller = Teller(self.clock)
        self._after = Position()

    async def archives(self, *lines: Line | Record) -> None:
        self._after = (await self._archive.append(3, lines, self._after)).position

    async def opens(self, amount: int, status: str = "active") -> None:
        await self.archives(self.teller.record("customer", external_id="a", status=status), self.teller.grant(amount))


async def test_one_is_outstanding_until_its_topup_is_granted(archive: Archive) -> None:
    shop = Shop(archive)
    await shop.opens(100)
    await watch(archive)
    await shop.archives(shop.teller.commit((1, 49)))
    assert await requests(archive) == []
    shop.clock.tick(5)
    await shop.archives(shop.teller.commit((1, 1)), shop.teller.commit((1, 10)))
    (request,) = await requests(archive)
    assert (request.state, request.balance, request.package_id) == (RequestState.OUTSTANDING, 40, "small")
    assert request.made_at_ms == shop.clock.now_ms
    shop.clock.tick(100_000)
    await shop.archives(shop.teller.commit((1, 10)))
    assert await requests(archive) == [request]
    paid = shop.teller.grant(20, source="topup", auto_topup_request_id=request.request_id)
    await shop.archives(paid, shop.teller.commit((1, 10)))
    # It is still low, so the next one is asked for in the same step.
    second, first = await requests(archive)
    assert (first.request_id, first.state, first.topup_id[:4]) == (request.request_id, RequestState.FULFILLED, "top_")
    assert (second.state, second.balance) == (RequestState.OUTSTANDING, 40)
    events = (await archive.events(EventFilter(types=(EventType.TOPUP_REQUESTED,)))).items
    assert [event.data["request_id"] for event in events] == [second.request_id, first.request_id]


async def test_two_archivers_ask_once(archive: Archive, archive_url: str) -> None:
    shop, other = Shop(archive), Archive(archive_url)
    await other.open()
    await shop.opens(100)
    await watch(archive)
    batch, after = [shop.teller.commit((1, 90))], (await archive.positions())[3]
    done = await asyncio.gather(*(each.append(3, batch, after) for each in (archive, other)), return_exceptions=True)
    await other.close()
    assert [type(each) for each in done if isinstance(each, BaseException)] == [Overtaken]
    assert len(await requests(archive)) == 1


async def test_the_database_itself_refuses_a_second_one(archive: Archive, database: Database) -> None:
    shop = Shop(archive)
    await watch(archive)
    await shop.opens(10)
    names = ", ".join(TopupRequest.__struct_fields__)
    copied = names.replace("request_id", "'atr_2'", 1)
    with pytest.raises(ArchiveUnavailable, match=r"(?i)unique"):
        await run(database, f"INSERT INTO topup_requests ({names}) SELECT {copied} FROM topup_requests")


async def test_one_that_was_declined_is_asked_for_again_later(archive: Archive) -> None:
    shop = Shop(archive)
    await watch(archive)
    await shop.opens(10)
    (request,) = await requests(archive)
    failed = await archive.decline_topup(request.request_id, "The card has expired", now_ms=7)
    assert (failed.state, failed.reason, failed.ended_at_ms) == (RequestState.FAILED, "The card has expired", 7)
    assert await archive.decline_topup(request.request_id, "again", now_ms=8) == failed
    await shop.archives(shop.teller.commit((1, 1)))
    assert len(await requests(archive)) == 1
    shop.clock.tick(60_000)
    await shop.archives(shop.teller.commit((1, 1)))
    assert [each.state for each in await requests(archive)] == [RequestState.OUTSTANDING, RequestState.FAILED]
    # The money came after all.
    await shop.archives(shop.teller.grant(500, source="topup", auto_topup_request_id=request.request_id))
    assert (await archive.topup_request(request.request_id)).state == RequestState.FULFILLED
    with pytest.raises(Conflict):
        await archive.decline_topup(request.request_id, "", now_ms=9)
    with pytest.raises(NotFound):
        await archive.decline_topup("atr_1", "", now_ms=9)


async def test_who_may_not_spend_is_not_asked_to_pay(archive: Archive) -> None:
    shop = Shop(archive)
    await watch(archive)
    await shop.opens(10, "suspended")
    assert await requests(archive) == []
    await shop.archives(shop.teller.record("customer", external_id="a", status="active"), shop.teller.commit((1, 1)))
    assert len(await requests(archive)) == 1


async def test_a_balance_without_news_is_asked_for_too(archive: Archive, archive_url: str) -> None:
    shop = Shop(archive)
    await shop.opens(50)
    assert await archive.ask_for_topups(shop.clock.now_ms) == 0
    await watch(archive)
    await archive.put_watch(
        WatchKind.AUTO_TOPUP, "cus_new", "credits", msgspec.json.encode(RULE), expected=0, now_ms=1
    )
    other = Archive(archive_url)
    await other.open()
    asked = await asyncio.gather(*(each.ask_for_topups(shop.clock.now_ms) for each in (archive, other)))
    await other.close()
    assert sum(asked) == 1
    (first,) = await requests(archive)
    assert (first.customer_id, first.balance) == ("cus_a", 50)
    await archive.decline_topup(first.request_id, "", now_ms=7)
    assert not await archive.ask_for_topup("cus_a", "credits", now_ms=first.made_at_ms + 59_999)
    assert await archive.ask_for_topup("cus_a", "credits", now_ms=first.made_at_ms + 60_000)
    assert not await archive.ask_for_topup("cus_b", "credits", now_ms=0)
    events = (await archive.events(EventFilter(types=(EventType.TOPUP_REQUESTED,)))).items
    assert {event.data["request_id"] for event in events} == {each.request_id for each in await requests(archive)}


async def test_without_its_rule_it_is_canceled(archive: Archive) -> None:
    shop = Shop(archive)
    await watch(archive)
    await shop.opens(10)
    await archive.remove_watch(WatchKind.AUTO_TOPUP, "cus_a", "credits", expected=None, now_ms=7)
    await shop.archives(shop.teller.commit((1, 1)))
    (request,) = await requests(archive)
    assert (request.state, request.ended_at_ms) == (RequestState.CANCELED, 7)


async def test_they_are_found_by_state_and_customer_in_pages(archive: Archive) -> None:
    shop = Shop(archive)
    await watch(archive, cool_down_s=0)
    await shop.opens(10)
    for _ in range(2):
        await archive.decline_topup((await requests(archive))[0].request_id, "", now_ms=7)
        shop.clock.tick()
        await shop.archives(shop.teller.commit((1, 1)))
    assert len(await requests(archive)) == 3

    async def found(**wanted: object) -> int:
        return len((await archive.topup_requests(RequestFilter(**wanted))).items)  # type: ignore[arg-type]  # its fields

    assert await found(state=RequestState.OUTSTANDING) == 1
    assert await found(state=RequestState.FAILED, customer_id="cus_a") == 2
    assert await found(customer_id="cus_b") == 0
    first = await archive.topup_requests(RequestFilter(), None, 2)
    rest = await archive.topup_requests(RequestFilter(), first.next_cursor, 2)
    assert [*first.items, *rest.items] == await requests(archive)
    with pytest.raises(InvalidInput):
        await archive.topup_requests(RequestFilter(), "nothing", 2)
