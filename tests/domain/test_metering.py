import gzip
from fractions import Fraction

import pytest

from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import (
    RELEASED,
    Bill,
    Charge,
    End,
    Measure,
    Meter,
    Meters,
    OnUnknown,
    Source,
    Tariff,
    open_meter,
)
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.pointers import Mode, Place, pointer_reader
from sidecar.domain.price import Price, parse_rate
from tests.domain.meters import golden, golden_bedrock

NO_FIELDS: dict[bytes, bytes] = {}
JSON = {b"content-type": b"application/json; charset=utf-8"}
EVENTS = {b"content-type": b"text/event-stream; charset=utf-8"}
CHAT = Meters(reader=READERS["openai.chat"])
MESSAGES = Meters(reader=READERS["anthropic.messages"])
HEADER = Meters(headers=(("cost", b"x-cost"),))
MEASURES = Meters(
    measures=(("up", Measure.REQUEST_BYTES), ("down", Measure.RESPONSE_BYTES), ("ms", Measure.DURATION_MS))
)
NOTHING = Meters()


def a_bill(
    meters: Meters, *, on_unknown: OnUnknown = OnUnknown.CHARGE_HOLD, max_charge: int = 10_000, flat: int = 0
) -> Bill:
    """One base unit for one of each meter; the hold is 500."""
    rates = {name: parse_rate("0.000001", CREDITS) for name in meters.names}
    return Bill(Tariff(meters, max_charge, on_unknown), Price.of(rates, flat), 500)


def cost(value: bytes) -> dict[bytes, bytes]:
    return {b"x-cost": value}


def finish(meter: Meter, body: bytes = b"", end: End = End.COMPLETE) -> Charge:
    assert meter.feed(body) is body
    assert meter.flush() == b""
    return meter.finish(end, request_bytes=30, response_bytes=len(body), duration_ms=70)


CHAT_CHARGE = Charge(29, "input_tokens=15 cached_input_tokens=4 output_tokens=10", Source.REPORTED, release=False)
HELD = Charge(500, "", Source.HOLD, release=False)


@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize("status", [199, 300, 304, 400, 402, 429, 500, 503])
def test_an_answer_that_is_no_success_releases(status: int, end: End) -> None:
    assert finish(open_meter(a_bill(CHAT), status, JSON, hides=False), golden.CHAT_JSON, end) == RELEASED


@pytest.mark.parametrize("end", End)
def test_usage_that_was_read_is_charged_however_the_answer_ended(end: End) -> None:
    assert finish(open_meter(a_bill(CHAT), 200, JSON, hides=False), golden.CHAT_JSON, end) == CHAT_CHARGE
    stream = golden.chat_stream(asked=True)
    assert finish(open_meter(a_bill(CHAT), 200, EVENTS, hides=False), stream, end) == CHAT_CHARGE


def test_a_coded_answer_is_read_and_passes_unchanged() -> None:
    coded = gzip.compress(golden.CHAT_JSON)
    meter = open_meter(a_bill(CHAT), 200, JSON | {b"content-encoding": b"gzip"}, hides=False)
    assert finish(meter, coded) == CHAT_CHARGE


def test_a_coded_stream_hides_nothing_and_is_read() -> None:
    coded = gzip.compress(golden.chat_stream(asked=True))
    meter = open_meter(a_bill(CHAT), 200, EVENTS | {b"content-encoding": b"gzip"}, hides=True)
    assert finish(meter, coded) == CHAT_CHARGE


def test_a_plain_stream_hides_what_only_we_asked_for() -> None:
    meter = open_meter(a_bill(CHAT), 200, EVENTS, hides=True)
    assert meter.feed(golden.chat_stream(asked=True)) + meter.flush() == golden.chat_stream(asked=False)
    assert meter.finish(End.COMPLETE, 1, 1, 1) == CHAT_CHARGE


@pytest.mark.parametrize("hides", [True, False])
def test_a_json_answer_to_a_request_for_a_stream_is_read(hides: bool) -> None:
    assert finish(open_meter(a_bill(CHAT), 200, JSON, hides=hides), golden.CHAT_JSON) == CHAT_CHARGE


TRAILER = Meters(trailers=(("cost", b"x-cost"),))
EITHER = Meters(headers=(("cost", b"x-cost"),), trailers=(("cost", b"x-late"),))


