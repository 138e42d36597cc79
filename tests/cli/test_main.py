"""The command line as a whole: help that helps, versions, and how quickly a client command is there."""

import argparse
import os
import subprocess
import sys

import pytest

from sidecar import __version__
from sidecar.cli.main import main, parser


def leaves(top: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Every command that can be run."""
    found = []
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                found += leaves(below)
    return found or [top]


def exits(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits("--version") == 0
    assert capsys.readouterr().out == f"sidecar {__version__}\n"


def test_help_names_every_command_and_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits("--help") == 0
    shown = capsys.readouterr().out
    commands = [
        "run",
        "proxy",
        "control",
        "demo",
        "grant",
        "balance",
        "ledger",
        "usage",
        "customers",
        "keys",
        "holds",
        "rules",
        "config",
    ]
    assert [command for command in commands if f"\n    {command}" not in shown] == []
    assert "examples:\n  sidecar demo" in shown


@pytest.mark.parametrize("command", leaves(parser()), ids=lambda command: command.prog)
def test_every_command_explains_itself_in_a_sentence(command: argparse.ArgumentParser) -> None:
    assert command.description
    assert command.description[0].isupper()
    assert command.description.rstrip().endswith(".")
    assert command.format_help()
    assert callable(command.get_default("run"))


def test_a_reader_that_went_away_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "sidecar", "config", "reference"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_a_client_command_loads_no_server() -> None:
    program = (
        "import sys; from sidecar.cli.main import parser; parser(); "
        "print([name for name in ('aiohttp', 'redis', 'uvloop', 'prometheus_client') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"
