"""The client: the calls of the API, and what they have in common."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from sidecar.client.calls import Calls
from sidecar.client.errors import NotTheApi
from sidecar.client.transport import ATTEMPTS_MAX, Transport
from sidecar.control.schema import said
from sidecar.domain.ids import is_customer_id

_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")
_Item_co = TypeVar("_Item_co", covariant=True)
_Query = TypeVar("_Query", bound=msgspec.Struct)


class _Pagination(Protocol):
    @property
    def next_cursor(self) -> str | None: ...


class Page(Protocol[_Item_co]):
    """Some of a list."""

    @property
    def data(self) -> Sequence[_Item_co]: ...
    @property
    def pagination(self) -> _Pagination: ...


class SidecarClient(Calls):
    """Every call of the control API at `url`. The key is never shown.

    A write without an `idempotency_key` gets one of its own, so that it can be sent again when its answer is lost;
    give one that follows from what happened (`topup:<payment id>`) where your own process may ask twice.

    Raises `ApiError` for what the API refuses, `Unreachable`, `Unclear`, `NotTheApi`.
    """

    def __init__(self, url: str, key: str, *, timeout_s: float = 30.0, attempts: int = ATTEMPTS_MAX) -> None:
        self.transport = Transport(url, key, timeout_s=timeout_s, attempts=attempts)

    def __repr__(self) -> str:
        return f"SidecarClient({self.transport.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()

    async def every(self, call: Callable[[_Query], Awaitable[Page[_Item]]], query: _Query) -> AsyncIterator[_Item]:
        """All items of a list, page by page: ``client.every(client.list_customers, CustomersQuery())``."""
        while True:
            page = await call(query)
            for item in page.data:
                yield item
            if page.pagination.next_cursor is None:
                return
            query = msgspec.structs.replace(query, cursor=page.pagination.next_cursor)

    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[_Answer],
        *,
        body: msgspec.Struct | None = None,
        query: msgspec.Struct | None = None,
        key: str | None = None,
        keyed: bool = False,
        if_match: int | None = None,
    ) -> _Answer:
        headers = {}
        if keyed:
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        payload = None if body is None else msgspec.json.encode(said(body))
        answered = await self.transport.ask(method, path + _query(query), payload, headers)
        try:
            return msgspec.json.decode(answered.body, type=answer)
        except msgspec.DecodeError as error:
            raise NotTheApi(
                f"{self.transport.url} answered something that this version does not know: {error}.", answered.status
            ) from error

    def _stream(self, path: str, query: msgspec.Struct) -> AsyncIterator[bytes]:
        return self.transport.stream(path + _query(query))

    def _customer(self, customer: str) -> str:
        """The path of a customer, named by either id; an external id is one segment, whatever characters it has."""
        if is_customer_id(customer):
            return f"/v1/customers/{customer}"
        return f"/v1/customer-by-external-id/{quote(customer, safe='')}"


def _query(query: msgspec.Struct | None) -> str:
    if query is None:
        return ""
    given: dict[str, Any] = msgspec.to_builtins(said(query))
    texts = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }
    return f"?{urlencode(texts)}" if texts else ""
