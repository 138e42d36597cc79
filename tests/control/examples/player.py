"""Worked examples as they go over HTTP: texts to be read by people, and who plays them against the control API.

A file has several, each under a line ``== number, name``, by the sections of the list of features that the API was
made from; ``#`` begins an aside. A line is a request and, after
``->``, its answer; what is indented goes on the line before. Bodies and answers are YAML. A target that begins with
no ``/`` is that of the customer of this external id. Each write has an Idempotency-Key of its own, unless a header
``Idempotency-Key=…`` stands before its body, as any may; one with nothing after its ``=`` is not sent. Of an answer,
what is named is compared, and lists have as many items as are named. ``$name`` stands for a value that an earlier
answer had in its place. That list has some other words: codes and names are ours here, amounts are base units, and
what was decided otherwise is said beside it.

    POST alice/credits/grant {credits: 3_000} -> 201 {block_id: $bonus}
    GET  alice/credits/blocks                 -> 200 {data: [{block_id: $bonus, available: 3_000}]}
    tick 7d                                      # the clock of the environment is moved
    sweep                                        # what the worker does all the time
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from sidecar.domain.ids import PARTITIONS
from sidecar.store.ledger import Ledger
from tests.ledger.scenario import ms_of
from tests.support.control import ADMIN_KEY, OWNER, Answer, Control

FOLDER = Path(__file__).parent
_HEADER = re.compile(r"([A-Za-z-]+)=(\S*)\s+")
_VARIABLE = re.compile(r"\$(\w+)")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what is expected of its answer; or, of the method `tick`, how far the clock goes."""

    place: str
    method: str
    target: str
    headers: dict[str, str]
    body: str
    status: int
    replayed: bool
    answer: Any


class Example(msgspec.Struct, frozen=True):
    """`variables` are the names that it mentions, each as often as it does."""

    name: str
    exchanges: list[Exchange]
    variables: list[str]


def examples() -> Iterator[Example]:
    for path in sorted(FOLDER.glob("*.txt")):
        for place, text in _lines(path):
            if text.startswith("=="):
                yield (found := Example(text.removeprefix("==").strip(), [], []))
            else:
                found.exchanges.append(_exchange(place, text))
                found.variables.extend(_VARIABLE.findall(text))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each whole line with its place."""
    place, whole = "", ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if text.startswith(" "):
            whole += " " + text.strip()
            continue
        if whole:
            yield place, whole
        place, whole = f"{path.name}:{number}", text
    if whole:
        yield place, whole


def _exchange(place: str, text: str) -> Exchange:
    asked, _, expected = text.partition("->")
    method, target, body = (*asked.split(maxsplit=2), "", "")[:3]
    headers = {}
    while (found := _HEADER.match(f"{body} ")) is not None:
        headers[found[1]] = found[2]
        body = body[found.end() :]
    status, _, answer = expected.strip().partition(" ")
    replayed = answer.startswith("replayed")
    return Exchange(
        place=place,
        method=method,
        target=target,
        headers=headers,
        body=body.strip(),
        status=int(status or 0),
        replayed=replayed,
        answer=yaml.safe_load(answer.removeprefix("replayed")),
    )


def by_its_clock(control: Control) -> Ledger:
    """The ledger as the API has it, by the clock that is moved."""
    return Ledger(control.parts.open_holds._lane, **OWNER)


class Player:
    """Plays one example."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.variables: dict[str, Any] = {}

    async def play(self, example: Example) -> None:
        """AssertionError with the place, what was asked and what was answered instead."""
        alone = {name for name in example.variables if example.variables.count(name) == 1}
        assert not alone, f"{example.name}: {alone} are mentioned once, so they say nothing."
        for number, exchange in enumerate(example.exchanges):
            if exchange.method == "tick":
                await self._tick(ms_of(exchange.target))
                continue
            if exchange.method == "sweep":
                await self._sweep()
                continue
            answer = await self._ask(exchange, f"{example.name.split()[0]}-{number}")
            said = f"{exchange.place}: {exchange.method} {exchange.target} {exchange.body}\n  {answer.raw.decode()}"
            assert (answer.status, answer.replayed) == (exchange.status, exchange.replayed), said
            if exchange.answer is not None:
                assert self._fits(exchange.answer, answer.json), f"{said}\n  expected: {exchange.answer}"

    async def _tick(self, ms: int) -> None:
        """The clock of the environment goes on, and what the store forgets by itself is so much older."""
        moved = await self.control.ask("POST", "/v1/test/clock/advance", {"seconds": ms // 1000})
        assert moved.status == 200, moved.raw
        for key in await self.control.lane.execute("KEYS", "*"):
            if (left_ms := await self.control.lane.execute("PTTL", key)) >= 0:
                await self.control.lane.execute("PEXPIRE", key, left_ms - ms)

    async def _sweep(self) -> None:
        """What the worker does."""
        ledger = by_its_clock(self.control)
        await asyncio.gather(*(ledger.sweep(number, 10) for number in range(PARTITIONS)))

    async def _ask(self, exchange: Exchange, key: str) -> Answer:
        target = exchange.target if exchange.target.startswith("/") else f"/customer-by-external-id/{exchange.target}"
        headers = {"Idempotency-Key": key} if exchange.method != "GET" else {}
        headers |= {name: self._filled(value) for name, value in exchange.headers.items()}
        sent = {name.replace("-", "_"): value for name, value in headers.items() if value}
        body = yaml.safe_load(self._filled(exchange.body))
        admin_key = None if "X-API-Key" in headers else ADMIN_KEY
        return await self.control.ask(exchange.method, f"/v1{self._filled(target)}", body, key=admin_key, **sent)

    def _filled(self, text: str) -> str:
        return _VARIABLE.sub(lambda found: str(self.variables[found[1]]), text)

    def _fits(self, expected: Any, seen: Any) -> bool:
        if isinstance(expected, str) and (found := _VARIABLE.fullmatch(expected)) is not None:
            return bool(self.variables.setdefault(found[1], seen) == seen)
        if isinstance(expected, list):
            return isinstance(seen, list) and len(seen) == len(expected) and all(map(self._fits, expected, seen))
        if isinstance(expected, Mapping):
            return isinstance(seen, Mapping) and all(
                name in seen and self._fits(value, seen[name]) for name, value in expected.items()
            )
        return type(expected) is type(seen) and bool(expected == seen)
