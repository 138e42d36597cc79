"""What docs/ledger.md quotes is what the tables say."""

import re
from pathlib import Path

import pytest

from tests.ledger.scenario import FOLDER

PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"
QUOTES = re.findall(r"^```\n(== .*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_page_quotes_scenarios() -> None:
    assert len(QUOTES) >= 4


@pytest.mark.parametrize("quote", QUOTES, ids=lambda quote: quote.partition("\n")[0].removeprefix("== "))
def test_a_quote_is_the_start_of_its_scenario(quote: str) -> None:
    assert any(f"\n{quote}" in path.read_text() for path in FOLDER.glob("*.txt"))
