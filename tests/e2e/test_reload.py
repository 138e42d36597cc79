"""Rules are exchanged under real requests: none fails, none is charged by other rules than those it began with."""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.house import CREDIT
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, Upstream, answers

OFTEN = {"rules.poll_s": "0.05"}
NEVER = {"rules.watch": "false"}


def text(price: int, name: str = "paid", more: str = "") -> str:
    return f"version: 1\nrules:\n{more}  - {{name: {name}, match: {{path: /paid}}, price: {{flat: {price}}}}}\n"


def write(file: Path, text: str) -> None:
    file.write_text(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "rules.yaml", text(1))
    return tmp_path / "rules.yaml"


async def version(run: Sidecar) -> str:
    found: str = (await run.control.call("GET", "/v1/rules"))["version"]
    return found


async def changed(run: Sidecar, before: str) -> str:
    """The version that follows `before`."""

    async def is_another() -> bool:
        return await version(run) != before

    await until_async(is_another, "new rules")
    return await version(run)


async def metric(run: Sidecar, name: str) -> float:
    lines = (await fetch(run.control_port, "GET", "/metrics")).body.decode().splitlines()
    (value,) = (line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} "))
    return float(value)


async def commits(run: Sidecar, buyer: Buyer) -> list[tuple[str, int, str]]:
    """Of each charge its rule, amount and version, the newest first."""
    entries = [entry for entry in await run.control.ledger(buyer) if entry["type"] == "commit"]
    return [(entry["rule"], entry["charged"], entry["rules_version"]) for entry in entries]


async def ask_on_and_on(port: int, buyer: Buyer, stop: asyncio.Event) -> list[int]:
    """One connection, always the same head, so that whatever is kept of a head is used."""
    statuses = []
    async with RawClient(port) as client:
        while not stop.is_set():
            await client.send(request("GET", "/paid", buyer.bearer))
            statuses.append((await client.answer()).status)
    return statuses


async def test_prices_change_under_load(shared_store: StoreServer, file: Path) -> None:
    """Good files, and bad ones between them."""
    async with (
        Upstream(answers(b"ok")) as upstream,
        Sidecar(upstream=upstream.url, rules=[file], store=shared_store.url, settings=OFTEN) as run,
    ):
        buyer = await run.control.buyer(1_000_000 * CREDIT)
        stop = asyncio.Event()
        asking = [asyncio.ensure_future(ask_on_and_on(run.proxy_port, buyer, stop)) for _ in range(4)]
        prices = {await version(run): 1}
        for price in range(2, 6):
            write(file, text(price).replace("flat", "flatt"))

            async def refused() -> bool:
                return await metric(run, "sidecar_rules_last_reload_successful") == 0

            await until_async(refused, "the refusal of a bad file")
            assert (await fetch(run.control_port, "GET", "/readyz")).status == 200
            failure = (await run.control.call("GET", "/v1/rules"))["failure"]
            assert failure["problems"][0]["message"] == "nothing measures `flatt`"
            write(file, text(price))
            now = await changed(run, list(prices)[-1])
            prices[now] = price
            assert await metric(run, f'sidecar_rules_info{{version="{now}"}}') == 1
            # Whoever asks from now on is charged by the new rules.
            assert (await fetch(run.proxy_port, "GET", "/paid", buyer.bearer)).status == 200
            assert (await commits(run, buyer))[0][2] == now
        stop.set()
        statuses = [status for each in await asyncio.gather(*asking) for status in each]
        assert set(statuses) == {200}
        charged = await commits(run, buyer)
        assert len(charged) == len(statuses) + 4
        assert {(amount, version) for _, amount, version in charged} == {
            (price * CREDIT, version) for version, price in prices.items()
        }
        assert await metric(run, 'sidecar_rules_reloads_total{outcome="applied"}') == 4
        assert "did you mean `flat`?" in run.output


