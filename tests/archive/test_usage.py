"""Usage added up."""

from collections.abc import Sequence

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import InvalidInput
from sidecar.domain.history import UsageBy, UsageRow
from sidecar.domain.journal import Kind, Position
from sidecar.domain.price import usage_text
from sidecar.domain.usage_words import word
from tests.archive.teller import Clock, Teller

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000 // (24 * HOUR_MS) * 24 * HOUR_MS


@pytest.fixture
async def used(archive: Archive) -> Archive:
    """Two hours of one customer and of a member of its pool."""
    clock = Clock()
    clock.now_ms = START_MS
    a, tokens = Teller(clock), Teller(clock, unit="tokens")
    lines = [a.grant(1_000), tokens.grant(1_000)]
    lines += [
        a.commit((1, 10), usage="input_tokens=100 seconds=0.5 model=small"),
        a.commit((1, 20), usage="input_tokens=200 seconds=0.25 model=large", asker="cus_m", source="hold"),
        tokens.commit((1, 7), usage="input_tokens=200"),
    ]
    clock.tick(HOUR_MS)
    lines += [
        a.commit((1, 5), owed=3, uncollected=2, kind=Kind.LATE_COMMIT, feature="images", source="observed"),
        a.commit((1, 1), kind=Kind.STEP_COMMIT, usage="input_tokens=1 model=small"),
        a.void(1),
    ]
    await archive.append(3, lines, Position())
    return archive


def shown(rows: Sequence[UsageRow], *names: str) -> list[tuple[object, ...]]:
    return [(*row.group.values(), row.unit, *(getattr(row, name) for name in names)) for row in rows]


async def test_by_feature_with_everything(used: Archive) -> None:
    rows = (await used.usage([UsageBy.FEATURE])).items
    assert rows == (
        UsageRow(
            group={"feature": "chat"},
            unit="credits",
            entries=3,
            charged=31,
            estimated=20,
            owed=0,
            uncollected=0,
            late=0,
            held=30,
            above_hold=0,
            meters={"input_tokens": 301, "seconds": 0.75},
        ),
        UsageRow(
            group={"feature": "chat"},
            unit="tokens",
            entries=1,
            charged=7,
            estimated=0,
            owed=0,
            uncollected=0,
            late=0,
            held=7,
            above_hold=0,
            meters={"input_tokens": 200},
        ),
        UsageRow(
            group={"feature": "images"},
            unit="credits",
            entries=1,
            charged=8,
            estimated=8,
            owed=3,
            uncollected=2,
            late=1,
            held=8,
            above_hold=0,
        ),
    )


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ([UsageBy.RULE], [("chat-completions", "credits", 39), ("chat-completions", "tokens", 7)]),
        ([UsageBy.CUSTOMER], [("cus_a", "credits", 19), ("cus_a", "tokens", 7), ("cus_m", "credits", 20)]),
        (
            [UsageBy.MODEL],
            [("", "credits", 8), ("", "tokens", 7), ("large", "credits", 20), ("small", "credits", 11)],
        ),
        ([UsageBy.HOUR], [(START_MS, "credits", 30), (START_MS, "tokens", 7), (START_MS + HOUR_MS, "credits", 9)]),
        ([UsageBy.DAY], [(START_MS, "credits", 39), (START_MS, "tokens", 7)]),
        (
            [UsageBy.HOUR, UsageBy.SOURCE],
            [
                (START_MS, "hold", "credits", 20),
                (START_MS, "reported", "credits", 10),
                (START_MS, "reported", "tokens", 7),
                (START_MS + HOUR_MS, "observed", "credits", 8),
                (START_MS + HOUR_MS, "reported", "credits", 1),
            ],
        ),
    ],
)
async def test_by_one_or_two_keys_and_in_pages(
    used: Archive, by: list[UsageBy], rows: list[tuple[object, ...]]
) -> None:
    whole = await used.usage(by)
    assert shown(whole.items, "charged") == rows
    found, cursor = list[UsageRow](), None
    while True:
        page = await used.usage(by, cursor=cursor, limit=1)
        found += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert found == list(whole.items)


@pytest.fixture
async def chosen(archive: Archive) -> Archive:
    """What prices were chosen by, some of it twice, hidden in another value, absent or too long."""
    teller = Teller(Clock())
    sizes = [
        usage_text({"n": 1}, word("path.size", size)) for size in ("big", "big", 'a"b', "Füße\\\0", None, "l" * 200)
    ]
    others = ["", "path.size=9", "x.path.size=9", usage_text({}, word("request.note", ' path.size="big"'))]
    lines = [teller.grant(1_000)]
    lines += [teller.commit((1, 10), usage=usage) for usage in (*sizes, *others)]
    await archive.append(3, lines, Position())
    return archive


async def test_by_what_prices_were_chosen_by(chosen: Archive) -> None:
    rows = (await chosen.usage(["path.size"])).items
    assert {row.group["path.size"]: row.entries for row in rows} == {
        "": 5,
        "big": 2,
        'a"b': 1,
        "Füße\\\0": 1,
        "l" * 128: 1,
    }
    assert sum(row.meters.get("n", 0) for row in rows) == 6
    found, cursor = list[UsageRow](), None
    while True:
        page = await chosen.usage(["path.size", UsageBy.RULE], cursor=cursor, limit=1)
        found += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert [row.group["path.size"] for row in found] == [row.group["path.size"] for row in rows]


