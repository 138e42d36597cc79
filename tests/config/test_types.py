"""What each setting may be, and the sentence when a value is not."""

from typing import Any

import pytest

from sidecar.config.settings import Forwarding, UnitSection
from sidecar.config.types import LEAVES, Wrong, expected, take


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("limits.headers_max", 64, 64),
        ("timeouts.total_s", 5, 5.0),
        ("proxy.via", False, False),
        ("proxy.forwarding", "both", Forwarding.BOTH),
        ("log.level", "debug", "debug"),
        ("rules.paths", ["a", "b"], ["a", "b"]),
        ("upstream.headers", {"X-A": "b"}, {"X-A": "b"}),
        ("units", {"tokens": {"scale": 0}}, {"tokens": UnitSection(scale=0)}),
    ],
)
def test_good_values(name: str, value: object, taken: object) -> None:
    assert take(value, LEAVES[name].annotation, text=False) == (taken, [])


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("limits.headers_max", "64", Wrong((), "must be a whole number from 8 to 10000")),
        ("limits.headers_max", 7, Wrong((), "must be a whole number from 8 to 10000")),
        ("limits.headers_max", True, Wrong((), "must be a whole number from 8 to 10000")),
        ("limits.headers_max", 8.5, Wrong((), "must be a whole number from 8 to 10000")),
        ("timeouts.total_s", 0, Wrong((), "must be a number above 0 and at most 86400")),
        ("timeouts.total_s", float("nan"), Wrong((), "must be a number above 0 and at most 86400")),
        ("timeouts.total_s", float("inf"), Wrong((), "must be a number above 0 and at most 86400")),
        ("timeouts.shutdown_s", -1, Wrong((), "must be a number from 0 to 86400")),
        ("proxy.via", "yes", Wrong((), "must be true or false")),
        ("proxy.forwarding", "x", Wrong((), "must be x-forwarded, forwarded, both or none")),
        ("log.level", "INFO", Wrong((), "must be debug, info, warning or error")),
        ("rules.paths", "a", Wrong((), "must be a list of text")),
        ("rules.paths", ["a", 1], Wrong((1,), "must be text")),
        (
            "upstream.headers",
            ["a"],
            Wrong((), "must be header names with their values, such as `Authorization: Bearer KEY`"),
        ),
        (
            "upstream.headers",
            {"X-A": 1},
            Wrong(("X-A",), "must be text"),
        ),
        ("units", {"tokens": {"scale": 10}}, Wrong(("tokens", "scale"), "must be a whole number from 0 to 9")),
        ("units", {"tokens": {"size": 1}}, Wrong(("tokens",), "must be a mapping with `scale`, nothing else")),
        ("units", 3, Wrong((), "must be a mapping from names to their `scale`, such as {tokens: {scale: 0}}")),
    ],
)
def test_bad_values_have_a_place_and_a_sentence(name: str, value: object, wrong: Wrong) -> None:
    assert take(value, LEAVES[name].annotation, text=False)[1] == [wrong]


def test_everything_wrong_in_one_value_is_found() -> None:
    _, wrongs = take({"a": {"scale": -1}, "B": {"scale": 1}}, LEAVES["units"].annotation, text=False)
    assert [wrong.place for wrong in wrongs] == [("a", "scale"), ("B",)]


@pytest.mark.parametrize(
    ("name", "text", "taken"),
    [
        ("limits.headers_max", "64", 64),
        ("timeouts.total_s", "0.5", 0.5),
        ("proxy.via", "false", False),
        ("proxy.via", "1", True),
        ("data.dir", "123", "123"),
    ],
)
def test_text_becomes_numbers_only_where_it_may(name: str, text: str, taken: Any) -> None:
    assert take(text, LEAVES[name].annotation, text=True) == (taken, [])


def test_every_setting_can_say_what_it_is() -> None:
    assert {name: expected(leaf.annotation) for name, leaf in LEAVES.items() if not expected(leaf.annotation)} == {}
