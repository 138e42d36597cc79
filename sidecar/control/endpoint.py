"""What an endpoint is: one record that serves its requests and writes its page of the OpenAPI document.

The work of an endpoint is a function from a `Call`, already decoded and authorised, to a `Given`. It makes one call
of the store and knows nothing of HTTP; `serving` does the beats before and after it.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from enum import Enum, auto
from functools import cached_property
from typing import Generic, TypeVar, get_args, get_type_hints

import msgspec
from prometheus_client import CollectorRegistry

from sidecar.domain.amounts import Unit
from sidecar.domain.control_keys import Principal
from sidecar.domain.customers import Customer
from sidecar.domain.errors import InvalidInput
from sidecar.domain.once import Once
from sidecar.domain.scopes import HOT, Scope
from sidecar.domain.tokens import Signer
from sidecar.services.audit_trail import AuditTrail
from sidecar.services.call_limits import CallLimits
from sidecar.services.catalogue import Catalogue
from sidecar.services.checking import Checking
from sidecar.services.clock import Clock
from sidecar.services.control_keys import ControlKeys
from sidecar.services.deferred import AnyDeferred, Deferred
from sidecar.services.history import History
from sidecar.services.merging import Merging
from sidecar.services.pricing import Pricing
from sidecar.services.refunding import Refunding
from sidecar.services.reloading import Reloading
from sidecar.services.reservations import Reservations
from sidecar.services.tenants import Tenants
from sidecar.services.transferring import Transferring
from sidecar.services.usage import Usage
from sidecar.services.watching import Watching
from sidecar.store.accounts import Accounts
from sidecar.store.corrections import Corrections
from sidecar.store.counters import Counters
from sidecar.store.customers import Customers
from sidecar.store.denials import DenialCounts
from sidecar.store.once import OnceRecords
from sidecar.store.open_holds import OpenHolds
from sidecar.store.periods import Periods
from sidecar.store.purchases import Purchases
from sidecar.store.spend_caps import SpendCaps

BY_ID = "/v1/customers/{customer_id}"
BY_EXTERNAL_ID = "/v1/customer-by-external-id/{external_customer_id}"

Body = TypeVar("Body", bound=msgspec.Struct)
Query = TypeVar("Query", bound=msgspec.Struct)
Answer = TypeVar("Answer")


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Repeat(Enum):
    """What an Idempotency-Key means to an endpoint."""

    READ = auto()
    """Nothing: reading changes nothing."""
    BY_ITSELF = auto()
    """Nothing: what it says takes effect once by itself."""
    RECORDED = auto()
    """It may be sent; the first answer is recorded and repeated."""
    REQUIRED = auto()
    """It must be sent: credit moves; the first answer is recorded and repeated.

    The work names what it does in the ledger by what is asked, so that it happens once even if its process dies.
    """
    IN_LEDGER = auto()
    """It must be sent: credit moves, and the ledger's own script checks the key."""


class Stranger(Enum):
    """What becomes of an external id in the path that no customer has."""

    UNKNOWN = auto()
    """It is a 404."""
    MADE = auto()
    """It is made a customer: credit is given to it."""
    LEFT = auto()
    """Nobody looks who it is, nor who has our id: the work does, in the same step as the rest."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoints work with. `ready` gives None, or why the process cannot serve."""

    accounts: Accounts
    audit_trail: AuditTrail
    counters: Counters
    spend_caps: SpendCaps
    open_holds: OpenHolds
    call_limits: CallLimits
    catalogue: Catalogue
    checking: Checking
    control_keys: ControlKeys
    customers: Customers
    corrections: Corrections
    deferred: Deferred | AnyDeferred
    denials: DenialCounts
    once_records: OnceRecords
    history: History
    merging: Merging
    periods: Periods
    purchases: Purchases
    refunding: Refunding
    reloading: Reloading
    signer: Signer
    pricing: Pricing
    reservations: Reservations
    usage: Usage
    watching: Watching
    tenants: Tenants
    transferring: Transferring
    units: Mapping[str, Unit]
    auto_create_customers: bool
    """Whether who is named by an external id that nobody has is made a customer where it is asked for its use."""
    ready: Callable[[], str | None]
    registry: CollectorRegistry
    clock: Clock | None = None
    """Of an environment in which time can be moved."""
    now_ms: Callable[[], int] = wall_clock_ms
    """By the environment's clock; it dates ids and records."""
    real_now_ms: Callable[[], int] = wall_clock_ms
    """For what is about operators: their keys, what they did."""
    openapi: bytes = b""
    reference: bytes = b""
    """Both are made from the route table."""

    def unit(self, name: str) -> Unit:
        """A configured unit, or InvalidInput that names those there are."""
        if (unit := self.units.get(name)) is None:
            raise InvalidInput(
                f"There is no such unit; the configured ones are {', '.join(sorted(self.units))}.", "unit"
            )
        return unit


