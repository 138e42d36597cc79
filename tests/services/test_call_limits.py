"""How fast control keys may call."""

import msgspec
import pytest

from sidecar.domain.control_keys import Principal
from sidecar.domain.limit_fields import standing
from sidecar.services import call_limits
from sidecar.services.call_limits import CallLimits


class Hands(msgspec.Struct):
    """A clock that a test sets."""

    ms: int = 1_000_000

    def __call__(self) -> int:
        return self.ms


def who(key_id: str, tenant: str = "acme", environment: str = "live") -> Principal:
    return Principal(tenant=tenant, environment=environment, key_id=key_id, scopes=frozenset())


def test_a_key_may_call_so_often_at_once_and_then_in_time() -> None:
    clock = Hands()
    limits = CallLimits(key_count=60, tenant_count=0, now_ms=clock)
    assert [limits.call(who("a")).refused for _ in range(60)] == [None] * 60
    refused = limits.call(who("a"))
    assert (refused.refused, refused.wait_ms) == (limits.limits[0], 1_000)
    assert standing(refused.standing) == b'"key";r=0;t=60'
    clock.ms += 999
    assert limits.call(who("a")).wait_ms == 1
    clock.ms += 1
    assert limits.call(who("a")).refused is None
    assert limits.call(who("a")).refused is not None
    assert limits.call(who("b")).refused is None


def test_what_comes_back_is_no_more_than_there_was() -> None:
    clock = Hands()
    limits = CallLimits(key_count=2, tenant_count=0, now_ms=clock)
    limits.call(who("a"))
    clock.ms += 10**9
    assert [limits.call(who("a")).refused is None for _ in range(3)] == [True, True, False]


def test_the_keys_of_an_environment_share_what_it_has() -> None:
    limits = CallLimits(key_count=2, tenant_count=3, now_ms=Hands())
    asked = [limits.call(who(key)) for key in ("a", "a", "b", "b")]
    assert [each.refused and each.refused.name for each in asked] == [None, None, None, "tenant"]
    assert standing(asked[2].standing) == b'"key";r=1;t=30, "tenant";r=0;t=60'
    # What was refused took nothing: the other key's own limit is as it was.
    assert standing(asked[3].standing) == b'"key";r=1;t=30, "tenant";r=0;t=60'
    assert limits.call(who("c", environment="test")).refused is None
    assert limits.call(who("d", tenant="other")).refused is None


def test_without_limits_nothing_is_counted() -> None:
    limits = CallLimits(key_count=0, tenant_count=0, now_ms=Hands())
    assert (limits.limits, limits.call(who("a"))) == ((), call_limits.Called(()))


def test_full_buckets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_limits, "BUCKETS_MAX", 2)
    clock = Hands()
    limits = CallLimits(key_count=1, tenant_count=0, now_ms=clock)
    for key in ("a", "b", "c"):
        limits.call(who(key))
    assert limits.call(who("a")).refused is not None
    clock.ms += 60_000
    limits.call(who("d"))
    assert len(limits._full_at) == 1
