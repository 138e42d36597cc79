"""What `upgrade:` means, and what is wrong with it."""

from pathlib import Path

import pytest

from sidecar.config.problems import ConfigError
from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.rules import OnExhausted, Rule

TALK = """\
version: 1
rules:
  - name: talk
    match: {path: /talk}
    upgrade: websocket
    usage: {asked: {messages: client}}
    price: {asked: 1}
    hold: 2
"""


def load(tmp_path: Path, text: str) -> Rule:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    (rule,) = load_rules([path], {"credits": CREDITS}).rules
    return rule


def test_sessions_grow_and_end_with_the_credit_unless_the_rule_says_otherwise(tmp_path: Path) -> None:
    rule = load(tmp_path, TALK)
    assert rule.upgrade == b"websocket"
    assert rule.on_exhausted is OnExhausted.CUT
    assert 101 in rule.quoter.tariff.charge_on
    assert load(tmp_path, TALK + "    on_exhausted: finish\n").on_exhausted is OnExhausted.FINISH


def test_what_costs_the_same_whatever_comes_does_not_grow(tmp_path: Path) -> None:
    flat = TALK.replace("    usage: {asked: {messages: client}}\n", "").replace("{asked: 1}", "{flat: 1}")
    assert load(tmp_path, flat).on_exhausted is None


@pytest.mark.parametrize("protocol", ["h2c", "tls/1.0", "my-protocol"])
def test_any_protocol_can_be_named(tmp_path: Path, protocol: str) -> None:
    text = f"version: 1\nrules:\n  - {{name: a, match: {{path: /a}}, free: true, upgrade: {protocol}}}\n"
    assert load(tmp_path, text).upgrade == protocol.encode()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("upgrade: websocket", "upgrade: Web Socket", "`Web Socket` is not the name of a protocol"),
        ("upgrade: websocket", "upgrade: other", "there are no messages"),
        ("    upgrade: websocket\n", "", "there are no messages"),
        ("hold: 2", "hold: 2\n    idempotency: charge_once", "`idempotency` has no effect beside `upgrade`"),
        ("hold: 2", "hold: 2\n    on_client_gone: drain", "`on_client_gone` has no effect beside `upgrade`"),
        ("client}", "anybody}", "`anybody` is not a side that sends messages"),
    ],
)
def test_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, TALK.replace(old, new))
