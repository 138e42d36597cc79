"""Commits that meet the sweep, which an example cannot say: each reservation ends once, in one of two ways."""

import asyncio
from typing import Any

from sidecar.domain.ids import PARTITIONS
from tests.control.examples.player import by_its_clock
from tests.support.control import Control


async def test_commits_and_the_sweep_at_once(control: Control) -> None:
    await control.grant("/v1/customer-by-external-id/alice", 1_000, "credit")

    async def ask(target: str, key: str, **body: Any) -> Any:
        return (await control.ask("POST", f"/v1/reserve{target}", body, Idempotency_Key=key)).json

    held = [await ask("", f"r{number}", external_customer_id="alice", credits=50) for number in range(20)]
    await control.ask("POST", "/v1/test/clock/advance", {"seconds": 301})
    ledger = by_its_clock(control)
    committed = (ask(f"/{each['reservation_id']}/commit", each["reservation_id"], credits=30) for each in held[:10])
    swept = (ledger.sweep(partition, 10) for partition in (*range(PARTITIONS), *range(PARTITIONS)))
    answers = await asyncio.gather(*(work for pair in zip(committed, swept, strict=False) for work in pair), *swept)
    ends = [each["status"] for each in answers if isinstance(each, dict)]
    assert len(ends) == 10
    assert set(ends) <= {"committed", "committed_late"}
    (balance,) = (await control.ask("GET", "/v1/customer-by-external-id/alice/credits")).json["balances"]
    assert [balance[name] for name in ("available", "held", "spent", "owed")] == [700, 0, 300, 0]
    states = [(await control.ask("GET", f"/v1/reserve/{each['reservation_id']}")).json["status"] for each in held]
    assert states == [*ends, *["expired"] * 10]
