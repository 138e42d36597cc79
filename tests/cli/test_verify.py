"""`sidecar verify`, as a person runs it."""

import asyncio
from pathlib import Path

import pytest

from sidecar.store.bundled import BundledStore
from sidecar.store.keys import Keys
from tests.cli.conftest import Command
from tests.support.archives import new_archive
from tests.support.store import StoreServer
from tests.support.town import ENVIRONMENT, TENANT, UNIT, Town, open_town

KEYS = Keys(TENANT, ENVIRONMENT)


@pytest.mark.usefixtures("town_settings")
class TestVerify:
    async def test_all_is_well(self, command: Command) -> None:
        ran = await command("verify")
        seen = "1 customer, 1 account, 1 open hold and 2 ledger entries"
        assert (ran.code, ran.out, ran.err) == (0, f"All is well: {seen} add up.\n", "")

    async def test_a_difference_is_1_and_a_table(
        self, command: Command, town: Town, shared_store: StoreServer
    ) -> None:
        with shared_store.client() as client:
            client.hdel(KEYS.of(town.ids["alice"]).holds, "r2")
        ran = await command("verify")
        assert ran.code == 1
        title, *rows, last = ran.out.splitlines()
        assert title.split() == ["CUSTOMER", "UNIT", "WHAT", "EXPECTED", "FOUND"]
        assert [row.split() for row in rows] == [
            [town.ids["alice"], UNIT, "held", "by", "open", "holds", "0", "50"],
            [town.ids["alice"], UNIT, "block", "1:", "held", "by", "open", "holds", "0", "50"],
        ]
        assert last.startswith("Not all is well: 2 differences; 1 customer")

    async def test_json(self, command: Command, town: Town, shared_store: StoreServer) -> None:
        clean = (await command("verify", "--json", "--customer", "alice")).json
        assert (clean["clean"], clean["customers"], clean["differences"]) == (True, 1, [])
        with shared_store.client() as client:
            client.delete(KEYS.external("alice"))
        ran = await command("verify", "--json", "--customer", town.ids["alice"])
        assert ran.code == 1
        (difference,) = ran.json["differences"]
        assert difference == {
            "customer_id": town.ids["alice"],
            "unit": "",
            "what": "index of external ids",
            "expected": town.ids["alice"],
            "found": "missing",
        }

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("--customer", "nobody"), "sidecar: There is no customer 'nobody'."),
            (("--store", "unix:///nowhere"), "sidecar: "),
            (("--config", "nowhere.yaml"), "nowhere.yaml"),
        ],
    )
    async def test_what_cannot_be_checked_is_2(self, command: Command, arguments: tuple[str, ...], why: str) -> None:
        ran = await command("verify", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(why)

    async def test_an_archive_that_is_away_is_2(
        self, command: Command, empty_environment: pytest.MonkeyPatch
    ) -> None:
        empty_environment.setenv("SIDECAR_ARCHIVE_URL", "sqlite:////nowhere/archive.db")
        assert (await command("verify")).code == 2


class TestTheBundledStore:
    async def test_it_is_started_when_it_does_not_run(self, command: Command, tmp_path: Path) -> None:
        """What its last run left in the journal is archived first."""
        folder = tmp_path / "d"
        bundled = BundledStore(folder)
        async with open_town(await bundled.start(), new_archive(folder)) as town:
            await town.customer("alice")
            await town.grant("alice", 10)
        await bundled.stop()
        ran = await command("verify", "--data", str(folder))
        assert (ran.code, ran.out) == (
            0,
            "All is well: 1 customer, 1 account, 0 open holds and 1 ledger entry add up.\n",
        )

    async def test_it_is_shared_while_another_runs_it(self, command: Command, tmp_path: Path) -> None:
        folder = tmp_path / "d"
        bundled = BundledStore(folder)
        async with open_town(await bundled.start(), new_archive(folder)) as town:
            await town.customer("alice")
            archiving = asyncio.ensure_future(town.archiver.run())
            assert (await command("verify", "--data", str(folder))).code == 0
            archiving.cancel()
        await bundled.stop()
