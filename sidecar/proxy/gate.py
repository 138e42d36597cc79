"""Forward-auth: a gateway (nginx, Traefik, Envoy) asks of each request whether it may pass, and forwards it itself.

The story is that of the proxy, up to the hold: the same rules, identities, limits and refusals. Then the gateway is
answered. What a request costs whose price is known from its head is charged at once; of any other the hold stays open
for whoever has the token that goes along with it, and comes back when its time is over.

A gateway shows no bodies, and no answers. A rule that reads bodies, or whose price goes on over a period, refuses
everything here, and the log says so when rules load. Where the answer chooses a price, it is that of any other one.
"""

import json
import logging
import re
from collections.abc import Coroutine
from typing import Any, Final

from msgspec.structs import replace

from sidecar.config.settings import Gateway
from sidecar.domain.later import Later, SettleClaims
from sidecar.domain.metering import RELEASED, Charge, Source
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import deciding_meters, leaves
from sidecar.domain.quotes import Quote
from sidecar.domain.rules import Rule, RuleSet
from sidecar.domain.shortage import Shortage
from sidecar.domain.store_down import DENY
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs
from sidecar.http1.heads import RequestHead
from sidecar.http1.reasons import reason_of
from sidecar.proxy.admission import Admitted
from sidecar.proxy.deferring import TOKEN
from sidecar.proxy.identity import Payer
from sidecar.proxy.refusals import Refusal
from sidecar.proxy.story import Story
from sidecar.proxy.terms import Route, Terms
from sidecar.services.deferred import Deferred
from sidecar.services.hold import Hold

log = logging.getLogger("sidecar.gate")

STATUS: Final = b"x-sidecar-status"
"""The status of a refusal, where the gateway passes on 401 and 403 only."""
PROBLEM: Final = b"x-sidecar-problem"
"""Its body, in one line of ASCII."""
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}\Z")
_TARGET = re.compile(rb"/[\x21-\x7e]{0,8191}\Z")

