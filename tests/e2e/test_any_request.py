"""Whatever is sent to the control API, it answers as its OpenAPI document says, and never with a failure of its own.

Schemathesis makes the requests, valid ones and such that are not, from the document that the server itself gives.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sidecar.control.routes import ENDPOINTS
from sidecar.control.schema import Nothing
from tests.support.postgresql import PostgresServer, find_binaries
from tests.support.process import ADMIN_KEY, Sidecar
from tests.support.store import StoreServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = int(os.environ.get("ANY_REQUEST_EXAMPLES", "4"))
"""For each endpoint. The few are always the same ones; a search by many makes new ones."""
LINE_MAX_BYTES = 8_190
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
OPERATIONS = [(each.method, each.path) for each in ENDPOINTS if each.path != "/metrics"]
"""By our ids alone: what is at an external id is the same endpoint."""
REFUSABLE = [(each.method, each.path) for each in ENDPOINTS if each.body is not Nothing or each.query is not Nothing]


class Served:
    """A running control API, its document, and a customer who has credit."""

    def __init__(self, url: str, customer_id: str, external_id: str) -> None:
        self.schema: Any = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
        self.ids = {"customer_id": customer_id, "external_customer_id": external_id}

    def probe(self, method: str, path: str, mode: GenerationMode, checks: tuple[Any, ...]) -> None:
        operation = self.schema[path][method]

        @hypothesis.settings(
            max_examples=EXAMPLES,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize="ANY_REQUEST_EXAMPLES" not in os.environ,
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def answer(case: Any) -> None:
            case.path_parameters = {**(case.path_parameters or {}), **self._of_somebody(path)}
            # A longer request line is refused by the HTTP parser, before anything of ours could say why.
            hypothesis.assume(len(case.as_transport_kwargs()["url"]) + len(str(case.query)) < LINE_MAX_BYTES // 3)
            response = case.call(headers={"X-API-Key": ADMIN_KEY}, timeout=20)
            case.validate_response(response, checks=checks)

        answer()

    def _of_somebody(self, path: str) -> dict[str, str]:
        """Ids of nobody would be told so, before anything else is looked at."""
        return {name: value for name, value in self.ids.items() if f"{{{name}}}" in path}


@pytest.fixture(scope="module")
def archive(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The setting that names the archive: the SQLite file of the data folder, or a PostgreSQL."""
    if request.param == "sqlite":
        yield {}
        return
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield {"archive.url": server.database()}
    finally:
        server.remove()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(archive: dict[str, str]) -> AsyncIterator[Served]:
    store = StoreServer()
    store.start()
    try:
        async with Sidecar("control", upstream="", store=store.url, settings=archive) as sidecar:
            buyer = await sidecar.control.buyer(1_000_000)
            url = f"http://127.0.0.1:{sidecar.control_port}"
            yield await asyncio.to_thread(Served, url, buyer.customer_id, buyer.external_id)
    finally:
        store.remove()


@pytest.mark.parametrize("archive", ["sqlite", "postgresql"], indirect=True, scope="module")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_valid_request_is_answered_as_documented(served: Served, method: str, path: str) -> None:
    await asyncio.to_thread(served.probe, method, path, GenerationMode.POSITIVE, CHECKS)


@pytest.mark.parametrize("archive", ["sqlite"], indirect=True, scope="module")
@pytest.mark.parametrize(("method", "path"), REFUSABLE)
async def test_one_that_is_not_valid_is_refused(served: Served, method: str, path: str) -> None:
    await asyncio.to_thread(served.probe, method, path, GenerationMode.NEGATIVE, (*CHECKS, negative_data_rejection))
