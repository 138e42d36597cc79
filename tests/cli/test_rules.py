import argparse

import pytest

from sidecar.cli import rules


def test_each_command_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["rules", "--help"])
    shown = capsys.readouterr().out
    assert [name for name in ("check", "explain") if f"\n    {name} " not in shown] == []
