"""Tenants and their environments in one process: everything is apart, and nobody learns of anybody else."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from sidecar.config.settings import Admin, Control, Data, Settings, Store, Tokens
from sidecar.control.routes import ENDPOINTS
from sidecar.domain.metering import Bill, Meters, Tariff
from sidecar.domain.outcomes import Reserved
from sidecar.domain.price import Price
from sidecar.domain.tokens import Signer
from sidecar.services.deferred import Deferred
from sidecar.services.hold import Hold
from sidecar.store.ledger import Ledger
from sidecar.wiring import Role, running
from sidecar.wiring.books import open_books
from sidecar.wiring.parts import Sidecar
from tests.support.rawhttp import Answer, fetch
from tests.support.store import StoreServer
from tests.support.until import until_async

ADMIN_KEY = "ck_live_" + "k" * 20
TOKENS = "s" * 32


def settings(store: StoreServer, data: Path, **names: str) -> Settings:
    return Settings(
        data=Data(dir=str(data)),
        admin=Admin(key=ADMIN_KEY),
        control=Control(listen="127.0.0.1:0", overage_policy="allow", overage_limit=7),
        store=Store(url=store.url),
        tokens=Tokens(key=TOKENS),
        **names,  # type: ignore[arg-type]  # environment is a literal
    )


class Keyholder(msgspec.Struct):
    """Somebody with a control key, and what is theirs."""

    sidecar: Sidecar
    key: str
    tenant: str
    environment: str
    owns: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: object = None, **fields: str) -> Answer:
        assert self.sidecar.control_port is not None
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"} | fields
        content = None if body is None else json.dumps(body).encode()
        return await fetch(self.sidecar.control_port, method, path, *headers.items(), body=content)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json()

    async def make(self, path: str, body: object = None, key: str = "k") -> Any:
        answer = await self.ask("POST", path, body, **{"Idempotency-Key": key})
        assert answer.status in {200, 201}, answer.body
        return answer.json()

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.sidecar.lane, tenant=self.tenant, environment=self.environment)

    async def settle_in(self) -> None:
        """One thing of each kind, the same names for everybody."""
        customer = await self.make("/v1/customers", {"external_id": "alice"})
        path = f"/v1/customers/{customer['customer_id']}"
        block = await self.make(f"{path}/credits/grant", {"credits": 1_000})
        proxy_key = await self.make(f"{path}/keys", {"name": "one"}, "k1")
        await self.make(f"{path}/keys", {"name": "two"}, "k2")
        control_key = await self.make("/v1/admin/api-keys", {"name": "shop"})
        record = self.ledger.hold(customer["customer_id"], "rsv_1", (("credits", 5),), 600_000, "", "r")
        assert isinstance(await self.ledger.reserve(record, "external:alice"), Reserved)
        overage = await self.get(f"{path}/overage-policy")
        assert (overage["policy"], overage["limit"]) == ("allow", 7)
        page = await self.get(f"{path}/keys?limit=1")
        cap = await self.make(f"{path}/spend-caps", {"amount": 1_000_000, "window": "day"})
        package = await self.make(
            "/v1/topup-packages",
            {"key": f"pack_{self.tenant}_{self.environment}", "credits": 1, "price": 1, "currency": "EUR"},
        )
        topup = await self.make("/v1/topup/grant", {"external_customer_id": "alice", "credits": 1}, "k4")
        metric = await self.make("/v1/billable-metrics", {"key": f"of_{self.tenant}_{self.environment}"})
        used = {"external_customer_id": "alice", "credits": 1, "event_id": f"used-{self.tenant}-{self.environment}"}
        usage = await self.make("/v1/usage", used, "k3")
        self.owns = {
            "cap_id": cap["cap_id"],
            "package_id": package["key"],
            "topup_id": topup["topup_id"],
            "metric_key": metric["key"],
            "event_id": usage["event_id"],
            "customer_id": customer["customer_id"],
            "external_customer_id": "alice",
            "block_id": block["block_id"],
            "key_id": proxy_key["key_id"],
            "control_key_id": control_key["key_id"],
            "reservation_id": "rsv_1",
            "cursor": page["pagination"]["next_cursor"],
        }


@contextlib.asynccontextmanager
async def a_town(store: StoreServer, data: Path) -> AsyncIterator[list[Keyholder]]:
    """The operator, and two tenants with both their environments."""
    async with running(settings(store, data), Role.CONTROL) as sidecar:
        operator = Keyholder(sidecar, ADMIN_KEY, "default", "live")
        everybody = [operator]
        for tenant in ("acme", "globex"):
            made = await operator.make("/v1/admin/tenants", {"tenant": tenant}, tenant)
            everybody += [
                Keyholder(sidecar, key["secret"], tenant, environment) for environment, key in made["keys"].items()
            ]
        yield everybody


async def test_what_is_anothers_is_what_does_not_exist(store_server: StoreServer, tmp_path: Path) -> None:
    """For each operation of the whole API: a foreign id is answered as one that nobody has."""
    nobody = {"customer_id": "cus_01arz3ndektsv4rrffq69g5fav", "key_id": "key_01arz3ndektsv4rrffq69g5fav"}
    async with a_town(store_server, tmp_path) as everybody:
        for each in everybody:
            await each.settle_in()
        pairs = [(owner, other) for owner, other in itertools.permutations(everybody[:4], 2)]
        ids = everybody[0].owns
        addressed = [each for each in ENDPOINTS if any(f"{{{name}}}" in each.path for name in ids)]
        for endpoint, (owner, other) in zip(addressed * 4, itertools.cycle(pairs), strict=False):
            owned = own_ids(owner.owns, endpoint.path)
            unknown = {**owned, **nobody, "block_id": "blk_0", "reservation_id": "rsv_0"}
            asked = [
                await other.ask(endpoint.method, endpoint.path.format_map(ids), {}, **{"Idempotency-Key": "x"})
                for ids in (owned, unknown)
            ]
            said = [told(answer, ids) for answer, ids in zip(asked, (owned, unknown), strict=True)]
            assert said[0] == said[1], endpoint.name
            assert said[0][0] in ({404} if endpoint.method == "GET" else {400, 403, 404}), endpoint.name
        for owner, other in pairs:
            await assert_apart(owner, other)


def told(answer: Answer, ids: Mapping[str, str]) -> tuple[int, str, str]:
    """What the asker learns, but for the ids that it knew already."""
    code, detail = (str(answer.json()[member]) for member in ("code", "detail"))
    for name, text in ids.items():
        detail = detail.replace(text, f"<{name}>")
    return answer.status, code, detail


def own_ids(owns: Mapping[str, str], path: str) -> dict[str, str]:
    """What fills the parameters of a path: `key_id` is of two kinds."""
    key_id = owns["control_key_id"] if path.startswith("/v1/admin") else owns["key_id"]
    return {**Anything(), **owns, "key_id": key_id}


class Anything(dict[str, str]):
    """A name for each parameter that there may be."""

    def __init__(self) -> None:
        names = {part.strip("{}") for each in ENDPOINTS for part in each.path.split("/") if part.startswith("{")}
        super().__init__(dict.fromkeys(names, "alice"))


def of_body(foreign: str) -> list[tuple[str, dict[str, object]]]:
    """What says in its body whose it is."""
    whose = {"customer_id": foreign}
    return [
        ("/v1/usage", {**whose, "credits": 1}),
        ("/v1/usage", {**whose, "credits": 1, "enforce": False}),
        ("/v1/reserve", {**whose, "credits": 1, "ttl_seconds": 60}),
        ("/v1/topup/grant", {**whose, "credits": 1}),
        ("/v1/wallet/purchase", {**whose, "purchase_id": "p", "debit": {"credits": 1}, "grant": {"credits": 1}}),
        ("/v1/customer-by-external-id/alice/credits/transfer", {"to_customer_id": foreign, "credits": 1}),
        ("/v1/customer-by-external-id/alice/merge", {"from_customer_id": foreign}),
    ]


async def assert_apart(owner: Keyholder, other: Keyholder) -> None:
    """`other` reaches nothing that is the owner's, and what it makes by the same names is its own."""
    theirs = f"/v1/customers/{other.owns['customer_id']}"
    foreign = owner.owns["customer_id"]
    assert (await other.ask("GET", f"{theirs}/keys?limit=1&cursor={owner.owns['cursor']}")).status == 400
    assert (await other.ask("GET", f"/v1/usage/summary?group_by=rule&customer_id={foreign}")).status == 404
    body = {"external_id": f"member-of-{owner.tenant}-{owner.environment}", "parent_customer_id": foreign}
    assert (await other.ask("POST", "/v1/customers", body)).status == 404
    for path, asked in of_body(foreign):
        answer = await other.ask("POST", path, asked, **{"Idempotency-Key": f"of-{owner.tenant}-{owner.environment}"})
        assert (answer.status, answer.json()["code"]) == (404, "not_found"), path
    # The same Idempotency-Key, as `settle_in` used it, and another request: whose it is decides.
    assert (await other.ask("POST", f"{theirs}/keys", {"name": "other"}, **{"Idempotency-Key": "k1"})).status == 422
    listed = {key["key_id"] for key in (await other.get("/v1/admin/api-keys"))["data"]}
    assert other.owns["control_key_id"] in listed
    assert owner.owns["control_key_id"] not in listed
    assert (await other.get("/v1/customer-by-external-id/alice"))["customer_id"] != foreign
    log = (await other.get("/v1/admin/audit?limit=250"))["data"]
    assert foreign not in {record["customer_id"] for record in log}


