"""Scenarios: tables of operations and what they answer, one a line, to be read by people; `player` plays them.

A file has several, each under a line ``== name``; ``#`` begins an aside. A line is a verb with what it needs, and
after ``->`` what comes of it. Whatever is remarkable must be named there (slices, debt, what was let go, a
repetition); amounts such as ``available=30`` may be. ``docs/ledger.md`` quotes them.

    grant   G1 100 priority=0 expires=30d -> granted
    reserve R1 120 ttl=60s                -> refused insufficient_credits available=100
    balance available=100                    # what is not named is 0, but for `granted`
    blocks  G1=100                           # available + held : state, in burn order, then those that wait
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sidecar.domain.blocks import Grant

FOLDER = Path(__file__).parent / "scenarios"
UNIT = "credits"
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    place: str
    text: str
    verb: str
    words: list[str]
    options: dict[str, str]
    expected: list[str]


class Scenario(msgspec.Struct, frozen=True):
    name: str
    steps: list[Step]


def scenarios() -> Iterator[Scenario]:
    for path in sorted(FOLDER.glob("*.txt")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = line.partition("#")[0].strip()
            if text.startswith("=="):
                yield (found := Scenario(f"{path.stem}: {text.removeprefix('==').strip()}", []))
            elif text:
                found.steps.append(_step(f"{path.name}:{number}", text))


def _step(place: str, text: str) -> Step:
    asked, _, expected = text.partition("->")
    verb, *rest = asked.split()
    pairs = [word.partition("=") for word in rest if "=" in word]
    return Step(
        place=place,
        text=text,
        verb=verb,
        words=[word for word in rest if "=" not in word],
        options={name: value for name, _, value in pairs},
        expected=expected.split(),
    )


def grant_of(name: str, amount: str, options: dict[str, str], now_ms: int) -> Grant:
    taken = dict(options)

    def time(key: str) -> int | None:
        text = taken.pop(key, "never")
        return None if text == "never" else now_ms + ms_of(text)

    grant = Grant(
        block_id=name,
        unit=taken.pop("unit", UNIT),
        amount=amount_of(amount),
        source="promotional",
        priority=int(taken.pop("priority", "0")),
        starts_at_ms=time("starts"),
        expires_at_ms=time("expires"),
        duration_ms=ms_of(taken.pop("duration")) if "duration" in taken else None,
        starts_after_block_id=taken.pop("after", None),
        price_paid=int(taken["paid"]) if "paid" in taken else None,
        currency="EUR" if taken.pop("paid", None) else None,
        eligible_features=_names(taken.pop("features", "")),
        eligible_rules=_names(taken.pop("rules", "")),
        series=taken.pop("series", ""),
        cap=amount_of(taken.pop("cap")) if "cap" in taken else None,
        dedup_key=taken.pop("dedup", None),
        external_payment_id=taken.pop("payment", None),
    )
    assert not taken, f"a grant has no {sorted(taken)}"
    return grant


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def amount_of(text: str) -> int:
    return int(text.replace(",", ""))


def ms_of(text: str) -> int:
    match = re.fullmatch(r"(-?\d+)(ms|s|m|h|d)", text)
    assert match, f"a time looks like 61s; got {text!r}"
    return int(match[1]) * _MS[match[2]]
