"""Charges of answers whose usage nobody reported, and what answers have cost before they end."""

import gzip
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from sidecar.config.rule_estimate import can_estimate, on_unknown_of
from sidecar.domain.estimates import Estimate
from sidecar.domain.metering import RELEASED, Bill, Charge, End, Meters, OnUnknown, Source, open_meter
from sidecar.domain.meters.events import EVENT_MAX_BYTES
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.pointers import Mode, Place, pointer_reader
from sidecar.domain.price import Price
from sidecar.domain.price_schedule import Schedule, Tier, price_of
from tests.domain.meters import golden, golden_bedrock
from tests.domain.meters import golden_others as others
from tests.domain.test_metering import CHAT_CHARGE, EVENTS, HELD, JSON, MEASURES, a_bill, cost, finish

ESTIMATE = Estimate(Fraction(1))
WRITTEN = sum(len(text) for text in ("Hel", 'lo "usage":null', "", "\xe9\n\n".encode()))


def an_estimating_bill(reader: str, **kwargs: Any) -> Bill:
    """A token for each byte, a base unit for each token; the hold is 500."""
    meters = Meters(reader=READERS[reader], headers=kwargs.pop("headers", ()))
    bill = a_bill(meters, on_unknown=kwargs.pop("on_unknown", OnUnknown.CHARGE_ESTIMATE), **kwargs)
    return msgspec.structs.replace(bill, tariff=msgspec.structs.replace(bill.tariff, estimate=ESTIMATE))


def estimated(read: int, written: int) -> Charge:
    return Charge(read + written, f"input_tokens={read} output_tokens={written}", Source.ESTIMATED, release=False)


@pytest.mark.parametrize("end", [End.COMPLETE, End.CLIENT_GONE, End.CUT, End.UPSTREAM_FAILED])
@pytest.mark.parametrize("hides", [True, False])
def test_a_stream_without_usage_is_estimated_by_its_text(end: End, hides: bool) -> None:
    meter = open_meter(an_estimating_bill("openai.chat"), 200, EVENTS, hides=hides)
    assert finish(meter, golden.chat_stream(asked=False), end) == estimated(30, WRITTEN)


def test_an_answer_without_usage_is_estimated_by_its_text() -> None:
    meter = open_meter(an_estimating_bill("openai.chat"), 200, JSON, hides=False)
    body = b'{"choices":[{"message":{"content":"12345"}}]}'
    assert finish(meter, body) == estimated(30, 5)
    coded = gzip.compress(body)
    meter = open_meter(an_estimating_bill("openai.chat"), 200, JSON | {b"content-encoding": b"gzip"}, hides=False)
    assert finish(meter, coded) == estimated(30, 5)


def test_what_was_read_of_a_stream_counts_and_only_the_rest_is_estimated() -> None:
    meter = open_meter(an_estimating_bill("anthropic.messages"), 200, EVENTS, hides=False)
    charge = finish(meter, golden.message_stream(upto=4), End.CLIENT_GONE)
    text = len('"usage" message_stop')
    assert charge.source == Source.ESTIMATED
    assert charge.amount == 12 + 248 + 1800 + text
    assert f"output_tokens={text}" in charge.usage


def test_a_stream_that_keeps_telling_its_usage_is_not_estimated() -> None:
    meter = open_meter(an_estimating_bill("google.gemini"), 200, EVENTS, hides=False)
    charge = finish(meter, others.gemini_stream().partition(b"\r\n\r\n")[0] + b"\r\n\r\n", End.CLIENT_GONE)
    assert charge == Charge(1060, "input_tokens=1000 output_tokens=60", Source.OBSERVED, release=False)


UNSEEN = [
    pytest.param(
        "openai.chat", JSON | {b"content-encoding": b"gzip"}, b"no gzip", End.COMPLETE, id="a broken coding"
    ),
    pytest.param(
        "openai.chat", JSON | {b"content-encoding": b"x"}, b"?", End.COMPLETE, id="a coding that is not read"
    ),
    pytest.param("openai.chat", JSON, b'{"choices":[', End.CLIENT_GONE, id="a part of JSON"),
    pytest.param("openai.chat", EVENTS, b"data: " + b"x" * EVENT_MAX_BYTES, End.COMPLETE, id="a large event"),
]


