"""Who pays for a request: a proxy key names its customer itself, a trusted front sends an external id.

Nothing here decides that a key is good: the reserve script does, in the same round trip, by the credential that is
found here. An external id costs one look-up when a process first sees it.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from sidecar.domain import proxy_keys
from sidecar.domain.errors import InvalidInput
from sidecar.domain.rules import ApiKey, IdentitySource, TrustedHeader
from sidecar.http1.heads import Head
from sidecar.store.customers import Customers

KNOWN_MAX = 10_000


class Payer(msgspec.Struct, frozen=True):
    """Whose credits a request spends, and the `credential` that the store must know of this customer."""

    customer_id: str
    credential: str


class Identities:
    """Finds payers. `environment` is the one whose keys are taken."""

    def __init__(self, customers: Customers, environment: str) -> None:
        self._customers = customers
        self._environment = environment
        self._customer_ids: OrderedDict[str, str] = OrderedDict()

    async def find(self, sources: Iterable[IdentitySource], head: Head, peer: bytes) -> Payer | None:
        """The payer by the first source that the request satisfies; None: unidentified.

        Raises StoreError when an external id is new and the store does not answer.
        """
        for source in sources:
            value = head.get(source.header)
            if value is None:
                continue
            if isinstance(source, ApiKey):
                payer = self._by_key(source, value)
            else:
                payer = await self._by_external_id(source, value, peer)
            if payer is not None:
                return payer
        return None

    def _by_key(self, source: ApiKey, value: bytes) -> Payer | None:
        if source.scheme:
            scheme, _, value = value.partition(b" ")
            if scheme.lower() != source.scheme.lower():
                return None
        text = value.strip(b" ").decode("latin-1")
        customer_id = proxy_keys.customer_id_of(text, self._environment)
        return None if customer_id is None else Payer(customer_id, proxy_keys.credential(text))

    async def _by_external_id(self, source: TrustedHeader, value: bytes, peer: bytes) -> Payer | None:
        if not _is_in(peer, source):
            return None
        try:
            external_id = value.decode()
            customer_id = self._customer_ids.get(external_id)
            if customer_id is None:
                customer_id = await self._customers.resolve(external_id)
        except (UnicodeDecodeError, InvalidInput):
            return None
        if customer_id is None:
            return None
        if external_id not in self._customer_ids:
            self._customer_ids[external_id] = customer_id
            if len(self._customer_ids) > KNOWN_MAX:
                self._customer_ids.popitem(last=False)
        return Payer(customer_id, proxy_keys.external_credential(external_id))


def _is_in(peer: bytes, source: TrustedHeader) -> bool:
    try:
        address = ipaddress.ip_address(peer.decode("ascii"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in source.networks)