async def test_a_request_under_way_keeps_its_rule(shared_store: StoreServer, file: Path) -> None:
    """Its rule is gone, and another has its route, before it is answered."""
    gate = Gate()

    async def slow(exchange: Exchange) -> None:
        await gate.pause()
        await answers(b"late")(exchange)

    async with (
        Upstream(slow) as upstream,
        Sidecar(upstream=upstream.url, rules=[file], store=shared_store.url, settings=OFTEN) as run,
    ):
        buyer = await run.control.buyer(100 * CREDIT)
        before = await version(run)
        async with RawClient(run.proxy_port) as client:
            await client.send(request("GET", "/paid", buyer.bearer))
            await gate.reached()
            write(file, text(7, name="other"))
            now = await changed(run, before)
            gate.open()
            assert (await client.answer()).status == 200
            await client.send(request("GET", "/paid", buyer.bearer))
            assert (await client.answer()).status == 200
        assert await commits(run, buyer) == [("other", 7 * CREDIT, now), ("paid", CREDIT, before)]


async def test_a_request_that_waits_for_credit_keeps_its_rule(shared_store: StoreServer, file: Path) -> None:
    write(file, text(1).replace("}}", "}, on_short: wait 20s}"))
    gate = Gate()

    async def slow(exchange: Exchange) -> None:
        await gate.pause()
        await answers(b"", status=503)(exchange)

    async with (
        Upstream(slow) as upstream,
        Sidecar(upstream=upstream.url, rules=[file], store=shared_store.url, settings=OFTEN) as run,
    ):
        buyer = await run.control.buyer(CREDIT)
        before = await version(run)
        async with RawClient(run.proxy_port) as first, RawClient(run.proxy_port) as second:
            await first.send(request("GET", "/paid", buyer.bearer))
            await gate.reached()
            await second.send(request("GET", "/paid", buyer.bearer))

            async def waits() -> bool:
                return await metric(run, "sidecar_waiting_requests") == 1

            await until_async(waits, "the second to wait")
            write(file, text(7, name="other"))
            await changed(run, before)
            upstream.script = answers(b"ok")
            # The first is not charged, so its hold comes back.
            gate.open()
            assert (await first.answer()).status == 503
            assert (await second.answer()).status == 200
        assert await commits(run, buyer) == [("paid", CREDIT, before)]


async def test_a_route_can_become_free_and_go(shared_store: StoreServer, file: Path) -> None:
    async with (
        Upstream(answers(b"ok")) as upstream,
        Sidecar(upstream=upstream.url, rules=[file], store=shared_store.url, settings=OFTEN) as run,
        RawClient(run.proxy_port) as client,
    ):
        seen = []
        contents: Sequence[str] = (
            "version: 1\nrules: [{name: paid, match: {path: /paid}, free: true}]\n",
            text(1).replace("/paid", "/elsewhere"),
            text(1),
        )
        for content in contents:
            before = await version(run)
            write(file, content)
            await changed(run, before)
            await client.send(request("GET", "/paid"))
            seen.append((await client.answer()).status)
        assert seen == [200, 403, 401]


async def test_sighup_reloads_without_a_watch(shared_store: StoreServer, file: Path) -> None:
    async with (
        Upstream(answers(b"ok")) as upstream,
        Sidecar(upstream=upstream.url, rules=[file], store=shared_store.url, settings=NEVER) as run,
    ):
        before = await version(run)
        write(file, text(2))
        assert await version(run) == before
        run.send_signal(signal.SIGHUP)
        now = await changed(run, before)
        assert f"rules {now} are in force instead of {before}, because of SIGHUP; changed: paid" in run.output
        file.unlink()  # noqa: ASYNC240  (a millisecond)
        run.send_signal(signal.SIGHUP)
        await until(lambda: "rules.yaml: no such file" in run.output, "the word")
        assert await version(run) == now


async def test_a_control_process_has_the_rules_too(shared_store: StoreServer, file: Path) -> None:
    async with Sidecar("control", upstream="", rules=[file], store=shared_store.url, settings=OFTEN) as run:
        before = await version(run)
        write(file, text(2))
        await changed(run, before)
        write(file, text(3))
        run.send_signal(signal.SIGHUP)
        await until(lambda: run.output.count("are in force instead of") == 2, "the third rules")
