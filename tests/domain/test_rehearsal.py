from fractions import Fraction

from sidecar.domain.hold_terms import Term
from sidecar.domain.match import Match, PathPattern
from sidecar.domain.metering import Charge, End, Measure, Meters, Source
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price import Price
from sidecar.domain.quotes import Quote, Quoter, Unquoted
from sidecar.domain.rehearsal import Answer, Request, charge, rehearse
from sidecar.domain.rules import Rule, RuleSet

METERS = Meters(
    headers=(("cost", b"x-cost"),),
    measures=(("up", Measure.REQUEST_BYTES), ("down", Measure.RESPONSE_BYTES), ("time", Measure.DURATION_MS)),
)
PRICE = Price.of({name: Fraction(10**place) for place, name in enumerate(("cost", "up", "down", "time"))})


def a_rule(path: str, quoter: Quoter | None = None, *methods: bytes) -> Rule:
    match = Match(methods=frozenset(methods), path=PathPattern.parse(path))
    if quoter is None:
        return Rule(name=path, where="test", match=match, free=True, unit="credits")
    return Rule(name=path, where="test", match=match, unit="credits", quoter=quoter)


PAID = a_rule("/paid/{x}/run", Quoter(meters=METERS, price=PRICE, hold=7))
RULES = RuleSet([a_rule("/free", None, b"GET"), PAID, a_rule("/free/**"), a_rule("/paid/**")])


def test_a_request_has_the_rule_and_the_quote_that_the_proxy_would_find() -> None:
    request = Request(method=b"POST", target=b"/paid/%61/run?x=/free", body=b"body")
    rehearsal = rehearse(RULES, request)
    assert rehearsal.rule is PAID
    assert rehearsal.facts is not None
    assert (rehearsal.facts.path, rehearsal.facts.query, rehearsal.facts.body_bytes) == (
        b"/paid/a/run",
        b"x=/free",
        4,
    )
    assert isinstance(rehearsal.quote, Quote)
    assert rehearsal.quote.hold == 7
    assert [(tried.rule.name, tried.why) for tried in rehearsal.tried] == [
        ("/free", "the method is POST, not GET"),
    ]
    assert charge(rehearsal.quote, request, Answer(fields={b"x-cost": b"3"}, body=b"xy", duration_ms=5)) == Charge(
        5243, "cost=3 up=4 down=2 time=5", Source.REPORTED, False
    )
    failed = charge(rehearsal.quote, request, Answer(status=500, fields={b"x-cost": b"3"}))
    assert (failed.amount, failed.release) == (0, True)
    gone = charge(rehearsal.quote, request, Answer(end=End.UPSTREAM_FAILED))
    assert gone.release


def test_a_free_rule_quotes_nothing() -> None:
    rehearsal = rehearse(RULES, Request(method=b"GET", target=b"/free"))
    assert (rehearsal.rule, rehearsal.quote, rehearsal.tried) == (RULES.rules[0], None, ())


def test_why_there_is_no_rule() -> None:
    def why(target: bytes) -> str:
        rehearsal = rehearse(RULES, Request(method=b"PUT", target=target))
        assert (rehearsal.rule, rehearsal.quote, rehearsal.facts) == (None, None, None)
        return rehearsal.why

    assert why(b"/x//y") == "the path is ambiguous or malformed"
    assert why(b"/x") == "no rule matches"
    assert why(b"/paid/a%2Frun") == "no rule matches"
    tried = rehearse(RULES, Request(method=b"PUT", target=b"/paid/a%2Frun")).tried
    assert tried[-1].why == "servers may read the path in two ways, which have different rules"


def test_a_refusal_is_kept() -> None:
    quoter = Quoter(meters=METERS, price=PRICE, hold={"cost": Term.parse("request.n or 1")})
    rehearsal = rehearse(RuleSet([a_rule("/a", quoter)]), Request(method=b"POST", target=b"/a", body=b"no JSON"))
    assert isinstance(rehearsal.quote, Unquoted)
    assert rehearsal.quote.code is RefusalCode.UNREADABLE_REQUEST
