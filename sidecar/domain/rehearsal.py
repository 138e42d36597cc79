"""What the proxy would do with one request and its answer, without a server, a store or a customer.

It decides nothing: it asks the rules as the proxy does, in the same order, and keeps what each of them said. Who pays
and whether the balance is enough is not looked at.
"""

from collections.abc import Mapping

import msgspec

from sidecar.domain.counted_quotes import at_positions
from sidecar.domain.fields import Trailers
from sidecar.domain.forms import may_be_form
from sidecar.domain.ids import is_customer_id
from sidecar.domain.metering import Charge, End
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.paths import normalise
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.rules import Rule, RuleSet


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`target` is path and query; `fields` have lower-case names, ``host`` among them.

    `customer` is who asks, by either id, "" if that is not said.
    """

    method: bytes
    target: bytes
    fields: Mapping[bytes, bytes] = {}
    body: bytes = b""
    customer: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the upstream answers; `fields` have lower-case names."""

    status: int = 200
    fields: Mapping[bytes, bytes] = {}
    body: bytes = b""
    trailers: Trailers = ()
    end: End = End.COMPLETE
    duration_ms: int = 0


class Tried(msgspec.Struct, frozen=True):
    """A rule that was asked before the one that matched, and the first condition that the request failed."""

    rule: Rule
    why: str


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """`why` says why there is no `rule`; `quote` is None then, and for a free rule; `facts`: what it saw.

    `refused` is the code of the problem that the caller would be told, "" when the request is forwarded.
    """

    rule: Rule | None
    why: str = ""
    refused: str = ""
    facts: RequestFacts | None = None
    quote: Quote | Unquoted | None = None
    tried: tuple[Tried, ...] = ()


def rehearse(rules: RuleSet, request: Request, positions: Mapping[str, int] | None = None) -> Rehearsal:
    """The rule for `request`, and what it would quote to a customer whose counters stand there, by meter; else at 0.

    Raises InvalidInput for positions of meters that the price does not count over a period.
    """
    raw, _, query = request.target.partition(b"?")
    path = normalise(raw)
    if path is None:
        return Rehearsal(rule=None, why="the path is ambiguous or malformed", refused="bad_request")
    host = request.fields.get(b"host", b"")
    rule = rules.match(request.method, path, host, request.fields)
    before = rules.rules[: rules.rules.index(rule) if rule is not None else None]
    tried = tuple(Tried(other, _why_not(other, request, path, host)) for other in before)
    if rule is None:
        return Rehearsal(rule=None, why="no rule matches", refused=RefusalCode.UNMATCHED_ROUTE, tried=tried)
    customer_id = request.customer if is_customer_id(request.customer) else ""
    external_id = "" if customer_id else request.customer
    size, form = len(request.body), may_be_form(request.fields)
    facts = RequestFacts(request.fields, path, query, request.body, size, customer_id, external_id, form)
    quote = None if rule.free else rule.quote(facts)
    if positions and isinstance(quote, Quote):
        quote = at_positions(quote, positions)
    refused = quote.code if isinstance(quote, Unquoted) else ""
    return Rehearsal(rule=rule, refused=refused, facts=facts, quote=quote, tried=tried)


def charge(quote: Quote, request: Request, answer: Answer) -> Charge:
    """What the request is charged in the end, which is what `without_answer` says if its form is broken off."""
    if quote.form is not None and quote.form.see(request.body, last=True):
        return quote.without_answer(End.CLIENT_GONE)
    meter = quote.meter(answer.status, answer.fields)
    meter.feed(answer.body)
    meter.flush()
    return meter.finish(answer.end, len(request.body), len(answer.body), answer.duration_ms, answer.trailers)


def _why_not(rule: Rule, request: Request, path: bytes, host: bytes) -> str:
    """A rule whose pattern matches and that still was not taken is one of several that servers could mean."""
    return (
        rule.match.why_not(request.method, path, host, request.fields)
        or "servers may read the path in two ways, which have different rules"
    )
