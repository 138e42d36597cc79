"""Who pays for a request: a proxy key names its customer itself, a trusted front sends an external id.

Nothing here decides that a key is good: the reserve script does, in the same round trip, by the credential that is
found here; so what is remembered can be old, but never wrong. An external id costs one look-up when a process first
sees it, a key none.

Prices may go by the operator's own id of a customer. It is looked up when a process first sees the customer on such a
rule, and believed for `NAMED_S`: a customer that gets another one has its new prices at the latest then.
"""

import ipaddress
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from sidecar.domain import proxy_keys
from sidecar.domain.errors import InvalidInput, NotFound, StoreError
from sidecar.domain.rules import ApiKey, IdentitySource, TrustedHeader
from sidecar.http1.heads import Head
from sidecar.services.outage import Outage
from sidecar.store.customers import Customers

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

KNOWN_MAX = 10_000
"""Payers kept in memory, of each kind; when that many are known, all are forgotten."""
NAMED_S = 60.0
_MERGES_MAX = 16
"""So often one customer may have become another before it is found out who it is."""


class Payer(msgspec.Struct, frozen=True):
    """Whose credits a request spends, and the `credential` that the store must know of this customer."""

    customer_id: str
    credential: str


class Identities:
    """Finds payers. `environment` is the one whose keys are taken."""

    def __init__(
        self,
        customers: Customers,
        outage: Outage,
        environment: str,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._customers = customers
        self._outage = outage
        self._now_s = now_s
        self._environment = environment
        self._by_text: dict[bytes, Payer] = {}
        self._by_external_id: dict[bytes, Payer] = {}
        self._merged_into: dict[str, str] = {}
        """Of customers that are others now, as far as their keys were shown here."""
        self._named: dict[str, tuple[str, float]] = {}
        """External ids by customer, and until when they are believed."""

    def known(self, sources: Iterable[IdentitySource], head: Head, peer: bytes) -> Payer | None:
        """The payer by the first source that the request satisfies; None also where only the store knows that."""
        for source in sources:
            value = head.get(source.header)
            if value is None:
                continue
            if source.__class__ is ApiKey:
                payer = self._of_key(source, value)
                if payer is not None:
                    return payer
            elif _is_in(peer, source):
                # Not a later source: who pays must not depend on what this process has seen.
                return self._by_external_id.get(value)
        return None

    async def look_up(self, sources: Iterable[IdentitySource], head: Head, peer: bytes) -> Payer | None:
        """The same, asking the store for an external id that is new here; None: unidentified. Raises StoreError."""
        for source in sources:
            value = head.get(source.header)
            if value is None:
                continue
            if isinstance(source, ApiKey):
                payer = self._of_key(source, value)
            else:
                payer = await self._resolve(value) if _is_in(peer, source) else None
            if payer is not None:
                return payer
        return None

    async def look_again(
        self, payer: Payer, sources: Iterable[IdentitySource], head: Head, peer: bytes
    ) -> Payer | None:
        """Who pays for a request that named `payer` by what the store does not know of it (any more).

        An external id may have changed hands, and a key's customer may have been merged into another. None: nobody
        else. Raises StoreError.
        """
        external_id = proxy_keys.external_id_of(payer.credential)
        if not external_id:
            return await self._merged(payer)
        if self._by_external_id.pop(external_id.encode(), None) is None:
            return None
        found = await self.look_up(sources, head, peer)
        return found if found != payer else None

    async def external_id(self, payer: Payer) -> str | None:
        """The operator's own id of a payer, as it was at most `NAMED_S` ago; None: there is no such customer.

        While the store does not answer, it is as it was last. Raises StoreError when that is not known.
        """
        now = self._now_s()
        external_id, until = self._named.get(payer.customer_id, ("", now))
        if now < until:
            return external_id
        try:
            with self._outage:
                external_id = (await self._customers.get(payer.customer_id)).external_id
        except NotFound:
            return None
        except StoreError:
            if not external_id:
                raise
            return external_id
        return _remember(self._named, payer.customer_id, (external_id, now + NAMED_S))[0]

    def _of_key(self, source: IdentitySource, value: bytes) -> Payer | None:
        assert isinstance(source, ApiKey)
        if source.scheme:
            length = len(source.scheme)
            if value[:length].lower() != source.scheme.lower() or value[length : length + 1] != b" ":
                return None
            value = value[length:].strip(b" ")
        payer = self._by_text.get(value)
        if payer is None:
            text = value.decode("latin-1")
            customer_id = proxy_keys.customer_id_of(text, self._environment)
            if customer_id is not None:
                customer_id = self._merged_into.get(customer_id, customer_id)
                payer = _remember(self._by_text, value, Payer(customer_id, proxy_keys.credential(text)))
        return payer

    async def _merged(self, payer: Payer) -> Payer | None:
        """The same key, of the customer that this one is now; None: it is itself, or nobody."""
        into_id = payer.customer_id
        try:
            for _ in range(_MERGES_MAX):
                with self._outage:
                    merged_into = (await self._customers.get(into_id)).merged_into
                if merged_into is None:
                    break
                into_id = merged_into
        except NotFound:
            return None
        if into_id == payer.customer_id:
            return None
        _remember(self._merged_into, payer.customer_id, into_id)
        self._by_text.clear()
        return Payer(into_id, payer.credential)

    async def _resolve(self, value: bytes) -> Payer | None:
        try:
            external_id = value.decode()
            with self._outage:
                customer_id = await self._customers.resolve(external_id)
        except (UnicodeDecodeError, InvalidInput):
            return None
        if customer_id is None:
            return None
        payer = Payer(customer_id, proxy_keys.external_credential(external_id))
        return _remember(self._by_external_id, value, payer)


def _remember(known: dict[_Key, _Value], key: _Key, value: _Value) -> _Value:
    if len(known) >= KNOWN_MAX:
        known.clear()
    known[key] = value
    return value


def _is_in(peer: bytes, source: IdentitySource) -> bool:
    assert isinstance(source, TrustedHeader)
    try:
        address = ipaddress.ip_address(peer.decode("ascii"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in source.networks)
