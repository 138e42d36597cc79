"""What the proxy works out once, not for each request: about a rule when rules load, about a head when it is new."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from sidecar.domain import limit_fields
from sidecar.domain.amounts import CREDITS, Unit
from sidecar.domain.conversation import needs_messages
from sidecar.domain.idempotency import OnRepeat
from sidecar.domain.limits import Limit, reads_usage
from sidecar.domain.match import Match, PathPattern
from sidecar.domain.metering import Charge, Source
from sidecar.domain.meters.body import framing_of
from sidecar.domain.outcomes import Settled
from sidecar.domain.recent_costs import RecentCosts
from sidecar.domain.rules import WEBSOCKET, OnClientGone, OnExhausted, Rule, RuleSet
from sidecar.domain.shortage import DENY
from sidecar.domain.store_down import DENY as DENIED
from sidecar.domain.store_down import OnStoreDown
from sidecar.http1.fields import RequestPolicy
from sidecar.http1.heads import ResponseHead
from sidecar.proxy import refusals
from sidecar.proxy.identity import Payer

_SOURCES = {
    source: b"x-credits-source: %b\r\n" % source.encode()
    for source in (Source.ESTIMATED, Source.OBSERVED, Source.HOLD, Source.REPEATED)
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy needs to know about a rule, worked out when rules load."""

    rule: Rule
    rules_version: str
    unit: Unit
    drops_up: frozenset[bytes]
    drops_down: frozenset[bytes]
    drops_down_limited: frozenset[bytes]
    """The same for a request of a key that has a rate of its own."""
    unit_line: bytes
    reads_body: bool
    reads_content: bool
    drains: Callable[[ResponseHead | None], bool] | None
    """Whether the answer with this head is read to its end when its client has gone; None: never."""
    needs_external_id: bool
    recent: RecentCosts | None
    reads_trailers: bool
    cuts: bool
    """Whether an answer may be ended before its upstream ends it."""
    limits_read_usage: bool
    limits_line: bytes
    """What clients are told of the rule's limits; empty for a rule without."""
    bridges: bool
    """Whether requests may be served while the store does not answer."""
    shadow: bool
    """Nothing is refused, and nobody is told of credits."""

    @classmethod
    def of(cls, rule: Rule, rules_version: str, unit: Unit, policy: RequestPolicy, *, shadow: bool) -> "Terms":
        """Credentials and cost fields end here: what identified a customer to us is not for the upstream.

        `shadow`: for all rules. What a rule does to requests that do not fit, or are repeated, is not done in shadow.
        """
        shadow = shadow or rule.shadow
        if shadow:
            rule = msgspec.structs.replace(
                rule, on_short=DENY, idempotency=None, on_exhausted=None, on_store_down=DENIED, later=None
            )
        identity = {source.header for source in rule.identity}
        return cls(
            rule=rule,
            rules_version=rules_version,
            unit=unit,
            drops_up=policy.dropped(identity | rule.cost_headers | refusals.OURS | _unread(rule)),
            drops_down=(drops_down := rule.cost_headers | refusals.OURS | _marks(rule)),
            drops_down_limited=drops_down | limit_fields.NAMES,
            unit_line=b"" if unit.name == "credits" else b"x-credits-unit: %b\r\n" % unit.name.encode(),
            reads_body=rule.reads_body,
            reads_content=rule.reads_content,
            drains=None if rule.upgrade else _DRAINS[rule.on_client_gone],
            needs_external_id=rule.needs_external_id,
            recent=rule.quoter.recent,
            reads_trailers=rule.reads_trailers,
            cuts=rule.on_exhausted is OnExhausted.CUT,
            limits_read_usage=reads_usage(rule.limits),
            limits_line=_policy_line(rule.limits) if rule.limits else b"",
            bridges=rule.on_store_down.way is not OnStoreDown.DENY,
            shadow=shadow,
        )

    def limits_told(self, taken: Sequence[tuple[Limit, int]]) -> bytes:
        """The header lines that say how its limits stand, and that of the request's key."""
        policy = self.limits_line
        if len(taken) > len(self.rule.limits):
            policy = _policy_line(limit for limit, _ in taken)
        return policy + b"RateLimit: %b\r\n" % limit_fields.standing(taken)

    def charged(self, charge: Charge, done: Settled | None) -> bytes:
        """The header lines that say what was charged, from what unless it was reported, and what is left if known."""
        if self.shadow:
            return b""
        source = _SOURCES.get(charge.source, b"")
        if done is None:
            return b"x-credits-charged: %d\r\n%b" % (charge.amount, source)
        return b"x-credits-charged: %d\r\nx-credits-available: %d\r\n%b" % (done.charged, done.available, source)

    @classmethod
    def unmatched(cls, rules: RuleSet, policy: RequestPolicy, *, shadow: bool) -> "Terms":
        """For requests that no rule matches: what identifies a customer to any rule ends here, too."""
        sources = dict.fromkeys(source for rule in rules.rules for source in rule.identity)
        everything = Match(methods=frozenset(), path=PathPattern.parse("/**"))
        rule = Rule(name="", where="", match=everything, free=True, unit=CREDITS.name, identity=tuple(sources))
        return cls.of(rule, rules.version, CREDITS, policy, shadow=shadow)


def _policy_line(limits: Iterable[Limit]) -> bytes:
    return b"RateLimit-Policy: %b\r\n" % limit_fields.policy(limits)


def _marks(rule: Rule) -> frozenset[bytes]:
    """What only we may say of an answer of this rule, besides what is ours everywhere."""
    replays = rule.idempotency is not None and rule.idempotency.on_repeat is OnRepeat.REPLAY
    marks = limit_fields.NAMES if rule.limits else frozenset[bytes]()
    return marks | {b"idempotency-replayed"} if replays else marks


def _unread(rule: Rule) -> frozenset[bytes]:
    """What a rule must not let clients offer: messages that are compressed cannot be read."""
    reads = rule.upgrade == WEBSOCKET and needs_messages(rule.quoter.tariff.meters)
    return frozenset({b"sec-websocket-extensions"}) if reads else frozenset()


def _is_no_stream(head: ResponseHead | None) -> bool:
    """Before the head has come, the answer may be one that is short and all that its customer pays for."""
    return head is None or framing_of(head.get(b"content-type", b"")) is None


_DRAINS: Mapping[OnClientGone | None, Callable[[ResponseHead | None], bool] | None] = {
    None: _is_no_stream,
    OnClientGone.ABORT: None,
    OnClientGone.DRAIN: lambda _head: True,
}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's head alone decides: by which `edition` of the rules, path and query, the payer by its key.

    `form`: its body may be a form.
    """

    edition: object
    """Another one from now on when rules change. It does not hold on to the rules: heads are kept for long."""
    terms: Terms
    path: bytes
    query: bytes
    form: bool
    payer: Payer | None
