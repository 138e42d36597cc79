"""`sidecar rules replay` over a control API: the past under other rules, read as it is sent."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.support.control import Control

RULES = """\
version: 1
rules:
  - name: chat
    match: {path: /chat}
    usage: openai.chat
    price:
      by: request.model
      rates:
        small: {input_tokens: 0.02, output_tokens: 0}
        large: {input_tokens: 0.05, output_tokens: 0}
"""
MINI = 'input_tokens=5 request.model="small"'


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "new.yaml"
    path.write_text(RULES)
    return str(path)


async def charge(control: Control, name: str, *settlements: tuple[int, str, str]) -> None:
    """Settlements of the rule `chat` for a new customer: base units, usage, source."""
    customer_id = await control.customer(name)
    await control.grant(f"/v1/customers/{customer_id}", 10_000_000, f"grant-{name}")
    for number, (amount, usage, source) in enumerate(settlements):
        record = await control.hold(customer_id, f"{name}-{number}", 1_000_000, external_id=name)
        await control.ledger.commit(record, amount, usage, source)


async def busy(control: Control) -> None:
    """alice was charged 0.25 for what would cost 0.1 now and lost a hold, bob 0.5 for what would cost 0.25."""
    large = 'input_tokens=5 request.model="large"'
    await charge(control, "alice", (250_000, MINI, "reported"), (90_000, "", "hold"))
    await charge(control, "bob", (500_000, large, "observed"), (7_000, "model=huge", "reported"))


async def test_by_rule_and_by_customer(sidecar: Command, control: Control, rules: str) -> None:
    await busy(control)
    ran = await sidecar("rules", "replay", "--rules", rules)
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines() if line]
    assert lines[0] == ["total", "unit", "settlements", "old", "new", "difference", "change"]
    assert lines[1] == ["credits", "2", "0.75", "0.35", "-0.4", "-53.33", "%"]
    assert lines[3][:2] == ["chat", "credits"]
    assert [(line[0], line[4:7]) for line in lines[5:7]] == [
        ("bob", ["0.5", "0.25", "-0.25"]),
        ("alice", ["0.25", "0.1", "-0.15"]),
    ]
    assert " ".join(lines[8]) == "chat credits 1 0.09 charged by the hold, since usage was unknown"
    assert " ".join(lines[9]).endswith("0.007 not recorded, and the price depends on it: request.model")
    assert ran.out.endswith(
        "1 settlement had been charged by usage that was not reported.\n"
        "chat: output_tokens has a rate, and nothing was read of it: counted as 0.\n"
    )


async def test_as_json_for_scripts(sidecar: Command, control: Control, rules: str) -> None:
    await busy(control)
    found = (await sidecar("rules", "replay", "--rules", rules, "--json", "--limit", "1")).json
    assert found["totals"] == [
        {
            "unit": "credits",
            "settlements": 2,
            "old": 750_000,
            "new": 350_000,
            "difference": -400_000,
            "display": {"old": "0.75", "new": "0.35", "difference": "-0.4"},
            "percent": -53.33,
        }
    ]
    assert [row["external_id"] for row in found["customers"]] == ["bob"]
    assert found["more"] == {"rules": 0, "customers": 1, "not_priced": 1}
    assert [(left["why"], left["cost"]) for left in found["not_priced"]] == [("charged_by_hold", 90_000)]
    assert found["notes"][0]["meter"] == "output_tokens"


async def test_of_one_customer_and_some_time(sidecar: Command, control: Control, rules: str) -> None:
    await busy(control)

    async def settlements(*options: str) -> int:
        totals = (await sidecar("rules", "replay", "--rules", rules, "--json", *options)).json["totals"]
        return sum(total["settlements"] for total in totals)

    assert await settlements("--customer", "alice") == 1
    assert await settlements("--from", "1h") == 2
    assert await settlements("--to", "2020-01-01") == 0
    ran = await sidecar("rules", "replay", "--rules", rules, "--to", "2020-01-01")
    assert (ran.code, ran.out) == (0, "Nothing was charged.\n")


async def test_a_rule_of_another_name(sidecar: Command, control: Control, tmp_path: Path) -> None:
    await busy(control)
    path = tmp_path / "renamed.yaml"
    path.write_text(RULES.replace("name: chat", "name: talk"))
    gone = (await sidecar("rules", "replay", "--rules", str(path), "--json")).json
    assert (gone["totals"], {left["why"] for left in gone["not_priced"]}) == ([], {"rule_gone"})
    found = (await sidecar("rules", "replay", "--rules", str(path), "--json", "--rename", "chat=talk")).json
    assert [row["rule"] for row in found["rules"]] == ["talk"]
    ran = await sidecar("rules", "replay", "--rules", str(path), "--rename", "chat=took")
    assert (ran.code, ran.err) == (1, "sidecar: --rename: there is no rule 'took' in the rules of --rules.\n")


@pytest.mark.parametrize(("most", "code"), [("0%", 1), ("53%", 1), ("54%", 0), ("100%", 0)])
async def test_too_much_of_a_difference_is_a_failure(
    sidecar: Command, control: Control, rules: str, most: str, code: int
) -> None:
    """-0.4, and 0.007 that cannot be priced, of 0.757."""
    await busy(control)
    assert (await sidecar("rules", "replay", "--rules", rules, "--fail-above", most)).code == code


async def test_a_hold_that_was_charged_is_no_difference(sidecar: Command, control: Control, rules: str) -> None:
    await charge(control, "alice", (100_000, MINI, "reported"), (90_000, "", "hold"))
    assert (await sidecar("rules", "replay", "--rules", rules, "--fail-above", "0%")).code == 0


async def test_many_settlements_are_read_as_they_come(sidecar: Command, control: Control, rules: str) -> None:
    await charge(control, "alice", *[(number, MINI, "reported") for number in range(300)])
    found = (await sidecar("rules", "replay", "--rules", rules, "--json")).json
    (total,) = found["totals"]
    assert (total["settlements"], total["old"], total["new"]) == (300, sum(range(300)), 300 * 100_000)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--rename", "chat"], "must be OLD=NEW, two names of rules; got 'chat'"),
        (["--fail-above", "x"], "must be a percentage from 0%, such as 5%; got 'x'"),
    ],
)
async def test_options_that_are_wrong(command: Command, option: list[str], said: str) -> None:
    ran = await command("rules", "replay", *option)
    assert ran.code == 2
    assert ran.err.strip().endswith(said)


async def test_prices_of_a_customers_own(sidecar: Command, control: Control, tmp_path: Path) -> None:
    await charge(control, "alice", (100, MINI, "reported"))
    await charge(control, "bob", (100, MINI, "reported"), (100, MINI, "reported"))
    path = tmp_path / "own.yaml"
    path.write_text(
        "version: 1\nrules:\n  - name: chat\n    match: {path: /chat}\n    usage: openai.chat\n"
        "    price: {by: customer, rates: {bob: {input_tokens: 0.00001}, '*': {input_tokens: 0.00002}}}\n"
    )
    found = (await sidecar("rules", "replay", "--rules", str(path), "--json")).json
    assert {row["external_id"]: (row["old"], row["new"]) for row in found["customers"]} == {
        "alice": (100, 100),
        "bob": (200, 100),
    }


async def test_the_prices_of_one_time_for_all(sidecar: Command, control: Control, tmp_path: Path) -> None:
    await charge(control, "alice", (100, MINI, "reported"))
    path = tmp_path / "versions.yaml"
    path.write_text(
        "version: 1\nrules:\n  - name: chat\n    match: {path: /chat}\n    price:\n"
        "      - price: {flat: 0.01}\n      - {effective_at: 2090-01-01, price: {flat: 0.05}}\n"
    )
    command = ("rules", "replay", "--rules", str(path), "--json")
    assert (await sidecar(*command)).json["totals"][0]["new"] == 10_000
    assert (await sidecar(*command, "--at", "2090-01-02")).json["totals"][0]["new"] == 50_000
