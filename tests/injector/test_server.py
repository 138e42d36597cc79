"""Reviews over real TLS, with the API server's own JSON: answers, bounds, health, a certificate that changes."""

import asyncio
import io
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import jsonpatch
import msgspec
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from sidecar.config.settings import Injector, Timeouts
from sidecar.domain.errors import StartupError
from sidecar.injector import answer as answering
from sidecar.injector import server
from sidecar.injector.counts import Counts
from sidecar.injector.server import Faces, listening
from sidecar.wiring.injector import injecting
from tests.injector.authority import Files, trusting
from tests.injector.conftest import Webhook, calling, settings_for
from tests.injector.golden import given
from tests.injector.test_review import QUESTION
from tests.support.until import BOUND_S, until

Json = dict[str, Any]


def question(name: str, **changes: object) -> Json:
    request: Json = QUESTION["request"]  # type: ignore[assignment]  # It is one.
    return QUESTION | {"request": request | {"object": given(name).document} | changes}


async def ask(session: aiohttp.ClientSession, webhook: Webhook, name: str) -> Json:
    async with session.post(f"{webhook.url}/inject?timeout=5s", json=question(name)) as got:
        assert (got.status, got.content_type) == (200, "application/json")
        answer: Json = await got.json()
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: Json = answer["response"]
    assert response["uid"] == question(name)["request"]["uid"]
    return response


async def test_a_review_over_tls(webhook: Webhook) -> None:
    async with calling() as session:
        injected = await ask(session, webhook, "deployment")
        assert injected["allowed"] is True
        assert injected["patchType"] == "JSONPatch"
        patch = json.loads(msgspec.json.decode(f'"{injected["patch"]}"', type=bytes))
        after = jsonpatch.apply_patch(given("deployment").document, patch)
        assert [each["name"] for each in after["spec"]["containers"]] == ["app", "entitlement-sidecar"]
        denied = await ask(session, webhook, "host_network")
        assert (denied["allowed"], denied["status"]["code"]) == (False, 403)
        assert "hostNetwork" in denied["status"]["message"]
        skipped = await ask(session, webhook, "no_port")
        assert (skipped["allowed"], "patch" in skipped, len(skipped["warnings"])) == (True, False, 1)
    samples = await webhook.metrics()
    for outcome in ("injected", "denied", "skipped"):
        assert samples[f'sidecar_injector_reviews_total{{outcome="{outcome}"}}'] == 1
    assert samples['sidecar_injector_reviews_total{outcome="failed"}'] == 0
    assert samples['sidecar_injector_reasons_total{reason="host_network"}'] == 1
    assert samples["sidecar_injector_review_duration_seconds_count"] == 3
    assert samples["sidecar_injector_certificate_expires_timestamp_seconds"] > 0


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"nonsense", 400, "This is no AdmissionReview of admission.k8s.io/v1"),
        (json.dumps(QUESTION | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(), 400, "apiVersion"),
        (json.dumps(QUESTION).encode(), 400, "metadata"),
        (b" " * (server.BODY_MAX_BYTES + 1), 413, "8388608 bytes"),
    ],
    ids=["no JSON", "another version", "no pod", "too large"],
)
async def test_what_cannot_be_read_is_not_let_through(webhook: Webhook, body: bytes, status: int, says: str) -> None:
    async with calling() as session, session.post(f"{webhook.url}/inject", data=io.BytesIO(body)) as got:
        assert got.status == status
        assert says in await got.text()
    assert (await webhook.metrics())['sidecar_injector_reviews_total{outcome="failed"}'] == 1


async def test_a_defect_of_ours_does_not_let_a_pod_through(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(answering, "decide", broken)
    async with calling() as session, session.post(f"{webhook.url}/inject", json=question("deployment")) as got:
        assert got.status == 500
        assert "broken" not in await got.text()
    assert "a review failed by a defect of ours" in caplog.text


async def test_a_review_that_trickles_is_given_up(tmp_path: Path) -> None:
    faces = Faces(Injector(image="s:1"), Counts(), CollectorRegistry(), review_s=0.05)
    async with listening(faces.webhook(), "127.0.0.1:0", "It", "--listen") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /inject HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        async with asyncio.timeout(BOUND_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_health_and_what_else_there_is(webhook: Webhook) -> None:
    async with calling() as session:
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/inject", 405)):
            async with session.get(webhook.url + path) as got:
                assert got.status == status, path


async def test_who_stops_is_not_ready_and_ends_connections() -> None:
    faces = Faces(Injector(image="s:1"), Counts(), CollectorRegistry())
    async with (
        listening(faces.webhook(), "127.0.0.1:0", "It", "--listen") as port,
        aiohttp.ClientSession() as session,
    ):
        faces.stopping = True
        async with session.get(f"http://127.0.0.1:{port}/readyz") as got:
            assert (got.status, got.headers["Connection"]) == (503, "close")


async def test_who_is_told_to_stop_answers_reviews_for_a_while(tmp_path: Path) -> None:
    files = Files.of(tmp_path)
    files.write()
    settings = msgspec.structs.replace(settings_for(files), timeouts=Timeouts(shutdown_delay_s=600))
    async with calling() as session:
        serving = injecting(settings)
        webhook = Webhook(await serving.__aenter__(), files)
        ending = asyncio.ensure_future(serving.__aexit__(None, None, None))
        await asyncio.sleep(0)
        assert (await ask(session, webhook, "deployment"))["allowed"] is True
        async with session.get(f"{webhook.url}/readyz") as got:
            assert (got.status, got.headers["Connection"]) == (503, "close")
        # Nobody waits ten minutes here.
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(session, webhook, "deployment")


async def test_a_certificate_is_replaced_under_load_without_a_failed_review(webhook: Webhook) -> None:
    """New connections all the time, and some that last, while the pair of files is written anew again and again."""
    serials: set[str] = set()
    asked, stop = 0, asyncio.Event()

    async def reviews(*, lasting: bool) -> None:
        nonlocal asked
        connector = aiohttp.TCPConnector(ssl=trusting(), force_close=not lasting)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not stop.is_set():
                assert (await ask(session, webhook, "deployment"))["allowed"] is True
                asked += 1

    async def replace() -> None:
        for _ in range(5):
            webhook.files.write()
            webhook.parts.look()
            before = asked
            serials.add(await serial(webhook))
            await until(lambda before=before: asked >= before + 20, "20 reviews more")  # type: ignore[misc]  # Bound now.
        stop.set()

    async with asyncio.TaskGroup() as group:
        for lasting in (True, False, False):
            group.create_task(reviews(lasting=lasting))
        group.create_task(replace())
    assert len(serials) == 5
    samples = await webhook.metrics()
    assert samples['sidecar_injector_certificate_reloads_total{outcome="loaded"}'] == 5
    assert samples['sidecar_injector_reviews_total{outcome="injected"}'] == asked
    assert samples['sidecar_injector_reviews_total{outcome="failed"}'] == 0


async def serial(webhook: Webhook) -> str:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", webhook.parts.port, ssl=trusting(), server_hostname="injector.sidecar.svc"
    )
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    shown = tls.getpeercert()
    writer.close()
    assert shown is not None
    return str(shown["serialNumber"])


async def test_a_port_in_use_is_told_with_its_option() -> None:
    app = web.Application()
    async with listening(app, "127.0.0.1:0", "One", "--listen") as port:
        with pytest.raises(
            StartupError, match=rf"^Two cannot listen on 127.0.0.1:{port}: the port is in use; choose"
        ):
            async with listening(web.Application(), f"127.0.0.1:{port}", "Two", "--listen"):
                pass
