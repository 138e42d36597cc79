"""Reasons: a closed set of words, and sentences that an API server passes on whole."""

import inspect
import re

from sidecar.injector import reasons
from sidecar.injector.annotations import PORTS_MAX
from sidecar.injector.takeover import Besides, Taken

WARNING_MAX = 256
"""Longer ones may be cut by the API server when there are many."""

TAKEN = Taken(
    name="a-name-of-fiftee",
    container="c" * 30,
    port=65_535,
    renamed="x",
    host_port=65_535,
    sidecar="s",
    sidecar_port=15080,
    admin_port=15081,
)


def test_each_word_is_in_the_set() -> None:
    words = set(re.findall(r'Reason\(\s*"(\w+)"', inspect.getsource(reasons)))
    assert words == reasons.WORDS


def test_no_sentence_is_cut() -> None:
    container = "c" * 30
    all_of_them = [
        *(value for value in vars(reasons).values() if isinstance(value, reasons.Reason)),
        reasons.wrong_label("x" * 63),
        *(reasons.no_port("a-name-of-fiftee", deny=deny) for deny in (False, True)),
        *(reasons.unnamed_port(container, 65_535, deny=deny) for deny in (False, True)),
        reasons.other_port(container, "a-name-of-fiftee", 65_535),
        reasons.name_twice(Besides("a-name-of-fiftee", container, 65_535)),
        reasons.host_port(TAKEN),
        reasons.port_in_use(container, 65_535),
        reasons.name_in_use("volume", "v" * 63),
        reasons.taken_back(TAKEN),
        reasons.drain_too_long(3_600, 10, 30),
    ]
    too_long = [reason.sentence for reason in all_of_them if len(reason.sentence) + 21 > WARNING_MAX]
    assert too_long == []
    assert all(reason.sentence.endswith(".") for reason in all_of_them)
    assert {reason.word for reason in all_of_them} | {"wrong_annotation"} == reasons.WORDS
    assert PORTS_MAX * WARNING_MAX < 4_096, "what the API server takes of all warnings together"
