from pathlib import Path

import pytest

from sidecar.config.problems import ConfigError
from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import OnUnknown, Tariff

RULE = """version: 1
rules:
  - name: r
    match: {path: /r}
    hold: 1
    max_charge: 5
"""


def tariff(folder: Path, *lines: str) -> Tariff:
    path = folder / "rules.yaml"
    path.write_text(RULE + "".join(f"    {line}\n" for line in lines))
    return load_rules([path], {"credits": CREDITS}).rules[0].quoter.tariff


CHAT = ("usage: openai.chat", "price: {input_tokens: 1 per 1M, output_tokens: 1 per 1M}")
HEADER = ("usage: {cost: {header: x-cost}}", "price: {cost: 1}")
IMAGES = ("usage: openai.images", "price: {output_tokens: 1 per 1M}")
TIME = ("usage: ollama", "price: {duration_ns: 1 per 1M}")


def test_a_rule_for_tokens_can_be_estimated(tmp_path: Path) -> None:
    assert tariff(tmp_path, *CHAT).estimate is not None
    assert tariff(tmp_path, *CHAT, "on_unknown: charge_estimate").on_unknown is OnUnknown.CHARGE_ESTIMATE


@pytest.mark.parametrize("lines", [HEADER, IMAGES, TIME, ("price: {flat: 1}",)])
def test_what_has_no_tokens_of_text_cannot(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert tariff(tmp_path, *lines).estimate is None
    with pytest.raises(ConfigError) as caught:
        tariff(tmp_path, *lines, "on_unknown: charge_estimate")
    assert "nothing here can be estimated" in str(caught.value)