@pytest.mark.parametrize(("reader", "fields", "body", "end"), UNSEEN)
def test_an_answer_whose_text_nobody_saw_costs_the_hold(
    reader: str, fields: dict[bytes, bytes], body: bytes, end: End
) -> None:
    assert finish(open_meter(an_estimating_bill(reader), 200, fields, hides=False), body, end) == HELD


def test_what_a_header_would_have_said_cannot_be_estimated() -> None:
    bill = an_estimating_bill("openai.chat", headers=(("cost", b"x-cost"),))
    for body in (golden.CHAT_JSON, b'{"choices":[]}'):
        charge = finish(open_meter(bill, 200, JSON, hides=False), body)
        assert (charge.amount, charge.source) == (500, Source.HOLD)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (EVENTS, b""),
        (EVENTS, b": ping\n\n"),
        (JSON, b""),
        (JSON, b'{"choices":['),
        (EVENTS, b'data: {"error":{}}\n\n'),
    ],
)
def test_an_answer_that_the_upstream_broke_off_before_any_text_costs_nothing(
    fields: dict[bytes, bytes], body: bytes
) -> None:
    meter = open_meter(an_estimating_bill("openai.chat"), 200, fields, hides=False)
    assert finish(meter, body, End.UPSTREAM_FAILED) == RELEASED


def test_a_stream_that_reports_an_error_is_not_estimated() -> None:
    meter = open_meter(an_estimating_bill("openai.chat"), 200, EVENTS, hides=False)
    assert finish(meter, golden.chat_stream(asked=False, done=False) + b'data: {"error":{}}\n\n') == RELEASED


def test_an_estimate_costs_at_most_the_maximum() -> None:
    meter = open_meter(an_estimating_bill("openai.chat", max_charge=31), 200, EVENTS, hides=False)
    assert finish(meter, golden.chat_stream(asked=False)).amount == 31


def test_an_estimate_never_costs_less_than_what_was_observed() -> None:
    tiers = (Tier(10, Fraction(5)), Tier(None, Fraction(1)))
    price = price_of({}, schedules=[Schedule(meters=("output_tokens",), tiers=tiers, volume=True)])
    bill = msgspec.structs.replace(an_estimating_bill("anthropic.messages"), price=price)
    assert bill.unknown({"input_tokens": 0, "output_tokens": 10}, 12).amount == 50


@pytest.mark.parametrize(("fields", "body"), [(JSON, b'{"x":[]}'), (EVENTS, b'data: {"x":[]}\n\n'), (EVENTS, b"")])
@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.estimates])
def test_a_success_without_usage_is_never_free(name: str, fields: dict[bytes, bytes], body: bytes) -> None:
    charge = finish(open_meter(an_estimating_bill(name), 200, fields, hides=False), body)
    assert charge.amount >= 30
    assert (charge.source, charge.release) == (Source.ESTIMATED, False)


@pytest.mark.parametrize("body", [b'{"x":[]}', b'{"usage":{}}', b'{"usage":null,"usageMetadata":null}', b"", b"[]"])
@pytest.mark.parametrize("name", READERS)
def test_no_reader_makes_a_success_without_usage_free(name: str, body: bytes) -> None:
    """As a rule that says nothing has it: an estimate where one can be made, else the hold."""
    meters, rates = Meters(reader=READERS[name]), dict.fromkeys(READERS[name].meters, Fraction(1))
    estimable = can_estimate(meters, Price.of(rates))
    bill = an_estimating_bill(name, on_unknown=on_unknown_of("", estimable=estimable))
    for fields, sent in ((JSON, body), (EVENTS, b"data: %b\n\n" % body), (EVENTS, b"data: [DONE]\n\n"), ({}, body)):
        charge = finish(open_meter(bill, 200, fields, hides=False), sent)
        assert charge.source == (Source.ESTIMATED if estimable else Source.HOLD)
        assert charge.amount > 0


