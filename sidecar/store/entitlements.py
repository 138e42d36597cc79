"""Looks for entitlement checks: the status of a customer, its credit and its caps, in one round trip.

Who pays for a customer, and which customer has an external id, is asked of the store the first time, and believed
then: what the store answers says whether it is still so.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final

from sidecar.domain.counters import AT_ZERO
from sidecar.domain.customers import Status, checked_external_id
from sidecar.domain.entitlements import Look, Question, Standing
from sidecar.domain.errors import Conflict, NotFound, StoreCorrupt
from sidecar.domain.overage import OveragePolicy
from sidecar.store.commands import CHECK, argument, bulk
from sidecar.store.counter_text import stand_of
from sidecar.store.customers import Customers
from sidecar.store.keys import CACHED_CUSTOMERS, Keys
from sidecar.store.lane import Lane
from sidecar.store.ledger_replies import capped_of
from sidecar.store.payers import Payers

CACHED_QUESTIONS: Final = 1_024
_NONE: Final = "-"


class Entitlements:
    """Of one tenant's environment. Everything may raise StoreError."""

    def __init__(self, lane: Lane, customers: Customers, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._customers = customers
        self._payers = Payers()
        self._ids: dict[str, str] = {}
        """Whose external ids were found to be."""

    async def look(self, customer_id: str, questions: Sequence[Question]) -> Look:
        """All answers as of one moment. Raises NotFound."""
        for _ in range(2):
            packed = self._packed(customer_id, self._payers.of(customer_id), questions)
            found = await self._lane.ask(packed, partial(_answered, customer_id))
            if isinstance(found, Look):
                return found
            self._payers.learn(customer_id, found)
        raise Conflict(f"Who pays for {customer_id} changes while it is looked at.")

    async def look_by_external_id(self, external_id: str, questions: Sequence[Question]) -> Look | None:
        """The same of the customer who has this external id; None: nobody has."""
        external_id = checked_external_id(external_id)
        known = self._ids.get(external_id)
        if known is not None:
            look = await self.look(known, questions)
            if look.external_id == external_id and look.status != Status.MERGED:
                return look
            # Another check may have found the same meanwhile.
            self._ids.pop(external_id, None)
        customer = await self._customers.find(external_id)
        if customer is None:
            return None
        if len(self._ids) >= CACHED_CUSTOMERS:
            self._ids.clear()
        self._ids[external_id] = customer.customer_id
        return await self.look(customer.customer_id, questions)

    def _packed(self, customer_id: str, payer_id: str, questions: Sequence[Question]) -> bytes:
        """What is asked in one command."""
        accounts = {each.unit: self._keys.account(payer_id, each.unit) for each in questions}
        units = list(accounts)
        return b"".join((
            CHECK.head(5 + len(units), 2 + len(units) + 4 * len(questions)),
            self._keys.of(payer_id).packed_ledger,
            *(each.packed_account for each in accounts.values()),
            self._keys.of(customer_id).packed_customer,
            bulk(customer_id.encode()),
            bulk(b"" if payer_id == customer_id else payer_id.encode()),
            *(each.packed_name for each in accounts.values()),
            *(_packed_question(each, units.index(each.unit) + 1) for each in questions),
        ))  # fmt: skip


@lru_cache(maxsize=CACHED_QUESTIONS)
def _packed_question(question: Question, account: int) -> bytes:
    words: tuple[str | int, ...] = (account, question.feature or _NONE, question.rule or _NONE, question.counter)
    return b"".join(map(argument, words))


def _answered(customer_id: str, reply: list[Any]) -> Look | bytes:
    """What was seen, or who pays for it instead."""
    match reply[0]:
        case b"looked":
            return _look(customer_id, reply)
        case b"unknown":
            raise NotFound(f"There is no customer {customer_id}.")
        case b"member":
            parent: bytes = reply[1]
            return parent
        case word:
            raise StoreCorrupt(f"The script check answered {word!r}.")


def _look(customer_id: str, reply: list[Any]) -> Look:
    _, external_id, status, payer_status, *standings = reply
    return Look(
        customer_id=customer_id,
        external_id=external_id.decode(),
        status=status.decode(),
        active=status == payer_status == b"active",
        standings=tuple(map(_standing, standings)),
    )


def _standing(told: list[Any]) -> Standing:
    available, held, owed, counter, cap, cap_held, cap_spent, policy, most, over, *caps = told
    return Standing(
        available=available,
        held=held,
        owed=owed,
        stand=AT_ZERO if counter is None else stand_of(counter),
        share=None if cap < 0 else cap - cap_held - cap_spent,
        overage=OveragePolicy(policy.decode()),
        most_owed=most,
        over=over,
        caps=tuple(map(capped_of, caps)),
    )
