"""What an upstream agrees to, and what it may say about it."""

from fractions import Fraction

import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.domain.later import Later, SettleClaims
from sidecar.domain.metering import Bill, Meters, Tariff
from sidecar.domain.price import Price

QUOTE = Bill(
    Tariff(Meters(), max_charge=1000), Price.of({"gpu_ms": Fraction(2), "pages": Fraction(10)}, 5), 500,
    {"pages": 3}, ' request.model="m"',
)  # fmt: skip
CLAIMS = SettleClaims.of(
    QUOTE,
    until_ms=9,
    reservation_id="rsv_1",
    customer_id="cus_1",
    payer_id="cus_1",
    unit="credits",
    held=500,
    rule="r",
)


def test_usage_is_priced_as_it_was_agreed_with_what_the_request_told() -> None:
    assert CLAIMS.charge({"gpu_ms": 100}) == (235, 'pages=3 gpu_ms=100 request.model="m"')


def test_what_is_not_said_read_nothing() -> None:
    assert CLAIMS.charge({})[0] == 35


def test_it_never_costs_more_than_was_agreed() -> None:
    assert CLAIMS.charge({"gpu_ms": 10**6})[0] == 1000


@pytest.mark.parametrize("meter", ["pages", "tokens", ""])
def test_nothing_else_can_be_said(meter: str) -> None:
    with pytest.raises(InvalidInput, match="goes by gpu_ms, not by"):
        CLAIMS.charge({meter: 1})


def test_a_note_for_people() -> None:
    assert "status 201, 202 keeps its hold for 60 s" in Later(on=frozenset({202, 201}), within_s=60).note
