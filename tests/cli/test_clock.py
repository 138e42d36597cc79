"""`sidecar clock` moves the clock of an environment."""

import pytest

from tests.cli.conftest import Command


async def test_time_passes(sidecar: Command) -> None:
    assert (await sidecar("clock", "show")).out == "It is the real time.\n"
    moved = await sidecar("clock", "advance", "30d")
    assert (moved.code, "2,592,000 s ahead" in moved.out) == (0, True)
    later = (await sidecar("clock", "set", "2031-01-01", "--json")).json
    assert later["now"].startswith("2031-01-01T00:00:0")
    back = await sidecar("clock", "set", "2030-01-01")
    assert (back.code, "only forwards" in back.err) == (1, True)


@pytest.mark.parametrize("arguments", [[], ["advance"], ["advance", "soon"], ["set", "30d"]])
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar("clock", *arguments)).code == 2
