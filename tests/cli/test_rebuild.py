"""`sidecar rebuild`, as a person runs it."""

import pytest

from tests.cli.conftest import Command
from tests.support.store import StoreServer
from tests.support.town import Town

pytestmark = pytest.mark.usefixtures("town_settings")


async def test_a_lost_store(command: Command, town: Town, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        client.flushall()
    ran = await command("rebuild")
    assert (ran.code, ran.err) == (0, "")
    made, well = ran.out.splitlines()
    assert made.startswith("Made 1 customer and 1 account from sqlite:///")
    assert well.startswith("All is well: 1 customer, 1 account, 0 open holds")
    (balance,) = await town.accounts.balances(town.ids["alice"])
    assert (balance.available, balance.spent) == (880, 120)


async def test_json(command: Command, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        client.flushall()
    document = (await command("rebuild", "--json")).json
    assert document["rebuilt"] == {"customers": 1, "accounts": 1, "failed": [], "archived": True}
    assert document["verified"]["clean"]


async def test_a_store_that_is_not_empty_is_left_alone(command: Command) -> None:
    ran = await command("rebuild")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("sidecar: The store is not empty: it has 1 customers, 1 accounts and ")
