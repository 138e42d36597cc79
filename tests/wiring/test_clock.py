"""A test environment whose clock is moved: the proxy goes by it, and a store that is made again does."""

from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from sidecar.config.settings import Admin, RulesSection, Settings
from sidecar.control.endpoint import wall_clock_ms
from sidecar.control.schema import instant
from sidecar.wiring import Role, running
from sidecar.wiring.books import open_books
from tests.support.buyers import Control as ControlApi
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until_async
from tests.support.upstream import Upstream as Behind
from tests.support.upstream import answers
from tests.wiring.test_environments import a_town
from tests.wiring.test_running import CREDIT, settings

KEY = "ck_test_" + "k" * 20
CLOCK = "/v1/test/clock"
DAY_S = 86_400
RULES = """
version: 1
rules:
  - name: fixed
    match: {path: "/fixed/**"}
    price:
      - {effective_at: "2020-01-01T00:00:00Z", price: {flat: 1}}
      - {effective_at: "%s", price: {flat: 2}}
"""


def real_now() -> datetime:
    return instant(wall_clock_ms())


def of_test(upstream: str, store: str, data: Path) -> Settings:
    tomorrow = real_now() + timedelta(days=1)
    (data / "rules.yaml").write_text(RULES % tomorrow.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return replace(
        settings(upstream, store, data),
        environment="test",
        admin=Admin(key=KEY),
        rules=RulesSection(paths=[str(data / "rules.yaml")]),
    )


async def test_a_proxy_goes_by_the_clock_of_its_environment(store_server: StoreServer, tmp_path: Path) -> None:
    async with Behind(answers(b"paid")) as upstream:
        chosen = of_test(upstream.url, store_server.url, tmp_path)
        async with running(chosen, Role.PROXY) as proxy, running(chosen, Role.CONTROL) as control:
            assert proxy.proxy_port is not None
            assert control.control_port is not None
            port, api = proxy.proxy_port, ControlApi(control.control_port, KEY)
            buyer = await api.buyer(10_000 * CREDIT)
            assert (await fetch(port, "GET", "/fixed/a", buyer.bearer)).status == 200
            in_an_hour = (real_now() + timedelta(hours=1)).isoformat()
            path = f"/v1/customers/{buyer.customer_id}/keys"
            short = await api.call("POST", path, {"name": "short", "expires_at": in_an_hour})
            bearer = ("Authorization", f"Bearer {short['secret']}")
            assert (await fetch(port, "GET", "/fixed/a", bearer)).status == 200
            await api.call("POST", f"{CLOCK}/advance", {"seconds": 2 * DAY_S})

            async def refused() -> bool:
                """Others follow when they look."""
                return (await fetch(port, "GET", "/fixed/a", bearer)).status == 401

            await until_async(refused, "the key to expire")
            spent = (await api.balance(buyer)).spent
            assert (await fetch(port, "GET", "/fixed/a", buyer.bearer)).status == 200
            assert (await api.balance(buyer)).spent == spent + 2 * CREDIT
            moved = await api.call("GET", CLOCK)
        # The store is lost: what is archived says how late it was.
        store_server.kill()
        store_server.start()
        with store_server.client() as client:
            client.flushall()
        async with open_books(chosen) as books:
            assert (await books.rebuilding.run()).failed == ()
        async with running(chosen, Role.CONTROL) as control:
            api = ControlApi(control.control_port or 0, KEY)
            assert (await api.call("GET", CLOCK))["ahead_seconds"] > moved["ahead_seconds"] - 60
            assert (await api.balance(buyer)).spent == spent + 2 * CREDIT


async def test_nobody_else_s_clock_is_moved(store_server: StoreServer, tmp_path: Path) -> None:
    async with a_town(store_server, tmp_path) as (operator, live, trial, _, other):
        assert await trial.make(f"{CLOCK}/advance", {"seconds": DAY_S})
        assert (await trial.get(CLOCK))["ahead_seconds"] == DAY_S
        assert (await other.get(CLOCK))["ahead_seconds"] == 0
        for each in (operator, live):
            for method, path in (("GET", CLOCK), ("PUT", CLOCK), ("POST", f"{CLOCK}/advance")):
                body = {"seconds": 1} if path != CLOCK else {"now": "2090-01-01T00:00:00Z"}
                asked = await each.ask(method, path, None if method == "GET" else body, **{"Idempotency-Key": "x"})
                assert (asked.status, asked.json()["code"]) == (404, "not_found")
