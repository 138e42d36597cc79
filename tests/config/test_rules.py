import copy
import ipaddress
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config.problems import ConfigError
from sidecar.config.rules import load_rules, rule_files
from sidecar.domain.amounts import CREDITS, Unit
from sidecar.domain.estimates import Estimate
from sidecar.domain.metering import Measure, OnUnknown
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.price_list import PriceList, leaves
from sidecar.domain.quotes import Quote
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.rules import ApiKey, RuleSet, TrustedHeader

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
GOOD = CASES / "every_key.good.yaml"
UNITS = {"credits": CREDITS, "seconds": Unit(name="seconds", scale=3)}
NO_FIELDS: dict[bytes, bytes] = {}


def load(path: Path) -> RuleSet:
    return load_rules([path], UNITS)


@pytest.mark.parametrize("path", sorted(CASES.glob("*.bad.yaml")), ids=lambda path: path.name)
def test_bad_files_say_what_is_wrong_and_where(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    with pytest.raises(ConfigError) as caught:
        load(Path(path.name))
    assert caught.value.detail + "\n" == path.with_suffix(".txt").read_text()


def test_every_bad_file_has_its_message() -> None:
    assert {path.stem for path in CASES.glob("*.bad.yaml")} == {path.stem for path in CASES.glob("*.bad.txt")}


def test_a_good_file_says_what_it_means() -> None:
    chat, render, health = load(GOOD).rules
    assert (chat.name, chat.feature, chat.unit, chat.errors, chat.free) == (
        "chat",
        "chat",
        "credits",
        "openai",
        False,
    )
    assert chat.identity == (ApiKey(b"x-key"),)
    assert chat.match.methods == {b"POST", b"PUT"}
    assert (chat.match.host, chat.match.headers) == ("*.example.com", ((b"x-tier", b"gold"),))
    assert (chat.reads_body, chat.quoter.tariff.max_charge) == (True, 5_000_000)
    assert (chat.quoter.hold_when_unreadable, chat.quoter.tariff.on_unknown) == (True, OnUnknown.CHARGE_ESTIMATE)
    assert chat.quoter.tariff.estimate == Estimate(Fraction(16, 5))
    assert chat.where == f"{GOOD}:9"
    assert [rule.shadow for rule in (chat, render, health)] == [False, True, False]
    assert chat.quoter.tariff.charge_on == {*range(200, 300), 404}
    assert {price.markup for price in leaves(chat.quoter.price)} == {0}
    assert {price.markup for price in leaves(render.quoter.price)} == {Fraction(1, 5)}
    assert (render.unit, render.reads_body, render.quoter.hold) == ("seconds", False, 2_500)
    assert render.cost_headers == {b"x-gpu-ms"}
    assert dict(render.quoter.tariff.meters.measures) == {
        "up": Measure.REQUEST_BYTES,
        "down": Measure.RESPONSE_BYTES,
        "time": Measure.DURATION_MS,
    }
    networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert render.identity == (ApiKey(b"authorization", b"Bearer"), TrustedHeader(b"x-customer-id", networks))
    assert (health.free, health.feature, health.reads_body) == (True, "probes", False)


def test_a_class_without_a_rate_takes_that_of_the_class_around_it(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "version: 1\nrules:\n"
        "  - name: a\n    match: {path: /a}\n    usage: anthropic.messages\n"
        "    price: {input_tokens: 3 per 1M, cache_creation_input_tokens: 4 per 1M, output_tokens: 15 per 1M}\n"
    )
    price = load(file).rules[0].quoter.price
    assert isinstance(price, Price)
    assert {meter: int(rate) for meter, rate in price.rates.items()} == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 4,
        "cache_creation_1h_input_tokens": 4,
        "cache_read_input_tokens": 3,
        "output_tokens": 15,
    }


