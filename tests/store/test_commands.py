"""Packing, and what the scripts say about themselves."""

import re
from importlib import resources

import pytest

from sidecar.store import ledger
from sidecar.store.commands import SCRIPTS, Script, pack
from sidecar.store.lane import Lane

BY_NAME = {script.name: script for script in SCRIPTS}
FACES = {
    script: "".join(
        resources.files("sidecar.store").joinpath(file).read_text()
        for file in ("ledger.py", "customers.py", "once.py")
    )
    for script in BY_NAME
}
WITHOUT_WORDS = {"overdue"}


def source(script: Script) -> str:
    return resources.files("sidecar.store").joinpath("lua", f"{script.name}.lua").read_text()


def header(script: Script) -> list[str]:
    return re.match(r"(?:--.*\n)+", source(script))[0].splitlines()  # type: ignore[index]  # A script has a header.


def words_of_header(script: Script) -> list[str]:
    lines = header(script)
    start = next(index for index, line in enumerate(lines) if line.startswith("-- Answers"))
    return [match[1] for line in lines[start + 1 :] if (match := re.match(r"--   (\w+)(?: |$)", line))]


def test_pack_writes_the_redis_protocol() -> None:
    assert pack("SET", b"k\r\n", 12, "é") == "*4\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n12\r\n$2\r\né\r\n".encode()


def test_a_script_packs_like_the_plain_command() -> None:
    script = BY_NAME["create_key"]
    values = [b"customer", b"keys", b"", b"key_1", "é".encode()]
    assert script.pack(*values) == pack("EVALSHA", script.sha, script.keys, *values)
    assert script.as_eval(script.pack(*values)) == pack("EVAL", script.text, script.keys, *values)


def test_a_line_of_redis_becomes_a_line_of_the_file() -> None:
    script = BY_NAME["commit"]
    text = script.text.splitlines()
    for line, file, content in (
        (text.index("redis.call('ZREM', zset, ARGV[1])") + 1, "commit.lua", "redis.call('ZREM'"),
        (1, "shared/amounts.lua", "-- Amounts"),
    ):
        located = script.located(f"ERR user_script:{line}: bad script: abc, on @user_script:{line}.")
        name, number = re.findall(r"([\w/]+\.lua):(\d+)", located)[0]
        assert name == file
        lines = resources.files("sidecar.store").joinpath("lua", name).read_text().splitlines()
        assert lines[int(number) - 1].startswith(content)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_header_declares_every_key_and_argument(script: Script) -> None:
    text = "\n".join(header(script))
    assert len(re.findall(r"^-- KEYS\[\d+\]  (?:hash|string|zset|stream)  ", text, re.MULTILINE)) == script.keys
    assert len(re.findall(r"^-- ARGV\[\d+\]  ", text, re.MULTILINE)) == script.arguments
    body = source(script)[len(text) :]
    assert {int(number) for number in re.findall(r"KEYS\[(\d+)\]", body)} == set(range(1, script.keys + 1))
    assert {int(number) for number in re.findall(r"ARGV\[(\d+)\]", body)} == set(range(1, script.arguments + 1))


@pytest.mark.parametrize(
    "script", [script for script in SCRIPTS if script.name not in WITHOUT_WORDS], ids=lambda script: script.name
)
def test_header_script_and_typed_face_know_the_same_words(script: Script) -> None:
    in_header = words_of_header(script)
    body = "\n".join(line for line in source(script).splitlines() if not line.startswith("--"))
    returned = set(re.findall(r"(?:return \{|outcome, zset, held = )'(\w+)'", body))
    assert len(in_header) == len(set(in_header))
    assert returned == set(in_header)
    understood = set(re.findall(r'b"(\w+)"', FACES[script.name])) | {word.decode() for word in ledger._REFUSALS}
    ignored = {"open", "ended"} if script.name == "expire" else set[str]()
    assert returned - ignored <= understood


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_amounts_are_never_joined_as_numbers(script: Script) -> None:
    assert "cjson" not in script.text
    assert not re.search(r"\.\. *(?:tonumber|math)|tonumber\([^)]*\) *\.\.", script.text)


async def test_the_digest_is_the_server_s(lane: Lane) -> None:
    for script in SCRIPTS:
        assert await lane.execute("SCRIPT", "LOAD", script.text) == script.sha
