from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from msgspec import inspect

from sidecar.control.credit_schema import GrantCredits
from sidecar.control.endpoint import Stream
from sidecar.control.history_schema import LedgerQuery
from sidecar.control.key_schema import ChangeKey
from sidecar.control.metric_schema import Terms
from sidecar.control.routes import ENDPOINTS
from sidecar.control.schema import epoch_ms, instant, said
from sidecar.domain.errors import InvalidInput


def test_an_instant_is_exact_and_in_utc() -> None:
    assert instant(1_700_000_000_123) == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert msgspec.json.encode(instant(1_700_000_000_123)) == b'"2023-11-14T22:13:20.123000Z"'


def test_an_instant_goes_to_the_store_and_back_in_whole_milliseconds() -> None:
    assert epoch_ms(datetime(2023, 11, 14, 22, 13, 20, 123_999, tzinfo=UTC), "at") == 1_700_000_000_123
    east = datetime(2023, 11, 15, 0, 13, 20, 123_000, tzinfo=timezone(timedelta(hours=2)))
    assert epoch_ms(east, "at") == 1_700_000_000_123


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_an_instant_before_all_of_ours_is_refused(at: datetime) -> None:
    with pytest.raises(InvalidInput) as caught:
        epoch_ms(at, "expires_at")
    assert caught.value.field == "expires_at"


def test_what_is_asked_is_strict() -> None:
    for kind in nodes(kind for each in ENDPOINTS for kind in (each.body, each.query)):
        if isinstance(kind, inspect.StructType):
            assert kind.cls.__struct_config__.forbid_unknown_fields, kind.cls


def test_what_is_answered_may_have_fields_and_words_that_its_reader_does_not_know() -> None:
    for kind in nodes(each.answer for each in ENDPOINTS if each.answer not in {bytes, Stream}):
        assert not isinstance(kind, inspect.EnumType | inspect.LiteralType), kind
        if isinstance(kind, inspect.StructType):
            assert not kind.cls.__struct_config__.forbid_unknown_fields, kind.cls


def test_what_is_said_is_all_but_defaults() -> None:
    body = b'{"credits": 5, "unit": "credits", "reason": "", "priority": 300, "metadata": {}, "eligible_rules": []}'
    assert said(msgspec.json.decode(body, type=GrantCredits)) == {"credits": 5, "priority": 300}
    price = b'{"cost_type": "tiered", "mode": "graduated", "tiers": [{"up_to": null, "unit_cost": 3, "flat_fee": 0}]}'
    assert said(msgspec.json.decode(price, type=Terms)) == {
        "cost_type": "tiered", "tiers": [{"up_to": None, "unit_cost": 3}],
    }  # fmt: skip
    assert said(msgspec.convert({"from": "2026-01-01T00:00:00Z"}, LedgerQuery)) == {
        "from": datetime(2026, 1, 1, tzinfo=UTC)
    }
    assert said(msgspec.json.decode(b'{"rate": null, "name": "x"}', type=ChangeKey)) == {"rate": None, "name": "x"}


def nodes(kinds: Iterable[type]) -> Iterator[inspect.Type]:
    """These, and whatever is in their fields; each record once."""
    found: set[type[msgspec.Struct]] = set()
    waiting: list[object] = list(inspect.multi_type_info(kinds))
    while waiting:
        match waiting.pop():
            case inspect.StructType(cls=cls, fields=fields) as record:
                waiting.extend(field.type for field in fields if cls not in found)
                found.add(cls)
                yield record
            case inspect.Type() as other:
                waiting.extend(getattr(other, name) for name in other.__struct_fields__)
                yield other
            case tuple() as several:
                waiting.extend(several)
