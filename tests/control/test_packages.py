"""Packages by their keys; test_topups.py sells them."""

import pytest

from tests.support.control import Control, assert_problem

LARGE = {"key": "large", "name": "Large", "unit": "tokens", "credits": 5, "price": 0, "currency": "EUR"}


async def test_a_repeated_creation_makes_one(control: Control) -> None:
    made = [await control.ask("POST", "/v1/topup-packages", LARGE, Idempotency_Key="k1") for _ in range(2)]
    assert [(each.status, each.replayed) for each in made] == [(201, False), (201, True)]
    assert made[0].json == made[1].json
    assert (made[0].json["bonus_credits"], made[0].json["expires_after_seconds"]) == (0, None)
    again = await control.ask("GET", "/v1/topup-packages/large", If_None_Match=made[0].headers["ETag"])
    assert again.status == 304


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"key": "a b"}, "$.key"),
        ({"credits": 0}, "$.credits"),
        ({"currency": "eur"}, "$.currency"),
        ({"unit": "pears"}, "$.unit"),
        ({"colour": 1}, "$.colour"),
    ],
)
async def test_what_is_no_package_is_said(control: Control, change: dict[str, object], path: str) -> None:
    refused = await control.ask("POST", "/v1/topup-packages", LARGE | change)
    assert_problem(refused, 400, "invalid_input")
    assert [error["path"] for error in refused.json["errors"]] == [path]
