"""The admin listener of a process that only proxies: ready by the rules' policy, while its proxy comes and goes."""

from msgspec.structs import replace

from sidecar.config.settings import Proxy, Settings
from sidecar.wiring import Role, running
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until
from tests.support.upstream import Upstream, answers
from tests.wiring.test_running import metric, settings


def with_admin(settings: Settings) -> Settings:
    return replace(settings, proxy=Proxy(listen="127.0.0.1:0", admin_listen="127.0.0.1:0"))


async def test_a_proxy_answers_probes_and_is_scraped_on_a_port_of_its_own(store_server: StoreServer) -> None:
    async with (
        Upstream(answers(b"served")) as upstream,
        running(with_admin(settings(upstream.url, store_server.url)), Role.PROXY) as proxy,
    ):
        port = proxy.admin_port or 0
        assert (await fetch(port, "GET", "/healthz")).status == 200
        assert (await fetch(port, "GET", "/readyz")).status == 200
        assert await metric(port, "sidecar_store_connected") == 1
        # The proxied API keeps all of its paths.
        assert (await fetch(proxy.proxy_port or 0, "GET", "/v1/models")).body == b"served"
        store_server.kill()
        await until(lambda: proxy.not_ready() is not None, "the loss of the store")
        readiness = await fetch(port, "GET", "/readyz")
        assert (readiness.status, readiness.json()["detail"]) == (503, proxy.not_ready())
        assert (await fetch(port, "GET", "/healthz")).status == 200
        store_server.start()
        await until(lambda: proxy.not_ready() is None, "the store's return")
        assert (await fetch(port, "GET", "/readyz")).status == 200


async def test_without_an_address_nothing_listens(store_url: str) -> None:
    async with running(settings(store=store_url), Role.PROXY) as proxy:
        assert proxy.admin_port is None
