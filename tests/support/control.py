"""A control API on a real socket over a real store."""

import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy
from prometheus_client import CollectorRegistry
from yarl import URL

from sidecar.config.settings import Settings, UnitSection
from sidecar.control.app import make_app
from sidecar.control.schema import Problem
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


def assert_problem(answer: Answer, status: int, code: str) -> None:
    """A complete problem document with a matching request id, and nothing that the schema does not name."""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = msgspec.json.decode(answer.raw, type=Problem)
    assert (document.status, document.code) == (status, code)
    assert document.instance == answer.headers["x-request-id"]
    assert document.title
    assert document.detail.endswith(".")


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
    registry: CollectorRegistry

    async def ask(
        self, method: str, target: str, body: object = None, *, key: str | None = ADMIN_KEY, **headers: str
    ) -> Answer:
        """`body` is bytes, or is sent as JSON. A header `Idempotency_Key` stands for ``Idempotency-Key``."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            fields["Authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url, sent = URL(self.url + target, encoded=True), io.BytesIO(data) if data else None
        async with self.session.request(method, url, data=sent, headers=fields) as got:
            return Answer(got.status, got.headers, await got.read())

    async def customer(self, external_id: str = "alice") -> str:
        """The id of a customer that exists from now on."""
        answer = await self.ask("POST", "/v1/customers", {"external_id": external_id})
        customer_id: str = answer.json["customer_id"]
        return customer_id

    async def grant(self, path: str, amount: int, key: str) -> Answer:
        return await self.ask("POST", f"{path}/credits/grant", {"credits": amount}, Idempotency_Key=key)


@asynccontextmanager
async def serving(lane: Lane) -> AsyncIterator[Control]:
    """The API over the store that `lane` leads to."""
    owner: dict[str, str] = {"tenant": "default", "environment": "live"}
    ledger, customers = Ledger(lane, **owner), Customers(lane, **owner)
    readiness, registry = Readiness(), CollectorRegistry()
    app = make_app(
        ledger=ledger,
        customers=customers,
        once_records=OnceRecords(lane, **owner),
        settings=Settings(units={"credits": UnitSection(scale=6), "tokens": UnitSection(scale=0)}),
        admin_key=ADMIN_KEY,
        ready=readiness,
        registry=registry,
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield Control(f"http://127.0.0.1:{port}", session, lane, ledger, customers, readiness, registry)
    await runner.cleanup()
