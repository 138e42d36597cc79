"""Golden answers through the whole meter: however they arrive, they cost the same, and no number raises a balance."""

import gzip
import re
import zlib
from collections.abc import Callable
from fractions import Fraction

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.estimates import Estimate
from sidecar.domain.metering import Bill, Charge, End, Meters, OnUnknown, Source, Tariff, open_meter
from sidecar.domain.meters import codings
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price, usage_text
from tests.domain.meters.corpus import ALL, EVENT_STREAMS, STREAMS, WHOLE, Events, Golden

HOLD, MOST = 5_000_000_000, 10_000_000_000
CODINGS: list[tuple[bytes, Callable[[bytes], bytes]]] = [
    (b"gzip", gzip.compress),
    (b"deflate", zlib.compress),
    (b"br", brotli.compress),
    (b"zstd", codings._ZSTD.compress if codings._ZSTD is not None else bytes),
]


def charged(
    answer: Golden,
    pieces: list[bytes],
    coding: bytes = b"",
    end: End = End.COMPLETE,
    on_unknown: OnUnknown = OnUnknown.CHARGE_HOLD,
) -> Charge:
    """One base unit for one of each meter; the client gets the same objects."""
    reader = READERS[answer.reader]
    rates = Price.of({meter: Fraction(1) for meter in reader.meters})
    bill = Bill(Tariff(Meters(reader=reader), MOST, on_unknown, estimate=Estimate()), rates, HOLD)
    fields = {**answer.head, b"content-encoding": coding} if coding else answer.head
    meter = open_meter(bill, 200, fields, hides=False)
    for piece in pieces:
        assert meter.feed(piece) is piece
    assert meter.flush() == b""
    return meter.finish(end, 1, len(answer.body), 1)


def in_order(answer: Golden) -> Charge:
    return Charge(sum(answer.usage.values()), "", Source.REPORTED, release=False)


def cost(charge: Charge) -> Charge:
    """A charge without the text of its usage, in which only the order of meters differs."""
    return Charge(charge.amount, "", charge.source, charge.release)


@pytest.mark.parametrize("answer", ALL, ids=lambda answer: answer.name)
def test_an_answer_costs_what_it_says(answer: Golden) -> None:
    charge = charged(answer, [answer.body])
    assert cost(charge) == in_order(answer)
    assert sorted(charge.usage.split()) == sorted(usage_text(answer.usage).split())


@pytest.mark.parametrize("answer", ALL, ids=lambda answer: answer.name)
def test_cut_at_every_byte_it_costs_the_same(answer: Golden) -> None:
    body = answer.body
    assert cost(charged(answer, [body[at : at + 1] for at in range(len(body))])) == in_order(answer)
    for at in range(0, len(body), 7):
        assert cost(charged(answer, [body[:at], body[at:]])) == in_order(answer)


@pytest.mark.parametrize(("coding", "encode"), CODINGS)
@pytest.mark.parametrize("answer", ALL, ids=lambda answer: answer.name)
def test_in_any_coding_it_costs_the_same(answer: Golden, coding: bytes, encode: Callable[[bytes], bytes]) -> None:
    coded = encode(answer.body)
    for size in (1, 50, len(coded)):
        pieces = [coded[at : at + size] for at in range(0, len(coded), size)]
        assert cost(charged(answer, pieces, coding)) == in_order(answer)


@pytest.mark.parametrize("events", EVENT_STREAMS, ids=lambda events: events.name)
def test_a_stream_costs_what_the_same_answer_costs_in_one_piece(events: Events) -> None:
    same = [answer for answer in WHOLE if answer.name == events.name.removesuffix(" beside")]
    assert [answer.usage for answer in same] == [events.usage] or events.name == "speech"


# Usage beside a choice may be followed by more of it, until the stream has ended.
LAST_WORDS = [answer for answer in STREAMS if " beside " not in answer.name]


