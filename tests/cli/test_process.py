"""How a serving process ends: in order on the first signal, at once on the second, and safely when it is killed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import ROOT, Sidecar
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.store import StoreServer
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Upstream, answers, chunk, head

RULES = "tests/cli/rules.yaml"
NOBODY = "http://127.0.0.1:9"
CREDIT = 1_000_000


def streaming(gate: Gate) -> Upstream:
    """An upstream whose answers stop in the middle until `gate` opens."""

    async def script(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(head(200, ("transfer-encoding", "chunked")) + chunk(b"first "))
        await gate.pause()
        await exchange.send(chunk(b"last"), chunk(b""))

    return Upstream(script)


async def connectable(port: int) -> bool:
    try:
        async with RawClient(port):
            return True
    except OSError:
        return False


async def test_the_first_signal_finishes_what_is_under_way(shared_store: StoreServer) -> None:
    gate = Gate()
    async with (
        streaming(gate) as upstream,
        Sidecar(upstream=upstream.url, rules=[RULES], store=shared_store.url) as run,
    ):
        buyer = await run.control.buyer(2 * CREDIT)
        async with RawClient(run.proxy_port) as client:
            await client.send(request("GET", "/fixed/a", buyer.bearer))
            await gate.reached()
            run.send_signal(signal.SIGTERM)
            await until(lambda: "stopping: requests under way have 25 seconds" in run.output, "the word")
            readiness = await fetch(run.control_port, "GET", "/readyz")
            assert readiness.status == 503
            assert readiness.json()["detail"] == "The process is shutting down."
            assert not await connectable(run.proxy_port)
            gate.open()
            answer = await client.answer()
        assert answer.body == b"first last"
        assert await run.ended() == 0
    async with Sidecar(upstream=NOBODY, rules=[RULES], store=shared_store.url) as run:
        balance = await run.control.balance(buyer)
        assert (balance.spent, balance.held) == (CREDIT, 0)


async def test_what_does_not_finish_in_time_is_cut_and_settled(shared_store: StoreServer) -> None:
    gate, short = Gate(), {"timeouts.shutdown_s": "0.1"}
    async with (
        streaming(gate) as upstream,
        Sidecar(upstream=upstream.url, rules=[RULES], store=shared_store.url, settings=short) as run,
    ):
        buyer = await run.control.buyer(2 * CREDIT)
        async with RawClient(run.proxy_port) as client:
            await client.send(request("GET", "/fixed/a", buyer.bearer))
            await gate.reached()
            assert await run.stop(signal.SIGINT) == 0
            assert (await client.ended()).endswith(b"first \r\n")
        gate.open()
    async with Sidecar(upstream=NOBODY, rules=[RULES], store=shared_store.url) as run:
        assert (await run.control.balance(buyer)).held == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_at_once(shared_store: StoreServer, number: signal.Signals, code: int) -> None:
    gate = Gate()
    async with (
        streaming(gate) as upstream,
        Sidecar(upstream=upstream.url, rules=[RULES], store=shared_store.url) as run,
    ):
        buyer = await run.control.buyer(2 * CREDIT)
        async with RawClient(run.proxy_port) as client:
            await client.send(request("GET", "/fixed/a", buyer.bearer))
            await gate.reached()
            run.send_signal(signal.SIGTERM)
            await until(lambda: "stopping" in run.output, "the word")
            assert await run.stop(number) == code
        gate.open()


async def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = Sidecar(upstream=NOBODY, store=f"redis://127.0.0.1:{silent.getsockname()[1]}", data_dir=tmp_path)
        await run.spawn()
        silent.settimeout(20)
        connection, _ = silent.accept()
        with connection:
            assert await run.stop(signal.SIGTERM) == 143
        assert "Traceback" not in run.output


async def test_killed_it_takes_its_store_along_and_the_next_run_finds_the_balance() -> None:
    async with Upstream(answers()) as upstream, Sidecar(upstream=upstream.url, rules=[RULES]) as run:
        buyer = await run.control.buyer(2 * CREDIT)
        assert (await fetch(run.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200
        assert await run.stop(signal.SIGKILL) == -signal.SIGKILL
        await run.start()
        balance = await run.control.balance(buyer)
        assert (balance.spent, balance.held, balance.available) == (CREDIT, 0, CREDIT)


async def test_it_serves_without_uvloop_too(shared_store: StoreServer, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('not on this machine')")
    without = {"PYTHONPATH": str(tmp_path)}
    async with (
        Upstream(answers(b"plain")) as upstream,
        Sidecar(upstream=upstream.url, rules=[RULES], store=shared_store.url, environment=without) as run,
    ):
        buyer = await run.control.buyer(2 * CREDIT)
        assert (await fetch(run.proxy_port, "GET", "/fixed/a", buyer.bearer)).body == b"plain"
        assert await run.stop() == 0


def test_a_terminal_can_be_closed_under_a_process() -> None:
    ours, theirs = os.openpty()
    go_on, wait = os.pipe()[::-1]
    script = (
        "import os, sys; from sidecar.cli.process import Terminal; terminal = Terminal(); "
        f"print(terminal.closed, flush=True); os.read({wait}, 1); print(terminal.closed)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=theirs, stdout=subprocess.PIPE, pass_fds=[wait], text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "False\n"
        os.close(theirs)
        os.close(ours)
        os.write(go_on, b"!")
        assert process.stdout.readline() == "True\n"
    os.close(go_on)
    os.close(wait)
