"""The limits of control keys, as callers see them."""

import pytest

from sidecar.domain.scopes import HOT
from sidecar.services.call_limits import CallLimits
from sidecar.store.lane import Lane
from tests.support.control import Control, assert_problem, serving


async def test_an_answer_says_what_is_left(control: Control) -> None:
    answer = await control.ask("GET", "/v1/units")
    assert answer.headers["RateLimit-Policy"] == '"key";q=6000;w=60, "tenant";q=30000;w=60'
    assert answer.headers["RateLimit"].startswith('"key";r=5999;t=1, "tenant";r=29999;t=1')
    assert "RateLimit" not in (await control.ask("GET", "/healthz")).headers
    assert "RateLimit" not in (await control.ask("GET", "/v1/units", key="ck_live_wrong")).headers


async def test_who_calls_too_often_is_told_when_to_come_back(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lane) as control:
        limits = CallLimits(key_count=2, tenant_count=0, now_ms=lambda: 1)
        monkeypatch.setattr(control.parts.call_limits, "call", limits.call)
        for _ in range(2):
            assert (await control.ask("GET", "/v1/units")).status == 200
        refused = await control.ask("POST", "/v1/customers", {"external_id": "alice"})
        assert_problem(refused, 429, "rate_limited")
        assert (refused.headers["Retry-After"], refused.headers["RateLimit"]) == ("30", '"key";r=0;t=60')
        monkeypatch.undo()
        assert (await control.ask("GET", "/v1/admin/audit")).json["data"] == []


def test_what_is_asked_for_each_request_is_not_counted() -> None:
    assert {scope.value for scope in HOT} == {"entitlements:read", "reservations:write", "usage:write"}
