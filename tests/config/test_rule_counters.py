"""`over` and `counter` of a price, as read; their mistakes are among the files in `cases`."""

from pathlib import Path

from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.counters import Counting, Over
from sidecar.domain.price_counted import counted_in, countings_in
from sidecar.domain.price_list import leaves

RULES = """
version: 1
rules:
  - name: ocr
    match: {path: /ocr}
    usage: {pages: {query: pages}, calls: {query: calls}, plain: {query: plain}}
    price:
      pages: {over: month, free: 100, graduated: [{up_to: 10k, rate: 0.01}, {rate: 0.005}]}
      calls: {over: day, counter: api_calls, rate: 1 per started 1000}
      plain: {over: event, free: 3, rate: 1}
"""


def test_what_is_counted_and_where(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    (rule,) = load_rules([file], {"credits": CREDITS}).rules
    assert countings_in(rule.quoter.price) == (Counting("ocr/pages", Over.MONTH), Counting("api_calls", Over.DAY))
    (leaf,) = leaves(rule.quoter.price)
    pages, calls = counted_in(leaf)
    assert (pages.free, [tier.up_to for tier in pages.tiers], calls.package) == (100, [10_000, None], 1000)
