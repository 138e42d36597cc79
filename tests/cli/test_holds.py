from tests.cli.conftest import Command
from tests.support.control import Control


async def hold(control: Control, external_id: str, count: int) -> None:
    customer_id = await control.customer(external_id)
    await control.grant(f"/v1/customers/{customer_id}", 1_000_000_000, f"for-{external_id}")
    for number in range(count):
        await control.hold(customer_id, f"{external_id}-{number}", 250_000, external_id=external_id)


async def test_nothing_is_held(sidecar: Command) -> None:
    ran = await sidecar("holds")
    assert (ran.code, ran.out) == (0, "Nothing is held.\n")
    assert (await sidecar("holds", "--json")).json == {"data": []}


async def test_open_holds_of_all_and_of_one(sidecar: Command, control: Control) -> None:
    await hold(control, "alice", 1)
    await hold(control, "b/b", 2)
    everybody = (await sidecar("holds")).out.splitlines()
    assert everybody[0].split() == ["reservation", "customer", "unit", "held", "rule", "since", "until"]
    assert len(everybody) == 4
    assert all(" 0.25 " in line for line in everybody[1:])
    some = (await sidecar("holds", "b/b", "--json")).json["data"]
    assert sorted(each["reservation_id"] for each in some) == ["b/b-0", "b/b-1"]


async def test_all_pages_are_listed(sidecar: Command, control: Control) -> None:
    await hold(control, "alice", 251)
    assert len((await sidecar("holds", "--json")).json["data"]) == 251


async def test_the_holds_of_nobody(sidecar: Command) -> None:
    ran = await sidecar("holds", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert "no customer" in ran.err
