"""Open reservations on the wire."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from sidecar.control.schema import Asked, Pagination, Paging, Wire, instant, words
from sidecar.domain.amounts import MAX_AMOUNT, Unit, render
from sidecar.domain.errors import InvalidInput
from sidecar.domain.meters.reader import Reading
from sidecar.domain.outcomes import OpenHold
from sidecar.domain.price import parse_number
from sidecar.services.deferred import SettledLater

Reported = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)] | Annotated[str, Meta(min_length=1, max_length=32)]
"""A whole number, or a decimal as text: a JSON number with a fraction is no exact one."""


class HoldsQuery(Paging, frozen=True, kw_only=True):
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET


class AmountDisplay(Wire, frozen=True, kw_only=True):
    held: str


class ChargeDisplay(Wire, frozen=True, kw_only=True):
    charged: str


class HeldView(Wire, frozen=True, kw_only=True):
    """What a reservation holds in a further unit."""

    unit: str
    held: int
    display: AmountDisplay | UnsetType = UNSET


class SliceView(Wire, frozen=True, kw_only=True):
    """So much is held out of one block."""

    block_id: str
    unit: str
    amount: int


class HoldView(Wire, frozen=True, kw_only=True):
    """One open reservation."""

    reservation_id: str
    customer_id: Annotated[str, Meta(description="Who asked for it.")]
    payer_customer_id: Annotated[str, Meta(description="Whose credit it holds: the same, or its parent's.")]
    unit: str
    held: int
    charged: Annotated[int, Meta(description="By step commits so far.")]
    feature: str
    rule: str
    rules_version: Annotated[str, Meta(description="Of the rule files by which it was priced.")]
    created_at: datetime
    expires_at: datetime
    display: AmountDisplay | UnsetType = UNSET
    others: list[HeldView] | UnsetType = UNSET
    slices: (
        Annotated[
            list[SliceView], Meta(description="The blocks that it holds, in burn order; of a single reservation.")
        ]
        | UnsetType
    ) = UNSET

    @classmethod
    def of(
        cls, hold: OpenHold, units: Mapping[str, Unit], slices: Sequence[SliceView] | UnsetType = UNSET
    ) -> "HoldView":
        others = [HeldView(unit=each.unit, held=each.held, display=_display(each, units)) for each in hold.others]
        return cls(
            reservation_id=hold.reservation_id,
            customer_id=hold.customer_id,
            payer_customer_id=hold.payer_id,
            unit=hold.unit,
            held=hold.held,
            charged=hold.charged,
            feature=hold.feature,
            rule=hold.rule,
            rules_version=hold.rules_version,
            created_at=instant(hold.created_at_ms),
            expires_at=instant(hold.expires_at_ms),
            display=_display(hold, units),
            others=others or UNSET,
            slices=slices if isinstance(slices, UnsetType) else list(slices),
        )


class HoldPage(Wire, frozen=True, kw_only=True):
    data: list[HoldView]
    pagination: Pagination


def _display(hold: OpenHold, units: Mapping[str, Unit]) -> AmountDisplay | UnsetType:
    unit = units.get(hold.unit)
    return AmountDisplay(held=render(hold.held, unit)) if unit else UNSET


class SettleRequest(Asked, frozen=True, kw_only=True):
    """What a request has cost: its usage, or that it failed and costs nothing."""

    token: Annotated[str, Meta(min_length=1, max_length=16_384, description="From the request's `x-settle-token`.")]
    usage: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Reported],
            Meta(max_length=64, description="By meter of the request's price; one that is not there read nothing."),
        ]
        | UnsetType
    ) = UNSET
    failed: Annotated[bool, Meta(description="Instead of `usage`: all that is held goes back.")] = False

    def reading(self) -> Reading | None:
        """The usage; None: it failed. InvalidInput unless it says exactly one of both."""
        if (self.usage is UNSET) != self.failed:
            raise InvalidInput("Say what it cost by `usage`, or `failed: true` instead.", "usage")
        if self.usage is UNSET:
            return None
        usage: Reading = {}
        for meter, told in self.usage.items():
            number = parse_number(str(told))
            if number is None:
                raise InvalidInput("A number from 0 with at most 9 decimal places.", f"usage.{meter}")
            usage[meter] = number
        return usage


class SettledView(Wire, frozen=True, kw_only=True):
    """What became of it."""

    reservation_id: str
    status: Annotated[str, words("charged", "released")]
    unit: str
    charged: Annotated[int, Meta(description="Base units of `unit`.")]
    display: ChargeDisplay | UnsetType = UNSET

    @classmethod
    def of(cls, settled: SettledLater, units: Mapping[str, Unit]) -> "SettledView":
        charged, unit = settled.charged or 0, units.get(settled.unit)
        return cls(
            reservation_id=settled.reservation_id,
            status="released" if settled.charged is None else "charged",
            unit=settled.unit,
            charged=charged,
            display=UNSET if unit is None else ChargeDisplay(charged=render(charged, unit)),
        )
