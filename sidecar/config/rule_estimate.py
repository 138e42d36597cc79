"""``on_unknown:`` of a rule file: what a request costs whose usage nobody reported, and how that is estimated."""

from collections.abc import Mapping

from sidecar.config.cursor import Cursor
from sidecar.config.rule_price import rated_meters
from sidecar.domain.estimates import Estimate
from sidecar.domain.metering import Meters, OnUnknown
from sidecar.domain.price_list import AnyPrice


def read_estimate(
    entries: Mapping[str, Cursor], meters: Meters, price: AnyPrice
) -> tuple[OnUnknown, Estimate | None]:
    """What to do about unknown usage, and the estimate if one can be made."""
    possible = meters.reader is not None and not set(meters.reader.estimates).isdisjoint(rated_meters(price))
    cursor = entries.get("on_unknown")
    text = cursor.choice(tuple(OnUnknown), "a way out") if cursor is not None else None
    on_unknown = OnUnknown(text or OnUnknown.CHARGE_HOLD)
    if cursor is not None and on_unknown is OnUnknown.CHARGE_ESTIMATE and not possible:
        cursor.problem(
            "nothing here can be estimated: no reader that knows an answer's text, or no rate for its tokens",
            "write `charge_hold`",
        )
    return on_unknown, Estimate() if possible else None
