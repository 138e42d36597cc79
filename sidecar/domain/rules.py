"""Rules: what a request matches, who pays for it, and what it costs.

Rules come checked from `config.rules`. The order of the files is the only order: the first rule that matches decides.
A dictionary by method and path answers for paths without parameters, with the same result as the walk through all
rules, since it is filled by that walk.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

from sidecar.domain.fields import Fields
from sidecar.domain.match import Match
from sidecar.domain.metering import Meters
from sidecar.domain.paths import readings
from sidecar.domain.price import Price
from sidecar.domain.quotes import Quote, Quoter, RequestFacts, Unquoted

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

FREE = Quoter(meters=Meters(), price=Price.of({}), hold=0)
"""What a free rule quotes: nothing is held, nothing is charged."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `where` is its place for people; `errors` the shape of refusals: problem, openai or anthropic."""

    name: str
    where: str
    match: Match
    free: bool = False
    unit: str
    feature: str = ""
    errors: str = "problem"
    identity: tuple[IdentitySource, ...] = DEFAULT_IDENTITY
    quoter: Quoter = FREE

    @property
    def reads_body(self) -> bool:
        """Whether a quote needs the whole request body, or its size when that was not announced."""
        return self.quoter.reads_body

    @property
    def cost_headers(self) -> frozenset[bytes]:
        """Response fields that a meter reads (lower case): neither client nor upstream gets them through us."""
        return self.quoter.cost_headers

    def quote(self, facts: RequestFacts) -> Quote | Unquoted:
        """What the request may cost, or why that cannot be said."""
        return self.quoter.quote(facts)


_Candidates = Rule | tuple[Rule, ...]


class RuleSet:
    """All rules, in order."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._exact: dict[tuple[bytes, bytes], _Candidates] = {}
        literals = {rule.match.path.literal for rule in self.rules if rule.match.path.literal is not None}
        for path in (variant for literal in literals for variant in (literal, literal.rstrip(b"/") + b"/")):
            on_path = [rule for rule in self.rules if rule.match.path.matches(path)]
            for method in {method for rule in on_path for method in rule.match.methods}:
                candidates = tuple(rule for rule in on_path if not rule.match.methods or method in rule.match.methods)
                self._exact[method, path] = candidates[0] if candidates[0].match.simple else candidates

    def match(self, method: bytes, path: bytes, host: bytes, fields: Fields) -> Rule | None:
        """The first rule that matches a normalised `path`; `fields` has lower-case names. None: no rule does.

        A path that servers read in different ways (see `paths.readings`) has a rule only if all its readings have the
        same one.
        """
        found = self._exact.get((method, path))
        if found.__class__ is Rule:
            return found
        if b"%" not in path and b";" not in path:
            return self._first(method, path, host, fields)
        first, *others = (self._first(method, reading, host, fields) for reading in readings(path))
        return first if all(other is first for other in others) else None

    def _first(self, method: bytes, path: bytes, host: bytes, fields: Fields) -> Rule | None:
        candidates = self._exact.get((method, path), self.rules)
        if isinstance(candidates, Rule):
            return candidates
        for rule in candidates:
            match = rule.match
            if (
                (not match.methods or method in match.methods)
                and match.path.matches(path)
                and match.holds_beyond_path(host, fields)
            ):
                return rule
        return None
