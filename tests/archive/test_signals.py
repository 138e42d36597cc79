"""What of a batch is told, without a database."""

from typing import Any

import msgspec

from sidecar.archive.bookkeeping import Books
from sidecar.archive.schema import WatchRow
from sidecar.archive.signals import Signals
from sidecar.domain.counters import Counted
from sidecar.domain.journal import HoldStory, Kind, Line, Move, Moved, Record
from tests.archive.teller import Clock, Teller


def watch(customer_id: str, *amounts: int) -> WatchRow:
    body = msgspec.json.encode({"amounts": amounts}).decode()
    return WatchRow(customer_id=customer_id, unit="credits", kind="thresholds", body=body, version=1, updated_at_ms=0)


def told(*lines: Line | Record, watches: tuple[WatchRow, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    books = Books(signals=Signals(watches))
    for line in lines:
        books.take(line)
    ids = [event.event_id for event in books.signals.events]
    assert len(set(ids)) == len(ids)
    return [(event.type, msgspec.json.decode(event.data)) for event in books.signals.events]


def low(*lines: Line, watches: tuple[WatchRow, ...]) -> list[int]:
    return [data["threshold"] for what, data in told(*lines, watches=watches) if what == "credits.low_balance"]


def test_an_ordinary_charge_is_not_told() -> None:
    teller = Teller(Clock())
    events = told(teller.grant(100), teller.commit((1, 30), counted=(Counted("ocr/pages@2026-11", 3, 3),)))
    assert [what for what, _ in events] == ["credits.granted"]


def test_what_happens_to_a_block_is_told() -> None:
    clock = Clock()
    teller = Teller(clock)
    bought = teller.grant(40, source="topup", package_id="small", external_payment_id="pay_1")
    free = teller.grant(5, source="topup", block_id="blk_1_bonus", bonus_of="blk_1")
    lines = [teller.grant(100, ends_at_ms=clock.now_ms + 5), bought, free, teller.expire(3), teller.void(1)]
    events = told(*lines)
    assert [what for what, _ in events] == [
        "credits.granted", "topup.granted", "credits.granted", "credits.expired", "credits.voided",
    ]  # fmt: skip
    granted, topup, bonus, expired, voided = (data for _, data in events)
    assert (granted["amount"], granted["source"]) == (100, "pack")
    assert granted["expires_at"] == "2023-11-14T22:13:20.005000Z"
    assert (topup["package_id"], topup["external_payment_id"], topup["topup_id"][:4]) == ("small", "pay_1", "top_")
    assert bonus["bonus_of"] == "blk_1"
    assert (expired["block_id"], expired["amount"]) == ("blk_cus_a_credits_3", 100)
    assert expired["balance"] == {"available": 45, "held": 0, "owed": 0}
    assert (voided["amount"], voided["expires_at"]) == (40, None)


def test_a_block_that_ends_with_nothing_left_is_not_told() -> None:
    clock = Clock()
    teller = Teller(clock)
    events = told(teller.grant(10, ends_at_ms=clock.now_ms + 5), teller.commit((1, 10)), teller.expire(1))
    assert [what for what, _ in events] == ["credits.granted", "credits.exhausted"]


def test_thresholds_of_a_customer_or_of_everybody() -> None:
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 60)), teller.commit((1, 35)), teller.grant(100)]
    lines += [teller.commit((2, 100))]
    assert low(*lines, watches=(watch("", 50, 10),)) == [50, 10, 50, 10]
    assert low(*lines, watches=(watch("", 50, 10), watch("cus_a", 5))) == [5, 5]
    assert low(*lines, watches=(watch("", 50, 10), watch("cus_a"))) == []
    assert low(*lines, watches=(watch("cus_b", 50),)) == []


def test_the_state_of_alarms_goes_on_from_batch_to_batch() -> None:
    teller = Teller(Clock())
    first = Books(signals=Signals([watch("cus_a", 50)]))
    first.take(teller.grant(100))
    first.take(teller.commit((1, 55)))
    assert first.accounts["cus_a", "credits"].low == "50"
    second = Books(list(first.accounts.values()), list(first.blocks.values()), signals=Signals([watch("cus_a", 50)]))
    second.take(teller.grant(7))
    second.take(teller.commit((1, 5)))
    assert [event.type for event in second.signals.events] == ["credits.granted"]


def test_nothing_left_is_told_once_and_so_is_debt() -> None:
    teller = Teller(Clock())
    lines = [teller.grant(10), teller.commit((1, 10), owed=5), teller.commit(owed=3), teller.grant(20)]
    events = told(*lines, teller.commit((2, 12)))
    names = ["credits.granted", "overage.recorded", "credits.exhausted", "credits.granted", "credits.exhausted"]
    assert [what for what, _ in events] == names
    assert events[1][1]["owed"] == 5


