from fractions import Fraction
from typing import Any

import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.domain.meters.pointers import PointerStream, find, number, parse_pointer, pointer_reader


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


READER = pointer_reader({"seconds": ("seconds",), "tokens": ("usage", "total")}, {"tokens": ("usage", "total")})


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


def test_the_last_value_of_a_stream_counts() -> None:
    stream = PointerStream({"tokens": ("usage", "total")}, 1)
    for data in (b'{"usage": {"total": 1}}', b'{"usage": null}', b'{"usage": {"total": 9}}', b"[DONE]"):
        stream.read(data)
    assert (stream.usage, stream.seen, stream.final) == ({"tokens": 9}, True, False)


def test_a_last_value_that_makes_no_sense_takes_back_the_earlier_ones() -> None:
    stream = PointerStream({"tokens": ("total",)}, 1)
    stream.read(b'{"total": 1}')
    stream.read(b'{"total": -5}')
    assert (stream.usage, stream.seen) == ({}, False)


def test_a_meter_without_a_place_in_events_is_never_read_from_them() -> None:
    stream = READER.open_stream()
    stream.read(b'{"usage": {"total": 9}, "seconds": 1}')
    assert (stream.usage, stream.seen) == ({"tokens": 9}, False)


@pytest.mark.parametrize(
    ("pointer", "needle"),
    [(("usage", "total_tokens"), b'"total_tokens"'), (("usage", "0"), b'"usage"'), (("é", "0"), b"data")],
)
def test_an_event_is_looked_into_only_if_it_can_hold_a_value(pointer: tuple[str, ...], needle: bytes) -> None:
    assert pointer_reader({}, {"tokens": pointer}).needles == (needle,)
