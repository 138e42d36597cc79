"""Who is meant, and who is made a customer."""

import asyncio
from typing import Any

import pytest

from sidecar.control.whose import Whose, customer_of
from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.store.lane import Lane
from tests.support.control import Answer, Control, assert_problem, serving


async def test_a_body_names_its_customer_by_one_of_both_ids(control: Control) -> None:
    customer_id = await control.customer("alice")
    for whose in (Whose(customer_id=customer_id), Whose(external_customer_id="alice")):
        assert (await customer_of(control.parts, whose)).customer_id == customer_id
    for whose in (Whose(), Whose(customer_id=customer_id, external_customer_id="alice")):
        with pytest.raises(InvalidInput, match="one of both"):
            await customer_of(control.parts, whose)
    with pytest.raises(NotFound):
        await customer_of(control.parts, Whose(external_customer_id=customer_id))


async def report(control: Control, event_id: str, **more: object) -> Answer:
    body: dict[str, Any] = {"external_customer_id": "stranger", "credits": 5, "event_id": event_id, **more}
    return await control.ask("POST", "/v1/usage", body, Idempotency_Key=event_id)


async def test_a_stranger_is_unknown_unless_the_setting_says_otherwise(control: Control) -> None:
    assert_problem(await report(control, "e1"), 404, "not_found")
    held = await control.ask("POST", "/v1/reserve", {"external_customer_id": "s", "credits": 5}, Idempotency_Key="k1")
    assert_problem(held, 404, "not_found")


async def test_many_first_sightings_make_one_customer(lane: Lane) -> None:
    async with serving(lane, auto_create_customers=True) as control:
        # Whatever is not valid, or changes nothing, makes nobody.
        assert_problem(await report(control, "e1", unit="gold"), 400, "invalid_input")
        assert_problem(await report(control, "e2", dry_run=True), 404, "not_found")
        answers = await asyncio.gather(*(report(control, f"e{number}", enforce=False) for number in range(3, 13)))
        assert {answer.status for answer in answers} == {201}
        (one,) = (await control.ask("GET", "/v1/customers")).json["data"]
        assert {answer.json["customer_id"] for answer in answers} == {one["customer_id"]}
        balances = (await control.ask("GET", f"/v1/customers/{one['customer_id']}/credits")).json["balances"]
        assert balances[0]["owed"] == 50
        body = {"external_customer_id": "other", "credits": 5}
        short = await control.ask("POST", "/v1/reserve", body, Idempotency_Key="k1")
        assert_problem(short, 402, "insufficient_credits")
        assert (await control.ask("GET", "/v1/customer-by-external-id/other")).status == 200
        with pytest.raises(NotFound):
            await customer_of(control.parts, Whose(customer_id="cus_" + "0" * 26), make=True)
