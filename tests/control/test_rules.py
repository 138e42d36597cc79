"""The rules in force, as an operator reads them."""

from tests.support.control import RULES, Control


async def test_the_rules_in_force(control: Control) -> None:
    shown = (await control.ask("GET", "/v1/rules")).json
    assert shown["version"] == control.reloading.rules.version
    assert shown["files"] == [str(RULES)]
    assert shown["failure"] is None
    assert shown["loaded_at"].endswith("Z")
    assert [rule["name"] for rule in shown["rules"]] == ["chat", "fixed", "models"]
    assert shown["rules"][1] == {
        "name": "fixed",
        "where": f"{RULES}:9",
        "unit": "credits",
        "feature": "",
        "free": False,
        "written": {"name": "fixed", "match": {"path": "/fixed/**"}, "price": {"flat": 1}},
    }


async def test_they_are_not_for_everybody(control: Control) -> None:
    assert (await control.ask("GET", "/v1/rules", key=None)).status == 401
