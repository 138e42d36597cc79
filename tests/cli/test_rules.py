import argparse
import json

import pytest

from sidecar.cli import rules
from sidecar.config.schema import schema


def test_each_command_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["rules", "--help"])
    shown = capsys.readouterr().out
    assert [name for name in ("check", "explain", "test", "schema") if f"\n    {name} " not in shown] == []


def test_the_schema_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    args = parser.parse_args(["rules", "schema"])
    assert args.run(args) == 0
    assert json.loads(capsys.readouterr().out) == schema()
