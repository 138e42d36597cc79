"""Who pays: a trusted front may say it by a header, and nobody else may."""

import pytest
from msgspec.structs import replace

from tests.e2e.house import CREDIT, House
from tests.support.rawhttp import fetch
from tests.support.upstream import answers

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_trusted_front_names_the_customer(house: House) -> None:
    house.upstream.script = answers()
    buyer = await house.control.buyer(5 * CREDIT)
    for _ in range(2):
        answer = await fetch(house.port, "GET", "/trusted", ("X-Customer", buyer.external_id))
        assert answer.status == 200
    assert house.upstream.requests[0].get(b"x-customer") is None
    await house.settled(buyer, spent=2 * CREDIT)


@pytest.mark.parametrize("name", ["nobody", "", "  ", "a" * 300, "\xff\xfe"])
async def test_an_external_id_that_nobody_has_is_unidentified(house: House, name: str) -> None:
    answer = await fetch(house.port, "GET", "/trusted", ("X-Customer", name))
    assert (answer.status, answer.get("x-sidecar-refusal")) == (401, "unidentified")
    assert house.upstream.requests == []


async def test_the_header_of_a_stranger_is_not_believed(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    answer = await fetch(
        house.port, "GET", "/distrusted", ("X-Customer", buyer.external_id), ("X-Forwarded-For", "10.0.0.1")
    )
    assert (answer.status, answer.get("x-sidecar-refusal")) == (401, "unidentified")
    # Nor does it name anybody where a key is asked for.
    assert (await fetch(house.port, "GET", "/fixed/a", ("X-Customer", buyer.external_id))).status == 401
    await house.settled(buyer, spent=0)


async def test_two_identities_of_one_kind_are_none(house: House) -> None:
    """A front that appends its header to one that the client sent must not let the client choose who pays."""
    rich, poor = await house.control.buyer(CREDIT), await house.control.buyer(0)
    for first, second in ((rich, poor), (poor, rich)):
        names = (("X-Customer", first.external_id), ("X-Customer", second.external_id))
        assert (await fetch(house.port, "GET", "/trusted", *names)).status in {400, 401}
        assert (await fetch(house.port, "GET", "/fixed/a", first.bearer, second.bearer)).status in {400, 401}
    assert house.upstream.requests == []
    await house.settled(rich, spent=0)


async def test_an_external_id_that_changes_hands_is_the_new_owners_at_once(house: House) -> None:
    """Also for a proxy that has seen it with the old one."""
    house.upstream.script = answers()
    old, new = await house.control.buyer(5 * CREDIT), await house.control.buyer(5 * CREDIT)
    name = ("X-Customer", old.external_id)
    assert (await fetch(house.port, "GET", "/trusted", name)).status == 200
    await house.control.call("POST", f"/v1/customers/{old.customer_id}/rename", {"external_id": f"{name[1]}-old"})
    assert (await fetch(house.port, "GET", "/trusted", name)).status == 401
    await house.control.call("POST", f"/v1/customers/{new.customer_id}/rename", {"external_id": name[1]})
    assert (await fetch(house.port, "GET", "/trusted", name)).status == 200
    await house.settled(replace(old, external_id=f"{name[1]}-old"), spent=CREDIT)
    await house.settled(replace(new, external_id=name[1]), spent=CREDIT)
