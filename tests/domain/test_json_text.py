import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.json_text import Place, finder_of_repeats, members, place_of, repeats

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    document=st.dictionaries(st.text(max_size=8), _VALUES, max_size=5),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_members_are_where_they_stand(document: dict[str, Any], indent: int | None, *, ascii_only: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    found = [
        (json.loads(text[m.start : m.value].rstrip().rstrip(b":")), json.loads(text[m.value : m.end]))
        for m in members(text)
    ]
    assert dict(found) == json.loads(text)
    assert [m.name for m in members(text)] == list(json.loads(text))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b'{"model":"a"}', False),
        (b'{"model":"a","model":"b"}', True),
        (b'{"model":"a","MODEL":"b"}', True),
        (b'{"model":"a","mo\\u0064el":"b"}', True),
        (b'{"model":"a","x":{"model":"b"}}', False),
        (b'{"model":"model"}', False),
        (b'{"model":"a","x":"\\u00e9"}', False),
        (b'{"model":"a","\xff":"\\u00e9"}', False),
        (b'{"tools":[{"model":1}],"model":"a","y":"\\"model\\":"}', False),
    ],
)
def test_repeated_names(text: bytes, answer: bool) -> None:
    assert repeats(text, ["model"]) is answer
    assert finder_of_repeats(["model"])(text) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b'{"a":{"b":1}}', False),
        (b'{"a":{"b":1,"b":2}}', True),
        (b'{"a":{"b":1},"A":{}}', True),
        (b'{"a":{"c":{"b":1,"b":2}},"b":1}', False),
        (b'{"a":["b","b"]}', False),
        (b"{}", False),
    ],
)
def test_repeated_names_on_the_way(text: bytes, answer: bool) -> None:
    assert repeats(text, ["a", "b"]) is answer
    assert finder_of_repeats(["a", "b"])(text) is answer


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{ "a" : {"b": 7 } }', Place(b'{ "a" : {"b": ', b"7", b" } }")),
        (b'{"a":{}}', Place(b'{"a":{"b":', b"", b"}}")),
        (b'{"a":{ "c":1}}', Place(b'{"a":{"b":', b"", b', "c":1}}')),
        (b"{ }", Place(b'{"a":{"b":', b"", b"} }")),
        (b'{"c":[]}', Place(b'{"a":{"b":', b"", b'},"c":[]}')),
        (b'{"\\u0061":{"b":null}}', Place(b'{"\\u0061":{"b":', b"null", b"}}")),
        (b'{"a":{"b":1},"\\u0061":{}}', None),
        (b'{"a":{"b":1,"B":2}}', None),
        (b'{"a":{"B":2}}', None),
        (b'{"A":{"b":2}}', None),
        (b'{"a":[]}', None),
        (b'{"a":null}', None),
        (b'{"a":"{\\"b\\":1}"}', None),
    ],
)
def test_the_place_of_a_value(text: bytes, place: Place | None) -> None:
    assert place_of(text, ["a", "b"]) == place