def test_what_is_held_is_left() -> None:
    teller = Teller(Clock())
    grant = teller.grant(100)
    teller.totals = msgspec.structs.replace(teller.totals, available=40, held=60)
    assert low(grant, teller.commit((1, 30)), watches=(watch("cus_a", 50),)) == []


def test_corrections_and_lost_holds_are_told() -> None:
    teller = Teller(Clock())
    hold = HoldStory(
        reservation_id="rsv_1", customer_id="cus_a", feature="", rule="", held=7, reserved_at_ms=0, charged_before=0
    )
    grant, charge = teller.grant(100), teller.commit((1, 30))

    def made(kind: Kind, **more: object) -> Line:
        teller.seq += 1
        at = teller.clock.position()
        return msgspec.structs.replace(
            charge, kind=kind, position=at, seq=teller.seq, **{"hold": hold, "moves": (), **more}
        )

    lines = [
        made(Kind.ADJUSTMENT, charged=20, detail={"why": "a mistake"}, hold=None),
        made(Kind.REFUND, charged=15, detail={"reference": "ent_1"}),
        made(Kind.CHARGEBACK, charged=9, uncollected=1),
        made(Kind.TRANSFER_OUT, charged=4, moves=(Move(Moved.SPENT, 1, 3), Move(Moved.OWED, 0, 1))),
        made(Kind.HOLD_EXPIRY, charged=0),
        made(Kind.PURCHASE, charged=6, detail={"purchase": "pur_1"}, hold=None),
    ]
    events = dict(told(grant, charge, *lines))
    assert (events["credits.adjusted"]["amount"], events["credits.adjusted"]["reason"]) == (-20, "a mistake")
    assert events["credits.refunded"]["reference_entry_id"] == "ent_1"
    assert (events["topup.charged_back"]["amount"], events["topup.charged_back"]["unrecoverable"]) == (9, 1)
    assert (events["credits.sent"]["transfer_id"], events["credits.sent"]["amount"]) == ("rsv_1", 4)
    assert (events["reservation.expired"]["reservation_id"], events["reservation.expired"]["held"]) == ("rsv_1", 7)
    assert (events["credits.purchased"]["amount"], events["credits.purchased"]["purchase_id"]) == (6, "pur_1")


CAP = "cap_a 1000 notify total - day 0 UTC 50,80 0"


def spent(units: int, position: int, cap: str = "cap_a") -> Counted:
    return Counted(f"spend:{cap}@0~86400000", units, position)


def test_marks_of_a_spend_cap_are_told_as_they_are_passed() -> None:
    teller = Teller(Clock(), "cus_boss")
    caps = Teller(teller.clock, "cus_member").record(
        "spend_caps", unit="credits", caps=f"{CAP}\ncap_b 5 none of ours"
    )
    good = Teller(teller.clock, "cus_member").record("spend_caps", unit="credits", caps=CAP)

    def charge(*counted: Counted) -> Line:
        return teller.commit((1, 1), asker="cus_member", counted=counted)

    grant = teller.grant(100)
    assert [what for what, _ in told(grant, caps, charge(spent(1_000, 1_000)))] == ["credits.granted"]
    lines = [charge(spent(499, 499)), charge(spent(301, 800)), charge(spent(250, 1_050)), charge(spent(9, 1_059))]
    other = charge(spent(5_000, 5_000, "cap_other"), Counted("ocr/pages@2026-11", 5_000, 5_000))
    marks = [(what, data["percent"], data["spent"]) for what, data in told(good, *lines, other)]
    assert marks == [
        ("spend_cap.warning", 50, 800), ("spend_cap.warning", 80, 800), ("spend_cap.reached", 100, 1_050),
    ]  # fmt: skip
    assert told(good, lines[1])[0][1]["resets_at"] == "1970-01-02T00:00:00Z"
    rolling = Teller(teller.clock, "cus_member").record(
        "spend_caps", unit="credits", caps=CAP.replace("day", "3600000")
    )
    assert told(rolling, *lines) == []


def test_customers_are_told_by_our_id_alone() -> None:
    teller = Teller(Clock())

    def record(status: str, name: str) -> Record:
        return teller.record("customer", external_id=name, display_name=name, status=status)

    lines = [record("active", "Ada"), record("active", "Eve"), record("suspended", "Eve"), record("active", "Eve")]
    events = told(*lines, record("merged", "Eve"))
    assert [what.removeprefix("customer.") for what, _ in events] == [
        "created", "updated", "suspended", "reactivated", "merged",
    ]  # fmt: skip
    assert b"Eve" not in msgspec.json.encode(events)