def test_what_a_hold_does_not_say_comes_from_the_reader() -> None:
    chat = load(GOOD).rules[0]
    body = b'{"model": "other", "max_tokens": 10}'
    quote = chat.quote(RequestFacts(NO_FIELDS, b"/", b"", body, 40))
    assert isinstance(quote, Quote)
    assert quote.hold == 40 // 4 * 1 + 10 * 2
    assert isinstance(chat.quoter.price, PriceList)


def test_without_defaults_a_key_is_looked_for_where_sdks_put_it(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nrules: [{name: a, match: {path: /a}, price: {flat: 1}}]\n")
    assert load(file).rules[0].identity == (ApiKey(b"authorization", b"Bearer"), ApiKey(b"x-api-key"))


FREE_NAMES = {("rules", 0, "price", "rates"), ("rules", 0, "match", "headers"), ("rules", 1, "usage")}
"""Mappings whose keys are the writer's own; a meter of another name is another meter, and then has no rate."""


def keys(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from () if path in FREE_NAMES else ((*path, key),)
            yield from keys(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from keys(child, (*path, index))


DOCUMENT = yaml.safe_load(GOOD.read_text())


@pytest.mark.parametrize("path", list(keys(DOCUMENT)), ids=lambda path: ".".join(map(str, path)))
def test_no_misspelt_key_is_ignored(path: tuple[str | int, ...], tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[f"{path[-1]}x"] = parent.pop(path[-1])
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert any(f"`{path[-1]}x`" in problem.message for problem in caught.value.problems)


def test_what_editors_put_into_a_folder_is_no_rule_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nrules: [{name: a, match: {path: /a}, free: true}]\n")
    (tmp_path / "._a.yaml").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / ".#a.yaml").symlink_to("somebody@somewhere")
    assert [rule.name for rule in load_rules([tmp_path], UNITS).rules] == ["a"]


def test_folders_are_read_by_name_and_files_in_the_order_given(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.txt"):
        (tmp_path / name).write_text(f"version: 1\nrules: [{{name: {name}, match: {{path: /{name}}}, free: true}}]\n")
    assert [rule.name for rule in load(tmp_path).rules] == ["a.yml", "b.yaml"]
    files = [tmp_path / "b.yaml", tmp_path / "a.yml"]
    assert [rule.name for rule in load_rules(files, UNITS).rules] == ["b.yaml", "a.yml"]
    assert rule_files([tmp_path]) == files[::-1]


def test_problems_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.yaml").write_text("version: 1\n")
    (tmp_path / "b.yaml").write_bytes(b"version: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_rules([tmp_path / name for name in ("a.yaml", "b.yaml", "none.yaml", "empty")], UNITS)
    assert [(Path(problem.file).name, problem.message) for problem in caught.value.problems] == [
        ("a.yaml", "no `rules`"),
        ("b.yaml", "not UTF-8 text"),
        ("none.yaml", "no such file"),
        ("empty", "no *.yaml in this folder"),
    ]


def test_names_and_reach_are_checked_over_all_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("version: 1\nrules: [{name: any, match: {path: /**}, free: true}]\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert [problem.hint for problem in caught.value.problems] == [
        f"put it before {tmp_path}/a.yaml:2, or remove it",
        f"it stands at {tmp_path}/a.yaml:2",
    ]


def test_no_files_are_no_rules() -> None:
    assert load_rules([], UNITS).rules == ()


PAGE = (ROOT / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n((?:(?!^cases:|^```).*\n)*)^```", PAGE, re.MULTILINE)
"""All but the test cases, which `test_rule_tests` runs."""


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_the_reference_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    assert load(file).rules


def test_the_reference_names_every_key_and_every_reader() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    names = {key for rule in DOCUMENT["rules"] for key in rule} | set(READERS) | set(OnUnknown)
    assert [name for name in sorted(names) if f"`{name}" not in page and f"{name}`" not in page] == []
    for name, reader in READERS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        assert all(f"`{term}`" in row for term in reader.hold.values()) or "the same" in row


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "rules").glob("*.yaml")))
def test_shipped_files_are_in_order(name: str) -> None:
    assert load(ROOT / "rules" / f"{name}.yaml").rules
