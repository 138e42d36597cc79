"""Every key of ours, built here and nowhere else.

``sidecar:{12}:default/live:customer:cus_…``: the hash tag is the partition, so one script can reach everything of one
customer, also in a cluster; tenant and environment follow, so that one never sees the other's.
"""

import re
from functools import lru_cache

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import is_customer_id, partition_of
from sidecar.store.commands import bulk

CACHED_CUSTOMERS = 16_384
_UNIT = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z", re.ASCII)


def checked_customer_id(text: str) -> str:
    """`text`, or InvalidInput."""
    if not is_customer_id(text):
        raise InvalidInput(f"A customer id looks like cus_01jd…, 30 characters; got {text!r}.", "customer_id")
    return text


def is_unit(text: str) -> bool:
    return _UNIT.match(text) is not None


def checked_unit(unit: str) -> str:
    """The name of a unit; InvalidInput if it is none: the store's texts are split at spaces."""
    if not is_unit(unit):
        raise InvalidInput(f"A unit has 1 to 64 letters, digits, dots or dashes; got {unit!r}.", "unit")
    return unit


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one customer's things are."""

    customer: bytes
    keys: bytes
    """The details of its proxy keys."""
    due: bytes
    """The partition's payers, by when something of them is due."""
    holds: bytes
    """What is held of its accounts, by reservation id."""
    journal: bytes
    """The partition's stream with one line for each change of what a customer owns or owes."""
    business: bytes
    """The business keys that grants to it have used."""
    packed_customer: bytes
    """This and the next are packed already: arguments of the commands that every request sends."""
    packed_ledger: bytes
    """The four keys that every operation of the ledger on this payer has first."""

    @property
    def ledger(self) -> list[bytes]:
        return [self.customer, self.due, self.holds, self.journal]


class AccountPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where one account is, and what its journal lines call it."""

    name: str
    account: bytes
    terms: bytes
    """The terms of its blocks."""
    packed_account: bytes
    packed_name: bytes


class Keys:
    """The keys of one tenant's environment."""

    def __init__(self, tenant: str, environment: str) -> None:
        self._tenant = tenant
        self._environment = environment
        self.of = lru_cache(maxsize=CACHED_CUSTOMERS)(self._place)
        self.account = lru_cache(maxsize=CACHED_CUSTOMERS)(self._account)

    def _place(self, customer_id: str) -> Place:
        partition = self.partition(checked_customer_id(customer_id))
        customer, holds = (self._key(partition, f"{name}:{customer_id}") for name in ("customer", "holds"))
        due, journal = self.due(partition), self.journal(partition)
        return Place(
            customer=customer,
            keys=self._key(partition, f"keys:{customer_id}"),
            due=due,
            holds=holds,
            journal=journal,
            business=self._key(partition, f"business:{customer_id}"),
            packed_customer=bulk(customer),
            packed_ledger=b"".join(map(bulk, (customer, due, holds, journal))),
        )

    def _account(self, payer_id: str, unit: str) -> AccountPlace:
        partition = self.partition(checked_customer_id(payer_id))
        name = f"{payer_id} {checked_unit(unit)}"
        account, terms = (self._key(partition, f"{kind}:{payer_id}:{unit}") for kind in ("account", "blocks"))
        return AccountPlace(
            name=name, account=account, terms=terms, packed_account=bulk(account), packed_name=bulk(name.encode())
        )

    def partition(self, name: str) -> int:
        return partition_of(self._tenant, self._environment, name)

    def due(self, partition: int) -> bytes:
        return self._key(partition, "due")

    def journal(self, partition: int) -> bytes:
        return self._key(partition, "journal")

    def prefix(self, partition: int) -> bytes:
        """What every key of a partition begins with."""
        return self._key(partition, "")

    def holds_copy(self, customer_id: str) -> bytes:
        """Where an audit may lay a copy of a payer's holds for a while."""
        return self._key(self.partition(customer_id), f"holds-copy:{customer_id}")

    def rebuilding(self) -> bytes:
        """There while the store is made again from the archive."""
        return self._key(0, "rebuilding")

    def archived(self, partition: int) -> bytes:
        """How far the partition's journal is archived."""
        return self._key(partition, "archived")

    def secret(self, name: str) -> bytes:
        """A secret that all processes share."""
        return self._key(0, f"secret:{name}")

    def clock(self) -> bytes:
        """How far the environment's clock is ahead of the real one."""
        return self._key(0, "clock")

    def jobs(self, partition: int) -> bytes:
        """Jobs of the partition's customers that are asked for, by when that is next."""
        return self._key(partition, "jobs")

    def transfers(self, partition: int) -> bytes:
        """What is on its way from the partition's customers to others."""
        return self._key(partition, "transfers")

    def lease(self, name: str) -> bytes:
        """Who does the work `name` now."""
        return self._key(self.partition(f"lease:{name}"), f"lease:{name}")

    def denials(self, hour: int) -> bytes:
        """How often whom was refused what in an hour."""
        name = f"denials:{hour}"
        return self._key(self.partition(name), name)

    def external(self, external_id: str) -> bytes:
        """Which customer an external id belongs to."""
        return self._key(self.partition(external_id), f"external:{external_id}")

    def business(self, name: str) -> bytes:
        """Which customer a business key belongs to."""
        return self._key(self.partition(name), f"owner:{name}")

    def ledger_once(self, customer_id: str, key: str) -> bytes:
        """The idempotency record of a ledger operation; beside the customer, so that one script writes both."""
        return self._key(self.partition(customer_id), f"once:{customer_id}:{key}")

    def request(self, customer_id: str, name: str) -> bytes:
        """The record of a key that a client repeats its request with."""
        return self._key(self.partition(customer_id), f"request:{customer_id}:{name}")

    def answers(self, customer_id: str) -> tuple[bytes, bytes]:
        """The answers that are kept for repetitions, and when they end."""
        partition = self.partition(customer_id)
        return self._key(partition, f"answers:{customer_id}"), self._key(partition, f"answers-end:{customer_id}")

    def once(self, scope: str, key: str) -> bytes:
        """The idempotency record of any other write. It has a name of its own: both may lie in one partition."""
        name = f"write:{scope}:{key}"
        return self._key(self.partition(name), name)

    def _key(self, partition: int, name: str) -> bytes:
        return f"sidecar:{{{partition}}}:{self._tenant}/{self._environment}:{name}".encode()