@pytest.mark.parametrize(
    ("meters", "fields", "trailers", "amount"),
    [
        (TRAILER, {}, [(b"X-Cost", b"7")], 7),
        (TRAILER, cost(b"9"), [(b"X-Other", b"8"), (b"x-cost", b" 7.0 ")], 7),
        (EITHER, cost(b"9"), [(b"X-Late", b"7")], 9),
        (EITHER, {}, [(b"X-Late", b"7")], 7),
        (EITHER, cost(b"nan"), [(b"X-Late", b"7")], 7),
    ],
)
def test_a_cost_in_a_trailer(
    meters: Meters, fields: dict[bytes, bytes], trailers: list[tuple[bytes, bytes]], amount: int
) -> None:
    meter = open_meter(a_bill(meters), 200, fields, hides=False)
    charge = meter.finish(End.COMPLETE, 1, 1, 1, trailers)
    assert charge == Charge(amount, f"cost={amount}", Source.REPORTED, release=False)


@pytest.mark.parametrize(
    "trailers",
    [
        [],
        [(b"x-cost", b"")],
        [(b"x-cost", b"-1")],
        [(b"x-cost", b"nan")],
        [(b"x-cost", b"7"), (b"X-Cost", b"7")],
        [(b"x-late", b"7, 7")],
    ],
)
def test_a_cost_that_no_trailer_says_is_unknown(trailers: list[tuple[bytes, bytes]]) -> None:
    for meters in (TRAILER, EITHER):
        meter = open_meter(a_bill(meters), 200, NO_FIELDS, hides=False)
        assert meter.finish(End.COMPLETE, 1, 1, 1, trailers) == HELD


def test_trailers_and_a_body_are_read_together() -> None:
    meters = Meters(reader=READERS["openai.chat"], trailers=(("cost", b"x-cost"),))
    meter = open_meter(a_bill(meters), 200, JSON, hides=False)
    meter.feed(golden.CHAT_JSON)
    assert meter.finish(End.COMPLETE, 1, 1, 1, [(b"x-cost", b"7")]).usage == CHAT_CHARGE.usage + " cost=7"


UNREAD = [
    pytest.param(CHAT, JSON, b'{"choices": []}', id="no usage"),
    pytest.param(CHAT, JSON, b"<html>", id="no JSON"),
    pytest.param(CHAT, JSON, b"", id="no body"),
    pytest.param(CHAT, EVENTS, golden.chat_stream(asked=False), id="no usage in the stream"),
    pytest.param(CHAT, JSON | {b"content-encoding": b"br"}, golden.CHAT_JSON, id="a coding that is not read"),
    pytest.param(HEADER, {}, b"", id="no header"),
    *(pytest.param(HEADER, {b"x-cost": value}, b"", id=repr(value)) for value in (
        b"", b"-1", b"-0", b"free", b"nan", b"1e3", b"5, 6", b"99999999999999999999", b"\xff", b"0x10", b"+1")),
]  # fmt: skip


@pytest.mark.parametrize(("meters", "fields", "body"), UNREAD)
@pytest.mark.parametrize(
    ("on_unknown", "charge"),
    [
        (OnUnknown.CHARGE_HOLD, HELD),
        (OnUnknown.CHARGE_OBSERVED, Charge(7, "", Source.OBSERVED, release=False)),
        (OnUnknown.RELEASE, Charge(0, "", Source.NONE, release=True)),
    ],
)
def test_unknown_usage_costs_what_the_rule_says(
    meters: Meters, fields: dict[bytes, bytes], body: bytes, on_unknown: OnUnknown, charge: Charge
) -> None:
    bill = a_bill(meters, on_unknown=on_unknown, flat=7)
    assert finish(open_meter(bill, 200, fields, hides=False), body) == charge


def test_usage_of_nothing_is_known_and_costs_nothing() -> None:
    body = b'{"usage": {"prompt_tokens": 0, "completion_tokens": 0}}'
    assert finish(open_meter(a_bill(CHAT), 200, JSON, hides=False), body) == Charge(
        0, "", Source.REPORTED, release=False
    )
    assert finish(open_meter(a_bill(HEADER), 200, cost(b"0"), hides=False)).amount == 0


@pytest.mark.parametrize("end", [End.CLIENT_GONE, End.CUT])
def test_a_client_that_hangs_up_before_the_last_word_pays_by_the_rule(end: End) -> None:
    begun = golden.message_stream(upto=4)
    charge = finish(open_meter(a_bill(MESSAGES), 200, EVENTS, hides=False), begun, end)
    assert (charge.amount, charge.source, charge.release) == (500, Source.HOLD, False)
    assert charge.usage.endswith("cache_read_input_tokens=1800 output_tokens=1")
    bill = a_bill(MESSAGES, on_unknown=OnUnknown.CHARGE_OBSERVED)
    charge = finish(open_meter(bill, 200, EVENTS, hides=False), begun, end)
    assert (charge.amount, charge.source) == (12 + 248 + 1800 + 1, Source.OBSERVED)