class Call(msgspec.Struct, Generic[Body, Query], frozen=True, kw_only=True):
    """One request: its decoded parts, who it is about, and what makes it repeatable."""

    parts: Parts
    asked_by: Principal | None
    body: Body
    query: Query
    path: Mapping[str, str]
    addressed: Customer | None
    repeatable: Once | None
    expected: int | None
    """The version that is to be changed, of an endpoint with versions; None: whichever there is."""
    detail: Mapping[str, str]
    """Of a write, who asks, for whom and why, as far as the request says."""

    @property
    def principal(self) -> Principal:
        """Whose key it came with."""
        assert self.asked_by is not None, "this endpoint is served without a key"
        return self.asked_by

    @property
    def customer(self) -> Customer:
        """The customer of the path; it exists."""
        assert self.addressed is not None, "the path of this endpoint names no customer"
        return self.addressed

    @property
    def once(self) -> Once:
        """The key of a request that must have one."""
        assert self.repeatable is not None, "this endpoint does not require an Idempotency-Key"
        return self.repeatable


class Given(msgspec.Struct, Generic[Answer], frozen=True):
    """What an endpoint gives. `remembered` is recorded for a replay in place of `answer`, if it differs.

    `version` is that of what the answer shows, where it has one: its ETag.
    """

    answer: Answer
    status: int = 200
    replayed: bool = False
    remembered: Answer | None = None
    version: int | None = None


class Stream(msgspec.Struct, frozen=True):
    """An answer that is sent while it is made. If it breaks off, so does the connection."""

    media_type: str
    chunks: AsyncGenerator[bytes, None]


class Endpoint(msgspec.Struct, Generic[Body, Query, Answer], frozen=True, kw_only=True, dict=True):
    """One line of the route table. The first line of `work`'s docstring is its summary."""

    method: str
    path: str
    work: Callable[[Call[Body, Query]], Awaitable[Given[Answer]]]
    statuses: Mapping[int, str]
    body: type[Body]
    query: type[Query]
    answer: type[Answer]
    repeat: Repeat
    scope: Scope | None
    """What a key must be allowed to do; None: it is served without a key."""
    versioned: bool
    """What it shows or changes has a version: answers have an ETag, and If-Match and If-None-Match are heeded."""
    stranger: Stranger
    media_types: tuple[str, ...]
    """Of the answer, which may be the first; an answer that is bytes is sent as it is, a `Stream` names its own."""

    @property
    def media_type(self) -> str:
        return self.media_types[0]

    @cached_property
    def hot(self) -> bool:
        """Asked by programs with each request of theirs."""
        return self.scope in HOT

    @property
    def open(self) -> bool:
        """Served without a key."""
        return self.scope is None

    @property
    def name(self) -> str:
        return self.work.__name__

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that it is served at: what belongs to a customer is found by either of its ids."""
        if self.path.startswith(BY_ID):
            return self.path, BY_EXTERNAL_ID + self.path.removeprefix(BY_ID)
        return (self.path,)


def endpoint(
    method: str,
    path: str,
    work: Callable[[Call[Body, Query]], Awaitable[Given[Answer]]],
    statuses: Mapping[int, str],
    repeat: Repeat = Repeat.READ,
    *,
    scope: Scope | None,
    versioned: bool = False,
    stranger: Stranger = Stranger.UNKNOWN,
    media_types: tuple[str, ...] = ("application/json",),
) -> Endpoint[Body, Query, Answer]:
    """A line of the table; what it takes and gives is read from the annotations of `work`, the one place."""
    hints = get_type_hints(work)
    body, query = get_args(hints["call"])
    (answer,) = get_args(hints["return"])
    return Endpoint(
        method=method,
        path=path,
        work=work,
        statuses=statuses,
        body=body,
        query=query,
        answer=answer,
        repeat=repeat,
        scope=scope,
        versioned=versioned,
        stranger=stranger,
        media_types=media_types,
    )
