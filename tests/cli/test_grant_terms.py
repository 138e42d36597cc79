from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.support.control import Control


async def granted(sidecar: Command, *options: str) -> dict[str, Any]:
    """The one block of alice, after a grant with these options."""
    ran = await sidecar("grant", "alice", "100", *options)
    assert ran.code == 0, ran.err
    (balance,) = (await sidecar("balance", "alice", "--blocks", "--json")).json["balances"]
    (block,) = balance["blocks"]
    return dict(block)


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--priority", "-5"], "priority", -5),
        (["--source", "topup"], "source", "topup"),
        (["--reason", "Order 17"], "reason", "Order 17"),
        (["--expires", "2100-01-01"], "expires_at", "2100-01-01T00:00:00Z"),
        (["--expires", "30d"], "duration_seconds", 2_592_000),
        (["--starts", "2099-01-01T12:00:00+02:00", "--expires", "30d"], "expires_at", "2099-01-31T10:00:00Z"),
        (["--paid", "5.00", "EUR"], "price_paid", 500),
        (["--paid", "5", "EUR"], "price_paid", 500),
        (["--paid", "500", "JPY"], "price_paid", 500),
        (["--paid", "5.125", "KWD"], "price_paid", 5_125),
        (["--paid", "0", "EUR"], "currency", "EUR"),
        (["--feature", "chat", "--feature", "image"], "eligible_features", ["chat", "image"]),
        (["--rule", "a-rule"], "eligible_rules", ["a-rule"]),
        (["--series", "plan", "--cap", "250.5"], "cap", 250_500_000),
        (["--metadata", "order=17", "--metadata", "note=a=b"], "metadata", {"order": "17", "note": "a=b"}),
        (["--dedup-key", "signup"], "dedup_key", "signup"),
        (["--payment-id", "pay_1"], "external_payment_id", "pay_1"),
    ],
)
async def test_a_term_reaches_the_block(sidecar: Command, options: list[str], field: str, value: object) -> None:
    assert (await granted(sidecar, *options))[field] == value


async def test_a_block_starts_after_another(sidecar: Command, control: Control) -> None:
    first = await granted(sidecar, "--expires", "2100-01-01")
    ran = await sidecar("grant", "alice", "5", "--after", first["block_id"], "--expires", "30d")
    assert ran.out == "Granted: 5 credits to alice; 100 available, 0 held, 5 scheduled.\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--paid", "5.001", "EUR"], "decimal places"),
        (["--paid", "0.5", "JPY"], "decimal places"),
        (["--paid", "five", "EUR"], "--paid must be a decimal number"),
        (["--paid", "5", "euro"], "currency"),
        (["--expires", "2020-01-01"], "expire after now"),
        (["--cap", "5"], "series"),
        (["--after", "blk_1"], "no live block blk_1"),
        (["--priority", "3000000000"], "priority"),
    ],
)
async def test_a_term_that_cannot_be_grants_nothing(sidecar: Command, options: list[str], says: str) -> None:
    ran = await sidecar("grant", "alice", "100", *options)
    assert ran.code == 1
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert "100" not in (await sidecar("balance", "alice")).out.replace("grant alice 100", "")


@pytest.mark.parametrize(
    "options",
    [
        ["--expires", "soon"],
        ["--expires", "0d"],
        ["--starts", "12h"],
        ["--priority", "high"],
        ["--paid", "5"],
        ["--cap", "-5"],
        ["--metadata", "order"],
        ["--metadata", "=17"],
    ],
)
async def test_wrong_usage(sidecar: Command, options: list[str]) -> None:
    ran = await sidecar("grant", "alice", "5", *options)
    assert ran.code == 2
    assert "sidecar grant: error: argument --" in ran.err
