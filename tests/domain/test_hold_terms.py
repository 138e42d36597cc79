from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.body_fields import count
from sidecar.domain.hold_terms import ExpressionError, Term, estimator

CHAT = "(request.max_completion_tokens or request.max_tokens or 1024) * (request.n or 1)"


def value_of(term: Term, values: Mapping[str, int | None], body_bytes: int) -> int:
    """A term where `values` are the fields of the request."""
    missing = dict.fromkeys(term.fields)
    request = SimpleNamespace(**{count(name): value for name, value in (missing | dict(values)).items()})
    return estimator({"tokens": term})(request, body_bytes)["tokens"]


@pytest.mark.parametrize(
    ("text", "values", "value"),
    [
        ("7", {}, 7),
        ("request.body_bytes", {"body_bytes": 10}, 10),
        ("request.body_bytes / 3", {"body_bytes": 10}, 4),
        ("request.body_bytes / 3", {"body_bytes": 0}, 0),
        (CHAT, {}, 1024),
        (CHAT, {"max_tokens": 50}, 50),
        (CHAT, {"max_tokens": 50, "max_completion_tokens": 20, "n": 3}, 60),
        (CHAT, {"max_tokens": 0, "n": 0}, 1024),
        ("request.a.b or 2", {"a.b": 9}, 9),
        ("request.a or 0", {}, 0),
        ("0 or request.a", {}, 0),
        ("request.a or request.b or 5", {"a": None, "b": 6}, 6),
        ("(request.a or 1) - 5", {"a": 3}, 0),
        ("7 / 2 * 2", {}, 7),
        ("7 / 2 / 2", {}, 2),
        ("1 + 2 * 3", {}, 7),
        ("request.a * request.b or 8", {"a": 2}, 8),
        ("(request.a or 1) * (request.a or 1)", {"a": MAX_AMOUNT}, MAX_AMOUNT),
    ],
)
def test_values(text: str, values: dict[str, int | None], value: int) -> None:
    body_bytes = values.pop("body_bytes", 0)
    assert value_of(Term.parse(text), values, body_bytes or 0) == value


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("request.max_tokens", 0, "a request may lack it"),
        ("request.a + 1", 0, "a request may lack it"),
        ("1 / request.n", 4, "only a number above 0"),
        ("(request.a or 1) / 0", 19, "only a number above 0"),
        ("max_tokens or 1", 0, "request.<field>"),
        ("1 + other.n", 4, "request.<field>"),
        ("1.5", 0, "numbers, request.<field>"),
        ("-1", 0, "numbers, request.<field>"),
        ("2 + True", 4, "numbers, request.<field>"),
        ("1 and 2", 0, "numbers, request.<field>"),
        ("1 + 2 ** 3", 4, "numbers, request.<field>"),
        ("1 + f(2)", 4, "numbers, request.<field>"),
        ("request['a'] or 1", 0, "numbers, request.<field>"),
        ("1 + 'a'", 4, "numbers, request.<field>"),
        ("1 2", 0, "not an expression"),
        ("1 +", 0, "not an expression"),
        ("", 0, "not an expression"),
        ("\x00", 0, "not an expression"),
        ("(" * 300 + "1" + ")" * 300, 0, "not an expression"),
        ("1" + "+1" * 600, 0, "at most 1000"),
        ("  1 + x.y", 6, "request.<field>"),
    ],
)
def test_mistakes_have_a_place(text: str, offset: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        Term.parse(text)
    assert 0 <= caught.value.offset <= len(text)
    if message != "not an expression":
        assert caught.value.offset == offset


def test_the_fields_are_known_before_any_request() -> None:
    assert Term.parse(CHAT + " + (request.a.b or request.body_bytes)").fields == {
        *("max_completion_tokens", "max_tokens", "n", "a.b"),
    }


_LEAVES = st.sampled_from(["request.a", "request.b", "request.body_bytes", "3", "0", "1000000"])
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["or", "+", "-", "*"]), inner),
        st.builds("({} / {})".format, inner, st.sampled_from(["1", "3", "7"])),
    ),
    max_leaves=8,
)
_FIELD = st.one_of(st.none(), st.integers(0, MAX_AMOUNT))


@given(_TREES, _FIELD, _FIELD, st.integers(0, 10**9))
def test_what_loads_always_has_a_value_in_range(text: str, a: int | None, b: int | None, size: int) -> None:
    try:
        term = Term.parse(text)
    except ExpressionError:
        return
    assert 0 <= value_of(term, {"a": a, "b": b}, size) <= MAX_AMOUNT
