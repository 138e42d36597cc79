"""Customers and their proxy keys, all in the customer's own hash, where `reserve` finds what it needs.

A customer is made in two steps, because its external id lives in another partition: the external id is given to a new
customer id, then the customer is made if it is missing. A crash between the two is mended by the next attempt.
"""

import asyncio
import os
import struct
import unicodedata

import msgspec

from sidecar.domain import proxy_keys
from sidecar.domain.amounts import checked
from sidecar.domain.errors import Conflict, InvalidInput, NotFound, StoreCorrupt
from sidecar.domain.ids import new_id
from sidecar.store.commands import CREATE_CUSTOMER, CREATE_KEY, REVOKE_KEY, SET_POOL_CAP
from sidecar.store.keys import Keys, checked_unit
from sidecar.store.lane import Lane

NAME_MAX_CHARACTERS = 255

_FIELDS = ("status", "external_id", "display_name", "created_at_ms", "parent")
_SHARE = struct.Struct(">3d")


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays. `external_id` is the operator's own name of the customer; `status` is active or suspended."""

    customer_id: str
    external_id: str
    display_name: str
    status: str
    created_at_ms: int
    parent_id: str | None = None
    """Who pays for it, if not itself."""


class PoolShare(msgspec.Struct, frozen=True, kw_only=True):
    """What a member may hold and spend of its parent's account in one unit, all in all; `cap` None: no limit."""

    unit: str
    cap: int | None
    held: int
    spent: int


