import pytest

from tests.cli.conftest import Command
from tests.support.control import Control


async def test_a_customer_is_made_and_then_found(sidecar: Command) -> None:
    made = await sidecar("customers", "create", "alice", "--name", "Alice A.")
    assert made.code == 0
    assert made.out.startswith("Made customer alice (cus_")
    again = await sidecar("customers", "create", "alice")
    assert again.out.endswith("was there already.\n")
    shown = await sidecar("customers", "show", "alice")
    assert "Alice A." in shown.out
    assert "active" in shown.out


async def test_scripts_get_the_documents(sidecar: Command) -> None:
    made = await sidecar("customers", "create", "alice", "--json")
    assert made.json["external_id"] == "alice"
    for name in ("alice", made.json["customer_id"]):
        assert (await sidecar("customers", "show", name, "--json")).json == made.json


@pytest.mark.parametrize("external_id", ["a/b", "a%2Fb", "a b", "a+b", "..", "?x#y", "{café}", "a\\b"])
async def test_any_id_can_be_named(sidecar: Command, external_id: str) -> None:
    made = await sidecar("customers", "create", external_id, "--json")
    shown = await sidecar("customers", "show", external_id, "--json")
    assert shown.json["customer_id"] == made.json["customer_id"]
    assert shown.json["external_id"] == external_id


async def test_nobody_is_one_sentence(sidecar: Command) -> None:
    ran = await sidecar("customers", "show", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("sidecar: There is no customer")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["customers"], ["customers", "create"], ["customers", "show", ""]])
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar(*arguments)).code == 2


async def test_a_member_of_a_pool_has_a_parent(sidecar: Command) -> None:
    boss = (await sidecar("customers", "create", "boss", "--json")).json["customer_id"]
    for number, parent in enumerate(("boss", boss)):
        made = await sidecar("customers", "create", f"member-{number}", "--parent", parent)
        assert made.out.startswith(f"Made customer member-{number} (cus_")
        assert made.out.endswith("), in the pool of boss.\n")
    assert "boss" in (await sidecar("customers", "show", "member-0")).out.splitlines()[1]
    assert (await sidecar("customers", "show", "boss")).out.splitlines()[1].endswith("  itself")
    ran = await sidecar("customers", "create", "member-2", "--parent", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert "parent" in ran.err


async def test_a_member_gets_a_cap(sidecar: Command) -> None:
    await sidecar("customers", "create", "boss")
    await sidecar("customers", "create", "alice", "--parent", "boss")
    capped = await sidecar("customers", "cap", "alice", "20.5")
    assert capped.out == "alice may take up to 20.5 credits, all in all; it holds 0 and has spent 0.\n"
    assert (await sidecar("customers", "cap", "alice", "7", "--unit", "tokens", "--json")).json["cap"] == 7
    freed = await sidecar("customers", "cap", "alice", "none")
    assert freed.out == "alice may take without a cap; it holds 0 and has spent 0.\n"
    ran = await sidecar("customers", "cap", "boss", "5")
    assert ran.code == 1
    assert "in no pool" in ran.err
    assert (await sidecar("customers", "cap", "alice", "-5")).code == 2


async def test_customers_are_found_changed_and_renamed(sidecar: Command) -> None:
    for name in ("alice", "bob"):
        await sidecar("customers", "create", name)
    assert (await sidecar("customers", "suspend", "bob")).out == "bob is suspended.\n"
    listed = await sidecar("customers", "list", "--status", "suspended")
    assert "bob" in listed.out
    assert "alice" not in listed.out
    assert (await sidecar("customers", "resume", "bob")).out == "bob is active.\n"
    assert (await sidecar("customers", "rename", "bob", "robert")).out.endswith(" is robert now.\n")
    found = await sidecar("customers", "list", "--limit", "1", "--json")
    assert [each["external_id"] for each in found.json["data"]] == ["robert"]
    assert "There are more" in (await sidecar("customers", "list", "--limit", "1")).out


async def test_what_a_customer_may_owe(sidecar: Command, control: Control) -> None:
    await control.customer("alice")
    allowed = await sidecar("customers", "overage", "alice", "allow", "--limit", "2.5")
    assert allowed.out == "alice may owe up to 2.5 credits.\n"
    assert (
        await sidecar("customers", "overage", "alice", "notify")
    ).out == "alice may owe as many credits as it needs.\n"
    blocked = await sidecar("customers", "overage", "alice", "block", "--json")
    assert (blocked.json["policy"], blocked.json["limit"]) == ("block", None)


async def test_two_customers_become_one(sidecar: Command) -> None:
    await sidecar("grant", "alice", "1")
    await sidecar("grant", "old", "2.5")
    merged = await sidecar("customers", "merge", "alice", "old", "--reason", "the same")
    assert merged.out == "old is alice now, with 2.5 credits and 0 proxy keys.\n"
    assert "3.5" in (await sidecar("balance", "old")).out
