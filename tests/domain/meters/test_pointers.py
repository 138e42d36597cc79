import json
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.domain.errors import InvalidInput
from sidecar.domain.meters.pointers import Mode, Place, find, finder, number, parse_pointer, pointer_reader
from sidecar.domain.meters.reader import StreamReading


@pytest.mark.parametrize(
    ("text", "steps"),
    [("/usage/total", ("usage", "total")), ("/a~1b/m~0n", ("a/b", "m~n")), ("/", ("",)), ("/x/0", ("x", "0"))],
)
def test_pointers(text: str, steps: tuple[str, ...]) -> None:
    assert parse_pointer(text) == steps


@pytest.mark.parametrize("text", ["", "usage", "#/usage", "/a~2", "/a~"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="JSON pointer"):
        parse_pointer(text)


DOCUMENT = {"usage": {"total": 5}, "parts": [{"n": 1}, {"n": 2}], "": 3}


@pytest.mark.parametrize(
    ("pointer", "value"), [("/usage/total", 5), ("/parts/1/n", 2), ("/", 3), ("/parts", DOCUMENT["parts"])]
)
def test_what_a_pointer_finds(pointer: str, value: Any) -> None:
    assert find(DOCUMENT, parse_pointer(pointer)) == value


@pytest.mark.parametrize("pointer", ["/x", "/usage/total/x", "/parts/2/n", "/parts/-1", "/parts/x", "/parts/٣"])
def test_a_pointer_that_leads_nowhere_finds_no_number(pointer: str) -> None:
    assert number(find(DOCUMENT, parse_pointer(pointer))) is None


TOTAL = Place(("usage", "total"))
READER = pointer_reader({"seconds": ("seconds",), "tokens": ("usage", "total")}, {"tokens": TOTAL})


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        *(("12", 12), ("0.1", Fraction(1, 10)), ('"0.25"', Fraction(1, 4)), ("1e2", 100), ("2.50", Fraction(5, 2))),
        *(("-1", None), ("-0.5", None), ("true", None), ("null", None), ("[]", None), ('"x"', None), ("1e308", None)),
        *(("1e-12", None), ("9007199254740992", None), ("99999999999999999999999", None), ('"1e3"', None)),
    ],
)
def test_numbers_are_read_exactly_or_not_at_all(seconds: str, value: Any) -> None:
    expected = None if value is None else {"seconds": value, "tokens": 7}
    assert READER.read_json(f'{{"seconds": {seconds}, "usage": {{"total": 7}}}}'.encode()) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"seconds": 1}', b"\xff", b"[" * 100_000])
def test_what_lacks_a_meter_is_not_read(body: bytes) -> None:
    assert READER.read_json(body) is None


def stream(place: Place, *data: str) -> StreamReading:
    reading = pointer_reader({}, {"n": place}).open_stream()
    for text in data:
        reading.read(text.encode() if text.startswith("event:") else f"data: {text}\n\n".encode())
    return reading


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        (Mode.LAST, "1 9 4", 4),
        (Mode.SUM, "1 9 4", 14),
        (Mode.MAX, "1 9 4", 9),
        (Mode.LAST, "null 0.5 null", Fraction(1, 2)),
        (Mode.SUM, "0.1 0.2 null", Fraction(3, 10)),
        (Mode.MAX, "0.1 0.2 0.15", Fraction(1, 5)),
        (Mode.SUM, "0", 0),
        (Mode.MAX, "0", 0),
        (Mode.LAST, "1 -5", None),
        (Mode.LAST, "-5 1", 1),
        (Mode.SUM, "-5 1", None),
        (Mode.MAX, "1 -5 9", None),
        (Mode.SUM, '1 "x" 9', None),
        (Mode.SUM, "9007199254740991 1", None),
        (Mode.SUM, "9007199254740991 1 1", None),
        (Mode.SUM, "9007199254740991 0", 9007199254740991),
        (Mode.SUM, "null", None),
        (Mode.SUM, "1e308 1", None),
        (Mode.SUM, "1 { 1", None),
        (Mode.MAX, "1 { 1", None),
        (Mode.LAST, "1 { 2 {", 2),
    ],
)
def test_what_counts_of_a_stream(mode: Mode, values: str, expected: Any) -> None:
    data = [f'{{"usage": {{"total": {value}}}}}' for value in values.split()]
    reading = stream(Place(("usage", "total"), mode), *data, "[DONE]", '{"usage": null}', '{"x": 1}')
    assert reading.usage == ({} if expected is None else {"n": expected})
    assert (reading.seen, reading.final, reading.failed) == (expected is not None, False, False)


def test_only_events_of_one_type_count() -> None:
    place = Place(("n",), Mode.SUM, b"usage")
    events = ('event: usage\ndata: {"n": 2}\n\n', '{"n": 5}', 'event: other\ndata: {"n": 7}\n\n')
    assert stream(place, *events, events[0]).usage == {"n": 4}
    assert stream(Place(("n",), Mode.SUM, b"message"), *events).usage == {"n": 5}


def test_lines_have_places_of_their_own() -> None:
    reader = pointer_reader({}, {"n": TOTAL}, {"n": Place(("eval_count",), Mode.MAX)})
    assert reader.needles == (b'"eval_count"', b'"total"')
    assert reader.open_lines is not None
    lines = reader.open_lines()
    for line in (b'{"eval_count": 3}', b'{"usage": {"total": 9}}', b'{"eval_count": 2}'):
        lines.read(line)
    assert (lines.usage, lines.seen) == ({"n": 3}, True)


def test_a_meter_without_a_place_in_events_is_never_read_from_them() -> None:
    reading = READER.open_stream()
    reading.read(b'data: {"usage": {"total": 9}, "seconds": 1}\n\n')
    assert (reading.usage, reading.seen) == ({"tokens": 9}, False)


@pytest.mark.parametrize(
    ("pointer", "needle"),
    [(("usage", "total_tokens"), b'"total_tokens"'), (("usage", "0"), b'"usage"'), (("é", "0"), b":")],
)
def test_an_event_is_looked_into_only_if_it_can_hold_a_value(pointer: tuple[str, ...], needle: bytes) -> None:
    assert pointer_reader({}, {"tokens": Place(pointer)}).needles == (needle,)


def test_a_number_that_would_fill_the_memory_is_none() -> None:
    assert READER.read_json(b'{"seconds": 1e-999999999, "usage": {"total": 7}}') is None
    assert READER.read_json(b'{"seconds": 0e-999999999, "usage": {"total": 7}}') is None


NAMES = st.sampled_from(["a", "b", "c.d", "a_b", "e-f"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["1", "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.just("0"), inner, max_size=4),
    max_leaves=12,
)
POINTERS = st.lists(
    st.lists(NAMES, min_size=1, max_size=3)
    | st.lists(NAMES | st.sampled_from(["0", "", "é"]), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)


@given(DOCUMENTS, POINTERS)
@example({"a": {"b": 1}}, [["a", "b"], ["a"]])
@example({"a": [{"b": 1}]}, [["a", "b"]])
def test_a_look_at_the_places_alone_finds_what_a_walk_finds(document: Any, steps: list[list[str]]) -> None:
    wanted = [tuple(each) for each in steps]
    text = json.dumps(document).encode()
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.DecodeError:
        assert finder(wanted)(text) is None
        return
    values = finder(wanted)(text)
    walked = [number(find(decoded, pointer)) for pointer in wanted]
    assert (values is None) == (decoded is None)
    assert values is None or [number(value) for value in values] == walked
