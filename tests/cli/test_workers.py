"""Several processes on one port: they share it, are replaced when they die, and end with their parent."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.ports import free_ports
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, Upstream, head

RULES = "tests/cli/rules.yaml"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these tests look at processes through /proc")


def workers(run: Sidecar) -> set[int]:
    """The processes that a parent has started."""
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text()
    return {int(pid) for pid in children.split()}


def listening(run: Sidecar) -> int:
    """How many sockets listen on the proxy's port: one for each worker that serves."""
    wanted = f"0100007F:{run.proxy_port:04X} 00000000:0000 0A"
    return Path("/proc/net/tcp").read_text().count(wanted)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
async def run(shared_store: StoreServer) -> AsyncIterator[Sidecar]:
    async with Upstream() as upstream:
        sidecar = Sidecar(
            "proxy", upstream=upstream.url, rules=[RULES], store=shared_store.url, arguments=["--workers", "2"]
        )
        async with sidecar as run:
            await until(lambda: listening(run) == 2, "two listeners")
            yield run


async def test_all_workers_serve_one_port(run: Sidecar) -> None:
    assert len(workers(run)) == 2
    answers = await asyncio.gather(*(fetch(run.proxy_port, "GET", "/v1/models") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert "  workers    2\n" in run.output
    assert run.output.count("is running") == 1


async def test_a_worker_that_dies_is_replaced(run: Sidecar) -> None:
    before = workers(run)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(workers(run) - {victim}) == 2 and listening(run) == 2, "a new worker")
    assert workers(run) & before == before - {victim}
    assert "sidecar: a worker ended (SIGKILL); starting another" in run.output
    assert (await fetch(run.proxy_port, "GET", "/v1/models")).status == 200


async def test_a_signal_ends_all_in_order(run: Sidecar) -> None:
    processes = workers(run)
    assert await run.stop(signal.SIGINT) == 0
    assert not any(alive(pid) for pid in processes)
    assert run.output.count("stopping") == 2


async def test_workers_end_with_a_parent_that_is_killed(run: Sidecar) -> None:
    processes = workers(run)
    await run.stop(signal.SIGKILL)
    await until(lambda: not any(alive(pid) for pid in processes), "the workers' end")


async def test_a_port_that_other_workers_share_is_in_use(run: Sidecar, shared_store: StoreServer) -> None:
    other = Sidecar("proxy", upstream="http://127.0.0.1:9", store=shared_store.url, arguments=["--workers", "2"])
    other._arguments += ["--listen", f"127.0.0.1:{run.proxy_port}"]
    await other.spawn()
    assert await other.ended() == 1
    assert other.output.endswith(
        f"sidecar: The proxy cannot listen on 127.0.0.1:{run.proxy_port}: the port is in use; "
        "choose another address with --listen.\n"
    )
    await other.close()


async def test_what_keeps_the_first_from_starting_is_said_once() -> None:
    run = Sidecar("proxy", upstream="http://127.0.0.1:9", store="redis://host:port", arguments=["--workers", "3"])
    await run.spawn()
    assert await run.ended() == 1
    assert run.output.count("\n") == 1
    assert "The store address must look like redis://" in run.output
    await run.close()


async def test_each_worker_reloads_on_the_sighup_of_its_parent(shared_store: StoreServer, tmp_path: Path) -> None:
    def write(path: str) -> None:
        (tmp_path / "rules.yaml").write_text(
            f"version: 1\nrules: [{{name: all, match: {{path: {path}}}, free: true}}]\n"
        )

    write("/old")
    async with Upstream() as upstream:
        sidecar = Sidecar(
            "proxy",
            upstream=upstream.url,
            rules=[tmp_path],
            store=shared_store.url,
            settings={"rules.watch": "false"},
            arguments=["--workers", "2"],
        )
        async with sidecar as run:
            await until(lambda: listening(run) == 2, "two listeners")
            write("/new")
            run.send_signal(signal.SIGHUP)
            await until(lambda: run.output.count("are in force instead of") == 2, "both workers")
            answers = await asyncio.gather(*(fetch(run.proxy_port, "GET", "/new") for _ in range(20)))
            assert {answer.status for answer in answers} == {200}
            assert len(workers(run)) == 2


async def answers_at(port: int) -> bool:
    try:
        return (await fetch(port, "GET", "/readyz")).status == 200
    except ConnectionError:
        return False


async def test_one_process_answers_probes_and_prometheus_for_all(shared_store: StoreServer) -> None:
    (port,), gate = free_ports(1), Gate()

    async def served(exchange: Exchange) -> None:
        if exchange.request.target.endswith(b"?slow"):
            await gate.pause()
        await exchange.send(head(200, ("content-length", "0")))

    with tempfile.TemporaryDirectory(prefix="sc-") as folder:
        settings = {"proxy.admin_listen": f"127.0.0.1:{port}", "data.dir": folder}
        async with Upstream(served) as upstream:
            sidecar = Sidecar(
                "proxy",
                upstream=upstream.url,
                rules=[RULES],
                store=shared_store.url,
                settings=settings,
                arguments=["--workers", "2"],
            )
            async with sidecar as run:
                await until(lambda: listening(run) == 2, "two listeners")
                await asyncio.gather(*(fetch(run.proxy_port, "GET", "/v1/models") for _ in range(20)))
                # What workers have counted is theirs: it outlives who tells it.
                first = min(workers(run))
                os.kill(first, signal.SIGKILL)
                await until(lambda: first not in workers(run), "its end")
                await until_async(lambda: answers_at(port), "another one")
                assert len(workers(run)) == 3
                assert (await fetch(port, "GET", "/healthz")).status == 200
                page = (await fetch(port, "GET", "/metrics")).body.decode()
                assert 'sidecar_requests_total{outcome="free",rule="models"} 20.0' in page
                slow = asyncio.ensure_future(fetch(run.proxy_port, "GET", "/v1/models?slow"))
                await gate.reached()
                run.send_signal(signal.SIGTERM)
                await until(lambda: len(workers(run)) == 2, "the end of the idle worker")
                readiness = await fetch(port, "GET", "/readyz")
                assert (readiness.status, readiness.json()["detail"]) == (503, "The process is shutting down.")
                gate.open()
                assert (await slow).status == 200
                assert await run.ended() == 0
                assert not any(name.startswith("workers-") for name in os.listdir(folder))  # noqa: PTH208
