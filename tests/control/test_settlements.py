"""Settling by a token over HTTP: no key, one JSON body, honest statuses."""

from typing import Any

import pytest

from tests.support.control import Answer, Control, assert_problem

PATH = "/v1/settlements"


@pytest.fixture
async def token(control: Control) -> str:
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 1000, "g")
    return await control.settle_token(alice)


async def settle(control: Control, **body: Any) -> Answer:
    return await control.ask("POST", PATH, body, key=None)


async def test_usage_is_charged_without_a_key_and_once(control: Control, token: str) -> None:
    for _ in range(2):
        answer = await settle(control, token=token, usage={"gpu_ms": "45.5"})
        assert answer.status == 200
        assert answer.json == {
            "reservation_id": "rsv_later",
            "status": "charged",
            "unit": "credits",
            "charged": 101,
            "display": {"charged": "0.000101"},
        }


async def test_what_failed_is_released(control: Control, token: str) -> None:
    answer = await settle(control, token=token, failed=True)
    assert (answer.status, answer.json["status"], answer.json["charged"]) == (200, "released", 0)
    assert_problem(await settle(control, token=token, usage={"gpu_ms": 1}), 409, "conflict")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"usage": {"gpu_ms": 1}, "failed": True},
        {"usage": {"other": 1}},
        {"usage": {"gpu_ms": -1}},
        {"usage": {"gpu_ms": 1.5}},
        {"usage": {"gpu_ms": "1e3"}},
        {"usage": {"gpu_ms": 1}, "more": 1},
    ],
    ids=str,
)
async def test_what_cannot_be_taken(control: Control, token: str, body: dict[str, Any]) -> None:
    answer = await settle(control, token=token, **body)
    assert_problem(answer, 400, "invalid_input")
    assert token not in answer.raw.decode()


async def test_without_a_token_of_ours_nobody_settles(control: Control, token: str) -> None:
    for wrong in (token[:-1], token.replace("settle", "hold"), "x"):
        assert_problem(await settle(control, token=wrong, failed=True), 401, "unidentified")
