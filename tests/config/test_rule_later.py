"""What `settle:` means."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_later import read_later
from sidecar.config.source import parse
from sidecar.domain.later import Later, Poll


def read(text: str) -> tuple[Later | None, list[str]]:
    cursor = Cursor(parse(text, "x.yaml"), [])
    return read_later(cursor), [problem.message for problem in cursor.problems]


def test_the_word_alone() -> None:
    assert read("later") == (Later(on=frozenset({202}), within_s=86_400), [])


def test_statuses_and_time() -> None:
    assert read("{on: [201, 202], within: 7d}") == (Later(on=frozenset({201, 202}), within_s=7 * 86_400), [])
    assert read("{within: 90s}")[0] == Later(within_s=90)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sooner", "`sooner` is not when a request is settled"),
        ("{within: 31d}", "`31d` is too long"),
        ("{within: 90}", "a number here: expected how long, such as 2h or 7d"),
        ("{within: soon}", "`soon` is not a duration"),
        ("{on: [700]}", "`700` is not a status of an answer"),
        ("{after: [202]}", "unknown key `after`"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    later, problems = read(text)
    assert (later, problems) == (None, [message])


POLL = "path: '/jobs/{id}', id: /id, state: /status, done: [ok, done], failed: bad"


def test_a_poll() -> None:
    later, problems = read(f"{{poll: {{{POLL}, every: 5s}}}}")
    assert problems == []
    assert later is not None
    assert later.poll == Poll(
        path="/jobs/{id}", id_header=b"", id_pointer=("id",), every_s=5, state=("status",),
        done=frozenset({"ok", "done"}), failed=frozenset({"bad"}),
    )  # fmt: skip


def test_a_poll_by_a_field() -> None:
    later, problems = read("{poll: {path: '/{id}', id: {header: X-Job}, state: /s, done: ok}}")
    assert problems == []
    assert later is not None
    assert later.poll is not None
    assert (later.poll.id_header, later.poll.id_pointer, later.poll.every_s) == (b"x-job", (), 10)


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ("id: /id, ", "", "no `id`"),
        ("/jobs/{id}", "/jobs", "`/jobs` is not the path of a job"),
        ("/jobs/{id}", "http://other/{id}", "is not the path of a job"),
        ("failed: bad", "failed: ok", "`ok` is `done` as well"),
        ("failed: bad", "every: 2h", "`2h` is too long"),
        ("state: /status", "state: status", "JSON pointer"),
        ("id: /id", "id: {body: /id}", "no `header`"),
    ],
)
def test_mistakes_of_a_poll(written: str, instead: str, message: str) -> None:
    later, problems = read(f"{{poll: {{{POLL.replace(written, instead)}}}}}")
    assert later is None
    assert message in " ".join(problems)
