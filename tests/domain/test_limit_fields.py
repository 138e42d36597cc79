"""The fields that say which limits apply, and what is left of them."""

from sidecar.domain.limit_fields import policy, standing
from sidecar.domain.limits import InFlight, Limit, Rate

SLOTS = InFlight(name="slots", bucket="slots", most=3)
RATE = Rate(name="rate", bucket="rate", count=60, period_ms=60_000, burst=10)
TOKENS = Rate(name="tokens", bucket="tokens", count=1000, period_ms=60_000, burst=200, of=("in",))


def test_the_policy() -> None:
    assert policy([SLOTS, RATE, TOKENS]) == (
        b'"slots";q=3;qu="concurrent-requests", "rate";q=60;w=60, "tokens";q=1000;qu="tokens";w=60'
    )


def test_what_is_left() -> None:
    taken: list[tuple[Limit, int]] = [(SLOTS, 5), (RATE, RATE.ticks(3)), (TOKENS, TOKENS.ticks(190) + 1)]
    assert standing(taken) == b'"slots";r=0, "rate";r=7;t=3, "tokens";r=9;t=12'
