from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.match import Match, PathPattern
from sidecar.domain.metering import Meters
from sidecar.domain.price import Price
from sidecar.domain.quotes import Quote, Quoter
from sidecar.domain.recent_costs import RecentCosts
from sidecar.domain.recent_quotes import RecentQuoter
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.rules import Rule, RuleSet

NO_FIELDS: dict[bytes, bytes] = {}


def a_rule(path: str, *methods: bytes, host: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Rule:
    match = Match(methods=frozenset(methods), path=PathPattern.parse(path), host=host, headers=headers)
    return Rule(name=f"{path} {methods} {host} {headers}", where="test", match=match, free=True, unit="credits")


def found(
    rules: RuleSet, method: bytes, path: bytes, host: bytes = b"", fields: dict[bytes, bytes] | None = None
) -> int | None:
    rule = rules.match(method, path, host, fields or NO_FIELDS)
    return rules.rules.index(rule) if rule is not None else None


def test_no_rules_match_nothing() -> None:
    assert found(RuleSet([]), b"GET", b"/") is None


def test_the_first_that_matches_decides() -> None:
    rules = RuleSet(
        [a_rule("/a/{x}", b"GET"), a_rule("/a/b"), a_rule("/a/b/c", b"GET"), a_rule("/**", b"GET", b"POST")]
    )
    assert found(rules, b"GET", b"/a/b") == 0
    assert found(rules, b"PUT", b"/a/b") == 1
    assert found(rules, b"GET", b"/a/b/c") == 2
    assert found(rules, b"GET", b"/a/b/c/") == 2
    assert found(rules, b"POST", b"/a/b/c") == 3
    assert found(rules, b"PUT", b"/a/b/c") is None


def test_hosts_and_headers_decide_between_rules_of_one_path() -> None:
    gold = (b"x-tier", b"gold")
    rules = RuleSet([a_rule("/a", b"GET", host="x.example.com"), a_rule("/a", headers=(gold,)), a_rule("/a", b"GET")])
    assert found(rules, b"GET", b"/a", b"x.example.com:80", {b"x-tier": b"gold"}) == 0
    assert found(rules, b"GET", b"/a", b"y", {b"x-tier": b"gold"}) == 1
    assert found(rules, b"GET", b"/a", b"y", {b"x-tier": b"Gold"}) == 2
    assert found(rules, b"PUT", b"/a", b"y") is None


@pytest.mark.parametrize(
    ("path", "index"),
    [
        (b"/files/x", 0),
        (b"/files/x/", 0),
        (b"/files/x/content", 1),
        (b"/files/x%2Fcontent", None),
        (b"/files/x%2Fother", None),
        (b"/files/x%3Ay", 0),
        (b"/files/x:run", 2),
        (b"/files/x%3Arun", 2),
        (b"/files/x;v=1", 0),
        (b"/files;v=1/x/content", None),
        (b"/files/x:run;v=1", None),
        (b"/all/x%2Fy", 3),
    ],
)
def test_a_path_that_servers_read_differently_needs_one_rule_for_all_readings(path: bytes, index: int | None) -> None:
    rules = [a_rule("/files/{id}:run"), a_rule("/files/{id}"), a_rule("/files/{id}/content"), a_rule("/all/**")]
    order = [1, 2, 0, 3]
    expected = None if index is None else order[index]
    assert found(RuleSet(rules), b"GET", path) == expected


def test_a_path_in_capitals_needs_the_same_rule_on_servers_that_ignore_case() -> None:
    rules = RuleSet([a_rule("/paid"), a_rule("/ids/{id}", b"GET"), a_rule("/Docs/**"), a_rule("/**")])
    assert found(rules, b"GET", b"/paid") == 0
    assert found(rules, b"GET", b"/Paid") is None
    assert found(rules, b"GET", b"/ids/AbC") == 1
    assert found(rules, b"PUT", b"/ids/AbC") == 3
    assert found(rules, b"GET", b"/Docs/x") == 2
    assert found(rules, b"GET", b"/docs/x") is None
    assert found(rules, b"GET", b"/Else") == 3


_PATTERNS = st.sampled_from(["/", "/A", "/a", "/a/b", "/a/{x}", "/{x}/b", "/a/**", "/**", "/{x}"])
_METHODS = st.sampled_from([(), (b"GET",), (b"POST",), (b"GET", b"POST")])
_HOSTS = st.sampled_from(["", "x.com", "*.com"])
_HEADERS = st.sampled_from([(), ((b"h", b"1"),)])


@given(
    st.lists(st.tuples(_PATTERNS, _METHODS, _HOSTS, _HEADERS), max_size=6),
    st.sampled_from([b"GET", b"POST", b"PUT"]),
    st.sampled_from([b"/", b"/A", b"/A/b", b"/a/B", b"/a", b"/a/", b"/a/b", b"/a/b/", b"/c/b", b"/a/b/c", b"/c"]),
    st.sampled_from([b"", b"x.com", b"y.com"]),
    st.sampled_from([b"1", b"2"]),
)
def test_dictionary_and_tree_answer_as_the_walk_does(
    specs: list[tuple[str, tuple[bytes, ...], str, tuple[tuple[bytes, bytes], ...]]],
    method: bytes,
    path: bytes,
    host: bytes,
    header: bytes,
) -> None:
    rules = [a_rule(path, *methods, host=host, headers=headers) for path, methods, host, headers in specs]
    fields = {b"h": header}
    small = [a_rule(path.lower(), *methods, host=host, headers=headers) for path, methods, host, headers in specs]
    walked, folded = (
        next((i for i, rule in enumerate(each) if rule.match.why_not(method, seen, host, fields) is None), None)
        for each, seen in ((rules, path), (small, path.lower()))
    )
    assert found(RuleSet(rules), method, path, host, fields) == (walked if walked == folded else None)


def test_a_free_rule_holds_and_charges_nothing() -> None:
    quote = a_rule("/").quote(RequestFacts(NO_FIELDS, b"/", b"", None))
    assert isinstance(quote, Quote)
    assert quote.hold == 0
    meter = quote.meter(200, NO_FIELDS)
    assert meter.feed(b"x") == b"x"


def test_a_rule_says_what_the_proxy_must_do_for_it() -> None:
    rule = a_rule("/")
    assert (rule.reads_body, rule.cost_headers) == (False, frozenset())
    quoter = Quoter(meters=Meters(headers=(("cost", b"x-cost"),)), price=Price.of({}), hold=1)
    rule = Rule(name="r", where="test", match=rule.match, unit="credits", quoter=quoter)
    assert rule.cost_headers == {b"x-cost"}


def test_rules_that_replace_others_go_on_with_what_these_have_learnt() -> None:
    def learning(name: str, unit: str = "credits") -> Rule:
        quoter = RecentQuoter(RecentCosts(Fraction(100), 1), meters=Meters(), price=Price.of({}), hold=1)
        return msgspec.structs.replace(a_rule("/a"), name=name, unit=unit, free=False, quoter=quoter)

    earlier = RuleSet([learning("same"), learning("other-unit"), learning("gone")])
    for rule in earlier.rules:
        assert rule.quoter.recent is not None
        rule.quoter.recent.add(7)
    later = RuleSet([learning("same"), learning("other-unit", "tokens"), learning("new"), a_rule("/b")])
    later.go_on_from(earlier)
    assert [rule.quoter.recent.value for rule in later.rules if rule.quoter.recent] == [7, None, None]
