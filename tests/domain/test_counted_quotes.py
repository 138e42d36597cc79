"""Quotes of rules that count: which counters, and what a hold is for where they stand."""

import pytest

from sidecar.domain.counted_quotes import Claims, CountedQuoter, at_positions, placed
from sidecar.domain.counters import Advance, Counter, Counting, Over, Stand
from sidecar.domain.errors import InvalidInput
from sidecar.domain.hold_terms import Term
from sidecar.domain.metering import Meters
from sidecar.domain.price import Price
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_list import AnswerPrices, Choices
from sidecar.domain.price_schedule import Tier, price_of
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.request_facts import RequestFacts

AT_S = 1_795_000_000.0
MONTH = Counter("r/pages@2026-11", 1_798_675_200_000)
METERS = Meters(headers=(("pages", b"x-pages"),))
NO_FIELDS: dict[bytes, bytes] = {}


def allowance(free: int, rate: int) -> Price:
    counting = Counting("r/pages", Over.MONTH)
    schedule = CountedSchedule(meters=("pages",), tiers=(Tier(None, rate),), free=free, counting=counting)
    return price_of({}, schedules=[schedule])


def quoter(price: Price | AnswerPrices, hold: int | dict[str, Term] | None = None) -> CountedQuoter:
    terms = {"pages": Term.parse("request.pages or 4")} if hold is None else hold
    return CountedQuoter(meters=METERS, price=price, hold=terms, now_s=lambda: AT_S)


def quoted(quoter: CountedQuoter, body: bytes = b"{}") -> Quote:
    quote = quoter.quote(RequestFacts(NO_FIELDS, b"/", b"", body, len(body)))
    assert isinstance(quote, Quote)
    return quote


def test_a_quote_names_its_counters_and_is_for_who_has_used_nothing() -> None:
    quote = quoted(quoter(allowance(10, 3)), b'{"pages": 12}')
    assert (quote.counters, quote.estimated, quote.hold) == ({"r/pages": MONTH}, {"pages": 12}, 6)


def test_what_cannot_be_quoted_stays_so() -> None:
    facts = RequestFacts(NO_FIELDS, b"/", b"", b"no object", 9)
    assert isinstance(quoter(allowance(10, 3)).quote(facts), Unquoted)


def test_a_quote_where_the_counter_stands() -> None:
    quote = placed(quoted(quoter(allowance(10, 3))), {MONTH.key: Stand(5, 3)})
    assert (quote.hold, quote.cost({"pages": 4})) == (6, 0)
    assert at_positions(quote, {"pages": 8}).hold == 6


def test_claims() -> None:
    claims = Claims(quoted(quoter(allowance(10, 3))))
    assert claims.counters == (MONTH,)
    assert claims.at({}) == (0, (Advance(MONTH, 4, 0, 6),))
    assert claims.at({MONTH.key: Stand(5, 3)}) == (6, (Advance(MONTH, 4, 0, 8),))


def test_a_fixed_hold_claims_nothing() -> None:
    quote = quoted(quoter(allowance(10, 3), hold=50))
    assert Claims(quote).at({MONTH.key: Stand(5, 3)}) == (50, (Advance(MONTH),))


def test_the_dearest_of_what_the_answer_may_say() -> None:
    prices = AnswerPrices(None, Choices.of({"404": allowance(0, 1), "*": allowance(10, 3)}))
    assert Claims(quoted(quoter(prices))).at({}) == (4, (Advance(MONTH, 4, 0, 6),))
    assert Claims(quoted(quoter(prices))).at({MONTH.key: Stand(10)}) == (12, (Advance(MONTH, 4, 10),))


def test_a_charge_knows_its_counters() -> None:
    quote = quoted(quoter(allowance(10, 3)))
    charge = quote.known({"pages": 12})
    assert charge.counted is not None
    assert charge.counted.at({MONTH.key: Stand(10)}) == (36, (Advance(MONTH, 12, 10),))
    by_hold = quote.unknown({})
    assert by_hold.counted is not None
    assert by_hold.counted.at({MONTH.key: Stand(10)}) == (0, (Advance(MONTH, 4),))


def test_a_position_of_what_is_not_counted() -> None:
    with pytest.raises(InvalidInput, match="`seconds` is not counted over a period here; `pages` is"):
        at_positions(quoted(quoter(allowance(10, 3))), {"seconds": 1})
