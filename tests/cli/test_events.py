"""`sidecar events`, listed and followed."""

import asyncio
import json

import pytest

from sidecar.cli import events
from tests.cli.conftest import Command
from tests.support.control import Control


async def test_what_happened_is_listed_with_the_newest_last(sidecar: Command, control: Control) -> None:
    assert (await sidecar("events")).out == "Nothing like that happened.\n"
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 2_500_000, "k1", source="promotional")
    await control.customer("bob")
    lines = [line.split()[2:] for line in (await sidecar("events")).out.splitlines()]
    assert lines[0] == ["customer.created", "alice", "status=active"]
    assert lines[1][:3] == ["credits.granted", "alice", "credits"]
    assert lines[1][4:] == ["amount=2.5", "source=promotional"]
    assert lines[2][:2] == ["customer.created", "bob"]
    assert len((await sidecar("events", "--limit", "1")).out.splitlines()) == 1
    found = await sidecar("events", "alice", "--type", "credits.granted,credits.exhausted", "--from", "1h", "--json")
    assert [each["data"]["amount"] for each in found.json["data"]] == [2_500_000]
    assert (await sidecar("events", "--to", "2020-01-01", "--json")).json["data"] == []


@pytest.mark.parametrize("begun", [True, False])
async def test_they_are_followed_until_it_is_interrupted(
    sidecar: Command, control: Control, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    loop, waits = asyncio.get_running_loop(), iter(("alice", "bob"))
    if begun:
        await control.customer("first")

    def something_happens(_seconds: float) -> None:
        if (name := next(waits, None)) is None:
            raise KeyboardInterrupt
        asyncio.run_coroutine_threadsafe(control.customer(name), loop).result()

    monkeypatch.setattr(events, "sleep", something_happens)
    ran = await sidecar("events", "--follow", "--json")
    assert ran.code == 130
    names = [json.loads(line)["external_id"] for line in ran.out.splitlines()]
    assert names == ["first"] * begun + ["alice", "bob"]


async def test_wrong_usage(sidecar: Command) -> None:
    assert (await sidecar("events", "--limit", "0")).code == 2
    unknown = await sidecar("events", "--type", "credits.lost")
    assert (unknown.code, unknown.out) == (1, "")
    assert "credits.low_balance" in unknown.err
