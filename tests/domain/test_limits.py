"""What limits are told to the store as, and what its numbers mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.limits import MOST_TICKS, InFlight, Per, Rate, Taking, ends_of, reads_usage, takings

SLOTS = InFlight(name="slots", bucket="r/slots", most=3)
RATE = Rate(name="rate", bucket="r/rate", count=60, period_ms=60_000, burst=10)
TOKENS = Rate(name="tokens", bucket="tokens", count=1000, period_ms=60_000, burst=200, of=("in", "out"))


def test_what_a_request_takes() -> None:
    taken = takings((SLOTS, RATE, TOKENS), "r", "key:x", {"in": 20, "out": 30, "other": 5})
    assert [each.arguments for each in taken] == [
        "slot r/slots 3 0",
        "rate r/rate 1024000 10240000",
        "rate tokens 3072000 12288000",
    ]
    assert ends_of(taken) == "r/slots,tokens=3072000"
    assert ends_of(taken[1:2]) == ""


def test_each_key_and_each_rule_has_its_own_bucket() -> None:
    def buckets(per: Per, rule: str, credential: str) -> str:
        limit = InFlight(name="n", bucket="n", per=per, most=1)
        return takings((limit,), rule, credential, {})[0].bucket

    assert buckets(Per.CUSTOMER, "a", "key:x") == buckets(Per.CUSTOMER, "b", "key:y") == "n"
    assert buckets(Per.RULE, "a", "key:x") == buckets(Per.RULE, "a", "key:y") != buckets(Per.RULE, "b", "key:x")
    assert buckets(Per.KEY, "a", "key:x") == buckets(Per.KEY, "b", "key:x") != buckets(Per.KEY, "a", "key:y")
    named = buckets(Per.KEY, "a", "external:a customer, with = and spaces")
    assert not set(named) & set(" ,=")


def test_usage_corrects_what_was_estimated() -> None:
    slot, rate, tokens = takings((SLOTS, RATE, TOKENS), "r", "key:x", {"in": 20, "out": 30})
    assert tokens.corrected({"in": 1, "out": 2}).ticks == TOKENS.ticks(3)
    assert tokens.corrected({"out": 2}).ticks == TOKENS.ticks(2)
    assert tokens.corrected({"pages": 2}) == tokens
    assert (slot.corrected({"in": 1}), rate.corrected({"in": 1})) == (slot, rate)


def test_only_tokens_need_usage() -> None:
    assert reads_usage((SLOTS, TOKENS))
    assert not reads_usage((SLOTS, RATE))


@pytest.mark.parametrize(
    ("taken", "left", "reset_ms"), [(0, 10, 0), (1, 9, 1), (1_024_000, 9, 1000), (10_240_000, 0, 10_000)]
)
def test_what_is_left(taken: int, left: int, reset_ms: int) -> None:
    assert (RATE.left(taken), RATE.reset_ms(taken)) == (left, reset_ms)


def test_nobody_takes_for_ever() -> None:
    assert TOKENS.ticks(2**53) == MOST_TICKS
    assert int(Taking(TOKENS, "b", TOKENS.ticks(2**53)).arguments.split()[2]) == MOST_TICKS


@given(count=st.integers(1, 10_000), period_ms=st.sampled_from([1000, 60_000, 3_600_000]), burst=st.integers(1, 1000))
def test_a_burst_is_as_many_requests_as_it_says(count: int, period_ms: int, burst: int) -> None:
    rate = Rate(name="r", bucket="r", count=count, period_ms=period_ms, burst=burst)
    one = rate.ticks(1)
    assert burst * one <= rate.burst_ticks < (burst + 1) * one