class ProxyKey(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy key, without its secret. `hint` is its start and its last 4 characters."""

    key_id: str
    customer_id: str
    name: str
    hint: str
    created_at_ms: int


class KeyDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key, by its id. What makes the key valid is the customer's field `credential`."""

    key_id: str
    credential: str
    name: str
    hint: str
    created_at_ms: int


def checked_external_id(text: str) -> str:
    """NFC of `text`: 1 to 255 characters, no control characters, no space at its ends; or `InvalidInput`."""
    external_id = checked_name(text, "external_id")
    if not external_id:
        raise InvalidInput("external_id must not be empty.", "external_id")
    return external_id


def checked_name(text: str, what: str) -> str:
    """The same for a name that may be empty."""
    name = unicodedata.normalize("NFC", text)
    if len(name) > NAME_MAX_CHARACTERS:
        raise InvalidInput(f"{what} must have at most {NAME_MAX_CHARACTERS} characters; got {len(name)}.", what)
    if name != name.strip():
        raise InvalidInput(f"{what} must not start or end with a space; got {name!r}.", what)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise InvalidInput(f"{what} must not have control characters; got {name!r}.", what)
    return name


class Customers:
    """The customers of one tenant's environment. Every method raises StoreError when the store does not answer."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._environment = environment
        self._keys = Keys(tenant, environment)

    async def create(
        self, *, external_id: str, display_name: str = "", now_ms: int, parent_id: str | None = None
    ) -> tuple[Customer, bool]:
        """Make a customer; False beside it when the external id had one already, which is returned unchanged.

        With a parent it is a member of that customer's pool for ever: what it does is paid from the parent's
        accounts. Raises NotFound (no such parent) and Conflict (the parent is a member itself).
        """
        external_id = checked_external_id(external_id)
        display_name = checked_name(display_name, "display_name")
        if parent_id is not None and (await self.get(parent_id)).parent_id is not None:
            raise Conflict(f"{parent_id} is a member of a pool itself; a pool has one level.")
        index = self._keys.external(external_id)
        fresh_id = self._new_id(now_ms, parent_id)
        claimed = await self._lane.execute("SET", index, fresh_id, "NX")
        customer_id = fresh_id if claimed else (await self._lane.execute("GET", index)).decode()
        if parent_id is not None and self._keys.partition(customer_id) != self._keys.partition(parent_id):
            return await self.get(customer_id), False
        customer = Customer(
            customer_id=customer_id,
            external_id=external_id,
            display_name=display_name,
            status="active",
            created_at_ms=now_ms,
            parent_id=parent_id,
        )
        place = self._keys.of(customer_id)
        packed = CREATE_CUSTOMER.pack(
            [place.customer, place.journal],
            [customer_id, external_id, display_name, now_ms, parent_id or "", msgspec.json.encode(customer)],
        )
        match (await self._lane.send(packed))[0]:
            case b"created":
                return customer, True
            case b"exists":
                return await self.get(customer_id), False
            case word:
                raise StoreCorrupt(f"The script create_customer answered {word!r}.")

    def _new_id(self, now_ms: int, parent_id: str | None) -> str:
        """A fresh customer id; a member's lies in its parent's partition, so that one script reaches both."""
        while True:
            customer_id = new_id("cus", now_ms, os.urandom(10))
            if parent_id is None or self._keys.partition(customer_id) == self._keys.partition(parent_id):
                return customer_id

    async def get(self, customer_id: str) -> Customer:
        """Raises NotFound."""
        reply = await self._lane.execute("HMGET", self._keys.of(customer_id).customer, *_FIELDS)
        if reply[0] is None:
            raise NotFound(f"There is no customer {customer_id}.")
        status, external_id, display_name, created_at_ms = (field.decode() for field in reply[:4])
        return Customer(
            customer_id=customer_id,
            external_id=external_id,
            display_name=display_name,
            status=status,
            created_at_ms=int(created_at_ms),
            parent_id=reply[4].decode() if reply[4] else None,
        )

    async def set_pool_cap(self, customer_id: str, unit: str, cap: int | None) -> PoolShare:
        """Say how much of its parent's account a member may hold and spend, all in all. Raises NotFound, Conflict."""
        parent_id = (await self.get(customer_id)).parent_id
        if parent_id is None:
            raise Conflict(f"{customer_id} is in no pool; a cap is for members of one.")
        limit = -1 if cap is None else checked(cap, "cap")
        parent, member = self._keys.of(parent_id), self._keys.of(customer_id)
        packed = SET_POOL_CAP.pack(
            [parent.customer, member.customer, parent.journal], [parent_id, customer_id, checked_unit(unit), limit]
        )
        word, held, spent = await self._lane.send(packed)
        if word != b"set":
            raise StoreCorrupt(f"The script set_pool_cap answered {word!r}.")
        return PoolShare(unit=unit, cap=cap, held=held, spent=spent)

    async def pool_share(self, customer_id: str, unit: str) -> PoolShare:
        """What counts against a member's cap. Raises NotFound; Conflict for who is in no pool."""
        parent_id = (await self.get(customer_id)).parent_id
        if parent_id is None:
            raise Conflict(f"{customer_id} is in no pool.")
        field = f"member:{customer_id}:{checked_unit(unit)}"
        packed: bytes | None = await self._lane.execute("HGET", self._keys.of(parent_id).customer, field)
        cap, held, spent = map(int, _SHARE.unpack(packed)) if packed else (-1, 0, 0)
        return PoolShare(unit=unit, cap=None if cap < 0 else cap, held=held, spent=spent)

    async def resolve(self, external_id: str) -> str | None:
        """The customer that an external id was given to; it never changes once it is there."""
        reply: bytes | None = await self._lane.execute("GET", self._keys.external(checked_external_id(external_id)))
        return None if reply is None else reply.decode()

    async def create_key(self, customer_id: str, *, name: str, now_ms: int) -> tuple[ProxyKey, str]:
        """Make a proxy key; its text is returned this once and kept nowhere. Raises NotFound."""
        name = checked_name(name, "name")
        text = proxy_keys.mint(self._environment, customer_id, os.urandom(proxy_keys.SECRET_BYTES))
        key_id = new_id("key", now_ms, os.urandom(10))
        details = KeyDetails(
            key_id=key_id,
            credential=proxy_keys.credential(text),
            name=name,
            hint=proxy_keys.hint(text),
            created_at_ms=now_ms,
        )
        place = self._keys.of(customer_id)
        packed = CREATE_KEY.pack(
            [place.customer, place.keys, place.journal],
            [customer_id, details.credential, key_id, msgspec.json.encode(details)],
        )
        match (await self._lane.send(packed))[0]:
            case b"created":
                return _proxy_key(customer_id, key_id, details), text
            case b"unknown":
                raise NotFound(f"There is no customer {customer_id}.")
            case word:
                raise StoreCorrupt(f"The script create_key answered {word!r}.")

    async def keys(self, customer_id: str) -> list[ProxyKey]:
        """The customer's keys, the oldest first. Raises NotFound."""
        place = self._keys.of(customer_id)
        exists, reply = await asyncio.gather(
            self._lane.execute("EXISTS", place.customer), self._lane.execute("HGETALL", place.keys)
        )
        if not exists:
            raise NotFound(f"There is no customer {customer_id}.")
        found = [
            _proxy_key(customer_id, key_id.decode(), _decoded(details))
            for key_id, details in zip(reply[0::2], reply[1::2], strict=True)
        ]
        return sorted(found, key=lambda key: key.key_id)

    async def revoke_key(self, customer_id: str, key_id: str) -> ProxyKey:
        """Make a key useless at once, for everyone. Raises NotFound."""
        place = self._keys.of(customer_id)
        packed = REVOKE_KEY.pack([place.customer, place.keys, place.journal], [customer_id, key_id])
        match await self._lane.send(packed):
            case [b"revoked", details]:
                return _proxy_key(customer_id, key_id, _decoded(details))
            case [b"unknown"]:
                raise NotFound(f"{customer_id} has no proxy key {key_id}.")
            case reply:
                raise StoreCorrupt(f"The script revoke_key answered {reply!r}.")


def _decoded(details: bytes) -> KeyDetails:
    return msgspec.json.decode(details, type=KeyDetails)


def _proxy_key(customer_id: str, key_id: str, details: KeyDetails) -> ProxyKey:
    return ProxyKey(
        key_id=key_id,
        customer_id=customer_id,
        name=details.name,
        hint=details.hint,
        created_at_ms=details.created_at_ms,
    )
