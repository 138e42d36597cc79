"""What a rule does with requests whose cost is known only after their answer: jobs that are accepted and run on."""

import re
from enum import StrEnum
from fractions import Fraction
from typing import Any

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.fields import Fields
from sidecar.domain.metering import Bill, Tariff
from sidecar.domain.meters.pointers import Pointer, text_at
from sidecar.domain.meters.reader import Reading
from sidecar.domain.pinned_price import PinnedPrice, pinned
from sidecar.domain.price import Number, usage_text

_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}\Z", re.ASCII)
ID = "{id}"
"""What stands in a poll's path for the job's id."""


class State(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """How one asks for the state of a job, whose id stands in a field of the answer or in its body (JSON)."""

    path: str
    id_header: bytes
    id_pointer: Pointer
    every_s: int
    state: Pointer
    done: frozenset[str]
    failed: frozenset[str]

    def path_of(self, fields: Fields, body: bytes) -> str | None:
        """Where to ask for the job that an answer with this head and body has accepted; None: it does not say."""
        if self.id_header:
            told: object = fields.get(self.id_header, b"").decode("latin-1")
        else:
            told = text_at(body, self.id_pointer)
        # Whatever is no plain name could be the path of something else.
        return self.path.replace(ID, told) if isinstance(told, str) and _ID.match(told) else None

    def state_of(self, body: bytes) -> State:
        """What the answer to a poll says."""
        told = text_at(body, self.state)
        if told in self.failed:
            return State.FAILED
        return State.DONE if told in self.done else State.RUNNING


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """``settle: later``: an answer with a status in `on` keeps its hold for `within_s`, until somebody settles it."""

    on: frozenset[int] = frozenset({202})
    within_s: int = 86_400
    poll: Poll | None = None
    """Without it, the upstream settles by itself."""

    @property
    def note(self) -> str:
        """What it does, in a sentence for people."""
        statuses = ", ".join(map(str, sorted(self.on)))
        who = "the upstream settles it" if self.poll is None else f"a poll every {self.poll.every_s} s finds it done"
        return f"an answer with status {statuses} keeps its hold for {self.within_s} s, until {who}"


class SettleClaims(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an upstream must know to settle a request later: which one, and what it agreed to charge.

    `given` is usage that the request itself told, and `chosen_by` what its price was chosen by, for the ledger.
    `until_ms` is Unix time: from then on its hold may be gone.
    """

    reservation_id: str
    customer_id: str
    payer_id: str
    unit: str
    held: int
    rule: str
    price: PinnedPrice
    max_charge: int
    given: dict[str, str]
    chosen_by: str
    until_ms: int

    @classmethod
    def of(cls, quote: Bill, *, until_ms: int, **held: Any) -> "SettleClaims":
        """What is agreed by `quote`; `held` are the fields that say what is held, for whom."""
        return cls(
            price=pinned(quote.price),
            max_charge=quote.tariff.max_charge,
            given={meter: str(number) for meter, number in quote.given.items()},
            chosen_by=quote.chosen_by,
            until_ms=until_ms,
            **held,
        )

    def bill(self, tariff: Tariff) -> Bill:
        """By what a meter of `tariff` charges: what was agreed."""
        given = {meter: _number(text) for meter, text in self.given.items()}
        agreed = msgspec.structs.replace(tariff, max_charge=self.max_charge)
        return Bill(agreed, self.price.price(), self.held, given, self.chosen_by)

    def charge(self, usage: Reading) -> tuple[int, str]:
        """What `usage` costs, and what the ledger says of it. InvalidInput names meters that the price has not."""
        price, given = self.price.price(), {meter: _number(text) for meter, text in self.given.items()}
        known = [meter for meter in price.meters if meter not in given]
        for meter in usage:
            if meter not in known:
                listed = ", ".join(known) or "no meter"
                raise InvalidInput(f"The price of this request goes by {listed}, not by {meter}.", f"usage.{meter}")
        read = given | dict(usage)
        return price.charge(read, self.max_charge), usage_text(read, self.chosen_by)


def _number(text: str) -> Number:
    value = Fraction(text)
    return int(value) if value.denominator == 1 else value
