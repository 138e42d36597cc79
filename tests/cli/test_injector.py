"""`sidecar injector` as a real process: what it prints, what it serves, and how it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cli.test_run import says
from tests.injector.authority import Files
from tests.injector.conftest import calling
from tests.support.process import ROOT
from tests.support.until import BOUND_S

IMAGE = {"SIDECAR_INJECTOR_IMAGE": "example.com/sidecar:1", "SIDECAR_INJECTOR_METRICS_LISTEN": "127.0.0.1:0"}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files.of(tmp_path)
    files.write()
    return files


def options(files: Files) -> list[str]:
    return ["injector", "--listen", "127.0.0.1:0", "--tls-cert", str(files.cert), "--tls-key", str(files.key)]


@asynccontextmanager
async def process(files: Files, environment: Mapping[str, str] = IMAGE) -> AsyncIterator[asyncio.subprocess.Process]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", *options(files)),
        cwd=ROOT,
        env=own | dict(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def line(stream: asyncio.StreamReader | None, beginning: str) -> str:
    """The next line that begins so."""
    assert stream is not None
    async with asyncio.timeout(BOUND_S):
        while (text := (await stream.readline()).decode()) != "":
            if text.strip().startswith(beginning) or beginning in text:
                return text.strip()
    raise AssertionError(f"it has ended without {beginning!r}")


async def test_it_serves_until_it_is_told_to_stop(files: Files) -> None:
    async with process(files) as injector:
        url = (await line(injector.stdout, "reviews")).split()[1]
        assert url.startswith("https://127.0.0.1:")
        assert (await line(injector.stdout, "metrics")).endswith("/metrics")
        assert (await line(injector.stdout, "image")).endswith("example.com/sidecar:1")
        await line(injector.stdout, "Ctrl-C stops it.")
        async with calling() as session, session.get(url.replace("/inject", "/readyz")) as got:
            assert got.status == 200
        files.write()
        injector.send_signal(signal.SIGHUP)
        await line(injector.stderr, "is served as it is now")
        injector.send_signal(signal.SIGTERM)
        await line(injector.stderr, "stopping: reviews are answered for 0 seconds more")
        assert await asyncio.wait_for(injector.wait(), BOUND_S) == 0


def test_what_keeps_it_from_starting(files: Files) -> None:
    says("No image: name the sidecar's with injector.image, or SIDECAR_INJECTOR_IMAGE.", *options(files))