def test_an_answer_that_the_upstream_broke_off_is_free() -> None:
    begun = golden.message_stream(upto=4)
    assert finish(open_meter(a_bill(MESSAGES), 200, EVENTS, hides=False), begun, End.UPSTREAM_FAILED) == RELEASED
    for meters in (NOTHING, HEADER, MEASURES):
        meter = open_meter(a_bill(meters, flat=7), 200, cost(b"5"), hides=False)
        assert finish(meter, b"abc", End.UPSTREAM_FAILED) == RELEASED


def test_an_answer_that_reports_an_error_is_free() -> None:
    failed = golden.message_stream(upto=4) + b'event: error\ndata: {"type": "error", "error": {}}\n\n'
    assert finish(open_meter(a_bill(MESSAGES), 200, EVENTS, hides=False), failed) == RELEASED
    failed = golden.response_stream(ending=b"failed")
    meters = Meters(reader=READERS["openai.responses"])
    assert finish(open_meter(a_bill(meters), 200, EVENTS, hides=False), failed) == RELEASED


@pytest.mark.parametrize("end", [End.COMPLETE, End.CLIENT_GONE, End.CUT])
def test_headers_bytes_and_time_are_charged_as_measured(end: End) -> None:
    charge = finish(open_meter(a_bill(HEADER), 201, cost(b" 12 "), hides=False), b"", end)
    assert charge == Charge(12, "cost=12", Source.REPORTED, release=False)
    charge = finish(open_meter(a_bill(MEASURES), 200, NO_FIELDS, hides=False), b"12345", end)
    assert charge == Charge(30 + 5 + 70, "up=30 down=5 ms=70", Source.REPORTED, release=False)


def test_a_flat_price_needs_no_meter() -> None:
    assert finish(open_meter(a_bill(NOTHING, flat=7), 204, NO_FIELDS, hides=False)).amount == 7


def test_meters_of_several_kinds_must_all_be_read() -> None:
    meters = Meters(reader=pointer_reader({"tokens": ("n",)}, {}), headers=(("cost", b"x-cost"),))
    whole = open_meter(a_bill(meters), 200, JSON | cost(b"5"), hides=False)
    assert finish(whole, b'{"n": 3}') == Charge(8, "tokens=3 cost=5", Source.REPORTED, release=False)
    for fields, body in (({b"x-cost": b"-5"}, b'{"n": 3}'), ({b"x-cost": b"5"}, b"{}")):
        assert finish(open_meter(a_bill(meters), 200, JSON | fields, hides=False), body).source is Source.HOLD


@pytest.mark.parametrize("on_unknown", OnUnknown)
def test_no_charge_passes_the_most_that_the_rule_allows(on_unknown: OnUnknown) -> None:
    bill = a_bill(HEADER, max_charge=1_000, on_unknown=on_unknown)
    assert finish(open_meter(bill, 200, cost(b"5000"), hides=False)).amount == 1_000
    assert finish(open_meter(bill, 200, cost(b"9007199254740991"), hides=False)).amount == 1_000


def test_what_the_head_says_needs_no_body() -> None:
    bill = a_bill(Meters(reader=READERS["bedrock"]))
    for end in End:
        charge = finish(open_meter(bill, 200, golden_bedrock.INVOKE_HEAD, hides=False), b"any body", end)
        assert (charge.amount, charge.source) == (2563, Source.REPORTED)


def test_a_status_counts_as_one_or_nothing() -> None:
    meters = Meters(statuses=(("made", frozenset({201})), ("found", frozenset({200, 404}))))
    tariff = Tariff(meters, charge_on=frozenset({200, 201, 404}))
    bill = Bill(tariff, Price.of({"made": Fraction(5), "found": Fraction(2)}), 500)
    costs = {status: finish(open_meter(bill, status, NO_FIELDS, hides=False)).amount for status in (200, 201, 404)}
    assert costs == {200: 2, 201: 5, 404: 2}
    assert finish(open_meter(bill, 500, NO_FIELDS, hides=False)) == RELEASED


def test_what_the_request_told_is_in_every_charge() -> None:
    bill = Bill(
        a_bill(CHAT).tariff, Price.of({"output_tokens": Fraction(1), "images": Fraction(100)}), 500, {"images": 2}
    )
    assert finish(open_meter(bill, 200, JSON, hides=False), golden.CHAT_JSON).amount == 210
    assert bill.unknown({}).usage == "images=2"


def test_lines_are_followed_and_never_hidden() -> None:
    meters = Meters(reader=pointer_reader({}, {}, {"n": Place(("n",), Mode.SUM)}))
    lines = {b"content-type": b"application/jsonl"}
    assert finish(open_meter(a_bill(meters), 200, lines, hides=True), b'{"n": 3}\n{"n": 4}').amount == 7
