"""What `limits:` means; what is wrong with it is in ``cases``."""

from pathlib import Path

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.problems import ConfigError
from sidecar.config.rule_limits import read_limits
from sidecar.config.rules import load_rules
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.limits import InFlight, Limit, Per, Rate

MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("in_flight: 10", InFlight(name="in_flight", bucket="r/in_flight", most=10)),
        ("in_flight: 1k, per: rule", InFlight(name="in_flight", bucket="r/in_flight", per=Per.RULE, most=1000)),
        (
            "rate: 60 per minute",
            Rate(name="rate-minute", bucket="r/rate-minute", count=60, period_ms=MINUTE_MS, burst=60),
        ),
        (
            "rate: 5 per second, burst: 20, per: key, name: all",
            Rate(name="all", bucket="all", per=Per.KEY, count=5, period_ms=1000, burst=20),
        ),
        (
            "tokens: 100k per day, of: input_tokens+ pages",
            Rate(
                name="tokens-day",
                bucket="r/tokens-day",
                count=100_000,
                period_ms=86_400_000,
                burst=100_000,
                of=("input_tokens", "pages"),
            ),
        ),
    ],
)
def test_a_limit(text: str, limit: Limit) -> None:
    cursor = Cursor(parse(f"[{{{text}}}]", "x.yaml"), [])
    assert read_limits(cursor, "r") == (limit,)
    assert not cursor.problems


def limits_of(folder: Path, text: str) -> dict[str, list[str]]:
    file = folder / "rules.yaml"
    file.write_text(text)
    rules = load_rules([file], {"credits": CREDITS}).rules
    return {rule.name: [limit.bucket for limit in rule.limits] for rule in rules}


def test_rules_without_limits_share_those_of_the_defaults(tmp_path: Path) -> None:
    text = """\
version: 1
defaults: {limits: [{in_flight: 4}, {tokens: 1k per minute}]}
rules:
  - {name: chat, match: {path: /chat}, usage: openai.chat, price: {output_tokens: 1}}
  - {name: page, match: {path: /page}, price: {flat: 1}}
  - {name: own, match: {path: /own}, price: {flat: 1}, limits: [{in_flight: 1}]}
  - {name: free, match: {path: /free}, free: true}
"""
    assert limits_of(tmp_path, text) == {
        "chat": ["in_flight", "tokens-minute"],
        # It has no tokens to count.
        "page": ["in_flight"],
        "own": ["own/in_flight"],
        "free": [],
    }


def test_limits_of_one_name_count_together_and_say_the_same(tmp_path: Path) -> None:
    text = """\
version: 1
rules:
  - {name: a, match: {path: /a}, price: {flat: 1}, limits: [{in_flight: 2, name: all}]}
  - {name: b, match: {path: /b}, price: {flat: 1}, limits: [{in_flight: %d, name: all}]}
"""
    assert limits_of(tmp_path, text % 2) == {"a": ["all"], "b": ["all"]}
    with pytest.raises(ConfigError, match=r"the limit `all` says something else at .*:3"):
        limits_of(tmp_path, text % 3)
