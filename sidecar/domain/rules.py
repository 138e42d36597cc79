"""Rules: what a request matches, who pays for it, and what it costs.

Rules come checked from `config.rules`. The order of the files is the only order: the first rule that matches decides.
A dictionary by method and path answers for paths without parameters, a tree (see `routes`) for the others, both with
the same result as a walk through all rules.
"""

import ipaddress
import operator
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import chain

import msgspec

from sidecar.domain.fields import Fields
from sidecar.domain.idempotency import Idempotency
from sidecar.domain.later import Later
from sidecar.domain.limits import Limit
from sidecar.domain.match import Match
from sidecar.domain.metering import Meters
from sidecar.domain.paths import readings
from sidecar.domain.price import Price
from sidecar.domain.quotes import Quote, Quoter, Unquoted
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.retries import NEVER, Retry
from sidecar.domain.routes import Candidate, Routes, first_of
from sidecar.domain.shortage import DENY, Shortage
from sidecar.domain.store_down import DENY as DENIED
from sidecar.domain.store_down import StoreDown

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ApiKey(msgspec.Struct, frozen=True):
    """A proxy key in this header (lower case), after `scheme` and a space unless the scheme is empty."""

    header: bytes
    scheme: bytes = b""


class TrustedHeader(msgspec.Struct, frozen=True):
    """An external customer id in this header (lower case), believed from clients in these networks only."""

    header: bytes
    networks: tuple[Network, ...]


IdentitySource = ApiKey | TrustedHeader

DEFAULT_IDENTITY: tuple[IdentitySource, ...] = (ApiKey(b"authorization", b"Bearer"), ApiKey(b"x-api-key"))


class OnClientGone(StrEnum):
    """What becomes of an answer whose client has gone: left at once, or read to its end to learn what it cost."""

    ABORT = "abort"
    DRAIN = "drain"


class OnExhausted(StrEnum):
    """What becomes of an answer whose hold is used up and cannot grow: it goes on, for debt, or it ends."""

    FINISH = "finish"
    CUT = "cut"


WEBSOCKET = b"websocket"
"""The protocol whose messages can be metered."""

FREE = Quoter(meters=Meters(), price=Price.of({}), hold=0)
"""What a free rule quotes: nothing is held, nothing is charged."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `where` is its place for people; `errors` the shape of refusals: problem, openai or anthropic.

    `upgrade` is the protocol, in lower case, that its requests may go over to. Without `on_client_gone`, streams are
    aborted and other answers drained; without `on_exhausted`, no hold grows.
    """

    name: str
    where: str
    written: bytes = b"{}"
    """What the file says there, as JSON."""
    match: Match
    free: bool = False
    unit: str
    feature: str = ""
    errors: str = "problem"
    identity: tuple[IdentitySource, ...] = DEFAULT_IDENTITY
    retry: Retry = NEVER
    idempotency: Idempotency | None = None
    """Without it, a request that its client repeats is another one."""
    on_client_gone: OnClientGone | None = None
    on_exhausted: OnExhausted | None = None
    upgrade: bytes = b""
    quoter: Quoter = FREE
    on_short: Shortage = DENY
    on_store_down: StoreDown = DENIED
    later: Later | None = None
    """Without it, a request is settled when its answer has ended."""
    limits: tuple[Limit, ...] = ()
    shadow: bool = False
    """Nothing is refused: what would have been is counted, served and not charged."""

    @property
    def reads_body(self) -> bool:
        """Whether a quote needs the whole request body, or its size when that was not announced."""
        return self.quoter.reads_body

    @property
    def needs_external_id(self) -> bool:
        """Whether a quote needs the operator's own id of the customer."""
        return self.quoter.needs_external_id

    @property
    def reads_content(self) -> bool:
        """Whether a quote needs more of the request's body than its size."""
        return self.quoter.reads_content

    @property
    def cost_headers(self) -> frozenset[bytes]:
        """Response fields and trailers that a meter reads (lower case): nobody gets them through us."""
        return self.quoter.cost_headers

    @property
    def reads_trailers(self) -> bool:
        """Whether the upstream must be told that trailers are read."""
        return bool(self.quoter.tariff.meters.trailers)

    def quote(self, facts: RequestFacts) -> Quote | Unquoted:
        """What the request may cost, or why that cannot be said."""
        return self.quoter.quote(facts)


