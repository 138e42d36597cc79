"""What is worked out about a rule when rules load."""

from pathlib import Path

from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS, Unit
from sidecar.http1.fields import RequestPolicy
from sidecar.proxy.refusals import OURS
from sidecar.proxy.terms import Terms

RULES = Path(__file__).parent / "rules.yaml"
POLICY = RequestPolicy(host=b"upstream")


def test_what_names_the_payer_or_the_cost_does_not_pass() -> None:
    terms = {
        rule.name: Terms.of(rule, "3f9a2c41", CREDITS, POLICY, shadow=False)
        for rule in load_rules([RULES], {"credits": CREDITS}).rules
    }
    assert terms["cost"].drops_up >= {b"authorization", b"x-user", b"x-cost"} | OURS
    assert terms["cost"].drops_down == {b"x-cost"} | OURS
    assert terms["fixed"].drops_down == OURS


def test_only_another_unit_than_credits_is_named_to_clients() -> None:
    rule = load_rules([RULES], {"credits": CREDITS}).rules[0]
    assert Terms.of(rule, "3f9a2c41", CREDITS, POLICY, shadow=False).unit_line == b""
    assert (
        Terms.of(rule, "3f9a2c41", Unit(name="tokens", scale=0), POLICY, shadow=False).unit_line
        == b"x-credits-unit: tokens\r\n"
    )
