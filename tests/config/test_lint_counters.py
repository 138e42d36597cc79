from pathlib import Path

import pytest

from tests.config.linting import warnings

VOLUME = "what was counted before is not priced again: each request is at the rate of the tier that it reaches"
NO_EFFECT = "the price does not depend on it: each one costs the same wherever the counter stands"
FIXED = "the same is held wherever counters stand: who has an allowance left and no credit is refused"
TIERS = "[{up_to: 10, rate: 1}, {rate: 2}]"


def rule(pages: str, hold: str = "{pages: 10}") -> str:
    return f"match: {{path: /ocr}}\nusage: {{pages: {{json: /pages}}}}\nhold: {hold}\nprice: {{pages: {pages}}}"


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        (f"{{over: month, volume: {TIERS}}}", [(VOLUME, f"volume: {TIERS}}}}}")]),
        (f"{{over: event, volume: {TIERS}}}", []),
        (f"{{volume: {TIERS}}}", []),
        (f"{{over: month, graduated: {TIERS}}}", []),
        ("{over: month, rate: 1}", [(NO_EFFECT, "over: month, rate: 1}}")]),
        ("{over: month, rate: 2 per started 10}", []),
        ("{over: month, rate: 1, free: 5}", []),
        ("{over: month, rate: 1, counter: calls}", []),
        ("{over: event, rate: 1}", []),
        ("1", []),
    ],
)
def test_what_is_counted_for_nothing_or_not_as_expected(
    tmp_path: Path, pages: str, found: list[tuple[str, str]]
) -> None:
    assert warnings(tmp_path, rule(pages)) == found


@pytest.mark.parametrize(
    ("pages", "hold", "found"),
    [
        ("{over: month, rate: 1, free: 5}", "3", [(FIXED, "3")]),
        ("{over: month, rate: 1, free: 5}", "{pages: 3}", []),
        ("{rate: 1, free: 5}", "3", []),
    ],
)
def test_a_fixed_hold_does_not_look_at_counters(
    tmp_path: Path, pages: str, hold: str, found: list[tuple[str, str]]
) -> None:
    assert warnings(tmp_path, rule(pages, hold)) == found


def test_every_choice_and_every_version_is_looked_at(tmp_path: Path) -> None:
    inner = "{pages: {over: month, rate: 1}}"
    price = f"[{{price: {{by: request.kind, rates: {{a: {inner}, '*': {inner}}}}}}}]"
    found = warnings(
        tmp_path, f"match: {{path: /ocr}}\nusage: {{pages: {{json: /pages}}}}\nhold: {{pages: 1}}\nprice: {price}"
    )
    assert [said for said, _ in found] == [NO_EFFECT, NO_EFFECT]
