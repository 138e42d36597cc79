"""What probes and Prometheus are told on the admin listener, of one process and of several workers."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from sidecar.domain.errors import StartupError
from sidecar.proxy.admin import AdminServer
from sidecar.proxy.reports import Report
from sidecar.telemetry import Metrics
from tests.support.rawhttp import RawClient, fetch, request


def report(unready: str | None = None, charged: int = 0) -> Report:
    metrics = Metrics()
    metrics.charged["credits"] += charged
    return Report(unready, metrics.families())


@asynccontextmanager
async def admin(*reports: Report | None) -> AsyncIterator[int]:
    async def look() -> Sequence[Report | None]:
        return reports

    server = AdminServer("127.0.0.1:0", look)
    await server.start()
    yield server.port
    await server.close()


@pytest.mark.parametrize(
    ("reports", "healthy", "unready"),
    [
        ([report()], True, None),
        ([report("The store is away.")], True, "The store is away."),
        ([report(), report("The store is away.")], True, "The store is away."),
        ([report(), None], False, "A worker does not answer."),
        ([], True, "No worker serves."),
    ],
)
async def test_all_who_listen_must_be_well(reports: list[Report | None], healthy: bool, unready: str | None) -> None:
    async with admin(*reports) as port:
        health = await fetch(port, "GET", "/healthz")
        assert (health.status == 200) is healthy
        readiness = await fetch(port, "GET", "/readyz?verbose=1")
        if unready is None:
            assert (readiness.status, readiness.body) == (200, b'{"status":"ready"}')
        else:
            assert readiness.status == 503
            assert (readiness.json()["code"], readiness.json()["detail"]) == ("not_ready", unready)
            assert readiness.get("content-type") == "application/problem+json"


async def test_metrics_of_all_are_one_page() -> None:
    async with admin(report(charged=3), None, report(charged=4)) as port:
        answer = await fetch(port, "GET", "/metrics")
    assert answer.status == 200
    assert (answer.get("content-type") or "").startswith("text/plain; version=")
    assert b'\nsidecar_charged_base_units_total{unit="credits"} 7.0\n' in answer.body


async def test_only_what_there_is_can_be_read_and_only_be_read() -> None:
    async with admin(report()) as port, RawClient(port) as client:
        await client.send(request("HEAD", "/healthz"), request("POST", "/readyz"), request("GET", "/v1/models"))
        head = await client.answer("HEAD")
        assert (head.status, head.body) == (200, b"")
        posted = await client.answer()
        assert (posted.status, posted.get("allow")) == (405, "GET, HEAD")
        unknown = await client.answer()
        assert (unknown.status, unknown.json()["code"]) == (404, "not_found")


async def test_an_address_in_use_is_said() -> None:
    async def look() -> list[Report | None]:
        return []

    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartupError, match=f"{listen}: the port is in use; .* as proxy.admin_listen"):
            await AdminServer(listen, look).start()
