"""What went wrong, as a sentence and an exit code."""

import pytest

from sidecar.cli.exits import exit_code
from sidecar.config.problems import ConfigError, Problem
from sidecar.domain.errors import StartupError


def raising(error: BaseException) -> int:
    def work() -> int:
        raise error

    return exit_code(work)


def test_what_a_command_returns_is_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: 3) == 3
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "err"),
    [
        (StartupError("The port is taken."), 1, "sidecar: The port is taken.\n"),
        (ConfigError([Problem(file="a", message="b"), Problem(file="c", message="d")]), 1, "a: b\nc: d\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_that_are_meant(error: BaseException, code: int, err: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(error) == code
    assert capsys.readouterr() == ("", err)


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())
