"""Connecting: TCP, TLS, passwords, both loops, and servers that are none."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from sidecar.domain.errors import StoreUnavailable
from sidecar.store.address import parse_address
from sidecar.store.dial import dial
from tests.support.books import open_lane, open_purse
from tests.support.ports import free_ports
from tests.support.relay import Relay, serving
from tests.support.store import StoreServer

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Awaitable[None]], None]]:
    """Run a coroutine on one of the two loops."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run  # type: ignore[misc]  # A Runner takes coroutines, which is all we give it.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-made certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the command openssl is not installed")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=store", "-days", "2"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def secret_store() -> Iterator[StoreServer]:
    """A server that wants a password."""
    server = StoreServer("--requirepass", "p@ss word")
    server.start()
    yield server
    server.remove()


@asynccontextmanager
async def behind_tls(server: StoreServer, certificate: Path) -> AsyncIterator[str]:
    """Host and port of the server behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    async with serving(Relay(server.socket), context) as port:
        yield f"127.0.0.1:{port}"


async def a_customer_is_served(url: str) -> None:
    async with open_lane(url) as lane:
        await lane.execute("FLUSHALL")
        purse = await open_purse(lane, granted=1000)
        outcomes = await asyncio.gather(*(purse.reserve(f"r{number}", 1) for number in range(300)))
        assert len({getattr(outcome, "available", -1) for outcome in outcomes}) == 300


def test_unix_socket(run: Callable[[Awaitable[None]], None], store_url: str) -> None:
    run(a_customer_is_served(store_url))


def test_tcp(run: Callable[[Awaitable[None]], None]) -> None:
    (port,) = free_ports(1)
    server = StoreServer("--bind", "127.0.0.1", port=port)
    server.start()
    try:
        run(a_customer_is_served(f"redis://127.0.0.1:{port}"))
    finally:
        server.remove()


def test_tls_with_password_and_database(
    run: Callable[[Awaitable[None]], None], secret_store: StoreServer, certificate: Path
) -> None:
    async def serve() -> None:
        async with behind_tls(secret_store, certificate) as place:
            await a_customer_is_served(f"rediss://:p%40ss%20word@{place}/2?ca_file={certificate}/cert.pem")

    run(serve())


def test_an_authority_that_is_not_trusted_is_refused(
    run: Callable[[Awaitable[None]], None], secret_store: StoreServer, certificate: Path
) -> None:
    async def attempt() -> None:
        async with behind_tls(secret_store, certificate) as place:
            with pytest.raises(StoreUnavailable, match="certificate verify failed") as caught:
                await dial(parse_address(f"rediss://:p%40ss@{place}"), 5.0)
            assert "p@ss" not in str(caught.value)

    run(attempt())


@pytest.mark.parametrize("credentials", ["", ":wrong", "somebody:secret"])
async def test_a_wrong_password_is_one_sentence(credentials: str, secret_store: StoreServer) -> None:
    address = parse_address(f"unix://{credentials}@{secret_store.socket}")
    with pytest.raises(StoreUnavailable, match="refuses our user name or password") as caught:
        await dial(address, 5.0)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("says", "match"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Cannot reach the store|does not speak"),
        (b"+OK\r\n" * 20_000, "does not speak like a Redis server"),
        (b"", "did not answer"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
    ],
    ids=["http", "too-much", "silence", "loading"],
)
async def test_what_is_no_ready_server_is_one_sentence(says: bytes, match: str) -> None:
    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(says)

    async with serving(impostor) as port:
        with pytest.raises(StoreUnavailable, match=match):
            await dial(parse_address(f"redis://127.0.0.1:{port}"), 0.3)


async def test_nobody_there_is_one_sentence() -> None:
    with pytest.raises(StoreUnavailable, match=r"Cannot reach the store at redis://127.0.0.1:\d+: .*efused"):
        await dial(parse_address(f"redis://127.0.0.1:{free_ports(1)[0]}"), 5.0)
