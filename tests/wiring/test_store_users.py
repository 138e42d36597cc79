"""A proxy and a control plane, each as the user of `sidecar store acl`: they lack nothing, and may no more."""

import asyncio
from collections.abc import Iterator

import pytest
import redis
from msgspec.structs import replace

from sidecar.config.settings import RulesSection, Settings
from sidecar.store.acl import User, acl_rules
from sidecar.wiring import Role, Sidecar, running
from tests.support.buyers import Control as ControlApi
from tests.support.ports import free_ports
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, Upstream, head
from tests.wiring.test_running import CREDIT, KEY, metric, settings

PASSWORD = "word"


@pytest.fixture
def guarded() -> Iterator[StoreServer]:
    """A server with both users."""
    server = StoreServer(port=free_ports(1)[0])
    server.start()
    with server.client() as client:
        for user in User:
            rules = acl_rules(user, tenant="default", environment="live").split()
            client.execute_command("ACL", "SETUSER", user, "on", f">{PASSWORD}", *rules)  # type: ignore[no-untyped-call]  # redis-py left it without types.
    yield server
    server.remove()


def as_user(user: User, server: StoreServer, upstream: str = "") -> Settings:
    named = settings(upstream, f"redis://{user}:{PASSWORD}@127.0.0.1:{server.port}")
    return replace(named, rules=RulesSection(paths=["tests/wiring/store_users.yaml"]))


def waiting(proxy: Sidecar) -> float:
    return {family.name: family.samples for family in proxy.metrics.families()}["sidecar_waiting_requests"][()]


async def test_each_way_to_speak_to_the_store_is_allowed(guarded: StoreServer) -> None:
    gate = Gate()

    async def served(exchange: Exchange) -> None:
        target = exchange.request.target
        body = {b"/polled": b'{"id": "job_1"}', b"/jobs/job_1": b'{"status": "succeeded", "usage": {"gpu_ms": 1}}'}
        if target == b"/patient/first":
            await gate.pause()
        await exchange.body()
        answer = body.get(target, b"")
        fields = (("content-length", str(len(answer))), ("content-type", "application/json"))
        await exchange.send(head(202 if target == b"/polled" else 200, *fields) + answer)

    async with (
        Upstream(served) as upstream,
        running(as_user(User.CONTROL, guarded), Role.CONTROL) as control,
        running(as_user(User.PROXY, guarded, upstream.url), Role.PROXY) as proxy,
    ):
        port, api = proxy.proxy_port or 0, ControlApi(control.control_port or 0, KEY)
        buyer, poor = await api.buyer(100 * CREDIT), await api.buyer(4 * CREDIT)
        key = ("Idempotency-Key", "k1")
        for path, fields, status in (
            ("/fixed/a", (buyer.bearer,), 200),
            ("/leased/a", (buyer.bearer,), 200),
            ("/replayed/a", (buyer.bearer, key), 200),
            ("/replayed/a", (buyer.bearer, key), 200),
            ("/limited/a", (buyer.bearer,), 200),
            ("/limited/a", (buyer.bearer,), 429),
            ("/named/a", (("X-Customer", buyer.external_id),), 200),
            ("/named/a", (("X-Customer", "nobody"),), 401),
        ):
            assert (await fetch(port, "GET", path, *fields)).status == status, path
        assert (await fetch(port, "POST", "/polled", buyer.bearer, body=b"{}")).status == 202
        first = asyncio.ensure_future(fetch(port, "GET", "/patient/first", poor.bearer))
        await gate.reached()
        second = asyncio.ensure_future(fetch(port, "GET", "/patient/second", poor.bearer))
        await until(lambda: waiting(proxy) == 1, "the second to wait")
        gate.open()
        assert [answer.status for answer in await asyncio.gather(first, second)] == [200, 200]
        await until(lambda: b"/jobs/job_1" in [each.target for each in upstream.requests], "a poll")

        async def settled() -> bool:
            return (await api.balance(buyer)).spent == 6 * CREDIT

        await until_async(settled, "the job's charge")
        assert await metric(control.control_port or 0, "sidecar_store_connected") == 1
        assert [entry["type"] for entry in await api.ledger(poor)] == ["commit", "commit", "grant"]
    with guarded.client() as client:
        assert client.acl_log() == []


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "CONFIG GET *",
        "KEYS *",
        "HSET sidecar:{0}:default/live:keys:cus_1 key secret",
        "SET sidecar:{0}:default/live:external:alice cus_1",
        "GET sidecar:{0}:default/live:business:cus_1",
        "GET sidecar:{0}:other/live:account:cus_1:credits",
        "GET sidecar:{0}:default/test:account:cus_1:credits",
        "GET somebody-elses",
    ],
)
def test_a_proxys_user_may_no_more(guarded: StoreServer, command: str) -> None:
    with (
        redis.Redis(port=guarded.port, username=User.PROXY, password=PASSWORD) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())
