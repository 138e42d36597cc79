"""The composition root: a whole sidecar in this process, its parts by role, and how it stops."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.config.problems import ConfigError
from sidecar.config.settings import (
    Admin,
    Archive,
    Control,
    Data,
    Proxy,
    RulesSection,
    Settings,
    Spool,
    Store,
    Timeouts,
    Upstream,
)
from sidecar.domain import proxy_keys
from sidecar.domain.errors import InvalidInput, StartupError, StoreUnavailable
from sidecar.services import spool as spool_service
from sidecar.wiring import Role, running
from tests.support.buyers import Control as ControlApi
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, answers, head
from tests.support.upstream import Upstream as Behind

RULES = Path(__file__).parents[1] / "cli" / "rules.yaml"
KEY = "ck_live_" + "k" * 20
CREDIT = 1_000_000


def settings(upstream: str = "http://127.0.0.1:9", store: str = "", data: Path | str = "") -> Settings:
    return Settings(
        data=Data(dir=str(data)),
        admin=Admin(key=KEY),
        rules=RulesSection(paths=[str(RULES)]),
        proxy=Proxy(listen="127.0.0.1:0"),
        control=Control(listen="127.0.0.1:0"),
        upstream=Upstream(url=upstream),
        store=Store(url=store),
        timeouts=Timeouts(shutdown_s=0.1),
    )


async def metric(port: int, name: str) -> float:
    page = (await fetch(port, "GET", "/metrics")).body.decode()
    (value,) = (line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(f"{name} "))
    return float(value)


async def test_a_whole_sidecar_with_a_store_of_its_own(tmp_path: Path) -> None:
    async with Behind(answers(b"paid")) as upstream, running(settings(upstream.url, data=tmp_path)) as sidecar:
        assert sidecar.proxy_port is not None
        assert sidecar.control_port is not None
        control = ControlApi(sidecar.control_port, KEY)
        buyer = await control.buyer(2 * CREDIT)
        answer = await fetch(sidecar.proxy_port, "GET", "/fixed/a", buyer.bearer)
        assert (answer.status, answer.body) == (200, b"paid")
        assert (await control.balance(buyer)).spent == CREDIT
        assert await metric(sidecar.control_port, "sidecar_store_connected") == 1
        assert await metric(sidecar.control_port, "sidecar_settlements_pending") == 0
    assert not (tmp_path / "store.sock").exists() or not await _answers(tmp_path / "store.sock")


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.close()
    return True


async def test_the_parts_work_together_on_one_store(store_url: str) -> None:
    async with (
        Behind(answers(b"paid")) as upstream,
        running(settings(upstream.url, store_url), Role.PROXY) as proxy,
        running(settings("", store_url), Role.CONTROL) as control,
    ):
        assert (proxy.control_port, control.proxy_port) == (None, None)
        assert proxy.proxy_port is not None
        assert control.control_port is not None
        api = ControlApi(control.control_port, KEY)
        buyer = await api.buyer(2 * CREDIT)
        assert (await fetch(proxy.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200
        assert (await api.balance(buyer)).spent == CREDIT


async def test_readiness_follows_the_store(store_server: StoreServer) -> None:
    async with running(settings(store=store_server.url)) as sidecar:
        assert sidecar.control_port is not None
        assert sidecar.not_ready() is None
        store_server.kill()
        await until(lambda: sidecar.not_ready() is not None, "the loss of the store")
        readiness = await fetch(sidecar.control_port, "GET", "/readyz")
        assert readiness.status == 503
        detail = f"There is no connection to the store at {store_server.url}."
        assert readiness.json()["detail"] == detail
        store_server.start()
        await until(lambda: sidecar.not_ready() is None, "the store's return")


async def test_readiness_follows_the_circuit(store_server: StoreServer) -> None:
    patient = replace(settings(store=store_server.url), store=Store(url=store_server.url, timeout_s=0.1))
    async with running(patient) as sidecar:
        assert sidecar.proxy_port is not None
        bearer = (await ControlApi(sidecar.control_port or 0, KEY).buyer(2 * CREDIT)).bearer
        store_server.pause()
        codes = []
        while not sidecar.outage.open:
            answer = await fetch(sidecar.proxy_port, "GET", "/fixed/a", bearer)
            codes.append((answer.status, answer.json()["code"], answer.get("retry-after") is not None))
        assert set(codes) == {(503, "store_unavailable", True)}
        assert sidecar.not_ready() is not None
        assert await metric(sidecar.control_port or 0, "sidecar_store_circuit_open") == 1
        assert await metric(sidecar.control_port or 0, "sidecar_store_circuit_opened_total") == 1
        store_server.resume()
        await until(lambda: sidecar.not_ready() is None, "the store's return")


async def test_rules_that_serve_without_the_store_keep_it_ready_while_charges_can_be_kept(
    store_server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_service, "TRY_S", 0.0)
    in_the_way = tmp_path / "spool"
    async with Behind(answers(b"paid")) as upstream:
        bridging = replace(
            settings(upstream.url, store_server.url),
            rules=RulesSection(paths=["tests/e2e/bridging.yaml"]),
            spool=Spool(dir=str(in_the_way)),
        )
        async with running(bridging) as sidecar:
            port = sidecar.proxy_port or 0
            bearer = (await ControlApi(sidecar.control_port or 0, KEY).buyer(5 * CREDIT)).bearer
            assert (await fetch(port, "GET", "/allowed/a", bearer)).status == 200
            in_the_way.touch()
            store_server.kill()
            await until(lambda: not sidecar.lane.connected, "the loss of the store")
            reason = f"There is no connection to the store at {store_server.url}"
            assert sidecar.not_ready() == f"{reason}, and charges cannot be kept on the disk: Not a directory."
            assert (await fetch(port, "GET", "/allowed/a", bearer)).status == 503
            in_the_way.unlink()
            assert sidecar.not_ready() is None
            assert (await fetch(port, "GET", "/allowed/a", bearer)).status == 200
            assert len(upstream.requests) == 2
            store_server.start()
            await until(lambda: sidecar.lane.connected, "the store")


async def test_what_does_not_proxy_is_not_ready_without_the_store_whatever_rules_say(
    store_server: StoreServer,
) -> None:
    rules = RulesSection(paths=["tests/e2e/bridging.yaml"])
    async with running(replace(settings("", store_server.url), rules=rules), Role.CONTROL) as control:
        assert control.not_ready() is None
        store_server.kill()
        await until(lambda: not control.lane.connected, "the loss of the store")
        assert control.not_ready() == f"There is no connection to the store at {store_server.url}."
        store_server.start()
        await until(lambda: control.not_ready() is None, "the store")


async def test_three_proxies_start_without_their_store_and_admit_one_balance(store_server: StoreServer) -> None:
    """Not ready, 503, and nothing reaches the upstream; when the store comes they serve, without a restart."""
    store_server.kill()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Behind(answers(b"paid")))
        control = await stack.enter_async_context(running(settings("", store_server.url), Role.CONTROL))
        proxies = [
            await stack.enter_async_context(running(settings(upstream.url, store_server.url), Role.PROXY))
            for _ in range(3)
        ]
        ports = [proxy.proxy_port or 0 for proxy in proxies]
        text = proxy_keys.mint("live", f"cus_{'0' * 26}", bytes(32))
        detail = f"There is no connection to the store at {store_server.url}."
        for proxy, port in zip(proxies, ports, strict=True):
            assert proxy.not_ready() == detail
            answer = await fetch(port, "GET", "/fixed/a", ("authorization", f"Bearer {text}"))
            assert (answer.status, answer.json()["code"]) == (503, "store_unavailable")
            assert int(answer.get("retry-after") or 0) > 0
        readiness = await fetch(control.control_port or 0, "GET", "/readyz")
        assert (readiness.status, readiness.json()["detail"]) == (503, detail)
        assert not upstream.requests
        with pytest.raises(StoreUnavailable):
            # Nobody knows yet what signs; what was signed with nothing, everybody could forge.
            control.signer.sign("settle", Store())
        store_server.start()
        everyone = (control, *proxies)
        await until(lambda: not any(sidecar.not_ready() for sidecar in everyone), "the store")
        assert len({sidecar.signer.sign("settle", Store()) for sidecar in everyone}) == 1
        api = ControlApi(control.control_port or 0, KEY)
        buyer = await api.buyer(5 * CREDIT)
        answered = await asyncio.gather(*(fetch(port, "GET", "/fixed/a", buyer.bearer) for port in ports * 5))
        statuses = Counter(answer.status for answer in answered)
        # One that does not fit because of the others' holds is told that waiting helps.
        assert (statuses[200], statuses[402] + statuses[429]) == (5, 10)
        assert len(upstream.requests) == 5
        balance = await api.balance(buyer)
        assert (balance.spent, balance.held, balance.available) == (5 * CREDIT, 0, 0)


async def test_an_archive_that_is_away_at_the_start_is_opened_later(tmp_path: Path, store_url: str) -> None:
    """A request is served meanwhile, and what it was charged is archived then."""
    folder = tmp_path / "later"
    archive = Archive(url=f"sqlite:///{folder}/archive.db", timeout_s=0.2, wait_for_writes=False)
    away_at_first = replace(settings("", store_url), archive=archive)
    async with (
        Behind(answers(b"paid")) as upstream,
        running(replace(away_at_first, upstream=Upstream(url=upstream.url))) as sidecar,
    ):
        assert sidecar.proxy_port is not None
        assert sidecar.control_port is not None
        api = ControlApi(sidecar.control_port, KEY)
        buyer = await api.buyer(2 * CREDIT)
        assert (await fetch(sidecar.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200
        path = f"/v1/customers/{buyer.customer_id}/ledger"
        asked = ("Authorization", f"Bearer {KEY}")
        away = await fetch(sidecar.control_port, "GET", path, asked)
        assert (away.status, away.json()["code"]) == (503, "archive_unavailable")
        folder.mkdir()

        async def told() -> bool:
            return (await fetch(sidecar.control_port or 0, "GET", path, asked)).status == 200

        await until_async(told, "the archive to open")
        assert [entry["type"] for entry in await api.ledger(buyer)] == ["commit", "grant"]


async def test_leaving_cuts_and_settles(store_url: str) -> None:
    gate = Gate()

    async def never_ends(exchange: Exchange) -> None:
        await exchange.send(head(200, ("content-length", "10")) + b"some")
        await gate.pause()

    async with Behind(never_ends) as upstream, running(settings("", store_url), Role.CONTROL) as rest:
        assert rest.control_port is not None
        api = ControlApi(rest.control_port, KEY)
        buyer = await api.buyer(2 * CREDIT)
        async with running(settings(upstream.url, store_url), Role.PROXY) as proxy:
            assert proxy.proxy_port is not None
            client = RawClient(proxy.proxy_port)
            await client.__aenter__()
            await client.send(request("GET", "/fixed/a", buyer.bearer))
            await client.receive(until=b"some")
            assert (await api.balance(buyer)).held == CREDIT
        assert proxy.not_ready() == "The process is shutting down."
        assert (await api.balance(buyer)).held == 0
        await client.__aexit__(None, None, None)
        gate.open()


async def test_nothing_stays_behind_a_start_that_failed(store_url: str) -> None:
    before = asyncio.all_tasks()
    async with running(settings(store=store_url)) as sidecar:
        taken = Control(listen=f"127.0.0.1:{sidecar.control_port}")
        with pytest.raises(
            StartupError, match=f"The control API cannot listen on {taken.listen}: the port is in use"
        ):
            async with running(replace(settings(store=store_url), control=taken)):
                pass
    assert asyncio.all_tasks() == before


async def test_each_reason_not_to_start_has_its_error(tmp_path: Path, store_url: str) -> None:
    bad = tmp_path / "rules.yaml"
    bad.write_text("rules: 3\n")
    for changed, error in (
        (settings(store="redis://host:port"), InvalidInput),
        (settings("", store_url), StartupError),
        (replace(settings(store=store_url), rules=RulesSection(paths=[str(bad)])), ConfigError),
    ):
        with pytest.raises(error):
            async with running(changed):
                pass
