"""A clamped request fits, is the largest that does, and differs from the client's own in one number only."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.clamp import Clamp, Clamped
from sidecar.domain.hold_terms import Term
from sidecar.domain.metering import Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.price_dimensions import of_query
from sidecar.domain.quotes import Quote, Quoter
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.request_meters import of_dimension

CHAT = Quoter(
    meters=Meters(reader=READERS["openai.chat"]),
    price=Price.of({"input_tokens": Fraction(3, 2), "output_tokens": Fraction(7, 3)}, 5),
    hold={meter: Term.parse(text) for meter, text in READERS["openai.chat"].hold.items()},
)
NESTED = Quoter(
    meters=Meters(reader=READERS["google.gemini"]),
    price=Price.of({"input_tokens": Fraction(1), "output_tokens": Fraction(1)}),
    hold={meter: Term.parse(text) for meter, text in READERS["google.gemini"].hold.items()},
)
SEARCH = Quoter(
    meters=Meters(requests=(("limit", of_dimension(of_query("limit"), 20)),)),
    price=Price.of({"limit": Fraction(10)}),
    hold={},
)
NO_FIELDS: dict[bytes, bytes] = {}
TOKENS = Clamp(("max_completion_tokens", "max_tokens"))
LIMIT = Clamp(("query.limit",))


def sent(body: bytes | None, query: bytes = b"") -> RequestFacts:
    return RequestFacts(NO_FIELDS, b"/", query, body, len(body or b""))


def held(quoter: Quoter, facts: RequestFacts) -> int:
    quote = quoter.quote(facts)
    assert isinstance(quote, Quote)
    return quote.hold


def fitted(body: bytes, most: int, clamp: Clamp = TOKENS, quoter: Quoter = CHAT) -> Clamped | None:
    return clamp.fit(sent(body), quoter.quote, most)


_OTHERS = st.dictionaries(
    st.text(max_size=6).filter(
        lambda name: name.lower() not in ("n", "max_tokens", "max_completion_tokens", "stream")
    ),
    st.none() | st.integers() | st.text(max_size=20) | st.lists(st.integers(), max_size=3),
    max_size=4,
)


@given(
    others=_OTHERS,
    own=st.none() | st.integers(1, 10**7),
    choices=st.integers(1, 9),
    field=st.sampled_from(TOKENS.fields),
    stream=st.booleans(),
    indent=st.sampled_from([None, 1]),
    share=st.floats(0, 1, exclude_max=True),
)
def test_the_largest_value_that_fits(
    others: dict[str, Any],
    own: int | None,
    choices: int,
    field: str,
    indent: int | None,
    share: float,
    *,
    stream: bool,
) -> None:
    document = {**others, "n": choices, "stream": stream} | ({field: own} if own is not None else {})
    body = json.dumps(document, indent=indent, ensure_ascii=False).encode()
    most = int(held(CHAT, sent(body)) * share)
    clamped = fitted(body, most)
    if clamped is None:
        least = {**document, field if own is not None else "max_completion_tokens": 1}
        text = json.dumps(least, indent=indent, ensure_ascii=False).encode()
        # A field that is inserted stands at the front, in fewer bytes than `indent` takes for it.
        assert held(CHAT, sent(text)) + 5 * bool(indent and own is None) > most
        return
    changed = clamped.quote.body
    assert changed is not None
    assert json.loads(changed)[clamped.field] == clamped.value < (own or MAX_AMOUNT)
    assert clamped.field == (field if own is not None else "max_completion_tokens")
    expected = {**document, clamped.field: clamped.value}
    assert json.loads(changed) == expected | ({"stream_options": {"include_usage": True}} if stream else {})
    with_value = changed.replace(b'"stream_options":{"include_usage":true},', b"")
    assert held(CHAT, sent(with_value)) == clamped.quote.hold <= most
    digits = b"%d" % clamped.value
    places = [at for at in range(len(with_value)) if with_value[at:].startswith(digits)]
    start = next(at for at in places if is_only(body, with_value, at, digits, own))
    one_more = with_value[:start] + b"%d" % (clamped.value + 1) + with_value[start + len(digits) :]
    assert clamped.value + 1 == own or held(CHAT, sent(one_more)) > most


def is_only(body: bytes, changed: bytes, at: int, digits: bytes, own: int | None) -> bool:
    """Whether `changed` is `body` but for the digits there, or for one member at the front."""
    before, after = changed[:at], changed[at + len(digits) :]
    if own is not None:
        return body == before + b"%d" % own + after
    return before == b'{"max_completion_tokens":' and body == b"{" + after.removeprefix(b",")


def test_other_bytes_stay() -> None:
    body = b'{ "messages": ["\\u00e9 max_tokens"],\r\n\t"max_tokens" : 5000 , "user":"\xc3\xa9" }'
    clamped = fitted(body, 500)
    assert clamped is not None
    assert clamped.quote.body == body.replace(b"5000", b"%d" % clamped.value)
    assert (clamped.field, clamped.query) == ("max_tokens", b"")


def test_a_field_inside_another_and_one_that_is_missing_altogether() -> None:
    clamp = Clamp(("generationConfig.maxOutputTokens",))
    clamped = fitted(b'{"a":1,"generationConfig":{"maxOutputTokens":900,"topK":1}}', 120, clamp, NESTED)
    assert clamped is not None
    assert (clamped.value, clamped.quote.hold) == (100, 120)
    assert clamped.quote.body == b'{"a":1,"generationConfig":{"maxOutputTokens":100,"topK":1}}'
    clamped = fitted(b'{"a":1}', 120, clamp, NESTED)
    assert clamped is not None
    assert clamped.quote.body == b'{"generationConfig":{"maxOutputTokens":103},"a":1}'


def test_null_is_as_good_as_missing() -> None:
    clamped = fitted(b'{"max_tokens":null}', 200)
    assert clamped is not None
    assert clamped.quote.body == b'{"max_tokens":%d}' % clamped.value


@pytest.mark.parametrize(
    "body",
    [
        b'{"max_tokens":5000,"max_tokens":5000}',
        b'{"max_tokens":5000,"Max_Tokens":5000}',
        b'{"Max_Tokens":5000}',
        b'{"max_tokens":5000,"max_completion_tokens":5000}',
        b'{"max_tokens":"5000"}',
        b'{"max_tokens":5e3}',
        b'{"max_tokens":-1}',
        b'{"max_tokens":0}',
        b'{"max_tokens":5000',
        b"[]",
        b"\xff",
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
    ids=range(12),
)
def test_what_is_not_certain_is_not_changed(body: bytes) -> None:
    lenient = Quoter(meters=CHAT.tariff.meters, price=CHAT.price, hold=CHAT.hold, hold_when_unreadable=True)
    assert TOKENS.fit(sent(body), lenient.quote, 10**9) is None


def test_a_body_that_was_not_read_is_not_changed() -> None:
    assert TOKENS.fit(sent(None), CHAT.quote, 10**9) is None


def test_least_is_the_least() -> None:
    body = b'{"max_tokens":5000}'
    full = fitted(body, 100)
    assert full is not None
    assert fitted(body, 100, Clamp(("max_tokens",), full.value)) == full
    assert fitted(body, 100, Clamp(("max_tokens",), full.value + 1)) is None
    assert fitted(b'{"max_tokens":9}', 100, Clamp(("max_tokens",), 9)) is None


@pytest.mark.parametrize(
    ("query", "changed"),
    [
        (b"limit=500", b"limit=7"),
        (b"a=%20&limit=500&b", b"a=%20&limit=7&b"),
        (b"l%69mit=%35%30", b"l%69mit=7"),
        (b"", b"limit=7"),
        (b"q=a+b", b"q=a+b&limit=7"),
        (b"limit=8.5", None),
        (b"limit=500&limit=2", None),
        (b"LIMIT=500", None),
        (b"limit=500;x", None),
    ],
)
def test_a_parameter_of_the_query(query: bytes, changed: bytes | None) -> None:
    clamped = LIMIT.fit(sent(None, query), SEARCH.quote, 79)
    assert (clamped and clamped.query) == changed
    if clamped is not None:
        assert (clamped.value, clamped.quote.hold, clamped.quote.body) == (7, 70, None)


def test_an_absurd_number_is_lowered_like_any_other() -> None:
    clamped = fitted(b'{"max_tokens":%d}' % 10**300, 200)
    assert clamped is not None
    assert clamped.quote.hold <= 200


def test_who_cannot_pay_for_the_least_costs_one_quote() -> None:
    asked: list[RequestFacts] = []

    def quote(facts: RequestFacts) -> Any:
        asked.append(facts)
        return CHAT.quote(facts)

    assert TOKENS.fit(sent(b'{"max_tokens":5000}'), quote, 1) is None
    assert len(asked) == 1
