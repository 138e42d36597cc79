"""Log lines: one for each record, on stderr, as text or as JSON."""

import json
import logging
from collections.abc import Iterator

import pytest

from sidecar.cli import logs
from sidecar.config.settings import Log

log = logging.getLogger("sidecar.test")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_text_is_one_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(Log())
    log.warning("lost %s", "a\nb\rc")
    log.debug("not shown")
    out, err = capsys.readouterr()
    assert out == ""
    instant, rest = err.split(" ", 1)
    assert len(instant) == len("2026-11-22T19:30:00.123Z")
    assert instant.endswith("Z")
    assert rest == "warning sidecar.test: lost a\\nb\\rc\n"


def test_json_is_one_object_for_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(Log(format="json", level="debug"))
    log.debug("a\n%s", "ä")
    try:
        int("boom")
    except ValueError:
        log.exception("failed")
    first, second = capsys.readouterr().err.splitlines()
    line = json.loads(first)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "debug", "logger": "sidecar.test", "message": "a\nä"}
    assert "ValueError: invalid literal" in json.loads(second)["error"]


def test_setting_up_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(Log())
    logs.set_up(Log(level="error"))
    log.warning("not shown")
    log.error("shown")
    assert capsys.readouterr().err.count("\n") == 1
