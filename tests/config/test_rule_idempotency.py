"""What `idempotency:` means, and what is wrong with it."""

from pathlib import Path

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.problems import ConfigError
from sidecar.config.rule_idempotency import read_idempotency
from sidecar.config.rules import load_rules
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.idempotency import Idempotency, OnRepeat

COUNTED = """\
version: 1
rules:
  - name: counted
    match: {path: /a}
    usage: {calls: {header: x-calls}}
    price: {calls: {rate: 1, free: 10, over: month}}
    max_charge: 5
    idempotency: charge_once
"""


def read(text: str) -> tuple[Idempotency | None, list[str]]:
    cursor = Cursor(parse(text, "x.yaml"), [])
    return read_idempotency(cursor), [problem.message for problem in cursor.problems]


def test_the_short_form_and_the_long_one() -> None:
    once = Idempotency(on_repeat=OnRepeat.CHARGE_ONCE)
    assert (once.header, once.required, once.keep_ms) == (b"idempotency-key", False, 86_400_000)
    assert read("charge_once") == read("{on_repeat: charge_once}") == (once, [])
    assert read("{on_repeat: charge_once, header: X-Key, required: true, keep: 90m}") == (
        Idempotency(on_repeat=OnRepeat.CHARGE_ONCE, header=b"x-key", required=True, keep_ms=5_400_000),
        [],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{header: X-Key}", "no `on_repeat`: what becomes of a repetition?"),
        ("{on_repeat: charge_once, header: a b}", "`a b` is not the name of a header"),
        ("{on_repeat: charge_once, keep: 1d}", "`1d` is not a duration"),
        ("{on_repeat: charge_once, keep: 25h}", "`25h` is too long"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    assert read(text) == (None, [message])


def test_no_word_that_is_not_known() -> None:
    assert read("twice")[0] is None
    assert len(read("{on_repeat: twice, keep: 1h}")[1]) == 1


def test_prices_over_a_period_cannot_be_charged_once(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(COUNTED)
    with pytest.raises(ConfigError, match="counts over a period cannot be charged once"):
        load_rules([path], {"credits": CREDITS})