async def test_tenants_are_the_operators_business(store_server: StoreServer, tmp_path: Path) -> None:
    async with a_town(store_server, tmp_path) as (operator, acme, *_):
        for method, path in (
            ("GET", "/v1/admin/tenants"),
            ("POST", "/v1/admin/tenants"),
            ("POST", "/v1/admin/tenants/globex/api-keys"),
        ):
            refused = await acme.ask(method, path, {"tenant": "globex"} if path.endswith("tenants") else None)
            assert (refused.status, refused.json()["code"]) == (403, "insufficient_scope")
        for body in ({"scopes": ["tenants:write"]}, {"scopes": ["tenants:read", "*"]}):
            assert (await acme.ask("POST", "/v1/admin/api-keys", body)).status == 403
        names = [each["tenant"] for each in (await operator.get("/v1/admin/tenants"))["data"]]
        assert names == ["acme", "default", "globex"]
        for taken in ("acme", "default"):
            assert (await operator.ask("POST", "/v1/admin/tenants", {"tenant": taken})).status == 409
        again = await operator.ask("POST", "/v1/admin/tenants", {"tenant": "acme"}, **{"Idempotency-Key": "acme"})
        assert again.status == 201
        assert b"secret" not in again.body.replace(b"The secret was", b"")
        assert (await operator.ask("POST", "/v1/admin/tenants/umbrella/api-keys")).status == 404
        spare = await operator.make("/v1/admin/tenants/acme/api-keys", {"environment": "test", "scopes": ["*"]})
        other = Keyholder(acme.sidecar, spare["secret"], "acme", "test")
        assert [key["name"] for key in (await other.get("/v1/admin/api-keys"))["data"]] == ["first", ""]


