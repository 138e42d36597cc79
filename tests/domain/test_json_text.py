import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.json_text import finder_of_repeats, members, repeats

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