class RuleSet:
    """All rules, in order."""

    def __init__(self, rules: Iterable[Rule], *, version: str = "", files: Sequence[str] = ()) -> None:
        """`version` tells one content of `files` from another; empty for rules that come from no files."""
        self.rules = tuple(rules)
        self.version = version
        self.files = tuple(files)
        all_of_them = [Candidate(order, rule.match, rule.match.simple) for order, rule in enumerate(self.rules)]
        self._other_methods = _Method([each for each in all_of_them if not each.match.methods])
        self._methods = {
            method: _Method([each for each in all_of_them if not each.match.methods or method in each.match.methods])
            for method in {method for rule in self.rules for method in rule.match.methods}
        }
        self._exact: dict[tuple[bytes, bytes], Rule | tuple[Candidate, ...]] = {}
        literals = {rule.match.path.literal for rule in self.rules if rule.match.path.literal is not None}
        for path in (variant for literal in literals for variant in (literal, literal.rstrip(b"/") + b"/")):
            for method, routes in self._methods.items():
                row = routes.row(path)
                if row:
                    self._exact[method, path] = self.rules[row[0].order] if row[0].simple else row

    def go_on_from(self, earlier: "RuleSet") -> None:
        """Take over what rules of the same name and unit have learnt, when these here replace `earlier`."""
        known = {rule.name: rule for rule in earlier.rules}
        for rule in self.rules:
            recent, before = rule.quoter.recent, known.get(rule.name)
            if recent is None or before is None or before.unit != rule.unit or before.quoter.recent is None:
                continue
            if recent.keeps_like(before.quoter.recent):
                # Requests under way still teach it.
                rule.quoter.recent = before.quoter.recent
            else:
                recent.add_all(before.quoter.recent)

    def match(self, method: bytes, path: bytes, host: bytes, fields: Fields) -> Rule | None:
        """The first rule that matches a normalised `path`; `fields` has lower-case names. None: no rule does.

        A path that servers read in different ways (see `paths.readings`), or that has another rule for those that
        ignore case, has none.
        """
        exact = self._exact.get((method, path))
        if isinstance(exact, Rule):
            return exact
        if exact is not None:
            found = first_of((exact,), host, fields)
        else:
            found = self._methods.get(method, self._other_methods).match(path, host, fields)
        return self.rules[found.order] if found is not None else None


class _Method:
    """The rules of one method: by paths as they are written, and as servers see them that ignore case."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self._routes = self._folded = Routes(candidates)
        if self._routes.cased:
            self._folded = Routes(candidates, folded=True)

    def row(self, path: bytes) -> tuple[Candidate, ...]:
        """All rules for a path with one reading, in order; none where a server that ignores case sees others."""
        row, folded = (
            sorted(chain(*rows), key=_order)
            for rows in (self._routes.candidates(path), self._folded.candidates(path.lower()))
        )
        return tuple(row) if list(map(_order, row)) == list(map(_order, folded)) else ()

    def match(self, path: bytes, host: bytes, fields: Fields) -> Candidate | None:
        # Not ``in``, which first tries whether its left side is a number.
        if path.find(b"%") >= 0 or path.find(b";") >= 0:
            first, *others = (self._match(reading, host, fields) for reading in readings(path))
            return first if all(other is first for other in others) else None
        return self._match(path, host, fields)

    def _match(self, path: bytes, host: bytes, fields: Fields) -> Candidate | None:
        found = self._routes.first(path, host, fields)
        lower = path.lower()
        if found is None or (lower == path and self._folded is self._routes):
            return found
        return found if self._folded.first(lower, host, fields) is found else None


_order = operator.attrgetter("order")
