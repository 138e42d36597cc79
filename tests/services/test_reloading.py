"""Rules are exchanged whole, when their files are right and at rest; else the old ones stay in force, loudly."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.config.problems import ConfigError
from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.recent_costs import RecentCosts
from sidecar.domain.rules import RuleSet
from sidecar.services import reloading
from sidecar.services.reloading import Failure, Reloaded, Reloading
from sidecar.tasks import Tasks
from tests.support.until import until

UNITS = {"credits": CREDITS}
POLL_S = 0.01


def text(*names: str) -> str:
    rules = "".join(f"  - {{name: {name}, match: {{path: /{name}}}, price: {{flat: 1}}}}\n" for name in names)
    return f"version: 1\nrules:\n{rules}"


def names(rules: RuleSet) -> list[str]:
    return [rule.name for rule in rules.rules]


def write(file: Path, text: str) -> None:
    file.write_text(text)


def remove(file: Path) -> None:
    file.unlink()


def failure(found: Reloading) -> Failure | None:
    return found.failure


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    write(file, text("a"))
    return file


@asynccontextmanager
async def watching(paths: list[Path]) -> AsyncIterator[Reloading]:
    found, tasks = Reloading(paths, UNITS), Tasks()
    watch = tasks.start(found.watch(POLL_S), "watch")
    yield found
    assert not watch.done()
    await tasks.cancel()


@pytest.fixture
async def watched(file: Path) -> AsyncIterator[Reloading]:
    async with watching([file]) as found:
        yield found


async def test_who_follows_gets_what_is_loaded(file: Path) -> None:
    now_ms = iter((5, 9))
    found = Reloading([file], UNITS, now_ms=lambda: next(now_ms))
    got: list[RuleSet] = []
    found.follow(got.append)
    first = found.rules
    write(file, text("a", "b"))
    assert await found.reload("a test says so") is Reloaded.APPLIED
    assert got == [found.rules]
    assert (names(first), names(found.rules)) == (["a"], ["a", "b"])
    assert first.version != found.rules.version
    assert found.loaded_at_ms == 9


async def test_what_says_the_same_is_not_exchanged(file: Path) -> None:
    found = Reloading([file], UNITS)
    found.follow(lambda _: pytest.fail("nothing is new"))
    first, loaded_at_ms = found.rules, found.loaded_at_ms
    write(file, text("a"))
    assert await found.reload("a test says so") is Reloaded.UNCHANGED
    assert (found.rules, found.loaded_at_ms) == (first, loaded_at_ms)


def test_the_first_time_a_mistake_is_an_error(file: Path) -> None:
    write(file, "rules: 3\n")
    with pytest.raises(ConfigError):
        Reloading([file], UNITS)


async def test_a_mistake_leaves_the_old_rules_in_force_loudly(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = Reloading([file], UNITS)
    first = found.rules
    write(file, text("a").replace("flat", "flatt"))
    assert await found.reload("a test says so") is Reloaded.FAILED
    assert found.rules is first
    failed = failure(found)
    assert failed is not None
    assert failed.problems[0].hint == "did you mean `flat`?"
    said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert said[0] == f"rules not reloaded, though a test says so; {first.version} stay in force: 1 problem"
    # The last lines point at the place.
    assert said[-2].strip() == "|" + " " * 42 + "^"
    write(file, text("b"))
    assert await found.reload("it is mended") is Reloaded.APPLIED
    assert failure(found) is None
    assert found.outcomes == {"applied": 1, "failed": 1, "unchanged": 0}


async def test_an_error_of_ours_is_a_failed_reload(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reloading([file], UNITS)

    def fails(*_: object) -> RuleSet:
        raise RecursionError("too deep")

    monkeypatch.setattr(reloading, "load_rules", fails)
    assert await found.reload("a test says so") is Reloaded.FAILED
    assert names(found.rules) == ["a"]


async def test_a_file_that_changes_while_it_is_read_is_read_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Reloading([file], UNITS)
    load = load_rules
    writes = [text("a")]

    def meanwhile(*asked: Any, **named: Any) -> RuleSet:
        """The reader sees half of what is being written: rules that are right, and too few."""
        read = load(*asked, **named)
        if writes:
            write(file, writes.pop())
        return read

    write(file, text("half"))
    monkeypatch.setattr(reloading, "load_rules", meanwhile)
    assert await found.reload("a test says so") is Reloaded.UNCHANGED
    assert names(found.rules) == ["a"]
    write(file, text("c"))
    writes[:] = [text("c", *"x" * number) for number in range(9)]
    assert await found.reload("a test says so") is Reloaded.FAILED
    assert names(found.rules) == ["a"]


async def test_what_rules_have_learnt_is_kept(file: Path) -> None:
    content = text("a").replace("flat: 1}", "flat: 1}, hold: {percentile: 95, at_first: 9}")
    write(file, content)
    found = Reloading([file], UNITS)

    def learnt() -> RecentCosts:
        (rule,) = found.rules.rules
        assert rule.quoter.recent is not None
        return rule.quoter.recent

    for _ in range(50):
        learnt().add(7)
    first = learnt()
    write(file, f"{content}# another version\n")
    assert await found.reload("a test says so") is Reloaded.APPLIED
    # What is under way teaches it still.
    assert learnt() is first
    assert learnt().value == 7


async def test_the_log_names_what_is_new(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write(file, text("a", "b", "c"))
    found = Reloading([file], UNITS)
    write(file, text("c", "b", "d").replace("path: /b", "path: /bb"))
    await found.reload("a test says so")
    assert caplog.messages[-1].endswith(", because a test says so; added: d; removed: a; changed: b")
    write(file, text("b", "c", "d").replace("path: /b", "path: /bb"))
    await found.reload("a test says so")
    assert caplog.messages[-1].endswith("; each is written as before")


async def test_rules_of_the_past_are_forgotten(file: Path) -> None:
    """A process may reload every minute for months, and is set to look for garbage seldom."""
    fields = "usage: openai.chat, price: {input_tokens: 1 per 1M, output_tokens: 2 per 1M}"
    content = text("a").replace("price: {flat: 1}", fields).replace("path", "method: POST, path")
    found, counts = Reloading([file], UNITS), []
    gc.disable()
    try:
        for number in range(6):
            write(file, f"{content}# {number}\n")
            assert await found.reload("a test says so") is Reloaded.APPLIED
            counts.append(len(msgspec.Struct.__subclasses__()))
    finally:
        gc.enable()
    assert counts[-1] <= counts[1]


async def test_reloads_follow_one_another(file: Path) -> None:
    found = Reloading([file], UNITS)
    write(file, text("b"))
    outcomes = await asyncio.gather(*(found.reload("many say so") for _ in range(5)))
    assert sorted(outcomes) == ["applied"] + 4 * ["unchanged"]


class TestWatch:
    async def test_a_change_is_found(self, watched: Reloading, file: Path) -> None:
        write(file, text("b"))
        await until(lambda: names(watched.rules) == ["b"], "the new rules")

    async def test_a_file_by_another_name(self, watched: Reloading, file: Path) -> None:
        """As editors save, and as `mv` does."""
        new = file.with_name("rules.new")
        new.write_text(text("b"))
        new.rename(file)
        await until(lambda: names(watched.rules) == ["b"], "the new rules")

    async def test_a_mistake_is_said_once(
        self, watched: Reloading, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        remove(file)
        await until(lambda: failure(watched) is not None, "the failure")
        first = failure(watched)
        assert first is not None
        assert first.problems[0].message == "no such file"
        write(file, "version: 1\nrules: [")
        await until(lambda: failure(watched) is not first, "the next failure")
        assert watched.outcomes["failed"] == 2
        assert names(watched.rules) == ["a"]
        write(file, text("b"))
        await until(lambda: names(watched.rules) == ["b"], "the new rules")
        assert failure(watched) is None
        assert watched.outcomes["failed"] == 2
        assert sum("not reloaded" in record.message for record in caplog.records) == 2

    async def test_a_return_to_what_is_in_force_ends_the_failure(self, watched: Reloading, file: Path) -> None:
        write(file, "rules: 3\n")
        await until(lambda: failure(watched) is not None, "the failure")
        write(file, text("a"))
        await until(lambda: failure(watched) is None, "its end")
        assert watched.outcomes["unchanged"] == 1


async def test_files_come_and_go_in_a_folder(tmp_path: Path) -> None:
    for name in "ac":
        (tmp_path / f"{name}.yaml").write_text(text(name))
    async with watching([tmp_path]) as found:
        write(tmp_path / "b.yaml", text("b"))
        await until(lambda: names(found.rules) == ["a", "b", "c"], "the new file")
        remove(tmp_path / "a.yaml")
        await until(lambda: names(found.rules) == ["b", "c"], "its removal")


async def test_a_config_map_is_exchanged_whole(tmp_path: Path) -> None:
    """Files are links into `..data`, a link which Kubernetes exchanges: both files change at one moment."""

    def publish(number: int, *rules: str) -> None:
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        for file, rule in zip(("1.yaml", "2.yaml"), rules, strict=True):
            (folder / file).write_text(text(rule))
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish(1, "a", "b")
    for file in ("1.yaml", "2.yaml"):
        (tmp_path / file).symlink_to(f"..data/{file}")
    seen: list[list[str]] = []
    async with watching([tmp_path]) as found:
        found.follow(lambda rules: seen.append(names(rules)))
        for number in range(2, 5):
            publish(number, f"a{number}", f"b{number}")
            await until(lambda: len(seen) == number - 1, "the new rules")  # noqa: B023  (awaited here)
    assert seen == [[f"a{number}", f"b{number}"] for number in range(2, 5)]
