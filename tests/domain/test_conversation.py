"""What a WebSocket costs: messages counted by side, numbers in its texts, bytes and time."""

from fractions import Fraction

from websockets.frames import Frame, Opcode

from sidecar.domain.conversation import Conversation
from sidecar.domain.metering import Bill, Measure, Meters, OnUnknown, Source, Tariff
from sidecar.domain.meters.pointers import Mode, Place, pointer_reader
from sidecar.domain.price import Price

SUM = Place(("usage", "total"), Mode.SUM, b"done")


def text(data: str, *, mask: bool = False) -> bytes:
    return Frame(Opcode.TEXT, data.encode()).serialize(mask=mask)


def bill(meters: Meters, **rates: int) -> Bill:
    price = Price.of({meter: Fraction(rate) for meter, rate in rates.items()})
    return Bill(Tariff(meters, on_unknown=OnUnknown.CHARGE_HOLD, charge_on=frozenset({101})), price, hold=500)


COUNTED = Meters(messages=(("asked", "client"), ("said", "server")))


def test_messages_are_counted_by_the_side_that_sent_them() -> None:
    conversation = Conversation(bill(COUNTED, asked=10, said=1))
    up, down = text("a", mask=True), text("b") + text("c")
    conversation.up(up)
    conversation.down(down)
    assert conversation.so_far().cost == 12
    charge = conversation.finish(0, 0, 0)
    assert (charge.amount, charge.usage, charge.source) == (12, "asked=1 said=2", Source.REPORTED)


def test_numbers_in_the_servers_texts_add_up() -> None:
    reader = pointer_reader({}, {}, {}, {"tokens": SUM})
    conversation = Conversation(bill(Meters(reader=reader), tokens=2))
    for total in (3, 4):
        conversation.down(text(f'{{"type": "done", "usage": {{"total": {total}}}}}'))
    conversation.down(text('{"type": "delta", "usage": {"total": 100}}') + text("no json"))
    assert conversation.so_far().cost == 14
    assert conversation.finish(0, 0, 0).amount == 14


def test_a_conversation_in_which_nothing_was_used_costs_nothing() -> None:
    reader = pointer_reader({}, {}, {}, {"tokens": SUM})
    charge = Conversation(bill(Meters(reader=reader), tokens=2)).finish(0, 0, 0)
    assert (charge.amount, charge.source) == (0, Source.REPORTED)


def test_bytes_and_time_are_measured_as_ever() -> None:
    measures = (("up", Measure.REQUEST_BYTES), ("down", Measure.RESPONSE_BYTES), ("ms", Measure.DURATION_MS))
    conversation = Conversation(bill(Meters(measures=measures), up=1, down=10, ms=100))
    assert conversation.finish(1, 2, 3).amount == 321


def test_what_cannot_be_followed_is_passed_on_and_not_counted_any_further() -> None:
    conversation = Conversation(bill(COUNTED, asked=10, said=1))
    conversation.up(text("a", mask=True))
    broken = b"\xff" * 20
    conversation.up(broken)
    conversation.up(text("b", mask=True))
    assert conversation.so_far().cost == 10


def test_a_reading_that_cannot_be_followed_is_unknown() -> None:
    reader = pointer_reader({}, {}, {}, {"tokens": SUM})
    conversation = Conversation(bill(Meters(reader=reader), tokens=2))
    conversation.down(b"\xff" * 20)
    charge = conversation.finish(0, 0, 0)
    assert (charge.amount, charge.source) == (500, Source.HOLD)
