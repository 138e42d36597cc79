import logging

import pytest
from prometheus_client import Counter

from sidecar.control.routes import ENDPOINTS
from sidecar.domain.errors import StoreCorrupt
from tests.support.control import Control


async def test_alive_and_ready(control: Control) -> None:
    assert (await control.ask("GET", "/healthz", key=None)).json == {"status": "ok"}
    assert (await control.ask("GET", "/readyz", key=None)).json == {"status": "ready"}
    assert (await control.ask("HEAD", "/healthz", key=None)).status == 200


async def test_not_ready_says_why_and_is_still_alive(control: Control) -> None:
    control.readiness.asked = lambda: "The store does not answer."
    answer = await control.ask("GET", "/readyz", key=None)
    assert answer.status == 503
    assert (answer.json["code"], answer.json["detail"]) == ("not_ready", "The store does not answer.")
    assert answer.headers["Retry-After"] == "1"
    assert (await control.ask("GET", "/healthz", key=None)).status == 200


async def test_the_metrics_are_those_of_the_registry(control: Control) -> None:
    Counter("sidecar_test", "For this test.", registry=control.registry).inc(3)
    answer = await control.ask("GET", "/metrics", key=None)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b"sidecar_test_total 3.0" in answer.raw


async def test_the_description_is_served_to_everybody(control: Control) -> None:
    answer = await control.ask("GET", "/v1/openapi.json", key=None)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["openapi"] == "3.1.0"
    assert {path for endpoint in ENDPOINTS for path in endpoint.paths} == answer.json["paths"].keys()


async def test_an_unforeseen_error_shows_only_the_id(control: Control, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str | None:
        raise RuntimeError("hunter2")

    control.readiness.asked = fail
    with caplog.at_level(logging.ERROR, "sidecar.control"):
        answer = await control.ask("GET", "/readyz")
    assert answer.status == 500
    assert answer.json.keys() == {"type", "title", "status", "detail", "instance", "code"}
    assert answer.json["code"] == "internal"
    assert answer.json["instance"] == answer.headers["x-request-id"]
    assert b"hunter2" not in answer.raw
    assert "hunter2" in caplog.text
    assert answer.json["instance"] in caplog.text


async def test_a_store_that_is_away_is_a_503(control: Control) -> None:
    customer_id = await control.customer()
    await control.lane.close()
    for method, path in (("GET", "/credits"), ("POST", "/keys")):
        answer = await control.ask(method, f"/v1/customers/{customer_id}{path}", Idempotency_Key="k1")
        assert answer.status == 503
        assert answer.json["code"] in {"store_unavailable", "store_timeout"}
        assert answer.headers["Retry-After"] == "1"


async def test_a_corrupt_store_is_told_to_the_log_only(control: Control, caplog: pytest.LogCaptureFixture) -> None:
    def corrupt() -> str | None:
        raise StoreCorrupt("The script said hunter2.")

    control.readiness.asked = corrupt
    answer = await control.ask("GET", "/readyz")
    assert (answer.status, answer.json["code"]) == (500, "store_corrupt")
    assert b"hunter2" not in answer.raw
    assert "hunter2" in caplog.text
