import pytest

from tests.cli.conftest import Command


async def test_caps_are_added_shown_and_taken_away(sidecar: Command) -> None:
    await sidecar("customers", "create", "alice")
    added = await sidecar("caps", "add", "alice", "100", "day", "--tz", "Europe/Berlin", "--warn-at", "80")
    assert (added.code, added.err) == (0, "")
    assert added.out.startswith("alice may spend 100 credits a day (cap_")
    told = await sidecar("caps", "add", "alice", "2.5", "3600", "--feature", "chat", "--notify", "--json")
    assert (told.json["rolling_seconds"], told.json["feature"], told.json["action"]) == (3600, "chat", "notify")
    assert (told.json["amount"], told.json["scope"]) == (2_500_000, "feature")
    _, first, second = (await sidecar("caps", "list", "alice")).out.splitlines()
    assert all(word in first for word in ("100", "a day", "all", "block"))
    assert "feature chat" in second
    assert "in 3600 s" in second
    removed = await sidecar("caps", "remove", "alice", told.json["cap_id"])
    assert removed.out == f"Took the cap {told.json['cap_id']} of alice away.\n"
    assert len((await sidecar("caps", "list", "alice", "--json")).json["data"]) == 1
    assert (await sidecar("caps", "remove", "alice", told.json["cap_id"])).code == 1


@pytest.mark.parametrize(
    "arguments", [["caps"], ["caps", "add", "alice", "1", "year"], ["caps", "add", "alice", "x", "day"]]
)
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar(*arguments)).code == 2
