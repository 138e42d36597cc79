from fractions import Fraction
from pathlib import Path

import pytest

from sidecar.config import rule_estimate
from sidecar.config.problems import ConfigError
from sidecar.config.rules import load_rules
from sidecar.config.tokenizers import FOLDER
from sidecar.domain.amounts import CREDITS
from sidecar.domain.estimates import Estimate
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
    return loaded(path)


def loaded(path: Path) -> Tariff:
    return load_rules([path], {"credits": CREDITS}).rules[0].quoter.tariff


CHAT = ("usage: openai.chat", "price: {input_tokens: 1 per 1M, output_tokens: 1 per 1M}")
HEADER = ("usage: {cost: {header: x-cost}}", "price: {cost: 1}")
IMAGES = ("usage: openai.images", "price: {output_tokens: 1 per 1M}")
TIME = ("usage: ollama", "price: {duration_ns: 1 per 1M}")


def test_a_rule_for_tokens_is_estimated_unless_it_says_otherwise(tmp_path: Path) -> None:
    for lines in (CHAT, (*CHAT, "on_unknown: charge_estimate")):
        found = tariff(tmp_path, *lines)
        assert (found.on_unknown, found.estimate) == (OnUnknown.CHARGE_ESTIMATE, Estimate())
    assert tariff(tmp_path, *CHAT, "on_unknown: release").on_unknown is OnUnknown.RELEASE


def test_a_rule_s_own_estimate_counts_before_that_of_all(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    text = RULE.replace("rules:", "defaults: {estimate: {bytes_per_token: 3.2}}\nrules:")
    usual = text + "".join(f"    {line}\n" for line in CHAT)
    path.write_text(usual)
    assert loaded(path).estimate == Estimate(Fraction(16, 5))
    path.write_text(usual + "    estimate: {bytes_per_token: 1.8}\n")
    assert loaded(path).estimate == Estimate(Fraction(9, 5))
    path.write_text(text + "".join(f"    {line}\n" for line in HEADER))
    assert (loaded(path).estimate, loaded(path).on_unknown) == (None, OnUnknown.CHARGE_HOLD)


def test_a_tokenizer_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_estimate, "load_tokenizer", lambda name: {"o200k_base": len}[name])
    estimate = tariff(tmp_path, *CHAT, "estimate: {tokenizer: o200k_base}").estimate
    assert estimate is not None
    assert estimate.tokenizer is len


def test_a_tokenizer_that_cannot_be_had_is_a_mistake_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "nothing"))
    with pytest.raises(ConfigError) as caught:
        tariff(tmp_path, *CHAT, "estimate: {tokenizer: o200k_base}")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (9, 27)
    assert "the vocabulary of `o200k_base` cannot be read" in problem.message


MIXED = (
    "usage: ollama",
    "price: {by: query.of, rates: {time: {duration_ns: 1 per 1M}, '*': {output_tokens: 1 per 1M}}}",
)


@pytest.mark.parametrize("lines", [HEADER, IMAGES, TIME, MIXED, ("price: {flat: 1}",)])
def test_what_has_no_tokens_of_text_cannot(tmp_path: Path, lines: tuple[str, ...]) -> None:
    found = tariff(tmp_path, *lines)
    assert (found.on_unknown, found.estimate) == (OnUnknown.CHARGE_HOLD, None)
    with pytest.raises(ConfigError) as caught:
        tariff(tmp_path, *lines, "on_unknown: charge_estimate")
    assert "nothing here can be estimated" in str(caught.value)
