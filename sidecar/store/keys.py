"""Every key of ours, built here and nowhere else.

``sidecar:{12}:default/live:customer:cus_…``: the hash tag is the partition, so one script can reach everything of one
customer, also in a cluster; tenant and environment follow, so that one never sees the other's.
"""

from functools import lru_cache

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import is_customer_id, partition_of
from sidecar.store.commands import bulk

CACHED_CUSTOMERS = 16_384


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one customer's things are."""

    customer: bytes
    keys: bytes
    """The details of its proxy keys."""
    due: bytes
    """The partition's open holds with their deadlines."""
    expired: bytes
    """Those of the partition that expired lately."""
    journal: bytes
    """The partition's stream with one line for each change of what a customer owns or owes."""
    packed_customer: bytes
    """This and the next are packed already: arguments of the commands that every request sends."""
    packed_due: bytes
    packed_expired: bytes
    packed_journal: bytes


class Keys:
    """The keys of one tenant's environment."""

    def __init__(self, tenant: str, environment: str) -> None:
        self._tenant = tenant
        self._environment = environment
        self.of = lru_cache(maxsize=CACHED_CUSTOMERS)(self._place)

    def _place(self, customer_id: str) -> Place:
        if not is_customer_id(customer_id):
            raise InvalidInput(
                f"A customer id looks like cus_01jd…, 30 characters; got {customer_id!r}.", "customer_id"
            )
        partition = self.partition(customer_id)
        customer, journal = self._key(partition, f"customer:{customer_id}"), self._key(partition, "journal")
        due, expired = self.due(partition), self.expired(partition)
        return Place(
            customer=customer,
            keys=self._key(partition, f"keys:{customer_id}"),
            due=due,
            expired=expired,
            journal=journal,
            packed_customer=bulk(customer),
            packed_due=bulk(due),
            packed_expired=bulk(expired),
            packed_journal=bulk(journal),
        )

    def partition(self, name: str) -> int:
        return partition_of(self._tenant, self._environment, name)

    def due(self, partition: int) -> bytes:
        return self._key(partition, "due")

    def expired(self, partition: int) -> bytes:
        return self._key(partition, "expired")

    def external(self, external_id: str) -> bytes:
        """Which customer an external id belongs to."""
        return self._key(self.partition(external_id), f"external:{external_id}")

    def grant_once(self, customer_id: str, key: str) -> bytes:
        """The idempotency record of a grant; beside the customer, so that one script writes both."""
        return self._key(self.partition(customer_id), f"once:{customer_id}:{key}")

    def once(self, scope: str, key: str) -> bytes:
        """The idempotency record of any other write."""
        name = f"once:{scope}:{key}"
        return self._key(self.partition(name), name)

    def _key(self, partition: int, name: str) -> bytes:
        return f"sidecar:{{{partition}}}:{self._tenant}/{self._environment}:{name}".encode()
