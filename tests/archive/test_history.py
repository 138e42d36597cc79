"""Reading the ledger: filters, pages, and the past."""

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import InvalidInput
from sidecar.domain.history import Entry, EntryFilter
from sidecar.domain.journal import Kind, Line, Moved, Position, Totals
from tests.archive.teller import Clock, Teller

START = Position()


async def pages(archive: Archive, wanted: EntryFilter, limit: int) -> list[Entry]:
    items, cursor = list[Entry](), None
    while True:
        page = await archive.entries(wanted, cursor, limit)
        assert 0 < len(page.items) <= limit
        items += page.items
        if (cursor := page.next_cursor) is None:
            return items


async def test_an_empty_archive_answers_with_nothing(archive: Archive) -> None:
    page = await archive.entries()
    assert (page.items, page.next_cursor) == ((), None)
    assert [each async for each in archive.export()] == []
    assert await archive.balance_at("cus_a", 1) == {}
    assert (await archive.anomalies()).items == ()


async def test_an_entry_says_everything(archive: Archive) -> None:
    teller = Teller(Clock())
    lines = [teller.grant(100, reason="welcome"), teller.grant(10), teller.void(2)]
    lines.append(teller.commit((1, 30), owed=5, asker="cus_m", usage="input_tokens=3", reservation_id="req_1"))
    await archive.append(3, lines, START)
    commit, void, _, grant = (await archive.entries()).items
    assert [(move.what, move.block_id, move.amount) for move in commit.moves] == [
        (Moved.SPENT, "blk_cus_a_credits_1", 30),
        (Moved.OWED, "", 5),
    ]
    assert (commit.type, commit.charged, commit.owed, commit.asker_id) == (Kind.COMMIT, 35, 5, "cus_m")
    assert (commit.after, commit.prev_hash, len(commit.hash)) == (teller.totals, void.hash, 64)
    assert (void.block_id, void.detail) == ("blk_cus_a_credits_2", {"actor": "ann", "reason": "a mistake"})
    assert void.block is not None
    assert void.block.state == "voided"
    assert grant.grant is not None
    assert (grant.grant.reason, grant.block_id, grant.prev_hash) == ("welcome", "blk_cus_a_credits_1", "00" * 32)


async def test_pages_follow_each_other_without_gap_or_repeat(archive: Archive) -> None:
    clock = Clock()
    teller = Teller(clock)
    lines = [teller.grant(1_000)]
    for number in range(40):
        # Several entries share a millisecond.
        if number % 3 == 0:
            clock.tick()
        lines.append(teller.commit((1, 1)))
    await archive.append(3, lines, START)
    whole = list((await archive.entries(limit=1000)).items)
    assert [entry.seq for entry in whole] == list(range(41, 0, -1))
    for limit in (1, 7, 41, 42):
        assert await pages(archive, EntryFilter(customer_id="cus_a"), limit) == whole


async def test_new_entries_do_not_disturb_older_pages(archive: Archive) -> None:
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 1)), teller.commit((1, 1))]
    await archive.append(3, lines, START)
    first = await archive.entries(limit=2)
    await archive.append(3, [teller.commit((1, 1))], lines[-1].position)
    second = await archive.entries(cursor=first.next_cursor, limit=2)
    assert [entry.seq for entry in (*first.items, *second.items)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EntryFilter(), ["a1", "a2", "a3", "b1", "t1"]),
        (EntryFilter(customer_id="cus_a"), ["a1", "a2", "a3", "t1"]),
        (EntryFilter(customer_id="cus_a", unit="tokens"), ["t1"]),
        (EntryFilter(types=(Kind.GRANT,)), ["a1", "b1", "t1"]),
        (EntryFilter(types=(Kind.COMMIT, Kind.LATE_COMMIT)), ["a2", "a3"]),
        (EntryFilter(reservation_id="req_x"), ["a2"]),
        (EntryFilter(feature="images"), ["a3"]),
        (EntryFilter(rule="render"), ["a3"]),
        (EntryFilter(asker_id="cus_m"), ["a3"]),
        (EntryFilter(from_ms=1_700_000_000_001, to_ms=1_700_000_000_002), ["a2"]),
        (EntryFilter(customer_id="cus_a", from_ms=1_700_000_000_002), ["a3"]),
        (EntryFilter(customer_id="nobody"), []),
    ],
)
async def test_filters(archive: Archive, wanted: EntryFilter, found: list[str]) -> None:
    clock = Clock()
    a, t, b = Teller(clock), Teller(clock, unit="tokens"), Teller(clock, "cus_b")
    lines = [a.grant(100), t.grant(5), b.grant(7)]
    clock.tick()
    lines.append(a.commit((1, 1), reservation_id="req_x"))
    clock.tick()
    lines.append(a.commit((1, 1), kind=Kind.LATE_COMMIT, feature="images", rule="render", asker="cus_m"))
    await archive.append(3, lines, START)
    names = {("cus_a", "credits"): "a", ("cus_a", "tokens"): "t", ("cus_b", "credits"): "b"}

    def name(entry: Entry) -> str:
        return f"{names[entry.customer_id, entry.unit]}{entry.seq}"

    assert sorted(name(entry) for entry in (await archive.entries(wanted)).items) == found
    assert sorted([name(entry) async for entry in archive.export(wanted)]) == found