async def test_of_some_time_customer_or_unit(used: Archive) -> None:
    by = [UsageBy.FEATURE]
    late = await used.usage(by, START_MS + 1, START_MS + HOUR_MS + 1)
    assert shown(late.items, "charged") == [("chat", "credits", 1), ("images", "credits", 8)]
    assert shown((await used.usage(by, to_ms=START_MS)).items) == []
    assert shown((await used.usage(by, asker_id="cus_m")).items, "charged") == [("chat", "credits", 20)]
    assert shown((await used.usage(by, customer_id="cus_m")).items) == []
    assert shown((await used.usage(by, unit="tokens")).items, "charged") == [("chat", "tokens", 7)]


@pytest.mark.parametrize("by", [[], [UsageBy.DAY, UsageBy.DAY], [UsageBy.DAY, UsageBy.HOUR, UsageBy.RULE]])
async def test_wrong_keys_are_refused(archive: Archive, by: list[UsageBy]) -> None:
    with pytest.raises(InvalidInput, match="one or two different ones of feature, rule"):
        await archive.usage(by)


async def test_a_cursor_of_another_grouping_is_refused(used: Archive) -> None:
    cursor = (await used.usage([UsageBy.HOUR], limit=1)).next_cursor
    with pytest.raises(InvalidInput, match="next_cursor"):
        await used.usage([UsageBy.FEATURE], cursor=cursor)


async def test_an_empty_archive_used_nothing(archive: Archive) -> None:
    page = await archive.usage([UsageBy.DAY])
    assert (page.items, page.next_cursor) == ((), None)


async def test_what_was_held_compares_with_what_was_charged(archive: Archive) -> None:
    """A step takes its part out of the hold, so it counts at the end."""
    teller = Teller(Clock())
    lines = [
        teller.grant(1_000),
        teller.commit((1, 10), held=25),
        teller.commit((1, 5), kind=Kind.STEP_COMMIT, held=40),
        teller.commit((1, 20), held=15, charged_before=5),
    ]
    await archive.append(3, lines, Position())
    (row,) = (await archive.usage([UsageBy.FEATURE])).items
    assert (row.charged, row.held, row.above_hold) == (35, 45, 5)


async def test_the_most_come_first(used: Archive) -> None:
    rows = await used.top_usage(UsageBy.CUSTOMER, "credits")
    assert shown(rows, "charged") == [("cus_m", "credits", 20), ("cus_a", "credits", 19)]
    assert shown(await used.top_usage(UsageBy.MODEL, "credits", limit=1), "charged") == [("large", "credits", 20)]
    later = await used.top_usage(UsageBy.CUSTOMER, "credits", START_MS + HOUR_MS)
    assert shown(later, "charged") == [("cus_a", "credits", 9)]
    assert await used.top_usage(UsageBy.CUSTOMER, "litres") == ()


@pytest.mark.parametrize("between", [(None, None), (1_774_400_000_000, 1_775_000_000_000)])
async def test_days_and_hours_of_a_time_zone(archive: Archive, between: tuple[int | None, int | None]) -> None:
    """In Berlin, 2026-03-29 has 23 hours: from 23:00 UTC of the day before until 22:00 UTC."""
    midnight_ms, clock = 1_774_738_800_000, Clock()
    clock.now_ms = midnight_ms - 24 * HOUR_MS
    teller = Teller(clock)
    lines = [teller.grant(1_000)]
    for at_ms in (-1, 0, HOUR_MS, 23 * HOUR_MS - 1, 23 * HOUR_MS):
        clock.now_ms = midnight_ms + at_ms
        lines.append(teller.commit((1, 1)))
    await archive.append(3, lines, Position())

    async def by(each: UsageBy, tz: str) -> list[tuple[object, ...]]:
        first = await archive.usage([each], *between, tz=tz, limit=1)
        rest = await archive.usage([each], *between, tz=tz, cursor=first.next_cursor)
        return shown((*first.items, *rest.items), "entries")

    days = [(midnight_ms - 24 * HOUR_MS, 1), (midnight_ms, 3), (midnight_ms + 23 * HOUR_MS, 1)]
    assert await by(UsageBy.DAY, "Europe/Berlin") == [(day, "credits", entries) for day, entries in days]
    utc = midnight_ms + HOUR_MS
    assert [day for day, *_ in await by(UsageBy.DAY, "UTC")] == [utc - 24 * HOUR_MS, utc]
    half = 30 * 60_000
    hours = [hour for hour, *_ in await by(UsageBy.HOUR, "Asia/Kolkata")]
    assert hours == [midnight_ms - half, midnight_ms + half, midnight_ms + 22 * HOUR_MS + half]
    top = await archive.top_usage(UsageBy.DAY, "credits", *between, tz="Europe/Berlin")
    assert top[0].group == {"day": midnight_ms}
    with pytest.raises(InvalidInput, match="time zone"):
        await archive.usage([UsageBy.DAY], tz="Mars")