@pytest.mark.parametrize("answer", LAST_WORDS, ids=lambda answer: answer.name)
def test_a_client_that_hangs_up_after_the_last_word_pays_for_it_and_before_pays_the_hold(answer: Golden) -> None:
    assert cost(charged(answer, [answer.body], end=End.CLIENT_GONE)) == in_order(answer)
    begun = answer.body[: len(answer.body) // 3]
    assert cost(charged(answer, [begun], end=End.CLIENT_GONE)) == Charge(HOLD, "", Source.HOLD, release=False)
    assert charged(answer, [begun], end=End.UPSTREAM_FAILED).release


def test_streams_need_no_end_mark() -> None:
    for answer in STREAMS:
        body = re.sub(rb"data: \[DONE\](?:\r\n|\r|\n)+", b"", answer.body).rstrip(b"\r\n")
        assert cost(charged(answer, [body])) == in_order(answer)


NUMBER = re.compile(rb'(?<=[:"])( ?)([0-9]+)(?=[,}"\]])')
ABSURD = st.sampled_from(
    [
        *(b"-1", b"-0", b"0", b"-0.5", b"1.5", b"NaN", b"Infinity", b"1e308", b"-1e308", b"1e999", b"1e-999999999"),
        *(b"9007199254740991", b"9007199254740992", b"9" * 30, b"9" * 400, b"-" + b"9" * 30, b"null", b"true"),
        *(b'"5"', b'"x"', b"[]", b"{}", b'{"a": 1}', b"[[[[", b"", b"\xff"),
    ]
)


@pytest.mark.parametrize("answer", ALL, ids=lambda answer: answer.name)
@given(data=st.data())
def test_absurd_numbers_are_never_read_as_less_than_nothing(answer: Golden, data: st.DataObject) -> None:
    found = list(NUMBER.finditer(answer.body))
    body = answer.body
    if found and answer.head.get(b"content-type") != b"application/vnd.amazon.eventstream":
        places = data.draw(st.lists(st.sampled_from(range(len(found))), unique=True, max_size=4))
        for place in sorted(places, reverse=True):
            start, end = found[place].span(2)
            body = body[:start] + data.draw(ABSURD) + body[end:]
    head = dict(answer.head)
    for name in [name for name in head if name.endswith(b"-token-count")]:
        if data.draw(st.booleans()):
            head[name] = data.draw(ABSURD)
    at = data.draw(st.integers(0, len(body)))
    changed = Golden(answer.name, answer.reader, head, body, answer.usage)
    end, on_unknown = data.draw(st.sampled_from(End)), data.draw(st.sampled_from(OnUnknown))
    charge = charged(changed, [body[:at], body[at:]], end=end, on_unknown=on_unknown)
    assert 0 <= charge.amount <= MOST
    assert charge.amount == 0 or not charge.release
    assert not re.search(r"=-|nan|inf", charge.usage, re.IGNORECASE)


KEYS = re.compile(rb'"[A-Za-z_]*(?:[tT]okens?|Count|_count|units|seconds)[A-Za-z_]*" ?: ?[0-9.]+')


@pytest.mark.parametrize("answer", [*WHOLE, *STREAMS], ids=lambda answer: answer.name)
@given(data=st.data())
def test_numbers_that_are_missing_or_there_twice_are_read_or_not_but_never_below_nothing(
    answer: Golden, data: st.DataObject
) -> None:
    body, reader = answer.body, READERS[answer.reader]
    found = list(KEYS.finditer(body))
    for match in reversed(found):
        way = data.draw(st.sampled_from(("keep", "drop", "twice", "again")))
        start, end = match.span()
        other = {"keep": match[0], "drop": b'"x":0', "twice": match[0] + b"," + match[0]}.get(way)
        again = match[0].partition(b":")[0] + b":" + data.draw(ABSURD) + b"," + match[0]
        body = body[:start] + (again if other is None else other) + body[end:]
    reading = reader.read_json(body)
    assert reading is None or all(0 <= read <= MAX_AMOUNT for read in reading.values())
    assert reading is None or set(reading) <= set(reader.meters)
    charge = charged(answer, [body], on_unknown=data.draw(st.sampled_from(OnUnknown)))
    assert 0 <= charge.amount <= MOST


@pytest.mark.parametrize("name", READERS)
@given(pieces=st.lists(st.binary(max_size=60) | st.sampled_from([answer.body for answer in ALL]), max_size=4))
def test_readers_never_fail_whatever_comes(name: str, pieces: list[bytes]) -> None:
    for head in {tuple(answer.head.items()) for answer in STREAMS}:
        answer = Golden(name, name, dict(head), b"", {})
        assert 0 <= charged(answer, pieces).amount <= MOST
    deep = b'{"usage":' + b"[" * 100_000
    assert READERS[name].read_json(deep) is None
    stream = READERS[name].open_stream()
    for text in (*pieces, deep):
        stream.read(text)
    assert all(0 <= read <= MAX_AMOUNT for read in stream.usage.values())
