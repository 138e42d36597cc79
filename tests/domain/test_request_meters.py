import json
from fractions import Fraction
from typing import Any

import pytest

from sidecar.domain import price_dimensions
from sidecar.domain.body_fields import BodyFields
from sidecar.domain.match import PathPattern
from sidecar.domain.price_dimensions import Doubt
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.request_meters import Counts, RequestMeter, of_body, of_dimension

NO_FIELDS: dict[bytes, bytes] = {}


def read(meter: RequestMeter, body: bytes | None = None, path: bytes = b"/", query: bytes = b"") -> Any:
    fields = BodyFields({meter.body_field} - {""}, ())
    request = fields.read(body) if body is not None else fields.nothing
    return meter.read(request, RequestFacts(NO_FIELDS, path, query, body))


@pytest.mark.parametrize(
    ("value", "reading"),
    [("4", 4), ("0", 0), ("2.5", Fraction(5, 2)), ('"7"', 7), ('"0.25"', Fraction(1, 4)), ("10.0", 10)],
)
def test_a_field_is_read_exactly(value: str, reading: Any) -> None:
    assert read(of_body("n"), f'{{"n": {value}}}'.encode()) == reading
    assert read(of_body("a.n"), f'{{"a": {{"n": {value}}}}}'.encode()) == reading


@pytest.mark.parametrize(
    "value", ["-1", "-0.5", "true", '"x"', '"1e3"', "[1]", "{}", "1e308", "9007199254740992", "1e30", "1e-12", '""']
)
def test_what_is_no_number_is_no_usage_even_with_a_default(value: str) -> None:
    found = read(of_body("n", default=1), f'{{"n": {value}}}'.encode())
    assert isinstance(found, Doubt)
    assert "`n` must be a number" in found.detail


@pytest.mark.parametrize("body", [b"{}", b'{"n": null}'])
def test_what_is_not_there_is_the_default_or_refused(body: bytes) -> None:
    assert read(of_body("n", default=1), body) == 1
    assert read(of_body("n"), body) == Doubt("The request needs `n`: what it costs depends on it.")


@pytest.mark.parametrize("body", [b'{"n": 1, "n": 10}', b'{"N": 10, "n": 1}', b'{"\\u006e": 10, "n": 1}'])
def test_a_field_that_is_there_twice_is_no_usage(body: bytes) -> None:
    assert isinstance(read(of_body("n", default=1), body), Doubt)


def test_characters_are_those_of_the_text_not_of_its_bytes() -> None:
    meter = of_body("input", Counts.CHARACTERS)
    assert read(meter, json.dumps({"input": "h\u00e9llo \U0001f600"}).encode()) == 7
    assert isinstance(read(meter, b'{"input": ["a"]}'), Doubt)
    assert isinstance(read(meter, b"{}"), Doubt)
    assert read(of_body("input", Counts.CHARACTERS, 0), b"{}") == 0


PATH = of_dimension(price_dimensions.of_path("minutes", PathPattern.parse("/rooms/{minutes}")))
QUERY = of_dimension(price_dimensions.of_query("limit"), 20)


def test_parameters_are_read_and_need_no_body() -> None:
    assert (PATH.body_field, QUERY.body_field) == ("", "")
    assert read(PATH, path=b"/rooms/90") == 90
    assert [read(QUERY, query=query) for query in (b"limit=5", b"a=1&limit=2.5", b"a=1", b"")] == [
        5,
        Fraction(5, 2),
        20,
        20,
    ]


@pytest.mark.parametrize(
    "query", [b"limit=5&limit=50", b"LIMIT=50", b"limit=x", b"limit=", b"limit=-5", b"limit=1;limit=9"]
)
def test_a_parameter_that_is_no_number_or_unclear_is_no_usage(query: bytes) -> None:
    assert isinstance(read(QUERY, query=query), Doubt)
    assert isinstance(read(PATH, path=b"/rooms/all"), Doubt)
