"""Idempotency of the writes that are no ledger operation; grants have theirs in test_credits."""

import asyncio

import pytest

from sidecar.control import serving
from sidecar.domain.once import Once
from tests.support.control import Answer, Control, assert_problem


async def test_the_first_answer_is_repeated(control: Control) -> None:
    first = await control.ask("POST", "/v1/customers", {"external_id": "alice"}, Idempotency_Key="k1")
    again = await control.ask(
        "POST", "/v1/customers", b'{ "display_name": "", "external_id": "alice"}', Idempotency_Key="k1"
    )
    assert (first.status, first.replayed) == (201, False)
    assert (again.status, again.raw, again.replayed) == (201, first.raw, True)


async def test_another_body_is_another_request(control: Control) -> None:
    await control.ask("POST", "/v1/customers", {"external_id": "alice"}, Idempotency_Key="k1")
    other = await control.ask("POST", "/v1/customers", {"external_id": "bob"}, Idempotency_Key="k1")
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    assert (await control.ask("GET", "/v1/customer-by-external-id/bob")).status == 404


async def test_another_path_is_another_request(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    key_id = (await control.ask("POST", path, Idempotency_Key="k1")).json["key_id"]
    other = await control.ask("DELETE", f"{path}/{key_id}", Idempotency_Key="k1")
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")


async def test_the_same_key_of_another_customer_is_another_key(control: Control) -> None:
    for external_id in ("alice", "bob"):
        path = f"/v1/customers/{await control.customer(external_id)}/keys"
        answer = await control.ask("POST", path, Idempotency_Key="k1")
        assert (answer.status, answer.replayed) == (201, False)


async def test_a_revocation_can_be_repeated(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    key_id = (await control.ask("POST", path)).json["key_id"]
    first = await control.ask("DELETE", f"{path}/{key_id}", Idempotency_Key="k1")
    again = await control.ask("DELETE", f"/v1/customer-by-external-id/alice/keys/{key_id}", Idempotency_Key="k1")
    assert (again.status, again.raw, again.replayed) == (200, first.raw, True)
    assert (await control.ask("DELETE", f"{path}/{key_id}")).status == 404


async def test_requests_at_once_with_one_key_are_one(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    answers = await asyncio.gather(*(control.ask("POST", path, Idempotency_Key="k1") for _ in range(20)))
    assert {each.status for each in answers} <= {201, 409}
    assert sum("secret" in each.json for each in answers) == 1
    assert len((await control.ask("GET", path)).json["data"]) == 1
    assert (await control.ask("POST", path, Idempotency_Key="k1")).replayed


async def test_who_waits_too_long_is_told_to_come_again(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request has died, or takes its time."""
    monkeypatch.setattr(serving, "WAIT_S", 0)
    customer_id = await control.customer()

    async def ask() -> Answer:
        return await control.ask("POST", f"/v1/customers/{customer_id}/keys", Idempotency_Key="k1")

    made, records = await ask(), control.parts.once_records
    asked = (await control.lane.execute("GET", records._keys.once(customer_id, "k1"))).split()[0].decode()
    await records.abandon(customer_id, Once("k1", asked))
    await records.begin(customer_id, Once("k1", asked))
    refused = await ask()
    assert_problem(refused, 409, "request_in_progress")
    assert refused.headers["Retry-After"] == "1"
    await records.abandon(customer_id, Once("k1", asked))
    assert (await ask()).json["key_id"] != made.json["key_id"]


async def test_a_failure_does_not_burn_the_key(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    assert (await control.ask("DELETE", f"{path}/key_nonesuch", Idempotency_Key="k1")).status == 404
    answer = await control.ask("POST", path, Idempotency_Key="k1")
    assert (answer.status, answer.replayed) == (201, False)


async def test_without_a_key_each_request_is_new(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    first, second = await control.ask("POST", path), await control.ask("POST", path)
    assert first.json["key_id"] != second.json["key_id"]


@pytest.mark.parametrize("key", ["", "a b", "clé", "x" * 256, "a\tb"])
@pytest.mark.parametrize("path", ["/v1/customers/{id}/credits/grant", "/v1/customers/{id}/keys"])
async def test_a_key_must_be_visible(control: Control, path: str, key: str) -> None:
    customer_id = await control.customer()
    answer = await control.ask("POST", path.format(id=customer_id), {}, Idempotency_Key=key)
    assert (answer.status, answer.json["code"]) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize("key", ["!", "~", "x" * 255, "topup:pay_1", '"quoted"'])
async def test_any_visible_key_will_do(control: Control, key: str) -> None:
    path = f"/v1/customers/{await control.customer()}"
    assert not (await control.grant(path, 5, key)).replayed
    assert (await control.grant(path, 5, key)).replayed


async def test_a_read_has_no_use_for_a_key(control: Control) -> None:
    answer = await control.ask("GET", "/v1/units", Idempotency_Key="a b")
    assert (answer.status, answer.replayed) == (200, False)
