"""The control API in the hands of a test: customers with credit and a key, and what the books say of them."""

import itertools
import secrets
from typing import Any
from urllib.parse import quote

import msgspec

from sidecar.domain.outcomes import Balance
from tests.support.rawhttp import fetch

_names = itertools.count(1)


class Buyer(msgspec.Struct, frozen=True):
    """A customer and the secret of a proxy key of its own."""

    external_id: str
    customer_id: str
    key_id: str
    secret: str

    @property
    def bearer(self) -> tuple[str, str]:
        """The header that identifies this customer's requests."""
        return ("Authorization", f"Bearer {self.secret}")


class Control:
    """Requests to one control API; an answer that is no success fails the test."""

    def __init__(self, port: int, admin_key: str) -> None:
        self.port = port
        self._fields = (("Authorization", f"Bearer {admin_key}"), ("Content-Type", "application/json"))

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request; the decoded answer."""
        fields = (*self._fields, ("Idempotency-Key", secrets.token_hex(8)))
        content = None if body is None else msgspec.json.encode(body)
        answer = await fetch(self.port, method, path, *fields, body=content)
        assert answer.status in {200, 201}, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer.json()

    async def buyer(self, credits: int, unit: str = "credits") -> Buyer:  # noqa: A002  (The product's word.)
        """A new customer with `credits` base units and a key."""
        external_id = f"buyer-{next(_names)}-{secrets.token_hex(4)}"
        customer = await self.call("POST", "/v1/customers", {"external_id": external_id})
        path = f"/v1/customers/{customer['customer_id']}"
        if credits:
            await self.call("POST", f"{path}/credits/grant", {"credits": credits, "unit": unit})
        key = await self.call("POST", f"{path}/keys", {"name": "test"})
        return Buyer(external_id, customer["customer_id"], key["key_id"], key["secret"])

    async def grant(self, buyer: Buyer, amount: int, unit: str = "credits") -> None:
        await self.call("POST", f"/v1/customers/{buyer.customer_id}/credits/grant", {"credits": amount, "unit": unit})

    async def revoke(self, buyer: Buyer) -> None:
        """Revoke the buyer's key."""
        await self.call("DELETE", f"/v1/customers/{buyer.customer_id}/keys/{buyer.key_id}")

    async def balance(self, buyer: Buyer, unit: str = "credits") -> Balance:
        """The balance in `unit`; all zero for one that was never granted any."""
        answer = await self.call("GET", f"/v1/customer-by-external-id/{quote(buyer.external_id, safe='')}/credits")
        for each in answer["balances"]:
            if each["unit"] == unit:
                return msgspec.convert(each, Balance)
        return Balance(unit=unit, granted=0, available=0, held=0, spent=0, owed=0)

    async def ledger(self, buyer: Buyer) -> list[dict[str, Any]]:
        """All entries of the buyer's accounts, the newest first."""
        path, cursor = f"/v1/customers/{buyer.customer_id}/ledger?limit=500", ""
        entries: list[dict[str, Any]] = []
        while True:
            page = await self.call("GET", path + cursor)
            entries += page["data"]
            if not page["pagination"]["has_more"]:
                return entries
            cursor = f"&cursor={quote(page['pagination']['next_cursor'], safe='')}"

    async def open_holds(self, buyer: Buyer) -> list[dict[str, Any]]:
        """The reservations of the buyer that have not ended."""
        answer = await self.call("GET", f"/v1/reservations?limit=250&customer_id={buyer.customer_id}")
        holds: list[dict[str, Any]] = answer["data"]
        return holds