async def test_a_live_key_makes_the_first_of_test(store_server: StoreServer, tmp_path: Path) -> None:
    async with running(settings(store_server, tmp_path), Role.CONTROL) as sidecar:
        operator = Keyholder(sidecar, ADMIN_KEY, "default", "live")
        made = await operator.make("/v1/admin/api-keys", {"environment": "test", "scopes": ["*"]})
        trial = Keyholder(sidecar, made["secret"], "default", "test")
        customer = await trial.make("/v1/customers", {"external_id": "alice"})
        secret = (await trial.make(f"/v1/customers/{customer['customer_id']}/keys"))["secret"]
        assert secret.startswith("sk_test_")
        assert (await operator.ask("GET", "/v1/customer-by-external-id/alice")).status == 404
        assert (await trial.ask("POST", "/v1/admin/api-keys", {"environment": "live"})).status == 400
        assert (await trial.ask("GET", "/v1/admin/tenants")).status == 403
    kept = await asyncio.to_thread(lambda: {file.name for file in tmp_path.glob("*.db")})
    assert kept == {"archive.db", "archive.default.test.db"}


async def test_credit_falls_due_in_environments_that_nobody_asks(store_server: StoreServer, tmp_path: Path) -> None:
    async with a_town(store_server, tmp_path) as (_, _, trial, *_):
        customer = await trial.make("/v1/customers", {"external_id": "alice"})
        path = f"/v1/customers/{customer['customer_id']}"
        await trial.make(f"{path}/credits/grant", {"credits": 100})
        record = trial.ledger.hold(customer["customer_id"], "rsv_1", (("credits", 5),), 1, "", "r")
        assert isinstance(await trial.ledger.reserve(record, "external:alice"), Reserved)
    # A process that starts afterwards learns of the environment from its keys alone.
    async with running(settings(store_server, tmp_path), Role.CONTROL) as sidecar:
        trial.sidecar = sidecar

        async def given_back() -> bool:
            entries = (await trial.get(f"{path}/ledger"))["data"]
            return [entry["type"] for entry in entries] == ["hold_expiry", "grant"]

        await until_async(given_back, "the sweep")
    async with open_books(settings(store_server, tmp_path, tenant="acme", environment="test")) as books:
        assert "archive.acme.test.db" in books.archive
        assert (await books.archiver._archive.positions()) != {}


