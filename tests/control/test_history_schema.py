import msgspec

from sidecar.control.history_schema import EntryView, LedgerQuery, UsageQuery, UsageView
from sidecar.domain.amounts import CREDITS
from sidecar.domain.history import Entry, EntryMove, UsageRow
from sidecar.domain.journal import Kind, Moved, Totals

ENTRY = Entry(
    entry_id="ent_1",
    customer_id="cus_1",
    unit="credits",
    seq=1,
    type=Kind.COMMIT,
    event_at_ms=1_700_000_000_000,
    recorded_at_ms=1_700_000_000_001,
    delta=-5,
    owed_delta=2,
    after=Totals(granted=20, scheduled=4, available=0, held=3, spent=13, owed=2),
    moves=(EntryMove(Moved.SPENT, "blk_1", 5), EntryMove(Moved.OWED, "", 2)),
)


def test_what_does_not_apply_is_left_out() -> None:
    shown = msgspec.to_builtins(EntryView.of(ENTRY, CREDITS))
    assert shown["balance_after"] == 7
    assert shown["moves"] == [
        {"what": "spent", "block_id": "blk_1", "amount": 5},
        {"what": "owed", "block_id": None, "amount": 2},
    ]
    assert shown["display"]["owed_delta"] == "0.000002"
    absent = {"block_id", "expires_at", "reservation_id", "feature", "rule", "actor", "model", "uncollected"}
    assert shown.keys() & absent == set()


def test_a_unit_that_is_not_configured_any_more_has_no_decimals() -> None:
    assert "display" not in msgspec.to_builtins(EntryView.of(ENTRY, None))


def test_hours_and_days_are_shown_by_their_start() -> None:
    row = UsageRow(
        group={"model": "m", "hour": 1_700_000_000_000 - 1_700_000_000_000 % 3_600_000},
        unit="credits",
        entries=1,
        charged=5,
        estimated=0,
        owed=0,
        uncollected=0,
        late=0,
        held=6,
        above_hold=0,
    )
    assert UsageView.of(row, {}, "UTC").group == {"model": "m", "hour": "2023-11-14T22:00:00Z"}


def test_from_and_to_are_named_so_on_the_wire() -> None:
    for query in (LedgerQuery, UsageQuery):
        names = {field.encode_name for field in msgspec.structs.fields(query)}
        assert {"from", "to"} <= names
        assert not {"since", "until"} & names
