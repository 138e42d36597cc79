"""Packing, and what the scripts say about themselves."""

import re
from collections.abc import Iterable
from importlib import resources

import pytest

from sidecar.store import commands, ledger_replies
from sidecar.store.commands import RESERVE, SCRIPTS, Script, pack, script_of, shifted
from sidecar.store.lane import Lane

BY_NAME = {script.name: script for script in SCRIPTS}
STORE = resources.files("sidecar.store")
SHARED = {file.name.removesuffix(".lua"): file.read_text() for file in STORE.joinpath("lua", "shared").iterdir()}
PYTHON = [file.read_text() for file in STORE.iterdir() if file.name.endswith(".py") and file.name != "commands.py"]

REPLIES = STORE.joinpath("ledger_replies.py").read_text()
UNHEARD = {
    "claim": {"claimed"},
    "unclaim": {"kept", "freed"},
    "unclaim_request": {"kept", "freed"},
    "keep_answer": {"kept"},
    "advance_journal": {"passed", "moved"},
}
"""Words that the face need not tell apart."""
INTERNAL = {"reserve": {"known"}, "charge": {"spend_cap_reached"}}
"""Tables that begin with a word and are no answer."""
ONLY_TEXT = {
    "set_pool_cap",
    "set_spend_caps",
    "change_key",
    "revoke_key",
    "update_customer",
    "purchase",
    "turn_period",
}
"""They make or read JSON, and no amount of it as a number."""


def source(script: Script) -> str:
    return STORE.joinpath("lua", f"{script.name}.lua").read_text()


def header(script: Script) -> list[str]:
    return re.match(r"(?:--.*\n)+", source(script))[0].splitlines()  # type: ignore[index]  # A script has a header.


def body(script: Script) -> str:
    """Without comments; `--- include` lines stay."""
    lines = source(script).splitlines()[len(header(script)) :]
    includes = [line for line in source(script).splitlines() if line.startswith("--- include ")]
    return "\n".join(includes + [line for line in lines if not line.lstrip().startswith("--")])


def declared(script: Script, array: str) -> tuple[list[int], bool]:
    """The numbers that the header has for KEYS or ARGV, in its order, and whether there may be more behind them."""
    numbers: list[int] = []
    more = False
    for first, rest in re.findall(rf"^-- {array}\[(\d+)(\.\.\d*|)\]", "\n".join(header(script)), re.MULTILINE):
        assert not more, "what comes in any number comes last"
        last = rest.removeprefix("..")
        numbers += range(int(first), int(last or first) + 1)
        more = rest == ".."
    return numbers, more


def words_of_header(script: Script) -> list[str]:
    lines = header(script)
    start = next(index for index, line in enumerate(lines) if line.startswith("-- Answers"))
    return [match[1] for line in lines[start + 1 :] if (match := re.match(r"--   (\w+)(?: |$)", line))]


def words_in(text: str) -> set[str]:
    """Those that begin an answer in this Lua text."""
    found: Iterable[str] = re.findall(r"(?:\{|answer\(|return )'(\w+)'", text)
    either = re.findall(r"(?:\{|word = )[^{}'\n]* and '(\w+)' or '(\w+)'", text)
    return {*found, *(word for pair in either for word in pair)}


def shared_functions() -> dict[str, str]:
    texts = "\n".join(SHARED.values())
    own = re.findall(r"^local function (\w+)(\(.*?^end)$", texts, re.MULTILINE | re.DOTALL)
    of_tables = re.findall(r"^  function (\w+\.\w+)(\(.*?^  end)$", texts, re.MULTILINE | re.DOTALL)
    return dict(own + of_tables)


def returned_words(script: Script) -> set[str]:
    text = body(script)
    borrowed = [words_in(code) for name, code in shared_functions().items() if f"{name}(" in text]
    return words_in(text).union(*borrowed) - INTERNAL.get(script.name, set())


def test_pack_writes_the_redis_protocol() -> None:
    assert pack("SET", b"k\r\n", 12, "é") == "*4\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n12\r\n$2\r\né\r\n".encode()


@pytest.mark.parametrize("keys", [[b"customer", b"keys", b""], []])
def test_a_script_packs_like_the_plain_command(keys: list[bytes]) -> None:
    script = BY_NAME["create_key"]
    values: list[bytes | str | int] = ["key_1", "é".encode(), 12]
    assert script.pack(keys, values) == pack("EVALSHA", script.sha, len(keys), *keys, *values)
    assert script.as_eval(script.pack(keys, values)) == pack("EVAL", script.text, len(keys), *keys, *values)