async def test_a_token_settles_where_it_is_from(store_server: StoreServer, tmp_path: Path) -> None:
    async with a_town(store_server, tmp_path) as (operator, _, trial, *_):
        customer = await trial.make("/v1/customers", {"external_id": "alice"})
        path = f"/v1/customers/{customer['customer_id']}"
        await trial.make(f"{path}/credits/grant", {"credits": 1_000})
        record = trial.ledger.hold(
            customer["customer_id"], "r", (("credits", 300),), 60_000, "", "job", remember=True
        )
        assert isinstance(await trial.ledger.reserve(record, "external:alice"), Reserved)
        quote = Bill(Tariff(Meters()), Price.of({"gpu_ms": Fraction(2)}, 10), 300)
        signer = Signer(TOKENS.encode, tenant="acme", environment="test")
        token = Deferred(trial.ledger, signer).token(quote, Hold(record, 0), 60)
        settled = await operator.make("/v1/settlements", {"token": token, "usage": {"gpu_ms": 20}})
        assert settled["charged"] == 50
        assert (await operator.ask("POST", "/v1/settlements", {"token": f"{token}x", "failed": True})).status == 401
        (balance,) = (await trial.get(f"{path}/credits"))["balances"]
        assert balance["spent"] == 50


async def test_environments_are_opened_as_their_keys_come(store_server: StoreServer, tmp_path: Path) -> None:
    """Two processes: what one of them makes, the other serves."""
    async with (
        running(settings(store_server, tmp_path), Role.CONTROL) as here,
        running(settings(store_server, tmp_path), Role.CONTROL) as there,
    ):
        operator = Keyholder(here, ADMIN_KEY, "default", "live")
        made = await operator.make("/v1/admin/tenants", {"tenant": "acme"})
        acme = Keyholder(there, made["keys"]["live"]["secret"], "acme", "live")
        await acme.make("/v1/customers", {"external_id": "alice"})
        assert (await acme.get("/v1/customer-by-external-id/alice"))["external_id"] == "alice"

        async def open_() -> bool:
            assert there.control_port is not None
            page = (await fetch(there.control_port, "GET", "/metrics")).body.decode()
            return "sidecar_environments 3.0" in page

        await until_async(open_, "both environments")
