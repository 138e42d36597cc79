"""The proxy keys of customers: what makes one good is a field of the customer, where `reserve` finds it.

The field has its limits, too. The details, for who looks at keys, stand apart: they would make the
customer's hash larger than Redis keeps compact.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from sidecar.domain import proxy_keys
from sidecar.domain.customers import checked_name
from sidecar.domain.errors import Conflict, NotFound, StoreCorrupt
from sidecar.domain.ids import new_id
from sidecar.domain.proxy_keys import UNLIMITED, KeyLimits
from sidecar.store.commands import CHANGE_KEY, CREATE_KEY, REVOKE_KEY
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

_CHANGES_MAX = 20
"""So often a change is tried again that met another one."""


class ProxyKey(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy key, without its secret. `hint` is its start and its last 4 characters."""

    key_id: str
    customer_id: str
    name: str
    hint: str
    created_at_ms: int
    limits: KeyLimits = UNLIMITED
    rotated_at_ms: int | None = None
    retiring_until_ms: int | None = None
    """How long the secret before the last rotation works beside the new one."""


class Retiring(msgspec.Struct, frozen=True):
    """The secret that a rotation replaced, as it is kept."""

    credential: str
    ends_at_ms: int


class KeyDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key, by its id. What makes the key valid are the customer's fields in `fields`."""

    key_id: str
    credential: str
    name: str
    hint: str
    created_at_ms: int
    limits: KeyLimits = UNLIMITED
    rotated_at_ms: int | None = None
    retiring: Retiring | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The credentials that the customer has by this key, with what the scripts must know of each."""
        found = {self.credential: proxy_keys.words(self.key_id, self.limits)}
        if self.retiring is not None:
            ends_at_ms = min(self.retiring.ends_at_ms, self.limits.expires_at_ms or self.retiring.ends_at_ms)
            limits = replace(self.limits, expires_at_ms=ends_at_ms)
            found[self.retiring.credential] = proxy_keys.words(self.key_id, limits)
        return found


class ProxyKeys:
    """The keys of the customers of one tenant's environment. Every method may raise StoreError."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._environment = environment
        self._keys = Keys(tenant, environment)

    async def create_key(
        self, customer_id: str, *, name: str, now_ms: int, limits: KeyLimits = UNLIMITED, key_id: str = ""
    ) -> tuple[ProxyKey, str]:
        """Make a proxy key; its text is returned this once and kept nowhere. Raises NotFound.

        `key_id`: a fresh one, for who has to know it before.
        """
        name = checked_name(name, "name")
        text = self._minted(customer_id)
        details = KeyDetails(
            key_id=key_id or new_key_id(now_ms),
            credential=proxy_keys.credential(text),
            name=name,
            hint=proxy_keys.hint(text),
            created_at_ms=now_ms,
            limits=limits,
        )
        await self._add(customer_id, details)
        return _shown(customer_id, details), text

    async def keys(self, customer_id: str) -> list[ProxyKey]:
        """The customer's keys, the oldest first. Raises NotFound."""
        place = self._keys.of(customer_id)
        exists, reply = await asyncio.gather(
            self._lane.execute("EXISTS", place.customer), self._lane.execute("HGETALL", place.keys)
        )
        if not exists:
            raise NotFound(f"There is no customer {customer_id}.")
        found = [_shown(customer_id, _decoded(details)) for details in reply[1::2]]
        return sorted(found, key=lambda key: key.key_id)

    async def change_key(
        self, customer_id: str, key_id: str, change: Callable[[ProxyKey], tuple[str, KeyLimits]]
    ) -> ProxyKey:
        """Let a key have the name and the limits that `change` says: from now on, everywhere.

        Raises NotFound; Conflict when others change it all the time.
        """

        def changed(details: KeyDetails) -> KeyDetails:
            name, limits = change(_shown(customer_id, details))
            return replace(details, name=checked_name(name, "name"), limits=limits)

        return await self._change(customer_id, key_id, changed)

    async def rotate_key(self, customer_id: str, key_id: str, *, now_ms: int, grace_ms: int) -> tuple[ProxyKey, str]:
        """Give a key another secret, returned this once; the one that it has works for `grace_ms` beside it.

        One that was retiring already is over now. Raises as `change_key`.
        """
        text = self._minted(customer_id)

        def rotated(details: KeyDetails) -> KeyDetails:
            return replace(
                details,
                credential=proxy_keys.credential(text),
                hint=proxy_keys.hint(text),
                rotated_at_ms=now_ms,
                retiring=Retiring(details.credential, now_ms + grace_ms) if grace_ms else None,
            )

        return await self._change(customer_id, key_id, rotated), text

    async def revoke_key(self, customer_id: str, key_id: str) -> ProxyKey:
        """Make a key useless at once, for everyone. Raises NotFound."""
        place = self._keys.of(customer_id)
        packed = REVOKE_KEY.pack([place.customer, place.keys, place.journal], [customer_id, key_id])
        match await self._lane.send(packed):
            case [b"revoked", details]:
                return _shown(customer_id, _decoded(details))
            case [b"unknown"]:
                raise _missing(customer_id, key_id)
            case reply:
                raise StoreCorrupt(f"The script revoke_key answered {reply!r}.")

    async def move_keys(self, customer_id: str, to_id: str) -> int:
        """Let another customer have all its keys, by ids of their own; answers how many. Safe to repeat.

        Their texts go on to name the customer that they were made for. Raises NotFound.
        """
        reply = await self._lane.execute("HGETALL", self._keys.of(customer_id).keys)
        moved = [_decoded(details) for details in reply[1::2]]
        for details in moved:
            mark = hashlib.sha256(f"{details.key_id} {to_id}".encode()).digest()
            await self._add(to_id, replace(details, key_id=new_id("key", details.created_at_ms, mark)))
            await self.revoke_key(customer_id, details.key_id)
        return len(moved)

    async def _add(self, customer_id: str, details: KeyDetails) -> None:
        place = self._keys.of(customer_id)
        for credential, field in details.fields.items():
            packed = CREATE_KEY.pack(
                [place.customer, place.keys, place.journal],
                [customer_id, credential, details.key_id, msgspec.json.encode(details), field],
            )
            match (await self._lane.send(packed))[0]:
                case b"created":
                    continue
                case b"unknown":
                    raise NotFound(f"There is no customer {customer_id}.")
                case word:
                    raise StoreCorrupt(f"The script create_key answered {word!r}.")

    async def _change(self, customer_id: str, key_id: str, change: Callable[[KeyDetails], KeyDetails]) -> ProxyKey:
        place = self._keys.of(customer_id)
        for _ in range(_CHANGES_MAX):
            read: bytes | None = await self._lane.execute("HGET", place.keys, key_id)
            if read is None:
                raise _missing(customer_id, key_id)
            changed = change(_decoded(read))
            fields = [text for pair in changed.fields.items() for text in pair]
            packed = CHANGE_KEY.pack(
                [place.customer, place.keys, place.journal],
                [customer_id, key_id, read, msgspec.json.encode(changed), *fields],
            )
            match (await self._lane.send(packed))[0]:
                case b"written":
                    return _shown(customer_id, changed)
                case b"changed":
                    continue
                case b"unknown":
                    raise _missing(customer_id, key_id)
                case word:
                    raise StoreCorrupt(f"The script change_key answered {word!r}.")
        raise Conflict(f"The proxy key {key_id} is being changed by others; try again.")

    def _minted(self, customer_id: str) -> str:
        return proxy_keys.mint(self._environment, customer_id, os.urandom(proxy_keys.SECRET_BYTES))


def fields_of(data: Mapping[str, object]) -> dict[str, str]:
    """The fields of a key with these details, as the archive has them; none where they cannot be read."""
    try:
        return msgspec.convert(data, KeyDetails).fields
    except msgspec.ValidationError:
        return {}


def new_key_id(now_ms: int) -> str:
    return new_id("key", now_ms, os.urandom(10))


def _missing(customer_id: str, key_id: str) -> NotFound:
    return NotFound(f"{customer_id} has no proxy key {key_id}.")


def _decoded(details: bytes) -> KeyDetails:
    return msgspec.json.decode(details, type=KeyDetails)


def _shown(customer_id: str, details: KeyDetails) -> ProxyKey:
    return ProxyKey(
        key_id=details.key_id,
        customer_id=customer_id,
        name=details.name,
        hint=details.hint,
        created_at_ms=details.created_at_ms,
        limits=details.limits,
        rotated_at_ms=details.rotated_at_ms,
        retiring_until_ms=None if details.retiring is None else details.retiring.ends_at_ms,
    )
