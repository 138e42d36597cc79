"""One rule of a rule file: all of its keys, and what is right by itself and wrong together."""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_answers import read_statuses
from sidecar.config.rule_cost import read_hold, read_recent
from sidecar.config.rule_counters import check_counted_shortage, check_recent
from sidecar.config.rule_estimate import can_estimate, check_estimate, on_unknown_of, read_estimate
from sidecar.config.rule_idempotency import check_idempotency, read_idempotency
from sidecar.config.rule_later import check_later, read_later
from sidecar.config.rule_limits import check_limits, read_limits, that_apply
from sidecar.config.rule_match import read_identity, read_match
from sidecar.config.rule_outage import check_outage, read_outage
from sidecar.config.rule_price import rated_meters, read_amount, read_markup, read_price
from sidecar.config.rule_retry import read_retry
from sidecar.config.rule_shortage import check_shortage, read_shortage
from sidecar.config.rule_upgrade import check_upgrade, read_upgrade
from sidecar.config.rule_usage import check_usage, read_usage
from sidecar.domain.amounts import CREDITS, Unit, render
from sidecar.domain.counted_quotes import CountedQuoter
from sidecar.domain.estimates import Estimate
from sidecar.domain.limits import Limit
from sidecar.domain.match import PathPattern
from sidecar.domain.metering import SUCCESS, Meters, OnUnknown
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import deciding_meters, needs_body
from sidecar.domain.quotes import Quoter
from sidecar.domain.recent_quotes import RecentQuoter
from sidecar.domain.retries import NEVER
from sidecar.domain.rules import FREE, IdentitySource, OnClientGone, OnExhausted, Rule
from sidecar.domain.shortage import DENY
from sidecar.domain.store_down import DENY as DENIED

ERRORS = ("problem", "openai", "anthropic")
ON_UNREADABLE = ("refuse", "hold")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
RULE_KEYS = (
    "name",
    "match",
    "free",
    "feature",
    "errors",
    "identity",
    "unit",
    "usage",
    "price",
    "markup",
    "hold",
    "min_charge",
    "max_charge",
    "charge_on",
    "on_short",
    "limits",
    "on_unreadable",
    "on_unknown",
    "estimate",
    "retry",
    "idempotency",
    "on_client_gone",
    "on_exhausted",
    "on_store_down",
    "settle",
    "shadow",
    "upgrade",
)
DEFAULT_KEYS = ("identity", "markup", "estimate", "limits", "shadow")
"""What a file may say for all of its rules."""
FREE_KEYS = ("name", "match", "free", "feature", "errors", "retry", "upgrade")


