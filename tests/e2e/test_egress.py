"""In front of a provider's API: the workload has a key of ours, the sidecar alone has the provider's."""

from pathlib import Path

import openai
import pytest

from tests.e2e.house import CREDIT, MODEL, RULES, House
from tests.support.openai_api import OpenAIApi
from tests.support.process import Sidecar
from tests.support.until import until
from tests.support.upstream import CERTIFICATES, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_stock_client_never_has_the_providers_key_and_the_provider_never_ours(
    house: House, tmp_path: Path
) -> None:
    file, buyer = tmp_path / "key", await house.control.buyer(CREDIT)
    file.write_text("sk-the-first\n")
    async with Upstream(OpenAIApi(key="sk-the-first"), certificate="here.pem") as provider:
        settings = {
            "upstream.tls_ca_file": str(CERTIFICATES / "authority.pem"),
            "upstream.credential_file": str(file),
            "proxy.forwarding": "none",
            "proxy.via": "false",
        }
        url = f"https://localhost:{provider.port}"
        async with Sidecar("proxy", upstream=url, rules=[RULES], store=house.store.url, settings=settings) as sidecar:
            base_url = f"http://127.0.0.1:{sidecar.proxy_port}/v1"
            async with openai.AsyncOpenAI(base_url=base_url, api_key=buyer.secret, max_retries=0) as workload:
                await workload.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
                file.write_text("sk-the-second\n")
                provider.script = OpenAIApi(key="sk-the-second")
                await until(lambda: "has changed; the new one is in use" in sidecar.output, "the new key")
                await workload.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
            assert "sk-the" not in sidecar.output
    first, second = provider.requests
    assert [each.get(b"authorization") for each in (first, second)] == [
        b"Bearer sk-the-first",
        b"Bearer sk-the-second",
    ]
    assert first.get(b"host") == f"localhost:{provider.port}".encode()
    assert buyer.secret.encode() not in first.head
    # Nothing tells the provider where the workload runs.
    assert not [name for name in (b"x-forwarded-for", b"x-forwarded-host", b"via", b"forwarded") if first.get(name)]
    balance = await house.settled_later(buyer)
    assert balance.spent > 0
