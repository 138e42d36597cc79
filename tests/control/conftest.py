"""A control API on a real socket over a real store; each test is a tenant of its own."""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy
from prometheus_client import CollectorRegistry
from yarl import URL

from sidecar.config.settings import Settings, UnitSection
from sidecar.control.app import make_app
from sidecar.store.address import parse_address
from sidecar.store.customers import Customers
from sidecar.store.lane import Lane
from sidecar.store.ledger import Ledger
from sidecar.store.once import OnceRecords

ADMIN_KEY = "ck_live_0123456789abcdefghij"


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotent-Replayed") == "true"


class Readiness:
    """Whether the process is ready: it is, until a test says otherwise."""

    def __init__(self) -> None:
        self.asked: Callable[[], str | None] = lambda: None

    def __call__(self) -> str | None:
        return self.asked()


class Control(msgspec.Struct):
    """The running API, what is behind it, and a client that sends paths as they are."""

    url: str
    session: aiohttp.ClientSession
    lane: Lane
    ledger: Ledger
    customers: Customers
    readiness: Readiness

    async def ask(
        self, method: str, target: str, body: object = None, *, key: str | None = ADMIN_KEY, **headers: str
    ) -> Answer:
        """`body` is bytes, or is sent as JSON. A header `Idempotency_Key` stands for ``Idempotency-Key``."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            fields["Authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.session.request(
            method, URL(self.url + target, encoded=True), data=data, headers=fields
        ) as got:
            return Answer(got.status, got.headers, await got.read())

    async def customer(self, external_id: str = "alice") -> str:
        """The id of a customer that exists from now on."""
        answer = await self.ask("POST", "/v1/customers", {"external_id": external_id})
        customer_id: str = answer.json["customer_id"]
        return customer_id

    async def grant(self, path: str, amount: int, key: str) -> Answer:
        return await self.ask("POST", f"{path}/credits/grant", {"credits": amount}, Idempotency_Key=key)


@pytest.fixture
async def control(store_url: str) -> AsyncIterator[Control]:
    lane = Lane(parse_address(store_url), timeout_s=5, connect_timeout_s=5)
    await lane.open()
    owner: dict[str, str] = {"tenant": f"t{secrets.token_hex(8)}", "environment": "live"}
    ledger, customers = Ledger(lane, **owner), Customers(lane, **owner)
    readiness = Readiness()
    units = {"credits": UnitSection(scale=6), "tokens": UnitSection(scale=0)}
    app = make_app(
        ledger=ledger,
        customers=customers,
        once_records=OnceRecords(lane, **owner),
        settings=Settings(units=units),
        admin_key=ADMIN_KEY,
        ready=readiness,
        registry=CollectorRegistry(),
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield Control(f"http://127.0.0.1:{port}", session, lane, ledger, customers, readiness)
    await runner.cleanup()
    await lane.close()