def test_a_stream_is_estimated_as_the_same_answer_in_one_piece() -> None:
    text = 'Hé "\\n'
    for name, whole, delta in (
        ("openai.chat", {"choices": [{"message": {"content": text}}]}, {"choices": [{"delta": {"content": text}}]}),
        ("openai.responses", {"output": [{"content": [{"text": text}]}]}, {"type": "x.delta", "delta": text}),
        ("anthropic.messages", {"content": [{"text": text}]}, {"delta": {"type": "text_delta", "text": text}}),
        ("ollama", {"response": text}, {"response": text}),
    ):
        charges = []
        for fields, told in ((JSON, msgspec.json.encode(whole)), (EVENTS, golden.event(msgspec.json.encode(delta)))):
            charges.append(finish(open_meter(an_estimating_bill(name), 200, fields, hides=False), told))
        assert charges[0] == charges[1] == estimated(30, len(text.encode()))


def test_so_far_a_stream_has_cost_what_it_said_or_wrote() -> None:
    bill = msgspec.structs.replace(an_estimating_bill("openai.chat", flat=7), request_bytes=20)
    meter = open_meter(bill, 200, EVENTS, hides=False)
    assert meter.so_far().cost == 27
    costs = []
    for each in golden.chat_stream(asked=True).split(b"\n\n")[:-1]:
        meter.feed(each + b"\n\n")
        costs.append(meter.so_far().cost)
    assert costs == [30, 45, 45, 49, 49, 36, 36]
    assert meter.finish(End.COMPLETE, 20, 0, 0).amount == 36


@pytest.mark.parametrize("coding", [b"", b"gzip"])
def test_so_far_a_json_answer_counts_as_text(coding: bytes) -> None:
    meter = open_meter(an_estimating_bill("openai.chat"), 200, JSON | {b"content-encoding": coding}, hides=False)
    body = gzip.compress(golden.CHAT_JSON) if coding else golden.CHAT_JSON
    meter.feed(body)
    assert meter.so_far().cost == len(golden.CHAT_JSON)
    assert finish(meter) == CHAT_CHARGE


def test_so_far_heads_and_bytes_are_counted_as_they_are() -> None:
    meters = msgspec.structs.replace(MEASURES, headers=(("cost", b"x-cost"),), statuses=(("ok", frozenset({200})),))
    bill = msgspec.structs.replace(a_bill(meters), request_bytes=20, given={"told": 1})
    meter = open_meter(bill, 200, cost(b"3"), hides=False)
    assert meter.so_far().cost == 24
    meter.feed(b"12345")
    assert meter.so_far().cost == 29


def test_so_far_own_pointers_have_what_they_read() -> None:
    reader = pointer_reader({"n": ("n",)}, {"n": Place(("n",), Mode.SUM)}, {"n": Place(("n",))})
    lines = {b"content-type": b"application/x-ndjson"}
    for fields, piece in ((EVENTS, b'data: {"n":2}\n\n'), (lines, b'{"n":2}\n')):
        meter = open_meter(a_bill(Meters(reader=reader)), 200, fields, hides=False)
        meter.feed(piece)
        assert meter.so_far().cost == 2
    meter = open_meter(a_bill(Meters(reader=reader)), 200, JSON, hides=False)
    meter.feed(b'{"n":2}')
    assert meter.so_far().cost == 0


def test_so_far_an_answer_that_is_not_charged_has_cost_nothing() -> None:
    assert open_meter(an_estimating_bill("openai.chat", flat=7), 404, JSON, hides=False).so_far().cost == 0


def test_so_far_binary_messages_have_cost_their_text() -> None:
    frames = {b"content-type": b"application/vnd.amazon.eventstream"}
    meter = open_meter(an_estimating_bill("bedrock"), 200, frames, hides=False)
    for message in golden_bedrock.converse_stream()[:-1]:
        meter.feed(message)
    written = meter.so_far().cost
    assert written > 0
    assert finish(meter, b"", End.CLIENT_GONE).amount == 30 + written
