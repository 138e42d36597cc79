"""An upstream behind TLS: forwarded to only when it proves who it is."""

import pytest

from tests.e2e.house import CREDIT, House, Models, sidecar
from tests.support.rawhttp import fetch
from tests.support.upstream import CERTIFICATES, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

AUTHORITY = str(CERTIFICATES / "authority.pem")
CHAT = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}'


@pytest.mark.parametrize(
    ("certificate", "settings"),
    [
        pytest.param("here.pem", {"upstream__tls_ca_file": AUTHORITY}, id="verified"),
        pytest.param("elsewhere.pem", {"upstream__tls_verify": "false"}, id="not verified, as asked"),
    ],
)
async def test_a_good_upstream_is_used(house: House, certificate: str, settings: dict[str, str]) -> None:
    async with (
        Upstream(Models(), certificate=certificate) as upstream,
        sidecar(upstream=upstream.url, store=house.store.url, **settings) as running,
    ):
        buyer = await house.control.buyer(CREDIT)
        for _ in range(2):
            answer = await fetch(running.proxy_port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT)
            assert (answer.status, answer.body.endswith(b"[DONE]\n\n")) == (200, True)
        await house.settled(buyer, spent=2 * 93)
        assert {each.connection for each in upstream.requests} == {upstream.requests[0].connection}


@pytest.mark.parametrize(
    ("certificate", "settings", "code"),
    [
        pytest.param("here.pem", {}, "upstream_unreachable", id="an authority that nobody knows"),
        pytest.param(
            "elsewhere.pem", {"upstream__tls_ca_file": AUTHORITY}, "upstream_unreachable", id="another name"
        ),
        pytest.param(None, {"timeouts__connect_s": "0.3"}, "upstream_timed_out", id="no TLS at all"),
    ],
)
async def test_an_upstream_that_proves_nothing_hears_nothing(
    house: House, certificate: str | None, settings: dict[str, str], code: str
) -> None:
    async with (
        Upstream(Models(), certificate=certificate) as upstream,
        sidecar(upstream=f"https://127.0.0.1:{upstream.port}", store=house.store.url, **settings) as running,
    ):
        buyer = await house.control.buyer(CREDIT)
        answer = await fetch(running.proxy_port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT)
        assert answer.get("x-sidecar-refusal") == code
        assert upstream.requests == []
        await house.settled(buyer, spent=0)
