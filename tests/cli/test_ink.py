"""Colour is for terminals whose owner wants it."""

import io

import pytest

from sidecar.cli.ink import Ink


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_terminal_gets_colour() -> None:
    assert Ink.of(Terminal()).bold("x") == "\x1b[1mx\x1b[0m"


def test_a_pipe_gets_none() -> None:
    ink = Ink.of(io.StringIO())
    assert [ink.bold("x"), ink.dim("x"), ink.good("x"), ink.bad("x")] == ["x"] * 4


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_the_environment_can_refuse_it(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    assert not Ink.of(Terminal()).colour