def test_a_line_of_redis_becomes_a_line_of_the_file() -> None:
    script = BY_NAME["commit"]
    text = script.text.splitlines()
    for content, file in (
        ("local late = state == OVERDUE", "commit.lua"),
        ("local MAX_AMOUNT = 9007199254740991", "shared/amounts.lua"),
        ("local function repay(account, block)", "shared/blocks.lua"),
        ("return with_counters(reply, first_counter)", "commit.lua"),
    ):
        line = len(text) - text[::-1].index(content)
        located = script.located(f"ERR user_script:{line}: bad script: abc, on @user_script:{line}.")
        name, number = re.findall(r"([\w/]+\.lua):(\d+)", located)[0]
        assert name == file
        lines = STORE.joinpath("lua", name).read_text().splitlines()
        assert lines[int(number) - 1] == content


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_is_included_comes_in_whole_and_once(script: Script) -> None:
    includes = [
        part for line in re.findall(r"^--- include (.*)$", source(script), re.MULTILINE) for part in line.split()
    ]
    assert len(set(includes)) == len(includes)
    for part in includes:
        assert SHARED[part] in script.text
    assert "--- include" not in script.text
    assert len(script.text.splitlines()) == len(script._places)


def test_every_script_and_every_shared_file_is_used() -> None:
    files = {file.name for file in STORE.joinpath("lua").iterdir() if file.name.endswith(".lua")}
    assert files == {f"{script.name}.lua" for script in SCRIPTS}
    assert set(SCRIPTS) == {value for value in vars(commands).values() if isinstance(value, Script)}
    included = {name for name, text in SHARED.items() for script in SCRIPTS if text in script.text}
    assert included == SHARED.keys()
    for name in shared_functions():
        assert sum(script.text.count(f"{name}(") for script in SCRIPTS) > 1, f"nothing calls {name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
@pytest.mark.parametrize("array", ["KEYS", "ARGV"])
def test_the_header_declares_every_key_and_argument(script: Script, array: str) -> None:
    numbers, more = declared(script, array)
    assert numbers == list(range(1, len(numbers) + 1))
    text = body(script)
    used = {int(number) for number in re.findall(rf"\b{array}\[(\d+)\]", text)}
    if array == "KEYS" and re.search(r"^--- include .*\bkeys\b", text, re.MULTILINE):
        used |= {1, 2, 3, 4}
    if more:
        # What comes in any number is reached by a loop.
        assert re.search(rf"\b(?:#{array}|{array}\[[^]\d]|{array}\[\d+ \+)", text)
        used = {number for number in used if number < len(numbers)} | {len(numbers)}
    assert used == set(numbers)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_header_script_and_typed_face_know_the_same_words(script: Script) -> None:
    in_header = words_of_header(script)
    assert len(in_header) == len(set(in_header))
    assert returned_words(script) == set(in_header)
    faces = [text for text in PYTHON if re.search(rf"\b{script.name.upper()}\b", text)]
    face = "".join(faces + [REPLIES] * any("ledger_replies" in text for text in faces))
    understood = set(re.findall(r'"(\w+)"', face)) | {word.decode() for word in ledger_replies._REFUSALS}
    assert set(in_header) - UNHEARD.get(script.name, set()) <= understood


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_amounts_are_never_joined_as_numbers(script: Script) -> None:
    assert "cjson" not in script.text or script.name in ONLY_TEXT
    assert not re.search(r"\.\. *(?:tonumber|math)|tonumber\([^)]*\) *\.\.", script.text)


async def test_the_digest_is_the_server_s(lane: Lane) -> None:
    for script in SCRIPTS:
        assert await lane.execute("SCRIPT", "LOAD", script.text) == script.sha


@pytest.mark.parametrize("whole", [False, True])
def test_a_command_says_which_script_it_calls(whole: bool) -> None:
    variant = shifted()[RESERVE.sha]
    for script in (RESERVE, variant):
        packed = script.pack([b"k"], ["x"])
        assert script_of(script.as_eval(packed) if whole else packed) is script
    assert script_of(pack("GET", "$4\r\nEVAL\r\n$1\r\nx")) is None
    assert script_of(pack("EVAL", "return 1", 0)) is None