_Fields = tuple[bytes, bytes, bytes]
_NAMED: Final[dict[Gateway, _Fields]] = {
    Gateway.NGINX: (b"x-original-method", b"x-original-uri", b"x-original-host"),
    Gateway.TRAEFIK: (b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host"),
}
"""Where a gateway says which request it asks about; Envoy asks by the request itself."""
_PASSED_ON_BY_NGINX: Final = frozenset({401, 403})


class Gate(Story):
    """Answers a gateway. `within_s`: so long an open hold waits for who settles it, unless its rule says."""

    def __init__(self, *, gateway: Gateway, deferred: Deferred, within_s: float, **story: Any) -> None:
        self._gateway = gateway
        self._names = _NAMED.get(gateway)
        self._deferred = deferred
        self._within_s = round(within_s)
        super().__init__(**story)

    def use(self, rules: RuleSet) -> None:
        """As the proxy does; without what needs a body or an upstream."""
        self._unfit = {rule.name: why for rule in rules.rules if (why := unfit(rule)) is not None}
        for name, why in self._unfit.items():
            log.warning("rule %s refuses everything here: %s", name, why)
        changed = (_without_upstream(rule, self._within_s) for rule in rules.rules)
        super().use(RuleSet(changed, version=rules.version, files=rules.files))

    def tell(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        asked = exchange.head if self._names is None else _asked(exchange.head, self._names)
        if asked is None:
            named = b", ".join(self._names or ()).decode()
            detail = f"The gateway must say which request it asks about, in {named}, each once."
            refusal = Refusal("bad_request", detail, self._request_ids.next())
            return self._turn_away(exchange, self._unmatched, refusal)
        exchange.head = asked
        return super().tell(exchange)

    async def _pass(self, exchange: Exchange, terms: Terms) -> None:
        self._let_through(exchange, terms, "free")

    async def _admit(self, exchange: Exchange, route: Route, payer: Payer) -> None:
        why = self._unfit.get(route.terms.rule.name)
        if why is None:
            await super()._admit(exchange, route, payer)
            return
        refusal = Refusal(
            RefusalCode.UNPRICED,
            f"The rule {route.terms.rule.name} cannot be asked by a gateway: {why}.",
            self._request_ids.next(),
            shape=route.terms.rule.errors,
        )
        await self._turn_away(exchange, route.terms, refusal, route, payer)

    async def _turn_away(
        self,
        exchange: Exchange,
        terms: Terms,
        refusal: Refusal,
        route: Route | None = None,
        payer: Payer | None = None,
    ) -> None:
        if not terms.shadow:
            await super()._turn_away(exchange, terms, refusal, route, payer)
            return
        self._metrics.shadow_refusals[terms.rule.name, refusal.code] += 1
        self._let_through(exchange, terms, "shadow")

    async def _serve(self, exchange: Exchange, terms: Terms, admitted: Admitted) -> None:
        """Charge what is known already, or leave the hold to who settles it; then let the request through."""
        hold, quote, later = admitted.hold, admitted.quote, terms.rule.later
        self._metrics.held[terms.unit.name] += hold.held
        told = _pairs(terms.unit_line + (terms.limits_told(hold.limits) if hold.limits else b""))
        told += ((b"x-reservation-id", hold.reservation_id.encode()),)
        settled = False
        try:
            if exchange.failure is not None:
                # The gateway has gone, and nobody would ever hear of the hold.
                self._count(exchange, terms, "released")
            elif later is not None:
                token = self._deferred.token(quote, hold, later.within_s).encode()
                settled = True
                await self._holds.leave_open(hold, later.within_s)
                self._let_through(exchange, terms, "deferred", (*told, (TOKEN, token)))
            else:
                charge = _known(quote, hold)
                settled = True
                done = await self._settlements.settle(terms, hold, charge, None)
                self._let_through(exchange, terms, "charged", (*told, *_pairs(terms.charged(charge, done))))
        finally:
            if not settled:
                await self._settlements.settle(terms, hold, RELEASED, exchange.failure)

    def _let_through(self, exchange: Exchange, terms: Terms, outcome: str, told: Pairs = ()) -> None:
        exchange.answer(200, reason_of(200), () if terms.shadow else told, b"")
        self._count(exchange, terms, outcome)

    def _answer(self, exchange: Exchange, terms: Terms, refusal: Refusal) -> None:
        if self._gateway is Gateway.NGINX:
            _in_headers(refusal)
        if exchange.head.method == b"HEAD":
            # The gateway asks by another method, whose answer has the body that is announced.
            refusal.body = b""
        super()._answer(exchange, terms, refusal)


def unfit(rule: Rule) -> str | None:
    """Why a gateway cannot ask for this rule; None: it can."""
    if rule.free:
        return None
    if rule.reads_body:
        return "it reads the bodies of requests, which a gateway does not show"
    if countings_in(rule.quoter.price):
        return "its price goes on over a period, and nobody knows where it stands later"
    if rule.upgrade:
        return "it meters sessions, which go through the gateway"
    return None


def _without_upstream(rule: Rule, within_s: int) -> Rule:
    """The rule as a gateway's: what it measures is said later, by whoever has the token."""
    later = rule.later or (None if _known_before(rule) else Later(on=frozenset(), within_s=within_s))
    return replace(
        rule, later=later, idempotency=None, on_exhausted=None, on_store_down=DENY,
        on_short=Shortage(wait_ms=rule.on_short.wait_ms),
    )  # fmt: skip


def _known_before(rule: Rule) -> bool:
    """Whether what a request costs follows from its head."""
    price = rule.quoter.price
    told = {meter for meter, _ in rule.quoter.tariff.meters.requests}
    return told.issuperset(deciding_meters(price)) and all(told.issuperset(leaf.meters) for leaf in leaves(price))


def _known(quote: Quote, hold: Hold) -> Charge:
    """What a request costs by its head alone: as if a token had settled it without any usage."""
    agreed = SettleClaims.of(
        quote,
        until_ms=0,
        reservation_id=hold.reservation_id,
        customer_id=hold.record.customer_id,
        payer_id=hold.record.payer_id,
        unit=hold.record.unit,
        held=hold.record.held,
        rule=hold.record.rule,
    )
    amount, words = agreed.charge({})
    return Charge(amount, words, Source.REPORTED, release=False)


def _asked(head: RequestHead, names: _Fields) -> RequestHead | None:
    """The request that a gateway names; None unless it does, in one way only."""
    if any(head.lines.get(name, b"").find(b"\r\n") >= 0 for name in names):
        return None
    method, target, host = (head.get(name, b"") for name in names)
    if not _METHOD.match(method) or not _TARGET.match(target):
        return None
    return head.asking(method, target, host.lower())


def _in_headers(refusal: Refusal) -> None:
    """Nginx takes 401 and 403 for a refusal, and anything else for a failure: the rest goes along in headers."""
    body = json.dumps(json.loads(refusal.body or b"{}"), ensure_ascii=True, separators=(",", ":")).encode()
    refusal.pairs = (*refusal.pairs, (STATUS, b"%d" % refusal.status), (PROBLEM, body))
    if refusal.status not in _PASSED_ON_BY_NGINX:
        refusal.status = 403


def _pairs(lines: bytes) -> Pairs:
    """Of whole header lines."""
    split = (line.partition(b": ") for line in lines.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in split)
