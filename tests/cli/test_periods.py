"""`sidecar periods` sets, opens, closes and rolls."""

import pytest

from tests.cli.conftest import Command


async def test_a_month_and_the_next(sidecar: Command) -> None:
    await sidecar("grant", "alice", "1")
    terms = await sidecar("periods", "set", "alice", "100", "--carry", "30", "--carry-lasts", "30d")
    assert terms.out.startswith(
        "alice gets 100 credits in each period; 100 % of what is left, at most 30, is carried"
    )
    assert (await sidecar("periods", "open", "alice", "2027-01-01")).out == (
        "Opened: 100 credits; a balance of 101.\n"
    )
    rolled = await sidecar("periods", "roll", "alice", "2027-02-01", "--allocation", "50.5", "--reason", "february")
    assert rolled.out == "Closed: 70 expired, 30 carried.\nOpened: 50.5 credits; a balance of 81.5.\n"
    again = await sidecar("periods", "roll", "alice", "2027-02-01")
    assert again.out == "Closed before: 70 expired, 30 carried.\nOpened before: 50.5 credits; a balance of 81.5.\n"
    assert "since 2027-02-01 00:00:00Z" in (await sidecar("periods", "show", "alice")).out
    closed = (await sidecar("periods", "close", "alice", "2027-03-01", "--json")).json
    assert (closed["closed"]["available"], closed["opened"]) == (80_500_000, None)
    assert "amount=70  carried=30" in (await sidecar("events")).out


async def test_who_has_none(sidecar: Command) -> None:
    await sidecar("grant", "alice", "1")
    ran = await sidecar("periods", "open", "alice", "2027-01-01")
    assert (ran.code, "has no periods of credits" in ran.err) == (1, True)


@pytest.mark.parametrize("arguments", [[], ["open", "alice"], ["set", "alice", "much"], ["close", "alice", "30d"]])
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar("periods", *arguments)).code == 2
