import pytest

from sidecar.cli.screen import plural, printable, show_json, show_table


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("unit", "held"), [["credits", "1"], ["é", "1000000"]])
    assert capsys.readouterr().out == "unit     held\ncredits  1\né        1000000\n"


def test_names_of_others_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\x1b[2Jb\nc") == "a�[2Jb�c"
    show_table(("name",), [["\x1b[31m"]])
    assert "\x1b" not in capsys.readouterr().out


def test_json_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"name": "é"})
    assert capsys.readouterr().out == '{\n  "name": "é"\n}\n'


def test_numbers_stand_right(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("unit", "amount", "what"), [["a", "-0.5", "x"], ["b", "10", "y"]], numbers=("amount",))
    assert capsys.readouterr().out == "unit  amount  what\na       -0.5  x\nb         10  y\n"


def test_one_is_no_plural() -> None:
    assert [plural(count, "rule") for count in (0, 1, 2)] == ["0 rules", "1 rule", "2 rules"]
    assert [plural(count, "entry", "entries") for count in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]
