import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.body_fields import BodyFields
from sidecar.domain.fields import Fields
from sidecar.domain.ids import new_id
from sidecar.domain.match import PathPattern
from sidecar.domain.paths import normalise
from sidecar.domain.price_dimensions import Dimension, Doubt, of_body, of_customer, of_header, of_path, of_query
from sidecar.domain.request_facts import RequestFacts

UNCLEAR = "unclear"
NO_FIELDS: dict[bytes, bytes] = {}


def read(dimension: Dimension, facts: RequestFacts) -> str | None:
    """The value, or that it is in doubt."""
    fields = BodyFields([dimension.body_field] if dimension.body_field else [], [])
    value = dimension.read(fields.read(facts.body or b"{}") or fields.nothing, facts)
    return UNCLEAR if isinstance(value, Doubt) else value


def facts(
    path: bytes = b"/", query: bytes = b"", body: bytes | None = None, fields: Fields = NO_FIELDS
) -> RequestFacts:
    return RequestFacts(fields, path, query, body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ({"size": "big"}, "big"),
        ({"size": ""}, ""),
        ({"size": 1024}, "1024"),
        ({"size": True}, "true"),
        ({"size": False}, "false"),
        ({"size": 1.5}, None),
        ({"size": None}, None),
        ({"size": ["big"]}, None),
        ({}, None),
    ],
)
def test_a_field_of_the_body(body: dict[str, Any], value: str | None) -> None:
    assert read(of_body("size"), facts(body=json.dumps(body).encode())) == value


@pytest.mark.parametrize("body", [b'{"size": "a", "size": "b"}', b'{"size": "a", "SIZE": "b"}'])
def test_a_field_that_is_there_twice(body: bytes) -> None:
    assert read(of_body("size"), facts(body=body)) == UNCLEAR


@pytest.mark.parametrize(
    ("fields", "value"),
    [({b"x-region": b"eu"}, "eu"), ({}, None), ({b"x-region": b"eu, us"}, UNCLEAR), ({b"x-region": b"\xe9"}, "\xe9")],
)
def test_a_header(fields: dict[bytes, bytes], value: str | None) -> None:
    assert read(of_header("X-Region"), facts(fields=fields)) == value


@pytest.mark.parametrize(
    ("query", "value"),
    [
        (b"", None),
        (b"size=big", "big"),
        (b"a=1&size=big&b", "big"),
        (b"size", ""),
        (b"size=", ""),
        (b"size=very+big%21", "very big!"),
        (b"s%69ze=big", "big"),
        (b"size=a=b", "a=b"),
        (b"a=%26size%3Dbig", None),
        (b"sizes=big", None),
        (b"size=small&size=big", UNCLEAR),
        (b"size=small&%73ize=big", UNCLEAR),
        (b"size=small&Size=big", UNCLEAR),
        (b"SIZE=small", UNCLEAR),
        (b"size=small;size=big", UNCLEAR),
        (b"a=1;size=big", UNCLEAR),
        (b"a=1;b=2&size=big", "big"),
        (b"size=%ff", "\ufffd"),
        (b"size=%zz", "%zz"),
    ],
)
def test_a_parameter_of_the_query(query: bytes, value: str | None) -> None:
    assert read(of_query("size"), facts(query=query)) == value


@pytest.mark.parametrize(
    ("pattern", "path", "value"),
    [
        ("/v1/{size}/render", b"/v1/big/render", "big"),
        ("/v1/{size}/render", b"/v1/big/render/", "big"),
        ("/v1/models/{size}:run", b"/v1/models/big:run", "big"),
        ("/v1/pre-{size}.png/{other}", b"/v1/pre-big.png/x", "big"),
        ("/{size}/**", b"/big/a/b", "big"),
        ("/{size}", b"/caf%C3%A9", "caf\xe9"),
        ("/{size}", b"/big%20one", "big one"),
        ("/{size}", b"/big;v=1", UNCLEAR),
        ("/{size}", b"/a%2Fb", UNCLEAR),
    ],
)
def test_a_parameter_of_the_path(pattern: str, path: bytes, value: str) -> None:
    assert read(of_path("size", PathPattern.parse(pattern)), facts(path)) == value


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_bytes_raise(query: bytes, body: bytes) -> None:
    for dimension in (of_body("a"), of_query("a")):
        assert read(dimension, facts(query=query, body=body)) != object()


@given(st.from_regex(rb"/[A-Za-z0-9%;._-]{1,12}", fullmatch=True))
def test_any_path_has_one_value_or_none(path: bytes) -> None:
    pattern, normal = PathPattern.parse("/{a}"), normalise(path)
    if normal is not None:
        assert read(of_path("a", pattern), facts(normal)) is not None


ALICE, BOB = new_id("cus", 1, bytes(10)), new_id("cus", 2, bytes(10))


@pytest.mark.parametrize(
    ("names", "customer_id", "external_id", "value"),
    [
        (["acme"], ALICE, "acme", "acme"),
        (["acme"], ALICE, "", ALICE),
        ([ALICE, "acme"], ALICE, "acme", ALICE),
        ([ALICE, "acme"], BOB, "acme", "acme"),
        ([ALICE], BOB, ALICE, BOB),
        (["cus_stripe"], ALICE, "cus_stripe", "cus_stripe"),
        (["acme"], "", "acme", "acme"),
        (["acme"], "", "", None),
    ],
)
def test_who_asks(names: list[str], customer_id: str, external_id: str, value: str | None) -> None:
    told = RequestFacts(NO_FIELDS, b"/", b"", None, 0, customer_id, external_id)
    assert of_customer(names).read(None, told) == value


def test_what_is_recorded_of_a_dimension_has_the_name_that_a_rule_gives_it() -> None:
    named = (of_body("a.b"), of_header("X-Tier"), of_query("q"), of_path("size", PathPattern.parse("/{size}")))
    keys = [dimension.key for dimension in (*named, of_customer(()))]
    assert keys == ["request.a.b", "header.x-tier", "query.q", "path.size", "customer"]
