"""nginx in front, with the very configuration of the documentation: it asks, and passes on what it was told."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.config.settings import Gateway, Proxy
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.proxy.test_gate import CREDIT, RULES
from tests.support.ports import free_ports
from tests.support.rawhttp import Answer, fetch
from tests.support.until import until_async
from tests.support.upstream import Upstream

PAGE = Path(__file__).parents[2] / "docs" / "forward-auth.md"
SERVER = re.compile(r"^```nginx\n(.*?)^```", re.MULTILINE | re.DOTALL)
FRAME = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {server}
}}
"""

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@asynccontextmanager
async def nginx(folder: Path, *, gate: int, api: int) -> AsyncIterator[int]:
    """The port of an nginx as the page has it."""
    found = SERVER.search(PAGE.read_text())
    assert found is not None
    (port,) = free_ports(1)
    server = found[1].replace(":8000", f":{port}").replace(":8080", f":{gate}").replace(":9000", f":{api}")
    (folder / "nginx.conf").write_text(FRAME.format(folder=folder, server=server))
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")]
    process = await asyncio.create_subprocess_exec(*command)
    try:

        async def listens() -> bool:
            assert process.returncode is None, (folder / "errors").read_text()
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
            except OSError:
                return False
            return True

        await until_async(listens, "nginx")
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_nginx_passes_on_what_it_was_told(lane: Lane, tmp_path: Path) -> None:
    proxy = Proxy(listen="127.0.0.1:0", forward_auth=Gateway.NGINX)
    async with (
        Upstream() as api,
        Shop(lane, api, rules=RULES, granted=10 * CREDIT, proxy=proxy) as shop,
        nginx(tmp_path, gate=shop.port, api=api.port) as port,
    ):
        await _ask(shop, api, port)


async def _ask(shop: Shop, api: Upstream, port: int) -> None:
    async def ask(method: str, target: str, *fields: tuple[str, str], body: bytes | None = None) -> Answer:
        return await fetch(port, method, target, shop.bearer, *fields, body=body)

    searched = await ask("GET", "/search?q=a%2Fb", ("X-Original-URI", "/health"), ("X-Settle-Token", "forged"))
    assert (searched.status, searched.get("x-credits-charged")) == (200, "1000000")
    seen = api.requests[-1]
    assert seen.target == b"/search?q=a%2Fb"
    assert seen.get(b"authorization") is None
    assert seen.get(b"x-settle-token") is None
    assert seen.get(b"x-reservation-id") == str(searched.get("x-reservation-id")).encode()
    rendered = await ask("POST", "/render/large", body=b"a picture of a cat")
    assert (rendered.status, rendered.get("x-settle-token")) == (200, None)
    assert api.requests[-1].body == b"a picture of a cat"
    token = (api.requests[-1].get(b"x-settle-token") or b"").decode()
    assert (await shop.deferred.settle(token, {"gpu_ms": 50})).charged == CREDIT
    count = len(api.requests)
    stranger = await fetch(port, "GET", "/search")
    assert (stranger.status, stranger.json()["code"]) == (401, "unidentified")
    nowhere = await ask("GET", "/nowhere")
    assert (nowhere.status, nowhere.json()["code"]) == (403, "unmatched_route")
    while (answer := await ask("GET", "/search")).status == 200:
        count += 1
    assert (answer.status, answer.get("content-type")) == (402, "application/problem+json")
    assert (answer.get("x-sidecar-refusal"), answer.json()["code"]) == ("insufficient_credits",) * 2
    assert len(api.requests) == count
    assert (await shop.settled()).spent == 10 * CREDIT