async def test_an_export_is_the_whole_ledger_in_order(archive: Archive) -> None:
    clock = Clock()
    teller = Teller(clock)
    lines: list[Line] = [teller.grant(10_000)]
    for _ in range(2_050):
        clock.tick()
        lines.append(teller.commit((1, 1)))
    await archive.append(3, lines, START)
    assert [entry.seq async for entry in archive.export()] == list(range(1, 2_052))


async def test_a_balance_of_the_past(archive: Archive) -> None:
    clock = Clock()
    start = clock.now_ms
    teller, other = Teller(clock), Teller(clock, unit="tokens")
    lines = [teller.grant(100, ends_at_ms=start + 50), teller.grant(10)]
    clock.tick(10)
    lines += [teller.commit((1, 30)), other.grant(5)]
    at_10 = teller.totals
    clock.tick(1_000)
    lines += [teller.expire(1), teller.commit((2, 1))]
    await archive.append(3, lines, START)
    assert await archive.balance_at("cus_a", start - 1) == {}
    assert await archive.balance_at("cus_a", start) == {"credits": Totals(granted=110, available=110)}
    assert await archive.balance_at("cus_a", start + 49) == {
        "credits": at_10,
        "tokens": Totals(granted=5, available=5),
    }
    # The block was over from its end on, whenever somebody noticed.
    lapsed = Totals(granted=110, available=10, spent=30, expired=70)
    assert (await archive.balance_at("cus_a", start + 50))["credits"] == lapsed
    assert (await archive.balance_at("cus_a", start + 1_009))["credits"] == lapsed
    assert (await archive.balance_at("cus_a", start + 1_010))["credits"] == teller.totals
    assert (await archive.balance_at("cus_a", 2**53 - 1))["credits"] == teller.totals


async def test_an_expiry_stands_where_it_happened(archive: Archive) -> None:
    clock = Clock()
    one, two = Teller(clock), Teller(clock, "cus_b")
    lines = [one.grant(100, ends_at_ms=clock.now_ms + 5), two.grant(50)]
    clock.tick(10)
    lines.append(two.commit((1, 1)))
    clock.tick(10)
    lines.append(one.expire(1))
    await archive.append(3, lines, START)
    assert [entry.type for entry in (await archive.entries()).items] == ["commit", "expiry", "grant", "grant"]


@pytest.mark.parametrize("cursor", ["", "zzz", "bm9uc2Vuc2U"])
async def test_a_bad_cursor_is_refused(archive: Archive, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="next_cursor"):
        await archive.entries(cursor=cursor)
    with pytest.raises(InvalidInput, match="next_cursor"):
        await archive.anomalies(cursor)


async def test_bad_numbers_are_refused(archive: Archive) -> None:
    with pytest.raises(InvalidInput, match="limit must be between 1 and 1000"):
        await archive.entries(limit=0)
    with pytest.raises(InvalidInput, match="from_ms"):
        await archive.entries(EntryFilter(from_ms=-1))
    with pytest.raises(InvalidInput, match="at_ms"):
        await archive.balance_at("cus_a", -1)
