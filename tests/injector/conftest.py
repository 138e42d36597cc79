"""A webhook that serves over real TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from sidecar.config.settings import Injector, Settings
from sidecar.wiring.injector import injecting
from sidecar.wiring.parts import Injecting
from tests.injector.authority import Files, trusting
from tests.injector.golden import IMAGE


class Webhook(msgspec.Struct, frozen=True):
    """What serves, its files, and clients of it."""

    parts: Injecting
    files: Files

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.parts.port}"

    async def metrics(self) -> dict[str, float]:
        """Samples by name and labels."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.parts.metrics_port}/metrics") as got,
        ):
            lines = (await got.text()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def settings_for(files: Files, **changes: object) -> Settings:
    section = {
        "listen": "127.0.0.1:0",
        "metrics_listen": "127.0.0.1:0",
        "tls_cert_file": str(files.cert),
        "tls_key_file": str(files.key),
        "image": IMAGE,
    }
    return Settings(injector=msgspec.convert(section | changes, Injector))


@asynccontextmanager
async def calling() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that trusts our authority and asks for what it expects by name."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting())) as session:
        yield session


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[Webhook]:
    files = Files.of(tmp_path)
    files.write()
    async with injecting(settings_for(files)) as parts:
        yield Webhook(parts, files)
