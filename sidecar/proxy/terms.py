"""What the proxy works out once, not for each request: about a rule when rules load, about a head when it is new."""

import msgspec

from sidecar.domain.amounts import Unit
from sidecar.domain.rules import Rule
from sidecar.http1.fields import RequestPolicy
from sidecar.proxy import refusals
from sidecar.proxy.identity import Payer


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy needs to know about a rule, worked out when rules load."""

    rule: Rule
    rules_version: str
    unit: Unit
    drops_up: frozenset[bytes]
    drops_down: frozenset[bytes]
    unit_line: bytes
    reads_body: bool

    @classmethod
    def of(cls, rule: Rule, rules_version: str, unit: Unit, policy: RequestPolicy) -> "Terms":
        """Credentials and cost fields end here: what identified a customer to us is not for the upstream."""
        identity = {source.header for source in rule.identity}
        return cls(
            rule=rule,
            rules_version=rules_version,
            unit=unit,
            drops_up=policy.dropped(identity | rule.cost_headers | refusals.OURS),
            drops_down=rule.cost_headers | refusals.OURS,
            unit_line=b"" if unit.name == "credits" else b"x-credits-unit: %b\r\n" % unit.name.encode(),
            reads_body=rule.reads_body,
        )


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's head alone decides: by whose rules (`story`), the path and query, the payer by its key."""

    story: object
    terms: Terms
    path: bytes
    query: bytes
    payer: Payer | None