class RuleReader:
    """Reads one rule; what is not said in it is as `markup`, `estimate`, `limits` and `shadow` say."""

    def __init__(
        self,
        cursor: Cursor,
        units: Mapping[str, Unit],
        markup: Fraction,
        estimate: Estimate,
        limits: tuple[Limit, ...],
        *,
        shadow: bool,
        now_s: Callable[[], float],
    ) -> None:
        self._cursor = cursor
        self._markup = markup
        self._estimate = estimate
        self._limits = limits
        self._shadow = shadow
        self._now_s = now_s
        self._units = units
        self._entries = cursor.entries(RULE_KEYS, "a rule")

    def read(self, identity: tuple[IdentitySource, ...]) -> Rule | None:
        """The rule, or None when there is any problem in it."""
        cursor, entries, before = self._cursor, self._entries, len(self._cursor.problems)
        for key, why in (("name", "metrics and the ledger need it"), ("match", "which requests is it for?")):
            if key not in entries and entries:
                cursor.problem(f"no `{key}`", why)
        name = self._name("name", "the name of a rule")
        match = read_match(entries["match"]) if "match" in entries else None
        feature = self._name("feature", "the name of a feature")
        errors = self._choice("errors", ERRORS, "a shape of errors", ERRORS[0])
        identity = read_identity(entries["identity"]) if "identity" in entries else identity
        gone = self._choice("on_client_gone", tuple(OnClientGone), "what becomes of its answer", "")
        retry = read_retry(entries["retry"]) if "retry" in entries else NEVER
        idempotency = read_idempotency(entries["idempotency"]) if "idempotency" in entries else None
        upgrade = read_upgrade(entries["upgrade"]) if "upgrade" in entries else b""
        exhausted = self._choice("on_exhausted", tuple(OnExhausted), "what becomes of its answer", "")
        free = "free" in entries and self._free(entries["free"])
        on_short = read_shortage(entries["on_short"]) if "on_short" in entries else DENY
        unit = self._unit()
        down = read_outage(entries["on_store_down"], unit) if "on_store_down" in entries else DENIED
        later = read_later(entries["settle"]) if "settle" in entries else None
        quoter = FREE if free else self._quoter(unit, match.path if match is not None else None)
        if quoter is not None and "on_short" in entries:
            check_shortage(entries["on_short"], on_short, quoter)
            check_counted_shortage(entries["on_short"], on_short, quoter.price)
        if quoter is not None and not free:
            check_upgrade(entries, upgrade, quoter.tariff.meters)
            if upgrade and not exhausted and _grows(quoter) and not countings_in(quoter.price):
                exhausted = OnExhausted.CUT
        if quoter is not None and idempotency is not None:
            check_idempotency(entries["idempotency"], quoter.price)
        if quoter is not None and later is not None:
            check_later(entries["settle"], quoter.price)
        if quoter is not None and down != DENIED:
            check_outage(entries["on_store_down"], quoter.price)
        limits = self._limits_of(name, quoter) if quoter is not None and not free else ()
        if len(cursor.problems) > before or match is None or quoter is None:
            return None
        return Rule(
            name=name,
            where=cursor.where,
            written=msgspec.json.encode(cursor.value),
            match=match,
            free=free,
            unit=unit.name,
            feature=feature,
            errors=errors,
            identity=identity,
            retry=retry,
            idempotency=idempotency,
            on_client_gone=OnClientGone(gone) if gone else None,
            on_exhausted=OnExhausted(exhausted) if exhausted else None,
            upgrade=upgrade,
            quoter=quoter,
            on_short=on_short,
            on_store_down=down,
            later=later,
            limits=limits,
            shadow=entries["shadow"].flag() is True if "shadow" in entries else self._shadow and not free,
        )

    def _limits_of(self, rule: str, quoter: Quoter) -> tuple[Limit, ...]:
        meters = quoter.tariff.meters.names
        if "limits" not in self._entries:
            return that_apply(self._limits, meters)
        limits = read_limits(self._entries["limits"], rule)
        check_limits(self._entries["limits"], limits, meters)
        return limits

    def _name(self, key: str, wanted: str) -> str:
        text = self._entries[key].text(wanted) if key in self._entries else None
        if text is not None and not NAME.match(text):
            self._entries[key].problem(f"`{text}` cannot be {wanted}", "1 to 64 letters, digits, `.`, `_` and `-`")
        return text or ""

    def _choice(self, key: str, options: tuple[str, ...], wanted: str, default: str) -> str:
        return (self._entries[key].choice(options, wanted) if key in self._entries else None) or default

    def _free(self, cursor: Cursor) -> bool:
        if cursor.flag() is False:
            cursor.problem("`free: false` has no effect", "leave it out")
            return False
        for key, entry in self._entries.items():
            if key not in FREE_KEYS:
                entry.problem(
                    f"`{key}` has no effect in a free rule", "leave it out, or leave `free` out", at_key=True
                )
        return True

    def _unit(self) -> Unit:
        name = self._entries["unit"].text("the name of a unit") if "unit" in self._entries else CREDITS.name
        if name is not None and name not in self._units:
            place = self._entries.get("unit", self._cursor)
            place.problem(f"unknown unit `{name}`", suggestion(name, self._units, listing="known units"))
        return self._units.get(name or "", CREDITS)

    def _quoter(self, unit: Unit, path: PathPattern | None) -> Quoter | None:
        cursor, entries, before = self._cursor, self._entries, len(self._cursor.problems)
        meters = read_usage(entries["usage"], path) if "usage" in entries else Meters()
        min_charge = read_amount(entries["min_charge"], unit) if "min_charge" in entries else None
        max_charge = read_amount(entries["max_charge"], unit) if "max_charge" in entries else None
        markup = read_markup(entries["markup"]) if "markup" in entries else self._markup
        charge_on = read_statuses(entries["charge_on"]) if "charge_on" in entries else SUCCESS
        if "upgrade" in entries:
            charge_on |= {101}
        on_unknown = self._choice("on_unknown", tuple(OnUnknown), "a way out", "")
        estimate = read_estimate(entries["estimate"]) if "estimate" in entries else self._estimate
        on_unreadable = self._choice("on_unreadable", ON_UNREADABLE, "a way out", ON_UNREADABLE[0])
        if "price" not in entries:
            cursor.problem("no `price`, and not `free: true`", "a rule says what a request costs")
        if "price" not in entries or len(cursor.problems) > before:
            # Without meters that are right, every rate would be reported as a rate for nothing.
            return None
        price = read_price(
            entries["price"],
            unit,
            meters,
            rule=str(entries["name"].value) if "name" in entries else "",
            path=path,
            charge_on=charge_on,
            markup=markup,
            least=min_charge or 0,
            now_s=self._now_s,
        )
        if price is None:
            return None
        estimable = can_estimate(meters, price)
        recent, hold_cursor = read_recent(entries.get("hold"), meters)
        place, key = (cursor, "hold") if recent is None else (entries["hold"], "at_first")
        hold = read_hold(hold_cursor, place, unit, meters, price, key)
        make: Callable[..., Quoter] = partial(CountedQuoter, now_s=self._now_s) if countings_in(price) else Quoter
        if recent is not None:
            make = partial(RecentQuoter, recent)
            check_recent(entries["hold"], price)
        quoter = make(
            meters=meters,
            price=price,
            hold=hold,
            max_charge=max_charge,
            on_unknown=on_unknown_of(on_unknown, estimable=estimable),
            charge_on=charge_on,
            hold_when_unreadable=on_unreadable == "hold",
            estimate=estimate if estimable else None,
        )
        if len(cursor.problems) == before:
            self._check(quoter, min_charge or 0, unit)
        return quoter

    def _check(self, quoter: Quoter, least: int, unit: Unit) -> None:
        """What is right by itself and wrong together."""
        entries = self._entries
        check_estimate(entries.get("estimate"), entries.get("on_unknown"), quoter.tariff)
        if "usage" in entries and not (rated_meters(quoter.price) or deciding_meters(quoter.price)):
            entries["usage"].problem("`usage` has no effect: nothing that it measures has a rate", at_key=True)
        elif "usage" in entries:
            tariff = quoter.tariff
            check_usage(entries["usage"], entries["price"], tariff.meters, quoter.price, tariff.charge_on)
        for key, bound in (("max_charge", quoter.tariff.max_charge), ("hold", quoter.hold)):
            if isinstance(bound, int) and key in entries and bound < least:
                entries[key].problem(
                    f"less than `min_charge`, which is {render(least, unit)}", "raise it, or lower that"
                )
        if quoter.cost_headers and "max_charge" not in entries:
            entries["usage"].problem(
                "no `max_charge` beside a cost from a header or trailer: "
                "a mistake of the upstream could cost any amount",
                "add `max_charge: 5`, or what a request may cost at most",
                at_key=True,
            )
        if "on_exhausted" in entries and not _grows(quoter):
            entries["on_exhausted"].problem("no effect: nothing of the answer changes what it costs", at_key=True)
        elif "on_exhausted" in entries and countings_in(quoter.price):
            entries["on_exhausted"].problem(
                "no hold can grow whose price counts over a period: what it claims of the counters is fixed",
                at_key=True,
            )
        if "on_unreadable" in entries and not quoter.reads_body:
            entries["on_unreadable"].problem("no effect: the rule reads no field of the request", at_key=True)
        told_by_body = any(told.body_field for _, told in quoter.tariff.meters.requests)
        if quoter.hold_when_unreadable and (told_by_body or needs_body(quoter.price)):
            entries["on_unreadable"].problem(
                "a request whose fields cannot be read has no price here",
                'add a rate for "*", or refuse',
                at_key=True,
            )


def _grows(quoter: Quoter) -> bool:
    """Whether anything of an answer that is known before its end changes what it costs."""
    meters = quoter.tariff.meters
    known = {meter for meter, _ in (*meters.headers, *meters.measures, *meters.messages)}
    known.update(meters.reader.meters if meters.reader is not None else ())
    return not known.isdisjoint(rated_meters(quoter.price))
