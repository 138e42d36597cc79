"""``on_unknown:`` of a rule file: whether what nobody reported can be estimated."""

from sidecar.config.cursor import Cursor
from sidecar.config.rule_price import rated_meters
from sidecar.domain.metering import Meters, OnUnknown, Tariff
from sidecar.domain.price_list import AnyPrice


def can_estimate(meters: Meters, price: AnyPrice) -> bool:
    """Whether the reader knows the text of answers, and tokens of it have a rate."""
    return meters.reader is not None and not set(meters.reader.estimates).isdisjoint(rated_meters(price))


def check_on_unknown(cursor: Cursor, tariff: Tariff) -> None:
    """An estimate that could never be made is a mistake."""
    if tariff.on_unknown is OnUnknown.CHARGE_ESTIMATE and tariff.estimate is None:
        cursor.problem(
            "nothing here can be estimated: no reader that knows an answer's text, or no rate for its tokens",
            "write `charge_hold`",
        )
