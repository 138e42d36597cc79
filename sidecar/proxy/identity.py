"""Who pays for a request: a proxy key names its customer itself, a trusted front sends an external id.

Nothing here decides that a key is good: the reserve script does, in the same round trip, by the credential that is
found here; so what is remembered can be old, but never wrong. An external id costs one look-up when a process first
sees it, a key none.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

from sidecar.domain import proxy_keys
from sidecar.domain.errors import InvalidInput
from sidecar.domain.rules import ApiKey, IdentitySource, TrustedHeader
from sidecar.http1.heads import Head
from sidecar.store.customers import Customers

KNOWN_MAX = 10_000
"""Payers kept in memory, of each kind; when that many are known, all are forgotten."""


class Payer(msgspec.Struct, frozen=True):
    """Whose credits a request spends, and the `credential` that the store must know of this customer."""

    customer_id: str
    credential: str


class Identities:
    """Finds payers. `environment` is the one whose keys are taken."""

    def __init__(self, customers: Customers, environment: str) -> None:
        self._customers = customers
        self._environment = environment
        self._by_text: dict[bytes, Payer] = {}
        self._by_external_id: dict[bytes, Payer] = {}

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
                payer = _remember(self._by_text, value, Payer(customer_id, proxy_keys.credential(text)))
        return payer

    async def _resolve(self, value: bytes) -> Payer | None:
        try:
            external_id = value.decode()
            customer_id = await self._customers.resolve(external_id)
        except (UnicodeDecodeError, InvalidInput):
            return None
        if customer_id is None:
            return None
        payer = Payer(customer_id, proxy_keys.external_credential(external_id))
        return _remember(self._by_external_id, value, payer)


def _remember(payers: dict[bytes, Payer], value: bytes, payer: Payer) -> Payer:
    if len(payers) >= KNOWN_MAX:
        payers.clear()
    payers[value] = payer
    return payer


def _is_in(peer: bytes, source: IdentitySource) -> bool:
    assert isinstance(source, TrustedHeader)
    try:
        address = ipaddress.ip_address(peer.decode("ascii"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in source.networks)
